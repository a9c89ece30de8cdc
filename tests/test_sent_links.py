"""Links in mails that were sent long ago: these were made by the first version that sent them, and never change."""

from __future__ import annotations

import pytest
from flask import Flask

from campaigns.audience.unsubscribe_links import read_unsubscribe_token, unsubscribe_token
from campaigns.config import current_settings
from campaigns.delivery.tracking_tokens import read_tracking_token, tracking_token

KEY = "a-key-for-tests-only"
UNSUBSCRIBE = [
    (KEY, (1, 1), "AAAAAAABAAAAAWdAwErvZqD37A48rv2xNNU"),
    (KEY, (123456789012, 4000000000), "ABy-mRoU7msoAPoirVfDdElo0M3Hr-ptLkg"),
    ("비밀", (1, 1), "AAAAAAABAAAAASBKtodw01O7YJ02bSGjRbI"),
    ("비밀", (123456789012, 4000000000), "ABy-mRoU7msoAAWHYJS5LYrlZNQldcikWms"),
]
TRACKED = [
    (KEY, (1, 1), "AAAAAQAAAAF6Sw_EpUeAq3uPpusZAXc3"),
    (KEY, (4000000000, 1234567), "7msoAAAS1oeqg9CODU1xJPtQ7tx9MEb1"),
    ("비밀", (1, 1), "AAAAAQAAAAFWMEPylde6bUXpPO1KpS4K"),
    ("비밀", (4000000000, 1234567), "7msoAAAS1ocnWCNgCnomR22rT3OReHYW"),
]


@pytest.mark.parametrize(("key", "ids", "token"), UNSUBSCRIBE)
def test_unsubscribe_links_are_what_they_were(app: Flask, key: str, ids: tuple[int, int], token: str) -> None:
    assert unsubscribe_token(key, *ids) == token
    assert read_unsubscribe_token(token) == (ids if key == current_settings().secret_key else None)


@pytest.mark.parametrize(("key", "ids", "token"), TRACKED)
def test_tracked_links_are_what_they_were(app: Flask, key: str, ids: tuple[int, int], token: str) -> None:
    assert tracking_token(key, *ids) == token
    assert read_tracking_token(token) == (ids if key == current_settings().secret_key else None)


def test_one_kind_of_link_is_not_good_for_the_other(app: Flask) -> None:
    assert read_unsubscribe_token(tracking_token(KEY, 1, 1)) is None
    assert read_tracking_token(unsubscribe_token(KEY, 1, 1)) is None
