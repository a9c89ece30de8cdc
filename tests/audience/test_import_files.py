"""Files as they come: encodings, delimiters, column names, and mistakes that cost only their own row."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask_babel import force_locale

from campaigns.accounts.models import User
from campaigns.audience.import_files import ImportSummary, import_csv
from campaigns.audience.models import UserImport
from campaigns.errors import UserError
from campaigns.extensions import db

NAMES = "이메일,이름,도시\n"


def bring_in(folder: Path, content: str | bytes, *, encoding: str = "utf-8") -> ImportSummary:
    path = folder / "people.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    with force_locale("en"):
        return import_csv(path)


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        bring_in(folder, content)
    assert db.session.query(User).count() == 0
    return caught.value.message


def people() -> dict[str, User]:
    db.session.expire_all()
    return {user.address_key: user for user in db.session.query(User)}


def rows_of(summary: ImportSummary) -> list[int]:
    return [row for row, _value, _reason in summary.problems]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "euc-kr", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_korean_names_survive_every_encoding(app: Flask, tmp_path: Path, encoding: str, line_end: str):
    text = f"{NAMES}haneul@example.com,김하늘,서울\nminjun@example.com,이민준,부산\n".replace("\n", line_end)
    summary = bring_in(tmp_path, text.encode(encoding))
    assert (summary.added, summary.bad) == (2, 0)
    assert people()["haneul@example.com"].name == "김하늘"
    assert people()["minjun@example.com"].attributes == {"도시": "부산"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(app: Flask, tmp_path: Path, delimiter: str):
    text = "name,email,note\n김하늘,haneul@example.com,안녕\n".replace(",", delimiter)
    assert bring_in(tmp_path, text).added == 1
    assert people()["haneul@example.com"].attributes == {"note": "안녕"}


@pytest.mark.parametrize(
    "title", ["email", "E-mail", "E-Mail Address", "이메일", "이메일 주소", "메일주소", "전자우편", "*이메일(필수)"]
)
def test_the_column_of_addresses_is_found_by_its_name(app: Flask, tmp_path: Path, title: str):
    assert bring_in(tmp_path, f"이름,{title}\n김하늘,haneul@example.com\n").added == 1
    assert people()["haneul@example.com"].name == "김하늘"


def test_the_column_of_addresses_is_found_by_what_stands_in_it(app: Flask, tmp_path: Path):
    assert bring_in(tmp_path, "이름,연락처\n김하늘,haneul@example.com\n이민준,minjun@example.com\n").added == 2


@pytest.mark.parametrize("text", ["haneul@example.com\nminjun@example.com\n", "haneul@example.com,김하늘\n"])
def test_a_bare_list_needs_no_names_of_columns(app: Flask, tmp_path: Path, text: str):
    summary = bring_in(tmp_path, text)
    assert summary.added == summary.rows == len(text.splitlines())
    assert "haneul@example.com" in people()


def test_titles_become_names_that_merge_fields_can_write(app: Flask, tmp_path: Path):
    bring_in(tmp_path, "email,가입 경로,Home City,2026 plan, \nada@example.com,검색,London,free,\n")
    assert people()["ada@example.com"].attributes == {"가입_경로": "검색", "home_city": "London", "_2026_plan": "free"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty."),
        (b"\n\n  \n", "The file is empty."),
        ("email,name\n", "no rows below"),
        ("nickname,city\nAda,London\n", "No column holds e-mail addresses."),
        ("email,이메일\na@example.com,b@example.com\n", "More than one column could hold"),
        ("email,city,City\na@example.com,x,y\n", "Two columns have the same name: city."),
        ("email,Date\na@example.com,1 May\n", "A column is called date, and that merge field is filled in"),
        ("email,site-name\na@example.com,x\n", "Give the column another name, such as my_site_name."),
        ("a@example.com,Ada,London\n", "The first row does not name the columns."),
        (f"email,{'x' * 61}\na@example.com,1\n", "too long"),
        ("email," + ",".join(f"f{n}" for n in range(101)) + "\na@example.com\n", "too many columns (101)"),
        ("email,name\na@example.com,Zoë\nb@example.com,Renée,\n".encode("latin-1"), "The characters of line 2"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "This is not a text file."),
        (b"PK\x03\x04\x14\x00[Content_Types].xml" + bytes(range(256)), "This is a spreadsheet"),
        (bytes(range(1, 256)) * 20, "This is not a text file."),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(app: Flask, tmp_path: Path, content: str | bytes, words: str):
    assert words in refusal(tmp_path, content)


def test_the_operators_own_file_stays(app: Flask, tmp_path: Path):
    bring_in(tmp_path, "email\nada@example.com\n")
    assert (tmp_path / "people.csv").exists()
    assert list((Path(app.instance_path) / "imports").iterdir()) == []


def test_line_breaks_within_quotation_marks_belong_to_the_value(app: Flask, tmp_path: Path):
    summary = bring_in(tmp_path, 'email,name\nada@example.com,"Ada\nArcher"\nbob@example.com,"Bob ""B"" Bee"\nbad\n')
    assert (people()["ada@example.com"].name, people()["bob@example.com"].name) == ("Ada Archer", 'Bob "B" Bee')
    assert rows_of(summary) == [4]  # as spreadsheets count


@pytest.mark.parametrize(
    "broken", ['b@example.com,"Bob', 'b@example.com,"Bob" Bee', '"b@example.com,Bob', 'b@example.com,"Bob\nBee"x']
)
def test_a_wrong_quotation_mark_costs_one_row_and_no_other(app: Flask, tmp_path: Path, broken: str):
    after = "".join(f"c{n}@example.com,C\n" for n in range(300))
    summary = bring_in(tmp_path, f"email,name\na@example.com,A\n{broken}\n{after}")
    assert summary.added == 301
    assert rows_of(summary)[0] == 3
    assert summary.problems[0][2] == "The quotation marks do not match."


def test_a_quotation_mark_within_a_value_is_an_ordinary_character(app: Flask, tmp_path: Path):
    assert bring_in(tmp_path, 'email,name\na@example.com,Ada "A" Archer\nb@example.com,5" pipe\n').bad == 0


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",Ada", "The e-mail address is missing."),
        ("ada,Ada", "exactly one @"),
        ("a@@example.com,Ada", "exactly one @"),
        ("a b@example.com,Ada", "not an e-mail address"),
        ("@example.com,Ada", "not an e-mail address"),
        ("a..b@example.com,Ada", "not an e-mail address"),
        ("a@example,Ada", "part after the @"),
        ("a@,Ada", "part after the @"),
        ("a@exa_mple.com,Ada", "part after the @"),
        ("a@localhost,Ada", "part after the @"),
        ("ada＠example.com,Ada", "full-width"),
        (f"{'a' * 65}@example.com,Ada", "too long"),
        (f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.com,Ada", "too long"),
        (f"a@example.com,{'x' * 201}", "A value is too long"),
        ("a@example.com,A\x00da", "characters that cannot be shown"),
        ("a@exam\x00ple.com,Ada", "part after the @"),
        ("a@example.com,Kim, Ada", "more values than there are columns"),
        (f"a@example.com,{'x' * 200_000}", "The row is too long."),
        (f'a@example.com,"{"x" * 150_000}"', "The row is too long."),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_taken(app: Flask, tmp_path: Path, row: str, reason: str):
    summary = bring_in(tmp_path, f"email,name\nfirst@example.com,F\n{row}\nlast@example.com,L\n")
    assert set(people()) == {"first@example.com", "last@example.com"}
    assert (summary.rows, summary.added, summary.bad) == (3, 2, 1)
    [(number, value, why)] = summary.problems
    assert number == 3
    assert reason in why
    assert value
    assert len(value) <= 200


def test_what_only_looks_wrong_is_mended(app: Flask, tmp_path: Path):
    rows = [
        "\u200bspace@example.com ,  Ada\u00a0 Archer ",
        "UPPER@EXAMPLE.COM,x",
        "user@한국.example.com,x",
        "decomposed@example.com,\u1112\u1161\u11ab",
        "한글@example.com,x",
        "short@example.com",
    ]
    assert bring_in(tmp_path, "email,name\n" + "\n".join(rows)).bad == 0
    found = people()
    assert found["space@example.com"].name == "Ada Archer"
    assert found["upper@example.com"].email == "UPPER@example.com"
    assert "user@xn--3e0b707e.example.com" in found
    assert found["decomposed@example.com"].name == "한"
    assert "한글@example.com" in found


def test_an_address_twice_in_one_file_is_one_person_and_the_later_row_wins(app: Flask, tmp_path: Path):
    rows = "a@example.com,First,x\nA@EXAMPLE.COM,Second,\na@example.com,Second,x\n"
    summary = bring_in(tmp_path, f"email,name,city\n{rows}")
    assert (summary.added, summary.updated, summary.unchanged) == (1, 1, 1)
    assert people()["a@example.com"].name == "Second"
    assert people()["a@example.com"].attributes == {"city": "x"}


def test_empty_rows_count_for_the_numbers_but_are_no_rows(app: Flask, tmp_path: Path):
    summary = bring_in(tmp_path, "\n\nemail,name\n\na@example.com,A\n,\n  ,  \nbad,B\n\n")
    assert (summary.rows, summary.added) == (2, 1)
    assert rows_of(summary) == [8]


def test_an_unknown_language_is_remarked_and_the_person_is_taken(app: Flask, tmp_path: Path):
    summary = bring_in(tmp_path, "email,language\na@example.com,클링온\nb@example.com,KO-kr\nc@example.com,영어\n")
    assert (summary.added, summary.bad) == (3, 0)
    assert [people()[f"{x}@example.com"].language for x in "abc"] == [None, "ko", "en"]
    assert db.session.query(UserImport).one().noted == 1


def test_the_summary_is_json(app: Flask, tmp_path: Path):
    summary = bring_in(tmp_path, "email\na@example.com\nb@\n")
    answer = summary.as_dict()
    assert answer | {"problems": []} == {
        "id": 1, "rows": 2, "added": 1, "updated": 0, "unchanged": 0, "bad": 1, "unconfirmed": 0, "problems": [],
    }  # fmt: skip
    assert answer["problems"] == [{"row": 3, "value": "b@", "reason": "The part after the @ is not right."}]


def test_progress_is_told_on_the_way(app: Flask, tmp_path: Path):
    path = tmp_path / "many.csv"
    path.write_text("email\n" + "".join(f"p{n}@example.com\n" for n in range(60_000)))
    told: list[tuple[int, int]] = []
    summary = import_csv(path, on_progress=lambda done, rows: told.append((done, rows)))
    assert summary.added == 60_000
    assert told == sorted(told)
    assert all(rows == 60_000 for _done, rows in told)
