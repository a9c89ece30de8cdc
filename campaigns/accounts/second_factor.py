"""Codes of the second step: from an app that shares a secret with us (TOTP, RFC 6238), or from a list on paper.

Whatever is taken here is taken within the caller's transaction; nothing commits.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import timedelta

import pyotp
import segno
from sqlalchemy import delete, select, update

from campaigns.accounts.models import RecoveryCode, SecondFactor, User
from campaigns.accounts.passwords import hash_password, verify_password
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.secrets_at_rest import SecretNotReadable, decrypt, encrypt

STEP_SECONDS = 30
# RFC 6238 §5.2: one step for the time on the way; a clock that runs ahead gets as much.
DRIFT_STEPS = (0, -1, 1)
OFFER_LIFETIME = timedelta(minutes=30)
RECOVERY_CODES = 10
# Ten characters of 31, none of which is taken for another: 49 bits. So few are hashed like passwords (NIST SP 800-63B
# §5.1.2.2).
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_HALF = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offer:
    """A secret to put into the app: as text in groups of four, and as a picture for its camera (a data: address)."""

    key: str
    picture: str


def offer(user_id: int) -> None:
    """Offer the person a new secret; an earlier offer is void. Nothing happens when two-step log-in is on already."""
    db.session.execute(delete(SecondFactor).where(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_(None)))
    if db.session.get(SecondFactor, user_id) is None:
        db.session.add(SecondFactor(user_id=user_id, secret=encrypt(pyotp.random_base32())))


def find_offer(user: User, *, site_name: str) -> Offer | None:
    """Return what was offered and not yet confirmed, None when there is nothing or its time is over."""
    factor = db.session.get(SecondFactor, user.id)
    if factor is None or factor.confirmed_at or factor.created_at < utcnow() - OFFER_LIFETIME:
        return None
    secret = decrypt(factor.secret)
    uri = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=site_name)
    # A dark page must not turn the picture round: cameras want dark on light, with a rim.
    picture = segno.make(uri, micro=False, error="m").svg_data_uri(scale=4, border=4, dark="#000", light="#fff")
    return Offer(" ".join(re.findall(".{1,4}", secret)), picture)


def take_first_code(user_id: int, code: str) -> bool:
    """Confirm the offer with a code of the app; tells whether it fitted an offer still good."""
    factor = db.session.get(SecondFactor, user_id)
    step = _step_of(factor, code) if factor and factor.created_at >= utcnow() - OFFER_LIFETIME else None
    if step is None:
        return False
    confirmed = db.session.execute(
        update(SecondFactor)
        .where(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_(None))
        .values(confirmed_at=utcnow(), last_step=step)
    )
    return confirmed.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def take_code(user_id: int, code: str) -> bool:
    """Take a code of the app; tells whether it fits and is newer than every code taken before (RFC 6238 §5.2)."""
    factor = db.session.get(SecondFactor, user_id)
    step = _step_of(factor, code) if factor and factor.confirmed_at else None
    if step is None:
        return False
    taken = db.session.execute(
        update(SecondFactor)
        .where(SecondFactor.user_id == user_id, SecondFactor.last_step < step)
        .values(last_step=step)
    )
    return taken.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def take_recovery_code(user_id: int, code: str) -> bool:
    """Use up one of the person's recovery codes; tells whether it was one that nobody has used."""
    typed = _clean(code).lower()
    unused = select(RecoveryCode).where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    found = next((each for each in db.session.scalars(unused) if verify_password(each.code_hash, typed)), None)
    if found is None:
        return False
    used = db.session.execute(
        update(RecoveryCode).where(RecoveryCode.id == found.id, RecoveryCode.used_at.is_(None)).values(used_at=utcnow())
    )
    return used.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def make_recovery_codes(user_id: int) -> list[str]:
    """Return ten new recovery codes, to be shown once; only their hashes are kept, and older codes are void."""
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(2 * _HALF)) for _ in range(RECOVERY_CODES)]
    db.session.add_all(RecoveryCode(user_id=user_id, code_hash=hash_password(code)) for code in codes)
    return [f"{code[:_HALF]}-{code[_HALF:]}" for code in codes]


def forget(user: User) -> None:
    """Take the person's second step away: secret, recovery codes, and the note that a code is asked for."""
    db.session.execute(delete(SecondFactor).where(SecondFactor.user_id == user.id))
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    user.two_step_at = None


def _step_of(factor: SecondFactor, code: str) -> int | None:
    """Return the time step whose code this is, None when it is none of now."""
    try:
        totp = pyotp.TOTP(decrypt(factor.secret))
    except SecretNotReadable:
        logger.exception("the second factor of user %s cannot be read; recovery codes still work", factor.user_id)
        return None
    now, typed = int(utcnow().timestamp()) // STEP_SECONDS, _clean(code).encode()
    steps = (now + drift for drift in DRIFT_STEPS)
    return next((step for step in steps if hmac.compare_digest(totp.generate_otp(step).encode(), typed)), None)


def _clean(code: str) -> str:
    """Return a code without what people type between its groups; full-width digits count as the plain ones."""
    return re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", code))[:100]
