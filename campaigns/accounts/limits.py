"""How often one may try: per address, per network, and both together. A limit is a pause, never a lock for good.

The counts are in Redis; while it is away each process counts for itself. Addresses are kept as hashes only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Response, g, request, session
from flask_login import current_user

from campaigns.config import current_settings
from campaigns.remote_address import client_network
from campaigns.web_extensions import limiter

View = TypeVar("View", bound=Callable[..., Any])

HALF_LOGIN = "half_login"  # in the session: whose log-in waits for a code, and its secret

MAILS_PER_ADDRESS = "3/hour;10/day"
MAILS_PER_NETWORK = "30/hour;100/day"
EVERYBODY = "everybody"
# After 5 failures a minute's pause, after 8 ten minutes', after 12 an hour's.
FAILURES_PER_PERSON_AND_NETWORK = "5/minute;8/10minute;12/hour"
FAILURES_PER_PERSON = "50/hour"
FAILURES_PER_NETWORK = "30/10minute;100/hour"


def limit_mails(view: View) -> View:
    """Limit how many mails one page makes us send to one address and for one network, and all pages for everybody.

    The last is a breaker: whoever has many addresses and many networks still cannot make us bomb others' inboxes.
    """
    for_everybody = limiter.shared_limit(
        _mails_for_everybody, EVERYBODY, methods=["POST"], key_func=lambda: EVERYBODY, deduct_when=_was_accepted
    )
    per_network = limiter.limit(MAILS_PER_NETWORK, methods=["POST"], deduct_when=_was_accepted)
    per_address = limiter.limit(
        MAILS_PER_ADDRESS, methods=["POST"], key_func=_address, deduct_when=_was_accepted, override_defaults=False
    )
    return cast("View", for_everybody(per_network(per_address(view))))


def limit_failures(view: View) -> View:
    """Make somebody who guesses passwords wait longer and longer; only `note_failure` counts, success never does."""
    for limit, key in (
        (FAILURES_PER_PERSON_AND_NETWORK, _address_and_network),
        (FAILURES_PER_PERSON, _address),
        (FAILURES_PER_NETWORK, client_network),
    ):
        view = cast("View", limiter.limit(limit, methods=["POST"], key_func=key, deduct_when=_has_failed)(view))
    return view


def limit_guesses(view: View) -> View:
    """Make somebody who guesses a password or code on a page of one account wait; only `note_failure` counts."""
    limit = limiter.limit(FAILURES_PER_PERSON_AND_NETWORK, methods=["POST"], deduct_when=_has_failed)
    return cast("View", limit(view))


def limit_codes(view: View) -> View:
    """Make somebody who guesses codes wait: counted per person over every page that takes one; see `note_failure`."""
    for limit, key in ((FAILURES_PER_PERSON_AND_NETWORK, _person_and_network), (FAILURES_PER_PERSON, _person)):
        shared = limiter.shared_limit(limit, scope="codes", methods=["POST"], key_func=key, deduct_when=_has_failed)
        view = cast("View", shared(view))
    return view


def note_failure() -> None:
    """Count this request as a failed guess."""
    g.guess_failed = True


def _mails_for_everybody() -> str:
    return f"{current_settings().public_mails_per_hour}/hour"


def _was_accepted(response: Response) -> bool:
    return response.status_code == 303


def _has_failed(_response: Response) -> bool:
    return bool(g.get("guess_failed", False))


def _address() -> str:
    typed = request.form.get("email", "").strip().lower()
    return hashlib.sha256(typed.encode()).hexdigest()[:32]


def _person() -> str:
    """Whose code is guessed: somebody who is logged in, or halfway so."""
    user_id = current_user.id if current_user.is_authenticated else session.get(HALF_LOGIN, [0])[0]
    return f"person/{user_id}"


def _person_and_network() -> str:
    return f"{_person()}/{client_network()}"


def _address_and_network() -> str:
    return f"{_address()}/{client_network()}"
