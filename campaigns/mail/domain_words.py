"""What was found of the sending domain in words: each code has what is so, and what to do about it."""

from __future__ import annotations

from typing import Any, Final

from flask_babel import lazy_gettext as _l

from campaigns.mail.domain_checks import Fact

WORDS: Final[dict[str, tuple[Any, Any]]] = {
    "no_answer": (_l("%(domain)s could not be looked up: %(error)s"), _l("Try again, or ask another name server.")),
    "mx_good": (_l("%(domain)s takes mail"), ""),
    "mx_missing": (_l("%(domain)s has no MX record"), _l("Add one: what bounces must arrive somewhere.")),
    "mx_none": (
        _l("%(domain)s has neither MX nor A records"),
        _l("Many receivers refuse mail from a domain that takes none. Add an MX record."),
    ),
    "spf_good": (_l("%(record)s (%(count)s look-ups)"), ""),
    "spf_none": (_l("no record"), _l("Add a TXT record: v=spf1 include:<your mail provider> ~all")),
    "spf_several": (_l("%(count)s records"), _l("Keep one: two are an error to receivers (RFC 7208 §4.5).")),
    "spf_long": (
        _l("needs %(count)s look-ups"),
        _l("Receivers stop at %(most)s (RFC 7208 §4.6.4). Take includes out."),
    ),
    "spf_open": (_l("lets everybody send in your name (+all)"), _l("End it with ~all or -all.")),
    "spf_loose": (_l("ends with %(end)s"), _l("End it with ~all or -all.")),
    "dkim_good": (_l("a key is published at %(name)s"), ""),
    "dkim_unnamed": (_l("not looked at"), _l("Name the selector that your mail server signs with.")),
    "dkim_none": (
        _l("no key at %(name)s"),
        _l("Publish the record that your mail server or provider shows you."),
    ),
    "dkim_revoked": (_l("the key at %(name)s is revoked"), _l("Sign with another selector, or publish a key.")),
    "dkim_short": (_l("the key at %(name)s is short"), _l("Use RSA with 2048 bits (RFC 8301 §3.2).")),
    "dmarc_good": (_l("_dmarc.%(domain)s says p=%(policy)s"), ""),
    "dmarc_none": (
        _l("no record; Gmail, Yahoo and Outlook refuse bulk mail without one"),
        _l("Add a TXT record at _dmarc.%(domain)s: v=DMARC1; p=none; rua=mailto:<an address you read>"),
    ),
    "dmarc_empty": (_l("_dmarc.%(domain)s names no policy"), _l("Add p=none, p=quarantine or p=reject.")),
    "dmarc_silent": (_l("_dmarc.%(domain)s asks for no reports"), _l("Add rua=mailto:<an address you read>.")),
    "ptr_good": (_l("%(address)s is %(name)s, and back"), ""),
    "ptr_unnamed": (
        _l("not looked at"),
        _l("Your relay's business; if mail leaves from a machine of yours, name its address."),
    ),
    "ptr_none": (_l("%(address)s has no name"), _l("Ask whoever gave you the address to set a reverse name.")),
    "ptr_elsewhere": (
        _l("%(address)s is %(name)s, and that is not %(address)s"),
        _l("Add an A record to %(name)s."),
    ),
}


def describe_fact(fact: Fact) -> tuple[str, str]:
    """Return what is so and what to do, empty for nothing, in the language that is spoken around the call."""
    found, advice = WORDS[fact.code]
    return str(found) % fact.values, str(advice) % fact.values
