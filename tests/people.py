"""People for tests: plain functions with overrides."""

from __future__ import annotations

from functools import cache
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

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
    """Return a browser that has logged in through the form."""
    from tests.pages import submit

    client = app.test_client()
    response = submit(client, "/login", {"email": user.email, "password": PASSWORD})
    assert response.status_code == 303, response.text
    return client
