"""Sign-up, reset and verification take the same time for everybody, whoever has an account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.web_extensions import limiter
from tests.people import PASSWORD, make_user
from tests.stopwatch import Stopwatch

SAMPLES = 60
pytestmark = pytest.mark.usefixtures("owner")


@pytest.fixture
def quick_client(app: Flask, client: FlaskClient) -> Iterator[FlaskClient]:
    """A browser that may try as often as it likes."""
    app.config["WTF_CSRF_ENABLED"] = False
    limiter.enabled = False
    yield client
    limiter.enabled = True


def time_of(act: Callable[[], int]) -> float:
    stopwatch = Stopwatch()
    assert act() == 303
    return stopwatch.seconds


@pytest.mark.parametrize("path", ["/signup", "/password/forgot", "/verify"])
def test_the_answer_takes_the_same_time_for_known_and_unknown_addresses(quick_client: FlaskClient, path: str) -> None:
    for number in range(SAMPLES):
        kinds = ({"password": True}, {"verified": False}, {"password": True, "verified": False})
        make_user(f"known{number}@example.com", **kinds[number % 3])  # type: ignore[arg-type]

    def post(address: str) -> Callable[[], int]:
        fields = {"email": address, "password": PASSWORD}
        return lambda: quick_client.post(path, data=fields).status_code

    known, unknown = [], []
    for number in range(SAMPLES):  # turn about, so that a busy moment of the machine meets both
        known.append(time_of(post(f"known{number}@example.com")))
        unknown.append(time_of(post(f"unknown{number}@example.com")))
    shorter, longer = sorted([median(known), median(unknown)])
    assert longer < 1.3 * shorter + 0.002, (median(known), median(unknown))
