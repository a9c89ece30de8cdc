"""Secrets in the database: unreadable without the key, readable after a change of the key, never mistaken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask

from campaigns.config import Settings
from campaigns.secrets_at_rest import SecretNotReadable, decrypt, encrypt


def set_keys(app: Flask, settings: Settings, key: str, *older: str) -> None:
    app.extensions["carillon.settings"] = replace(settings, secret_key=key, secret_key_fallbacks=older)


def test_a_secret_comes_back_and_its_stored_form_tells_nothing(app: Flask) -> None:
    stored = encrypt("비밀번호 swordfish")
    assert "swordfish" not in stored
    assert stored.isascii()
    assert decrypt(stored) == "비밀번호 swordfish"
    assert encrypt("비밀번호 swordfish") != stored


def test_a_secret_outlives_a_change_of_the_key_while_the_old_one_is_named(app: Flask, settings: Settings) -> None:
    set_keys(app, settings, "first")
    stored = encrypt("swordfish")
    set_keys(app, settings, "second", "first")
    assert decrypt(stored) == "swordfish"
    newer = encrypt("swordfish")
    set_keys(app, settings, "second")
    assert decrypt(newer) == "swordfish"
    with pytest.raises(SecretNotReadable):
        decrypt(stored)


@pytest.mark.parametrize("token", ["", "not a token", "gAAAAABh"])
def test_what_was_tampered_with_is_refused(app: Flask, token: str) -> None:
    with pytest.raises(SecretNotReadable):
        decrypt(token)


def test_one_changed_letter_is_noticed(app: Flask) -> None:
    stored = encrypt("swordfish")
    changed = stored[:-9] + ("A" if stored[-9] != "A" else "B") + stored[-8:]
    with pytest.raises(SecretNotReadable):
        decrypt(changed)
