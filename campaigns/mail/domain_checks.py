"""The sending domain as receivers look at it: SPF, DKIM, DMARC, where bounces go, and reverse names.

The records are read with our own few lines over dnspython: the one library that checks them brings twenty others. What
is found
is a code with values, so that it can be kept and said in any language: see domain_words.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dns.exception
import dns.resolver
import dns.reversename

from campaigns.findings import Level

MOST_SPF_LOOKUPS = 10  # RFC 7208 §4.6.4
MOST_DMARC_STEPS = 8  # RFC 9989 §4.10
LOOKING_UP = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})  # RFC 7208 §4.6.4
TERM = re.compile(r"[-+~?]?([a-z0-9]+)(?:[:=]([^/]+))?")
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Fact:
    """One thing that was found: of what (`check`), how bad it is, and what, as a code with its values."""

    check: str
    level: Level
    code: str
    values: Mapping[str, str | int] = field(default_factory=dict)


@dataclass
class Domain:
    """What is known of the domain, and whom to ask."""

    name: str
    selectors: Sequence[str] = ()
    addresses: Sequence[str] = ()  # the IP addresses that mail leaves from
    nameserver: str = ""  # host or host:port; the machine's own when empty
    _resolver: dns.resolver.Resolver | None = field(default=None, repr=False)

    def ask(self, name: str, kind: str) -> list[str]:
        """Return a name's records as text, none when there are none. Raises dns.exception.DNSException."""
        try:
            answer = self.resolver.resolve(name, kind, lifetime=ANSWER_SECONDS)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        if kind == "TXT":
            return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
        return [record.to_text() for record in answer]

    @property
    def resolver(self) -> dns.resolver.Resolver:
        """Whom to ask."""
        if self._resolver is None:
            self._resolver = dns.resolver.Resolver(configure=not self.nameserver)
            if self.nameserver:
                host, _, port = self.nameserver.partition(":")
                self._resolver.nameservers = [host]
                self._resolver.port = int(port or 53)
        return self._resolver


def check_domain(domain: Domain) -> Iterator[Fact]:
    """Look at everything that receivers look up; says so when no name server answers."""
    try:
        for check in (check_bounces, check_spf, check_dkim, check_dmarc, check_reverse_names):
            yield from check(domain)
    except dns.exception.DNSException as error:
        yield Fact("sending domain", Level.NOTE, "no_answer", {"domain": domain.name, "error": str(error)})


def check_bounces(domain: Domain) -> Iterator[Fact]:
    """Mail that cannot be delivered comes back to the domain, so something must take mail there (RFC 5321 §5.1)."""
    of = {"domain": domain.name}
    if domain.ask(domain.name, "MX"):
        yield Fact("bounces", Level.OK, "mx_good", of)
    elif domain.ask(domain.name, "A") or domain.ask(domain.name, "AAAA"):
        yield Fact("bounces", Level.WARN, "mx_missing", of)
    else:
        yield Fact("bounces", Level.BAD, "mx_none", of)


def check_spf(domain: Domain) -> Iterator[Fact]:
    """One record, at most ten look-ups, not open to everybody (RFC 7208)."""
    records = _spf_records(domain, domain.name)
    if len(records) != 1:
        yield Fact("SPF", Level.BAD, "spf_several" if records else "spf_none", {"count": len(records)})
        return
    terms = records[0].lower().split()
    lookups = count_spf_lookups(domain, records[0])
    if lookups > MOST_SPF_LOOKUPS:
        yield Fact("SPF", Level.BAD, "spf_long", {"count": lookups, "most": MOST_SPF_LOOKUPS})
    elif {"+all", "all"} & set(terms):
        yield Fact("SPF", Level.BAD, "spf_open")
    elif terms[-1] not in ("-all", "~all") and not terms[-1].startswith("redirect="):
        yield Fact("SPF", Level.WARN, "spf_loose", {"end": terms[-1]})
    else:
        yield Fact("SPF", Level.OK, "spf_good", {"record": records[0], "count": lookups})


def count_spf_lookups(domain: Domain, record: str, seen: tuple[str, ...] = ()) -> int:
    """Return how many look-ups a receiver needs for this record and all that it includes; a circle counts as eleven."""
    count = 0
    for kind, target in (found.groups() for term in record.lower().split()[1:] if (found := TERM.match(term))):
        count += kind in LOOKING_UP
        if kind not in ("include", "redirect"):
            continue
        if target in seen or count > MOST_SPF_LOOKUPS:
            return MOST_SPF_LOOKUPS + 1
        for further in _spf_records(domain, target)[:1]:
            count += count_spf_lookups(domain, further, (*seen, target))
    return count


def _spf_records(domain: Domain, name: str) -> list[str]:
    return [text for text in domain.ask(name, "TXT") if text.lower().split(" ")[0] == "v=spf1"]


def check_dkim(domain: Domain) -> Iterator[Fact]:
    """The public key of each selector that was named (RFC 6376 §3.6)."""
    if not domain.selectors:
        yield Fact("DKIM", Level.NOTE, "dkim_unnamed")
    for selector in domain.selectors:
        name = f"{selector}._domainkey.{domain.name}"
        keys = [each for each in (dict(_tags(text)) for text in domain.ask(name, "TXT")) if "p" in each]
        if not keys:
            yield Fact("DKIM", Level.BAD, "dkim_none", {"name": name})
        elif not keys[0]["p"]:
            yield Fact("DKIM", Level.BAD, "dkim_revoked", {"name": name})
        elif keys[0].get("k", "rsa") == "rsa" and len(keys[0]["p"]) < 300:
            yield Fact("DKIM", Level.WARN, "dkim_short", {"name": name})
        else:
            yield Fact("DKIM", Level.OK, "dkim_good", {"name": name})


def check_dmarc(domain: Domain) -> Iterator[Fact]:
    """The policy of the domain, or of the nearest domain above that has one (RFC 9989 §4.10)."""
    name, policy = find_dmarc(domain)
    if not policy:
        yield Fact("DMARC", Level.BAD, "dmarc_none", {"domain": domain.name})
    elif not policy.get("p"):
        yield Fact("DMARC", Level.WARN, "dmarc_empty", {"domain": name})
    elif "rua" not in policy:
        yield Fact("DMARC", Level.WARN, "dmarc_silent", {"domain": name})
    else:
        yield Fact("DMARC", Level.OK, "dmarc_good", {"domain": name, "policy": policy["p"]})


def find_dmarc(domain: Domain) -> tuple[str, dict[str, str]]:
    """Return the domain whose policy applies, and its tags; none when no domain above has one either."""
    labels = domain.name.split(".")
    starts = [0, *range(max(1, len(labels) - MOST_DMARC_STEPS + 1), len(labels))]
    for start in starts:
        name = ".".join(labels[start:])
        found = [text for text in domain.ask(f"_dmarc.{name}", "TXT") if text.startswith("v=DMARC1")]
        if len(found) == 1:  # more than one is as good as none
            return name, dict(_tags(found[0]))
    return "", {}


def check_reverse_names(domain: Domain) -> Iterator[Fact]:
    """Each address that mail leaves from has a name, and the name leads back (Gmail and Yahoo ask for it)."""
    if not domain.addresses:
        yield Fact("PTR", Level.NOTE, "ptr_unnamed")
    for address in domain.addresses:
        names = [name.rstrip(".") for name in domain.ask(str(dns.reversename.from_address(address)), "PTR")]
        if not names:
            yield Fact("PTR", Level.BAD, "ptr_none", {"address": address})
        elif not any(_leads_back(domain, name, address) for name in names):
            yield Fact("PTR", Level.BAD, "ptr_elsewhere", {"address": address, "name": names[0]})
        else:
            yield Fact("PTR", Level.OK, "ptr_good", {"address": address, "name": names[0]})


def _leads_back(domain: Domain, name: str, address: str) -> bool:
    kind = "A" if ipaddress.ip_address(address).version == 4 else "AAAA"
    return any(ipaddress.ip_address(each) == ipaddress.ip_address(address) for each in domain.ask(name, kind))


def _tags(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            yield name.strip().lower(), value.strip()
