"""What an owner has had tried out on the prepared site."""

from __future__ import annotations

from typing import Any

from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.settings.models import SettingsCheck


def tried_out() -> dict[str, int]:
    """A test mail that a server refused, and a look at the sending domain."""
    said = [("us", "EHLO news.example.com"), ("server", "250-relay.example.com"), ("us", "RCPT TO:<owner@example.com>"),
            ("server", "550 5.7.1 Relaying denied")]  # fmt: skip
    steps = [
        {"name": name, "failed": name == "rcpt",
         "lines": [{"speaker": who, "text": text, "at_ms": 12} for who, text in said[part]]}
        for name, part in (("ehlo", slice(0, 2)), ("rcpt", slice(2, 4)))
    ]  # fmt: skip
    failure = {"phase": "rcpt", "code": 550, "reason": "relay_denied", "kind": "permanent"}
    facts = [
        {"check": "SPF", "level": "ok", "code": "spf_good", "values": {"record": "v=spf1 mx -all", "count": 1}},
        {"check": "DKIM", "level": "note", "code": "dkim_unnamed", "values": {}},
        {"check": "DMARC", "level": "warn", "code": "dmarc_silent", "values": {"domain": "example.com"}},
        {"check": "PTR", "level": "bad", "code": "ptr_none", "values": {"address": "192.0.2.10"}},
    ]
    done = {"started_at": utcnow(), "finished_at": utcnow()}
    asked: dict[str, Any] = {"selectors": [], "addresses": ["192.0.2.10"]}
    tried = SettingsCheck(
        kind="test_mail", about="relay.example.com:587", asked={"to": "owner@example.com", "language": "ko"},
        result={"was_taken": False, "steps": steps, "failure": failure}, **done,
    )  # fmt: skip
    db.session.add(tried)
    db.session.add(SettingsCheck(kind="domain", about="example.com", asked=asked, result={"facts": facts}, **done))
    db.session.commit()
    return {"tested": tried.id}
