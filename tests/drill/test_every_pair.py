"""The main path on each pair of database and broker, by pages and real workers: sign up, import, announce, count."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from campaigns.accounts.models import User
from campaigns.audience.models import ImportState, UserImport
from campaigns.extensions import db
from campaigns.ops.drill_mischief import Mischief, Step
from campaigns.ops.drill_record import read_record
from tests.delivery.campaigns import make_campaign
from tests.drill.harness import Experiment, new_person
from tests.drill.rabbitmq import rabbitmq_settings
from tests.pages import forms_of, submit
from tests.people import log_in, make_user

PEOPLE = 240


@pytest.fixture(params=["redis", "rabbitmq"])
def experiment(make_experiment: Callable[..., Experiment], request: pytest.FixtureRequest) -> Iterator[Experiment]:
    if request.param == "redis":
        yield make_experiment()
    else:
        with rabbitmq_settings() as settings:
            made = make_experiment(**settings)
            yield made
            made.stage.stop()  # while it runs, it declares its queues again


@pytest.mark.both_databases
def test_the_main_path(experiment: Experiment, site: Flask) -> None:
    owner = make_user("ada@example.com", role="owner", password=True)
    experiment.start("mail.now", "mail.bulk-1", "work", "beat")
    admin = log_in(site, owner)

    assert submit(site.test_client(), "/signup", new_person("new")).status_code == 303
    experiment.wait_until(lambda: "new@example.com" in arrived(experiment), what="the verification mail")

    upload(admin, PEOPLE)
    experiment.wait_until(import_is_done, what="the import")

    sink = experiment.stage.sink
    sink.arrange(Mischief(Step.RCPT, 3, reply="550 5.1.1 No such user", domain="@gone.example.com"))
    sink.arrange(Mischief(Step.RCPT, 2, reply="450 4.2.1 Try later", domain="@busy.example.com"))
    sink.pause_seconds = 0.1  # slow enough to be paused on the way
    experiment.campaign_id = make_campaign(subject="December")
    launch(admin, experiment.campaign_id)
    experiment.wait_for_mails(1 + 40)
    assert press(admin, experiment.campaign_id, "pause") == 303
    sink.pause_seconds = 0.0
    assert press(admin, experiment.campaign_id, "resume") == 303
    experiment.wait_until(experiment.has_ended, seconds=120, what=lambda: f"the end, {experiment.totals()}")

    totals = experiment.totals()
    assert (totals.candidates, totals.excluded) == (PEOPLE + 2, 1)  # who has signed up has not confirmed yet
    assert (totals.sent, totals.failed, totals.uncertain) == (PEOPLE + 1 - 3, 3, 0)
    mails = [each for each in arrived(experiment) if each != "new@example.com"]
    assert len(mails) == len(set(mails)) == PEOPLE + 1 - 3
    page = admin.get(f"/campaigns/{experiment.campaign_id}/report").text
    assert str(PEOPLE + 1 - 3) in page


def arrived(experiment: Experiment) -> list[str]:
    return [mail.recipient for mail in read_record(experiment.stage.record_path)]


def upload(client: FlaskClient, people: int) -> None:
    hosts = ["gone.example.com"] * 3 + ["busy.example.com"] * 2 + ["example.com"] * (people - 5)
    rows = "".join(f"p{n}@{host},회원 {n},ko\n" for n, host in enumerate(hosts))
    file: dict[str, Any] = {"file": (io.BytesIO(f"email,name,language\n{rows}".encode()), "people.csv")}
    answer = submit(client, "/imports/new", file, content_type="multipart/form-data")
    assert answer.status_code == 303, answer.text


def import_is_done() -> bool:
    db.session.rollback()
    state = db.session.scalar(select(UserImport.state))
    assert state != ImportState.FAILED
    return state == ImportState.DONE and db.session.scalar(select(func.count()).select_from(User)) == PEOPLE + 2


def launch(client: FlaskClient, campaign_id: int) -> None:
    page = client.get(f"/campaigns/{campaign_id}/launch")
    fields = next(form["fields"] for form in forms_of(page.text) if "launch_key" in form["fields"])
    assert client.post(f"/campaigns/{campaign_id}/launch", data=fields).status_code == 303


def press(client: FlaskClient, campaign_id: int, verb: str) -> int:
    """Press a button of the progress page."""
    page = client.get(f"/campaigns/{campaign_id}/progress")
    action = f"/campaigns/{campaign_id}/{verb}"
    fields = next(form["fields"] for form in forms_of(page.text) if form["action"].endswith(action))
    return client.post(action, data=fields).status_code
