"""People for tests: plain functions with overrides."""

from __future__ import annotations

from functools import cache
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.logins import Visitor, begin_login
from campaigns.accounts.models import User
from campaigns.accounts.passwords import hash_password
from campaigns.clock import utcnow
from campaigns.extensions import db

PASSWORD = "correct horse battery"


def make_user(email: str, *, password: bool = False, verified: bool = True, **overrides: Any) -> User:
    """Add a user; with `password=True` they can log in with PASSWORD."""
    user = User(email=email, address_key=email.lower(), verified_at=utcnow() if verified else None, **overrides)
    if password:
        user.password_hash = _password_hash()
    db.session.add(user)
    db.session.commit()
    return user


@cache
def _password_hash() -> str:
    """Hash the password once: to be slow is what the hash is for."""
    return hash_password(PASSWORD)


def make_users(count: int, *, prefix: str = "person", **overrides: Any) -> list[User]:
    """Add `count` verified users without passwords."""
    people = [
        User(
            email=f"{prefix}{n}@example.com", address_key=f"{prefix}{n}@example.com", name=f"회원 {n}",
            verified_at=utcnow(), **overrides,
        )
        for n in range(1, count + 1)
    ]  # fmt: skip
    db.session.add_all(people)
    db.session.commit()
    return people


def log_in(app: Flask, user: User) -> FlaskClient:
    """Return the browser of somebody who has logged in.

    It is as the form leaves it, which the tests of logging in prove. To show the form and to check a hash that is slow
    on purpose took ten times as long, in nearly every test of a page.
    """
    assert user.can_log_in
    assert user.two_step_at is None
    client = app.test_client()
    begin_login(user, remember=False, visitor=Visitor("127.0.0.1", device="Werkzeug"))
    db.session.commit()
    with client.session_transaction() as session:
        session["_user_id"], session["_fresh"] = user.get_id(), True
    return client
