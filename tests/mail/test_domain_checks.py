"""What receivers look up of the sending domain: each way to have it wrong is found, and what to do is said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from campaigns.findings import Finding, Level
from campaigns.mail import domain_checks
from campaigns.mail.domain_checks import Domain, Fact, check_domain, count_spf_lookups
from campaigns.mail.domain_words import WORDS, describe_fact
from tests.name_server import name_server

NAME = "news.example.test"
KEY = "v=DKIM1; k=rsa; p=" + "A" * 392
RIGHT: Mapping[tuple[str, str], list[str]] = {
    (NAME, "MX"): ["10 mx.example.test."],
    (NAME, "TXT"): ['"v=spf1 include:_spf.relay.test -all"', '"some-other=record"'],
    ("_spf.relay.test", "TXT"): ['"v=spf1 ip4:192.0.2.0/24 ~all"'],
    (f"s1._domainkey.{NAME}", "TXT"): [f'"{KEY[:200]}" "{KEY[200:]}"'],
    (f"_dmarc.{NAME}", "TXT"): ['"v=DMARC1; p=quarantine; rua=mailto:dmarc@example.test"'],
    ("7.2.0.192.in-addr.arpa", "PTR"): ["mx.example.test."],
    ("mx.example.test", "A"): ["192.0.2.7"],
}


def look(changes: Mapping[tuple[str, str], list[str]], **more: object) -> dict[str, Finding]:
    """Look at the right domain with some records changed; an empty list takes them away."""
    records = {key: values for key, values in {**RIGHT, **changes}.items() if values}
    with name_server(records) as server:
        domain = Domain(NAME, nameserver=server, **{"selectors": ["s1"], "addresses": ["192.0.2.7"], **more})
        return {fact.check: in_words(fact) for fact in check_domain(domain)}


def in_words(fact: Fact) -> Finding:
    found, advice = describe_fact(fact)
    return Finding(fact.check, Level(fact.level), found, advice)


def test_every_code_has_words_and_every_word_a_code() -> None:
    source = Path(domain_checks.__file__).read_text()
    assert set(re.findall(r'"((?:mx|spf|dkim|dmarc|ptr|no)_[a-z]+)"', source)) == set(WORDS)


def test_a_domain_that_is_right_has_nothing_to_mend() -> None:
    found = look({})
    assert {check: finding.level for check, finding in found.items()} == dict.fromkeys(
        ("bounces", "SPF", "DKIM", "DMARC", "PTR"), "ok"
    )
    assert "1 look-ups" in found["SPF"].found


@pytest.mark.parametrize(
    ("check", "level", "words", "changes"),
    [
        ("bounces", "bad", "neither MX nor A", {(NAME, "MX"): []}),
        ("bounces", "warn", "no MX", {(NAME, "MX"): [], (NAME, "A"): ["192.0.2.7"]}),
        ("SPF", "bad", "no record", {(NAME, "TXT"): ['"hello"']}),
        ("SPF", "bad", "2 records", {(NAME, "TXT"): ['"v=spf1 -all"', '"v=spf1 mx -all"']}),
        ("SPF", "bad", "everybody", {(NAME, "TXT"): ['"v=spf1 mx +all"']}),
        ("SPF", "warn", "ends with ?all", {(NAME, "TXT"): ['"v=spf1 mx ?all"']}),
        ("DKIM", "bad", "no key", {(f"s1._domainkey.{NAME}", "TXT"): []}),
        ("DKIM", "bad", "revoked", {(f"s1._domainkey.{NAME}", "TXT"): ['"v=DKIM1; p="']}),
        ("DKIM", "warn", "short", {(f"s1._domainkey.{NAME}", "TXT"): [f'"v=DKIM1; p={"A" * 216}"']}),
        ("DMARC", "bad", "no record", {(f"_dmarc.{NAME}", "TXT"): []}),
        ("DMARC", "warn", "no policy", {(f"_dmarc.{NAME}", "TXT"): ['"v=DMARC1; rua=mailto:a@example.test"']}),
        ("DMARC", "warn", "no reports", {(f"_dmarc.{NAME}", "TXT"): ['"v=DMARC1; p=none"']}),
        ("DMARC", "bad", "no record", {(f"_dmarc.{NAME}", "TXT"): ['"v=DMARC1; p=none"', '"v=DMARC1; p=reject"']}),
        ("PTR", "bad", "no name", {("7.2.0.192.in-addr.arpa", "PTR"): []}),
        ("PTR", "bad", "is not 192.0.2.7", {("mx.example.test", "A"): ["192.0.2.8"]}),
    ],
)
def test_what_is_wrong_is_found(
    check: str, level: str, words: str, changes: Mapping[tuple[str, str], list[str]]
) -> None:
    finding = look(changes)[check]
    assert (finding.level, words in finding.found) == (level, True), finding
    assert finding.advice


def test_a_policy_of_the_domain_above_applies() -> None:
    above = ['"v=DMARC1; p=reject; rua=mailto:a@example.test"']
    found = look({(f"_dmarc.{NAME}", "TXT"): [], ("_dmarc.example.test", "TXT"): above})
    assert (found["DMARC"].level, found["DMARC"].found) == ("ok", "_dmarc.example.test says p=reject")


def test_what_was_not_named_is_not_judged() -> None:
    found = look({}, selectors=[], addresses=[])
    assert (found["DKIM"].level, found["PTR"].level) == ("note", "note")


def test_lookups_are_counted_through_includes_and_circles_end() -> None:
    records = {
        ("a.test", "TXT"): ['"v=spf1 a mx:b.test exists:%{i}.c.test include:b.test ip4:192.0.2.1 redirect=c.test"'],
        ("b.test", "TXT"): ['"v=spf1 ptr a/24 ~all"'],
        ("c.test", "TXT"): ['"v=spf1 include:c.test -all"'],
    }
    with name_server(records) as server:
        domain = Domain("a.test", nameserver=server)
        assert count_spf_lookups(domain, "v=spf1 include:b.test -all") == 3
        assert count_spf_lookups(domain, "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 all") == 0
        assert count_spf_lookups(domain, "v=spf1 include:c.test -all") > 10
        assert count_spf_lookups(domain, " ".join(["v=spf1", *(f"a:{n}.test" for n in range(11))])) == 11


def test_a_name_server_that_is_away_is_no_verdict() -> None:
    (finding,) = check_domain(Domain(NAME, nameserver="127.0.0.1:9"))
    assert (finding.level, finding.check) == ("note", "sending domain")
