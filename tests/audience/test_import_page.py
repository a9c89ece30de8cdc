"""From the upload to the last row, in the browser."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from campaigns.accounts.models import User
from campaigns.audience.models import ImportProblem, ImportState, Suppression, UserImport
from campaigns.clock import utcnow
from campaigns.extensions import db
from tests.pages import submit
from tests.people import make_user

RunQueued = Callable[..., list[str]]


@pytest.fixture
def owner_client(owner_client: FlaskClient) -> FlaskClient:
    owner_client.set_cookie("language", "en")
    return owner_client


def upload(client: FlaskClient, text: str | bytes, name: str = "people.csv") -> TestResponse:
    content = text if isinstance(text, bytes) else text.encode()
    return submit(client, "/imports/new", {"file": (io.BytesIO(content), name)}, content_type="multipart/form-data")


def only_import() -> UserImport:
    db.session.expire_all()
    return db.session.query(UserImport).one()


def person(address: str) -> User:
    db.session.expire_all()
    return db.session.query(User).filter_by(address_key=address).one()


@pytest.mark.both_databases
def test_a_file_is_checked_saved_and_reported_one_after_the_other(owner_client: FlaskClient, run_queued: RunQueued):
    rows = ["이메일,이름,언어,가입 경로", "Haneul@Example.com,김하늘,한국어,검색", "ada2@example.org,Ada,en-GB,"]
    answer = upload(owner_client, "\n".join(rows))
    assert answer.status_code == 303
    assert run_queued() == ["audience.check_import", "audience.save_import", "audience.report_import"]

    haneul = person("haneul@example.com")
    assert (haneul.email, haneul.name, haneul.language) == ("Haneul@example.com", "김하늘", "ko")
    assert haneul.attributes == {"가입_경로": "검색"}
    assert haneul.verified_at is not None
    assert haneul.password_hash is None
    each = only_import()
    assert (each.state, each.added, each.bad, each.rows_done, each.rows_total) == (ImportState.DONE, 2, 0, 2, 2)
    page = owner_client.get(answer.location).text
    assert "people.csv" in page
    assert "{{ 가입_경로 }}" in page
    assert "hx-trigger" not in page  # nothing is polled any more


def test_the_upload_is_gone_when_the_import_is_done(app: Flask, owner_client: FlaskClient, run_queued: RunQueued):
    upload(owner_client, "email\nada2@example.com\n")
    folder = Path(app.instance_path) / "imports"
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]
    run_queued()
    assert list(folder.iterdir()) == []


def test_bad_rows_are_named_with_their_number_and_reason(owner_client: FlaskClient, run_queued: RunQueued):
    answer = upload(owner_client, "name,email\nAda,ada2@example.com\n홍길동,hong@@example.com\n이서연,\n\nX,none\n")
    run_queued()
    page = owner_client.get(answer.location).text
    assert "hong@@example.com" in page
    assert "An e-mail address has exactly one @." in page
    assert "The e-mail address is missing." in page
    rows = [
        (each.row_number, each.reason) for each in db.session.query(ImportProblem).order_by(ImportProblem.row_number)
    ]
    assert rows == [(3, "address_at"), (4, "no_address"), (6, "address_at")]
    each = only_import()
    assert each.rows_total == each.rows_done == each.added + each.bad == 4


def test_all_bad_rows_can_be_downloaded_and_are_no_formulas(owner_client: FlaskClient, run_queued: RunQueued):
    answer = upload(owner_client, 'email\n=HYPERLINK("x")\n@sum\nada2@example.com\n')
    run_queued()
    file = owner_client.get(f"{answer.location}/problems.csv")
    assert file.mimetype == "text/csv"
    assert file.get_data().startswith(b"\xef\xbb\xbf")
    assert "'=HYPERLINK" in file.text
    assert "'@sum" in file.text


def test_a_second_import_of_the_same_file_changes_nothing(owner_client: FlaskClient, run_queued: RunQueued):
    text = "email,name,city\nada2@example.com,Ada,London\nbob@example.com,Bob,\n"
    upload(owner_client, text)
    run_queued()
    before = person("ada2@example.com").updated_at
    upload(owner_client, text)
    run_queued()
    second = db.session.query(UserImport).order_by(UserImport.id.desc()).first()
    assert second is not None
    assert (second.added, second.updated, second.unchanged) == (0, 0, 2)
    assert person("ada2@example.com").updated_at == before


@pytest.mark.both_databases
def test_known_people_are_changed_by_filled_cells_only(owner_client: FlaskClient, run_queued: RunQueued):
    make_user("dana@example.com", name="Dana", language="en", attributes={"city": "Seoul", "plan": "free"})
    upload(owner_client, "email,name,language,city,plan\nDANA@example.com,,ko,부산,\n")
    run_queued()
    dana = person("dana@example.com")
    assert (dana.email, dana.name, dana.language) == ("dana@example.com", "Dana", "ko")
    assert dana.attributes == {"city": "부산", "plan": "free"}
    assert only_import().updated == 1


@pytest.mark.both_databases
def test_passwords_and_roles_are_never_touched(owner_client: FlaskClient, run_queued: RunQueued):
    admin = make_user("dana@example.com", role="admin", password=True)
    before = admin.password_hash
    upload(owner_client, "email,name,password,password_hash,role\ndana@example.com,Dana,secret,x,owner\n")
    run_queued()
    dana = person("dana@example.com")
    assert (dana.name, dana.password_hash, dana.role) == ("Dana", before, "admin")
    assert "secret" not in str(dana.attributes)


@pytest.mark.both_databases
def test_whoever_unsubscribed_or_is_suppressed_stays_so(owner_client: FlaskClient, run_queued: RunQueued):
    left_at = utcnow()
    make_user("left@example.com", unsubscribed_at=left_at)
    db.session.add(Suppression(address_key="dead@example.com", reason="hard_bounce"))
    db.session.commit()
    answer = upload(owner_client, "email,name\nleft@example.com,Lee\ndead@example.com,Dead\nnew@example.com,New\n")
    run_queued()
    assert person("left@example.com").unsubscribed_at is not None
    assert db.session.get(Suppression, "dead@example.com") is not None
    assert [
        (each.row_number, each.reason) for each in db.session.query(ImportProblem).order_by(ImportProblem.row_number)
    ] == [
        (2, "unsubscribed"),
        (3, "suppressed"),
    ]
    assert "Still gets no announcements." in owner_client.get(answer.location).text


@pytest.mark.both_databases
def test_whoever_signed_up_and_has_not_confirmed_must_still_confirm(owner_client: FlaskClient, run_queued: RunQueued):
    make_user("sly@example.com", password=True, verified=False)
    make_user("plain@example.com", verified=False)
    answer = upload(owner_client, "email,name\nsly@example.com,Sly\nplain@example.com,Plain\n")
    run_queued()
    assert person("sly@example.com").verified_at is None
    assert person("sly@example.com").name == "Sly"
    assert person("plain@example.com").verified_at is not None
    assert "1 of them is waiting for the person to confirm" in owner_client.get(answer.location).text


def test_a_file_that_cannot_be_imported_says_why(owner_client: FlaskClient, run_queued: RunQueued):
    answer = upload(owner_client, "nickname,city\nAda,London\n")
    run_queued()
    page = owner_client.get(answer.location).text
    assert "No column holds e-mail addresses." in page
    assert "nickname, city" in page
    assert only_import().state == ImportState.FAILED


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty."),
        (b"\xef\xbb\xbf\n", "The file is empty."),
        (b"PK\x03\x04" + b"\x00" * 20 + b"[Content_Types].xml", "This is a spreadsheet"),
        (b"PK\x03\x04" + b"\x00" * 20 + b"people.csv", "This is a compressed file."),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, "This is not a text file."),
        (b"%PDF-1.7 ...", "This is not a text file."),
    ],
)
def test_what_is_no_text_is_refused_at_once(owner_client: FlaskClient, content: bytes, words: str):
    answer = upload(owner_client, content)
    assert answer.status_code == 422
    assert words in answer.text
    assert db.session.query(UserImport).count() == 0


@pytest.mark.both_databases
def test_a_strange_name_of_a_file_does_no_harm(owner_client: FlaskClient, run_queued: RunQueued):
    answer = upload(owner_client, "email\nada2@example.com\n", "../../<blink>\x00\x07" + "가" * 300 + ".csv")
    assert answer.status_code == 303
    run_queued()
    page = owner_client.get(answer.location).text
    assert "<blink>" not in page
    assert only_import().file_name.endswith("가.csv")


def test_no_file_is_refused(owner_client: FlaskClient):
    answer = submit(owner_client, "/imports/new", {}, content_type="multipart/form-data", action="/imports/new")
    assert answer.status_code == 422
    assert "Choose a file." in answer.text


def test_errors_are_told_in_the_language_of_the_person(owner_client: FlaskClient):
    owner_client.set_cookie("language", "ko")
    assert "파일이 비어 있습니다" in upload(owner_client, b"").text


def test_while_it_waits_the_page_polls_a_part_of_itself(owner_client: FlaskClient):
    answer = upload(owner_client, "email\nada2@example.com\n")
    page = owner_client.get(answer.location).text
    assert f'hx-get="{answer.location}/live"' in page
    assert "Waiting for a worker" in page
    assert "Waiting for a worker" in owner_client.get(f"{answer.location}/live").text


def test_the_list_shows_every_import(owner_client: FlaskClient, run_queued: RunQueued):
    assert "Nothing imported yet" in owner_client.get("/imports").text
    upload(owner_client, "email\nada2@example.com\n", "first.csv")
    upload(owner_client, "email\nnobody\n", "second.csv")
    run_queued()
    page = owner_client.get("/imports").text
    assert page.index("second.csv") < page.index("first.csv")


def test_the_sample_file_can_be_imported_as_it_is(owner_client: FlaskClient, run_queued: RunQueued):
    upload(owner_client, owner_client.get("/imports/sample.csv").get_data(), "sample.csv")
    run_queued()
    each = only_import()
    assert (each.state, each.added, each.bad) == (ImportState.DONE, 3, 0)


def test_a_file_over_the_limit_is_refused_with_the_limit(app: Flask, owner_client: FlaskClient):
    app.config["MAX_CONTENT_LENGTH"] = 20_000
    answer = owner_client.post(
        "/imports/new", data={"file": (io.BytesIO(b"x" * 30_000), "a.csv")}, content_type="multipart/form-data"
    )
    assert answer.status_code == 413
    assert "64 MB" in answer.text
