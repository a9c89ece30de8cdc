"""How numbers, times and addresses are written, and what the drawings are made of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask import Flask

from campaigns import charts, presentation
from tests.frontend.style_guide import make_app


@pytest.fixture
def guide() -> Flask:
    return make_app()


@pytest.fixture
def korean(guide: Flask) -> Iterator[None]:
    with guide.test_request_context("/?lang=ko"):
        yield


@pytest.fixture
def english(guide: Flask) -> Iterator[None]:
    with guide.test_request_context("/?lang=en"):
        yield


@pytest.mark.usefixtures("english")
def test_a_hundred_percent_is_only_said_when_nothing_is_missing() -> None:
    assert presentation.format_percent(1) == "100%"
    assert presentation.format_percent(0.99999) == "99.9%"
    assert presentation.format_percent(0.987) == "98.7%"
    assert presentation.format_percent(None) == "—"


@pytest.mark.usefixtures("english")
def test_sizes_and_durations_have_one_fitting_unit() -> None:
    assert [presentation.format_size(size) for size in (512, 39_000, 104_857_600)] == ["512 B", "38 KB", "100 MB"]
    assert [presentation.format_duration(s) for s in (1, 90, 7200, 200_000)] == [
        "1 second",
        "2 minutes",
        "2 hours",
        "2 days",
    ]
    assert [presentation.format_duration(s) for s in (59.6, 3599, 47.6 * 3600)] == ["1 minute", "1 hour", "2 days"]


@pytest.mark.usefixtures("korean")
def test_times_are_written_as_koreans_write_them() -> None:
    at = datetime(2026, 11, 22, 9, 5, tzinfo=UTC)
    assert presentation.format_time(at) == "2026년 11월 22일 09:05"
    assert 'datetime="2026-11-22T09:05:00+00:00"' in presentation.time_tag(at)


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("haneul@example.com", "han…@example.com"),
        ("kim@example.com", "k…@example.com"),
        ("a@example.com", "a…@example.com"),
        ("", "—"),
    ],
)
def test_an_address_is_masked(address: str, masked: str) -> None:
    assert presentation.mask_address(address) == masked


def test_a_static_address_changes_with_the_content(guide: Flask) -> None:
    with guide.test_request_context("/"):
        assert presentation.static_url("app.css").startswith("/static/app.css?v=")


def test_an_unknown_icon_is_an_error() -> None:
    with pytest.raises(KeyError):
        presentation.icon("no-such-icon")


def test_many_batches_share_a_cell_that_shows_the_worst() -> None:
    drawn = charts.grid(["done"] * 1000 + ["failed"])
    assert drawn.per_cell == 3
    assert drawn.counts == {"done": 1000, "failed": 1}
    assert drawn.paths["failed"].count("M") == 1


def test_a_long_series_is_thinned_to_200_points_with_both_ends() -> None:
    thinned = charts.thin(list(range(10_000)))
    assert (len(thinned), thinned[0], thinned[-1]) == (200, 0, 9999)


def test_an_empty_or_flat_series_draws_without_dividing_by_zero() -> None:
    assert charts.plot([[], [0, 0]]).ticks == [1, 0.5, 0]
    assert charts.slices([0, 0]) == [charts.Slice(0, 0), charts.Slice(0, 0)]


def test_error_pages_come_out_when_the_person_cannot_be_read(guide: Flask) -> None:
    @guide.login_manager.request_loader  # type: ignore[attr-defined]
    def away(_request: object) -> None:
        raise ConnectionError("the database is away")

    for status in (400, 403, 404, 409, 413, 429, 500, 503):
        answer = guide.test_client().get(f"/fail/{status}")
        assert answer.status_code == status
        assert f">{status}<" in answer.text


def test_numbers_that_do_not_add_up_are_shown_as_wrong(guide: Flask) -> None:
    page = guide.test_client().get("/").text
    assert "These numbers do not add up: the parts make 9." in page
