"""One mail on the wire. Which test holds which rule, beside the RFC it comes from:

dots at line starts, every octet (5321 §4.5.2)    test_smtp_sending, test_smtp_real_servers, test_smtp_postfix
pipelining: order, lone dot, replies (2920 §3.1)  test_smtp_sending, test_smtp_postfix (strict about early commands)
only as offered, learned again (2920, 3207)       test_smtp_sending, test_smtp_opening, test_smtp_postfix (plain port)
4xx, 5xx, 421, hang-up at each step (5321 §4.3.2) test_smtp_failures, test_smtp_opening, test_smtp_real_servers
no answer to the content (1047, 5321 §3.8)        test_smtp_failures; drill/; delivery/test_handing_over
killed at any point                               drill/test_killed_senders; delivery/test_handing_over (the mark)
deadlines (5321 §4.5.3.2)                         test_smtp_failures, test_smtp_opening; delivery/test_mail_servers
TLS before log-in and mail (3207 §4-6)            test_smtp_opening, test_smtp_postfix; delivery/test_secure_servers
a refused log-in, nobody's attempt (4954 §6)      test_smtp_opening; delivery/test_secure_servers
SIZE, ENVID, RET, NOTIFY, ORCPT (1870, 3461 §4)   test_smtp_sending, test_smtp_postfix; delivery/test_envelope_ids
several connections, one thread                   test_smtp_many, test_smtp_many_failures; delivery/test_bundles
BDAT (3030 §2-3)                                  test_smtp_chunking, test_smtp_postfix; delivery/test_handing_over
"""
