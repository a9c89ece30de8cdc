"""The delivery engine broken on purpose, with real processes. Which test proves which experiment:

 1  senders killed in mid-batch, ten times               both databases
      test_killed_senders::test_ten_kills_leave_at_most_one_uncertain_for_each_connection
      test_rabbitmq::test_senders_killed_and_replaced
 2  one process of a pool killed
      test_killed_senders::test_killing_one_process_of_a_pool_leaves_at_most_its_connections_uncertain
 3  the sender of single mails killed, fifty a second    two kills; the quarter of an hour's lease is cut to a second
      test_single_mails::test_a_sender_of_single_mails_killed_while_fifty_a_second_arrive
 4  killed between the answer and the commit             DATA and BDAT; with the journal, and with it lost
      test_killed_senders::test_a_sender_killed_before_it_hears_that_its_mail_was_accepted
      test_killed_senders::test_a_sender_killed_between_the_answers_and_the_commit
 5  killed between the claim and the final dot           DATA and BDAT; then sent again by a person, once
      test_killed_senders::test_a_sender_killed_before_the_mail_server_has_its_mail
 6  killed before a chord's part is counted              threads and forked processes, as 7 and 8
 7  killed before the chord's callback is published
 8  killed after it; and half way through publishing the chord itself
      test_lost_chords::test_whoever_dies_at_the_worst_moment_of_a_chord
 9  the broker killed or cut off                         Redis three times; the way to RabbitMQ once, for 8 s
      test_broken_redis::test_redis_killed_three_times_while_a_campaign_is_sent
      test_rabbitmq::test_rabbitmq_is_away_and_comes_back
10  the broker emptied
      test_broken_redis::test_redis_emptied_while_a_campaign_is_sent
      test_rabbitmq::test_messages_lost_and_doubled_and_the_redis_of_the_results_emptied
11  Redis away for long, and pages go on                 8 s, not 10 minutes
      test_single_mails::test_with_redis_away_a_sign_up_answers_and_its_mail_is_sent_when_it_is_back
      test_broken_redis::test_redis_is_away_when_everything_starts
12  Redis frozen                                         20 s, not 60
      test_broken_redis::test_a_frozen_redis_stops_nobody_for_good
13  only the Redis of the results away                   5 s, not 30
      test_broken_redis::test_only_the_redis_that_counts_the_chords_is_away
14  PostgreSQL killed, three times                       a server of the test's own, which recovers from its log
      test_killed_database::test_the_database_killed_three_times_while_a_campaign_is_sent
15  the database away for long                           9 s, nearly two leases; 12 s, four times a sender's patience
      test_broken_database::test_no_new_mail_leaves_while_the_database_is_away
      test_broken_database::test_a_database_that_is_away_for_longer_than_a_sender_waits
      test_broken_database::test_sqlite_locked_for_longer_than_a_lease
16  the mail server away                                 4 s and more, not 5 minutes: the first of the growing pauses
      test_broken_mail_server::test_a_mail_server_that_is_away_holds_the_campaign_and_burns_nobodys_attempt
17  one in a hundred dropped after the final dot         DATA and BDAT; half of them were kept
      test_broken_mail_server::test_who_was_handed_over_without_an_answer_is_named_and_gets_nothing_twice
18  one domain wants no more for now                     450 and 421; one connection, so that a sleeping slot shows
      test_broken_mail_server::test_a_domain_that_wants_no_more_for_now_holds_up_nobody_else
19  deploys in mid-campaign                              three; as soon as the new ones send, not every 30 s
      test_killed_senders::test_a_deploy_again_and_again_is_invisible_in_the_totals
20  started twice, killed half way, two beats            both databases
      test_started_twice::test_a_freeze_that_is_started_twice_at_once_and_dies_half_way
      test_started_twice::test_two_beats_start_a_scheduled_campaign_once
      test_repeated_campaigns::test_a_worker_that_dies_between_the_copy_and_its_launch
21  a sender stopped past its lease, which then goes on  both databases; once with its people sent to again meanwhile
      test_killed_senders::test_a_sender_frozen_past_its_lease_finds_itself_fenced_off_and_tells_the_truth
      test_killed_senders::test_a_sender_that_wakes_up_sends_to_nobody_who_was_sent_to_again_meanwhile

Two sites on one RabbitMQ: test_rabbitmq::test_two_sites_share_a_broker_though_their_workers_have_the_same_names
All at once, in an order that a seed throws: test_short_drill::test_a_short_drill_holds_and_leaves_nothing_behind

On SQLite where nothing else is said; 14 and 15 on PostgreSQL; the main path on each pair of database and broker:
test_every_pair::test_the_main_path. Ten million rows are no test: `make bench` measures the freeze of a million.

Shortened is only what waits for the clock: a lease lasts 5 s instead of 30 and the sweep comes every 2 s instead of 10,
so that a silence of seconds is longer than a lease and several sweeps, as minutes are in earnest. Who was refused for
now comes back after 2 s instead of a minute. Everything else is what is shipped: the processes of the installation's
plan, started again by its supervisor. Hundreds of people take the place of a million: what a fault can touch is what is
in hand at that moment, and that is the same.
"""
