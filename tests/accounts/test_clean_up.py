"""What of accounts is deleted when nobody needs it any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns.accounts.account_links import issue_link
from campaigns.accounts.models import AccountLink, LinkPurpose, LoginSession, User
from campaigns.accounts.services import clean_up
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from tests.people import make_user


@pytest.mark.both_databases
def test_what_is_over_goes_and_everybody_else_stays(owner: User, logged_in: Callable[..., FlaskClient]) -> None:
    logged_in(owner)
    issue_link(owner.id, LinkPurpose.RESET, lifetime=timedelta(minutes=30))
    make_user("never.verified@example.com", password=True, verified=False)
    make_user("imported@example.com", verified=False)
    make_user("verified@example.com", password=True)
    clean_up()
    assert len(db.session.execute(select(LoginSession)).all()) == 1
    assert len(db.session.execute(select(User)).all()) == 4
    with freeze(utcnow() + timedelta(days=31)):
        clean_up()
        clean_up()
    left = set(db.session.execute(select(User.email)).scalars())
    assert left == {"ada@example.com", "imported@example.com", "verified@example.com"}
    assert db.session.execute(select(LoginSession)).first() is None
    assert db.session.execute(select(AccountLink)).first() is None
