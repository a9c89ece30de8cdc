"""A recipient's mail, made of pieces: the same text as a mail built as a whole, in a form that may go out as it is."""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta, timezone
from email import message_from_bytes
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.audience.unsubscribe_links import unsubscribe_token
from campaigns.compose.contexts import Context
from campaigns.compose.merge import ChoiceSegment, FieldSegment, Segment, Template, parse
from campaigns.compose.rendering import CompiledContent, ContentSource, MailFrame, compile_content
from campaigns.delivery.claims import Recipient
from campaigns.delivery.layouts import LAYOUTS_KEPT
from campaigns.delivery.message import CampaignMessage, campaign_to_send, message_of
from campaigns.mail.addresses import AddressError
from campaigns.mail.headers import HeaderError, clean_header_text
from campaigns.mail.mime import date_header, message_id
from campaigns.mail.smtp import Envelope, OutcomeKind, ServerSettings, open_connection
from campaigns.mail.smtp_envelope import wire_content
from tests.delivery.campaigns import launch_and_freeze
from tests.delivery.messages import (
    KEY,
    NOW,
    SAMPLE,
    SITE_NAME,
    built_as_a_whole,
    header_line,
    link_of,
    make_message,
    make_recipient,
    part_texts,
    read,
    sample_message,
)
from tests.people import make_user

NAMES = ("name", "email", "site_name", "unsubscribe_url", "company", "city")
ODD = "가나힣각김🎉👩‍👧é=.\"'<&> \t\n\r\u0301\u1161\u11a8\u2028\ufeff_-FromABCxyz019"
values = st.one_of(
    st.sampled_from(["", " ", "김하늘", "Ada", "김하늘", ".", "..", "From me", "a\r\nBcc: x@example.com", "한" * 60]),
    st.text(alphabet=st.one_of(st.sampled_from(ODD), st.characters()), max_size=60),
)
constants = st.one_of(
    st.sampled_from(
        ["\n.", "\n..\n", "안녕하세요 " * 20, "Hello there, " * 20, "x" * 200, '<a href="x">', "님, ", " "]
    ),
    st.text(alphabet=st.sampled_from(ODD), max_size=30),
)
fields = st.builds(FieldSegment, st.sampled_from(NAMES), values, st.sampled_from(list(Context)))
header_fields = st.builds(FieldSegment, st.sampled_from(NAMES), values, st.just(Context.HEADER))


def segments(field: st.SearchStrategy[FieldSegment]) -> st.SearchStrategy[tuple[Segment, ...]]:
    flat = st.lists(st.one_of(constants, field), max_size=4).map(tuple)
    choices = st.builds(ChoiceSegment, st.sampled_from(NAMES), flat, flat)
    return st.lists(st.one_of(constants, field, choices), max_size=6).map(tuple)


def without_breaks(template: Template) -> Template:
    """A subject as `parse` leaves it."""

    def tidy(segment: Segment) -> Segment:
        if isinstance(segment, str):
            return re.sub(r"[\r\n\x00]", "", segment)
        if isinstance(segment, ChoiceSegment):
            return ChoiceSegment(segment.name, tuple(map(tidy, segment.then)), tuple(map(tidy, segment.otherwise)))
        return segment

    return Template(tuple(map(tidy, template.segments)))


contents = st.builds(
    CompiledContent,
    subject=segments(header_fields).map(Template).map(without_breaks),
    preheader=st.just(Template(())),
    html=st.builds(lambda body, end: Template((*body, end)), segments(fields), constants),
    text=st.builds(lambda body, end: Template((*body, end)), segments(fields), constants),
    language=st.just("ko"),
)


def check_wire(message: CampaignMessage, recipient: Recipient) -> None:
    raw = message.build(recipient, date=NOW)
    assert message.build_wire(recipient, date_line=date_header(NOW)) == wire_content(raw) == raw + b".\r\n"
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0|^\.", raw, re.MULTILINE)
    head, _, body = raw.decode("ascii").partition("\r\n\r\n")
    assert max(map(len, body.split("\r\n"))) <= 76
    for line in head.split("\r\n"):
        assert len(line) <= (76 if "=?" in line else 998)


@settings(max_examples=600, deadline=None)
@given(content=contents, name=values, company=values, city=values)
@example(content=compile_content(SAMPLE, MailFrame(site_name="x")), name="김하늘", company="", city="\u0301")
def test_a_mail_of_pieces_says_what_the_whole_mail_says(
    content: CompiledContent, name: str, company: str, city: str
) -> None:
    recipient = make_recipient(name=name, attributes={"company": company, "city": city})
    message = make_message(content)
    raw, whole = message.build(recipient, date=NOW), built_as_a_whole(content, recipient)
    assert part_texts(raw) == part_texts(whole)
    for header in ("Subject", "From", "To", "Date", "Message-ID"):
        assert header_line(raw, header) == header_line(whole, header)
    assert raw == make_message(content).build(recipient, date=NOW)
    assert len(read(raw).keys()) == 13
    check_wire(message, recipient)


@settings(max_examples=300, deadline=None)
@given(subject=segments(header_fields).map(Template).map(without_breaks), name=values, company=values)
def test_a_subject_decodes_to_what_was_meant(subject: Template, name: str, company: str) -> None:
    whole = compile_content(SAMPLE, MailFrame(site_name=SITE_NAME))
    content = CompiledContent(subject=subject, preheader=subject, html=whole.html, text=whole.text, language="ko")
    recipient = make_recipient(name=name, attributes={"company": company})
    raw = make_message(content).build(recipient, date=NOW)
    assert header_line(raw, "Subject") == header_line(built_as_a_whole(content, recipient), "Subject")
    filled = {"company": company, "name": name, "email": recipient.address, "site_name": SITE_NAME}
    meant = subject.render(filled | {"unsubscribe_url": link_of(recipient)})
    # The older parser is the one that leaves the spaces of a value as they are.
    written = message_from_bytes(raw)["Subject"].replace("\r\n", "")
    assert str(make_header(decode_header(written))) == clean_header_text(meant)


def test_headers_are_complete_and_each_there_once() -> None:
    recipient = make_recipient(5)
    message = read(sample_message().build(recipient, date=NOW))
    assert sorted(message.keys()) == [
        "Content-Type", "Date", "Feedback-ID", "From", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post",
        "MIME-Version", "Message-ID", "Precedence", "Reply-To", "Subject", "To",
    ]  # fmt: skip
    assert message["Subject"] == "(광고) 김하늘님, 11월 소식"
    assert message["To"] == "person5@example.com"
    assert message["Date"] == "Sun, 22 Nov 2026 09:30:00 +0000"
    assert message["List-Unsubscribe"] == f"<{link_of(recipient)}>"
    assert message["Message-ID"] == message_id(KEY.encode(), "campaign", 7, 5, domain="example.com")
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_the_link_is_the_recipients_own_in_every_place() -> None:
    recipient = make_recipient(9)
    text, html = part_texts(sample_message().build(recipient, date=NOW))
    assert link_of(recipient) in text
    assert link_of(recipient).replace("&", "&amp;") in html


def test_everybody_gets_the_branch_that_is_theirs() -> None:
    message = sample_message()
    with_company, without = (
        part_texts(message.build(make_recipient(attributes=attributes), date=NOW))[0]
        for attributes in ({"company": "나무"}, {"company": " "})
    )
    assert "나무에 계신 여러분께" in with_company
    assert "\n여러분께" in without.replace("\r\n", "\n")


def test_more_ways_than_are_kept_are_right_all_the_same() -> None:
    names = [f"f{number}" for number in range(7)]
    source = "".join(f"{{% if {name} %}}{name} {{% endif %}}" for name in names) + "끝\n"
    text = parse(source, Context.TEXT)
    subject = parse("소식", Context.HEADER)
    message = make_message(CompiledContent(subject=subject, preheader=subject, html=text, text=text, language="ko"))
    assert 2 ** len(names) > LAYOUTS_KEPT
    for number in range(2 ** len(names)):
        filled = [name for place, name in enumerate(names) if number >> place & 1]
        recipient = make_recipient(attributes=dict.fromkeys(filled, "x"))
        assert part_texts(message.build(recipient, date=NOW))[0] == " ".join([*filled, "끝"]) + "\r\n"
        check_wire(message, recipient)


@pytest.mark.parametrize("name", ["\u0301", "\u11a8", "\u1161가", "é"])
def test_a_value_that_joins_the_letter_before_it_joins_it(name: str) -> None:
    text = parse("Cafe가{{ name }} is our guest, and welcome here.\n", Context.TEXT)
    subject = parse("안녕하세요{{ name }}", Context.HEADER)
    content = CompiledContent(subject=subject, preheader=subject, html=text, text=text, language="ko")
    recipient = make_recipient(name=name)
    raw = make_message(content).build(recipient, date=NOW)
    for part in part_texts(raw):
        assert part == unicodedata.normalize("NFC", f"Cafe가{name} is our guest, and welcome here.\r\n")
    assert read(raw)["Subject"] == unicodedata.normalize("NFC", f"안녕하세요{name}")


def test_the_date_is_the_one_given_each_time() -> None:
    message = sample_message()
    seoul = timezone(timedelta(hours=9))
    moments = [NOW, NOW.astimezone(seoul), NOW + timedelta(seconds=1), NOW]
    dates = [read(message.build(make_recipient(), date=moment))["Date"] for moment in moments]
    assert [str(date)[-14:] for date in dates] == [
        "09:30:00 +0000", "18:30:00 +0900", "09:30:01 +0000", "09:30:00 +0000",
    ]  # fmt: skip


def test_addresses_are_written_in_their_wire_form() -> None:
    def to(address: str) -> bytes:
        return header_line(sample_message().build(make_recipient(address=address), date=NOW), "To")

    assert to("Kim@EXAMPLE.com") == b"To: Kim@example.com\r\n"
    assert to("kim@한글.test") == b"To: kim@xn--bj0bj06e.test\r\n"
    assert to("한글@example.com") == "To: 한글@example.com\r\n".encode()


@pytest.mark.parametrize(
    "address", ["", "nobody", "a b@example.com", "a@b@example.com>", "a\r\nb@example.com", "a@-.x"]
)
def test_an_address_that_cannot_be_written_is_refused(address: str) -> None:
    with pytest.raises(AddressError):
        sample_message().build(make_recipient(address=address), date=NOW)


def test_a_mail_that_grows_too_long_is_refused_and_a_long_one_is_not() -> None:
    source = parse("{{ company }} " * 20 + "끝\n", Context.TEXT)
    subject = parse("소식", Context.HEADER)
    message = make_message(CompiledContent(subject=subject, preheader=subject, html=source, text=source, language="ko"))
    long = make_recipient(attributes={"company": "가" * 49_000})
    assert part_texts(message.build(long, date=NOW))[0].count("가") == 20 * 49_000
    with pytest.raises(HeaderError, match="too_long"):
        message.build(make_recipient(attributes={"company": "가" * 51_000}), date=NOW)


@pytest.mark.parametrize("body", ["한글 소식입니다. " * 50, "English news. " * 50])
def test_a_mail_server_gets_the_ready_form_intact(sink, body: str) -> None:
    content = compile_content(ContentSource(subject=SAMPLE.subject, body=body), MailFrame(site_name="우편함"))
    message = make_message(content)
    people = [make_recipient(number, name=name) for number, name in enumerate(["김하늘", ".", "", "From x", "🎉" * 20])]
    envelopes = [
        Envelope(
            message.sender,
            person.address,
            message.build_wire(person, date_line=date_header(NOW)),
            person.position,
            is_wire_ready=True,
        )
        for person in people
    ]
    with open_connection(ServerSettings(host="127.0.0.1", port=sink.port)) as connection:
        outcomes = [outcome.kind for _, outcome in connection.send_all(iter(envelopes))]
    assert outcomes == [OutcomeKind.SENT] * len(people)
    assert [mail.content for mail in sink.mails] == [message.build(person, date=NOW) for person in people]


def test_a_launched_campaign_is_a_factory_kept_by_its_process(app, sink) -> None:
    person = make_user("kim@example.com", name="김하늘")
    campaign_id = launch_and_freeze()
    campaign = campaign_to_send(campaign_id)
    assert campaign
    message = message_of(campaign)
    assert message_of(campaign) is message
    raw = message.build(make_recipient(user_id=person.id, address="kim@example.com"), date=NOW)
    token = unsubscribe_token(KEY, person.id, campaign_id)
    assert read(raw)["List-Unsubscribe"] == f"<http://carillon.example.test/p/u/{token}>"
    assert f"http://carillon.example.test/p/u/{token}" in part_texts(raw)[0]
    assert read(raw)["Message-ID"] == message_id(
        KEY.encode(), "campaign", campaign_id, 1, domain=message.sender.rpartition("@")[2]
    )
