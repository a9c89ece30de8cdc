"""The doctor looks at the sending domain as receivers do: SPF, DKIM, DMARC, where bounces go, and reverse names.

The records are read with our own few lines over dnspython: the one library that checks them brings twenty others.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import dns.exception
import dns.resolver
import dns.reversename

from campaigns.upkeep.findings import Finding, bad, good, note, warn

MOST_SPF_LOOKUPS = 10  # RFC 7208 §4.6.4
MOST_DMARC_STEPS = 8  # RFC 9989 §4.10
LOOKING_UP = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})  # RFC 7208 §4.6.4
TERM = re.compile(r"[-+~?]?([a-z0-9]+)(?:[:=]([^/]+))?")
ANSWER_SECONDS = 5.0


@dataclass
class Domain:
    """What the doctor is told of the domain, and whom it asks."""

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


def check_domain(domain: Domain) -> Iterator[Finding]:
    """Look at everything that receivers look up; says so when no name server answers."""
    try:
        for check in (check_bounces, check_spf, check_dkim, check_dmarc, check_reverse_names):
            yield from check(domain)
    except dns.exception.DNSException as error:
        advice = "Try again, or name another server: --nameserver HOST"
        yield note("sending domain", f"{domain.name} could not be looked up: {error}", advice)


def check_bounces(domain: Domain) -> Iterator[Finding]:
    """Mail that cannot be delivered comes back to the domain, so something must take mail there (RFC 5321 §5.1)."""
    if domain.ask(domain.name, "MX"):
        yield good("bounces", f"{domain.name} takes mail")
    elif domain.ask(domain.name, "A") or domain.ask(domain.name, "AAAA"):
        yield warn("bounces", f"{domain.name} has no MX record", "Add one: what bounces must arrive somewhere.")
    else:
        advice = "Many receivers refuse mail from a domain that takes none. Add an MX record."
        yield bad("bounces", f"{domain.name} has neither MX nor A records", advice)


def check_spf(domain: Domain) -> Iterator[Finding]:
    """One record, at most ten look-ups, not open to everybody (RFC 7208)."""
    records = _spf_records(domain, domain.name)
    if len(records) != 1:
        yield _wrong_number_of_spf(records)
        return
    terms = records[0].lower().split()
    lookups = count_spf_lookups(domain, records[0])
    if lookups > MOST_SPF_LOOKUPS:
        advice = f"Receivers stop at {MOST_SPF_LOOKUPS} (RFC 7208 §4.6.4). Take includes out."
        yield bad("SPF", f"needs {lookups} look-ups", advice)
    elif {"+all", "all"} & set(terms):
        yield bad("SPF", "lets everybody send in your name (+all)", "End it with ~all or -all.")
    elif terms[-1] not in ("-all", "~all") and not terms[-1].startswith("redirect="):
        yield warn("SPF", f"ends with {terms[-1]}", "End it with ~all or -all.")
    else:
        yield good("SPF", f"{records[0]} ({lookups} look-ups)")


def _wrong_number_of_spf(records: list[str]) -> Finding:
    if records:
        return bad("SPF", f"{len(records)} records", "Keep one: two are an error to receivers (RFC 7208 §4.5).")
    return bad("SPF", "no record", "Add a TXT record: v=spf1 include:<your mail provider> ~all")


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


def check_dkim(domain: Domain) -> Iterator[Finding]:
    """The public key of each selector that was named (RFC 6376 §3.6)."""
    if not domain.selectors:
        yield note("DKIM", "not looked at", "Name the selector that your mail server signs with: --selector NAME")
    for selector in domain.selectors:
        name = f"{selector}._domainkey.{domain.name}"
        tags = [dict(_tags(text)) for text in domain.ask(name, "TXT")]
        keys = [each for each in tags if "p" in each]
        if not keys:
            yield bad("DKIM", f"no key at {name}", "Publish the record that your mail server or provider shows you.")
        elif not keys[0]["p"]:
            yield bad("DKIM", f"the key at {name} is revoked", "Sign with another selector, or publish a key.")
        elif keys[0].get("k", "rsa") == "rsa" and len(keys[0]["p"]) < 300:
            yield warn("DKIM", f"the key at {name} is short", "Use RSA with 2048 bits (RFC 8301 §3.2).")
        else:
            yield good("DKIM", f"a key is published at {name}")


def check_dmarc(domain: Domain) -> Iterator[Finding]:
    """The policy of the domain, or of the nearest domain above that has one (RFC 9989 §4.10)."""
    name, policy = find_dmarc(domain)
    if not policy:
        advice = f"Add a TXT record at _dmarc.{domain.name}: v=DMARC1; p=none; rua=mailto:<an address you read>"
        yield bad("DMARC", "no record; Gmail, Yahoo and Outlook refuse bulk mail without one", advice)
    elif not policy.get("p"):
        yield warn("DMARC", f"_dmarc.{name} names no policy", "Add p=none, p=quarantine or p=reject.")
    elif "rua" not in policy:
        yield warn("DMARC", f"_dmarc.{name} asks for no reports", "Add rua=mailto:<an address you read>.")
    else:
        yield good("DMARC", f"_dmarc.{name} says p={policy['p']}")


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


def check_reverse_names(domain: Domain) -> Iterator[Finding]:
    """Each address that mail leaves from has a name, and the name leads back (Gmail and Yahoo ask for it)."""
    if not domain.addresses:
        advice = "Your relay's business; if mail leaves from a machine of yours, name its address: --ip ADDRESS"
        yield note("PTR", "not looked at", advice)
    for address in domain.addresses:
        names = [name.rstrip(".") for name in domain.ask(str(dns.reversename.from_address(address)), "PTR")]
        if not names:
            yield bad("PTR", f"{address} has no name", "Ask whoever gave you the address to set a reverse name.")
        elif not any(_leads_back(domain, name, address) for name in names):
            yield bad("PTR", f"{address} is {names[0]}, and that is not {address}", f"Add an A record to {names[0]}.")
        else:
            yield good("PTR", f"{address} is {names[0]}, and back")


def _leads_back(domain: Domain, name: str, address: str) -> bool:
    kind = "A" if ipaddress.ip_address(address).version == 4 else "AAAA"
    return any(ipaddress.ip_address(each) == ipaddress.ip_address(address) for each in domain.ask(name, kind))


def _tags(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            yield name.strip().lower(), value.strip()
