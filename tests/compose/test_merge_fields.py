"""Merge fields fill in values and do nothing else, whatever an editor or a recipient writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.compose.contexts import WORDS, Context, is_same_everywhere, write_value
from campaigns.compose.merge import FieldSegment, OutputTooLong, parse
from campaigns.compose.merge_tags import MergeError, ProblemKind

KNOWN = ("name", "email", "company", "도시")


def render(source: str, context: Context = Context.TEXT, **fields: str) -> str:
    return parse(source, context).render(fields)


@pytest.mark.parametrize(
    "source",
    [
        '{{ name | default: "고객" }}',
        '{{name|default:"고객"}}',
        '{{ name | default("고객") }}',
        "{{ name | default: '고객' }}",
        "{{ name | default: “고객” }}",
    ],
)
def test_a_default_stands_in_for_a_missing_or_blank_value(source: str) -> None:
    assert render(source) == "고객"
    assert render(source, name="  ") == "고객"
    assert render(source, name="김하늘") == "김하늘"


def test_a_missing_value_without_default_leaves_nothing() -> None:
    assert render("Hello {{ name }}!") == "Hello !"


def test_an_if_chooses_by_whether_there_is_a_value() -> None:
    source = "{% if company %}{{ company }} 담당자{% else %}고객{% endif %}님"
    assert render(source, company="네모") == "네모 담당자님"
    assert render(source, company=" ") == "고객님"


def test_ifs_nest() -> None:
    source = "{% if company %}A{% if name %}B{% else %}C{% endif %}{% endif %}D"
    assert render(source, company="x", name="y") == "ABD"
    assert render(source, company="x") == "ACD"
    assert render(source) == "D"


@pytest.mark.parametrize("text", ["{", "}", "}}", "%}", "{ name }", "{a: {b: 1}}", "100 %} ok", "한글 { 중괄호 }"])
def test_braces_that_are_no_tag_survive(text: str) -> None:
    assert render(text) == text


def test_a_backslash_writes_plain_braces() -> None:
    assert render(r"\{{ name }} and \{% if %}") == "{{ name }} and {% if %}"


def test_a_field_may_have_a_korean_name() -> None:
    assert render("{{ 도시 }}에서", 도시="부산") == "부산에서"


@pytest.mark.parametrize(
    ("source", "kind", "line", "column"),
    [
        ("a\n  {{ name + 1 }}", ProblemKind.BAD_FIELD, 2, 3),
        ("{{ name.upper() }}", ProblemKind.BAD_FIELD, 1, 1),
        ("{{ name | upper }}", ProblemKind.BAD_FIELD, 1, 1),
        ("x {{ name", ProblemKind.UNCLOSED_BRACES, 1, 3),
        ("{% for x in y %}", ProblemKind.BAD_TAG, 1, 1),
        ("{% if name %}", ProblemKind.IF_WITHOUT_END, 1, 1),
        ("ab{% endif %}", ProblemKind.END_WITHOUT_IF, 1, 3),
        ("{% if name %}{% else %}{% else %}{% endif %}", ProblemKind.SECOND_ELSE, 1, 24),
    ],
)
def test_a_mistake_is_named_with_its_place(source: str, kind: ProblemKind, line: int, column: int) -> None:
    with pytest.raises(MergeError) as raised:
        parse(source, Context.TEXT)
    problem = raised.value.problems[0]
    assert (problem.kind, problem.line, problem.column) == (kind, line, column)


def test_all_mistakes_are_reported_together_in_reading_order() -> None:
    with pytest.raises(MergeError) as raised:
        parse("{{ nmae }}\n{{ x y }}\n{% endif %}", Context.TEXT, KNOWN)
    assert [problem.line for problem in raised.value.problems] == [1, 2, 3]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("nmae", "name"), ("Name", "name"), ("e-mail", "email"), ("이름", "name"), ("compny", "company"), ("qqqq", None)],
)
def test_an_unknown_field_comes_with_the_nearest_known_one(written: str, meant: str | None) -> None:
    with pytest.raises(MergeError) as raised:
        parse(f"{{{{ {written} }}}}", Context.TEXT, KNOWN)
    assert raised.value.problems[0].kind is ProblemKind.UNKNOWN_FIELD
    assert raised.value.problems[0].suggestion == meant


def test_it_knows_the_fields_it_uses_and_those_that_may_leave_a_gap() -> None:
    template = parse(
        '{{ name }}{{ email | default: "x" }}{% if company %}{{ company }}{% endif %}{{ 도시 }}', Context.TEXT
    )
    assert template.fields_used == {"name", "email", "company", "도시"}
    assert template.fields_without_default == {"name", "도시"}


def test_it_says_which_fields_decide_and_what_follows_for_each_recipient() -> None:
    template = parse(
        "{% if company %}{% if 도시 %}{{ 도시 }}{% endif %}a{% else %}b{% endif %}{{ name }}", Context.TEXT
    )
    assert template.fields_chosen_by == {"company", "도시"}
    name, city = (FieldSegment(field, "", Context.TEXT) for field in ("name", "도시"))
    assert template.flat({"company": "x"}) == ("a", name)
    assert template.flat({"company": "x", "도시": "부산"}) == (city, "a", name)
    assert template.flat({"company": " ", "도시": "부산"}) == ("b", name)


def test_an_output_beyond_the_limit_is_refused() -> None:
    with pytest.raises(OutputTooLong):
        render("{{ name }}" * 200, name="x" * 6_000)


@given(st.text())
def test_any_source_either_parses_or_says_what_is_wrong(source: str) -> None:
    try:
        parse(source, Context.TEXT, KNOWN).render({})
        problems = ()
    except MergeError as error:
        problems = error.problems
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)


@given(st.text(alphabet="{}%| .()_\"'\\ nameifdlt[]0*+-:\n한"))
def test_a_value_is_never_read_as_a_template(value: str) -> None:
    expected = value if value.strip() else ""
    assert render("[{{ name }}]", name=value) == f"[{expected}]"


@pytest.mark.parametrize(
    "value", ["{{ email }}", "{% if x %}", "{{ ''.__class__ }}", "${7*7}", "#{7*7}", "<%= 1 %>", "%(email)s", "{0}"]
)
def test_template_code_in_a_value_is_printed_as_it_is(value: str) -> None:
    assert render("{{ name }}", name=value, email="secret@example.com") == value


@given(st.text())
def test_html_values_hold_no_markup(value: str) -> None:
    rendered = render("{{ name }}", Context.HTML, name=value)
    assert not set("<>\"'") & set(rendered)
    assert (
        rendered.replace("&amp;", "")
        .replace("&lt;", "")
        .replace("&gt;", "")
        .replace("&quot;", "")
        .replace("&#x27;", "")
        .count("&")
        == 0
    )


@given(st.text(), st.text())
def test_a_header_is_always_one_line(name: str, default: str) -> None:
    default = default.replace('"', "").replace("\n", " ")
    subject = render(f'제목 {{{{ name | default: "{default}" }}}} 끝', Context.HEADER, name=name)
    assert len(subject.splitlines()) == 1
    assert not any(character in subject for character in "\r\n\0\x0b\x0c\x85\u2028\u2029\u202e")


def test_a_name_cannot_add_a_header() -> None:
    assert render("{{ name }}님", Context.HEADER, name="a\r\nBcc: x@example.com") == "a Bcc: x@example.com님"


@given(st.text())
def test_a_value_stays_inside_its_part_of_an_address(value: str) -> None:
    rendered = render("{{ name }}", Context.URL_PART, name=value)
    assert all(character.isascii() and (character.isalnum() or character in "-._~%") for character in rendered)


@pytest.mark.parametrize(
    "value",
    ["javascript:alert(1)", " JavaScript:x", "java\nscript:x", "data:text/html,x", "//evil.test", "x", "http://"],
)
def test_a_whole_address_from_a_field_must_be_one_that_mail_may_link_to(value: str) -> None:
    assert render("{{ link }}", Context.URL_WHOLE_TEXT, link=value) == ""


def test_a_good_address_from_a_field_is_kept_and_escaped() -> None:
    link = "https://example.com/a b?x=1&y=한#z"
    assert render("{{ link }}", Context.URL_WHOLE_TEXT, link=link) == "https://example.com/a%20b?x=1&y=%ED%95%9C#z"
    assert '"' not in render("{{ link }}", Context.URL_WHOLE_HTML, link='https://example.com/"onclick=x')


def test_decomposed_hangul_is_composed() -> None:
    assert render("{{ name }}", name="\u1112\u1161\u11ab") == "한"


@given(st.text(alphabet=st.characters(whitelist_categories=["Lo", "So", "Lu", "Ll"]), min_size=1))
def test_words_and_emoji_arrive_as_they_are(value: str) -> None:
    composed = render("{{ name }}", name=value)
    assert render("{{ name }}", name=composed) == composed


@given(st.from_regex(r"\A[0-9A-Za-z가-힣 _-]{0,20}\Z") | st.text())
def test_what_is_the_same_everywhere_is_written_as_it_is_in_all_words(value: str) -> None:
    if is_same_everywhere(value):
        assert {write_value(value, context) for context in WORDS} == {value}


@pytest.mark.parametrize("value", ["김하늘", "Kim Ha-neul", "plan_2", "서울 3구"])
def test_common_names_are_the_same_everywhere(value: str) -> None:
    assert is_same_everywhere(value)


@pytest.mark.parametrize("value", ["", " 김", "김 ", "a  b", "a\nb", "<b>", "R&D", "\u1112\u1161\u11ab", "김\u200e"])
def test_what_some_place_changes_is_not_the_same_everywhere(value: str) -> None:
    assert not is_same_everywhere(value)
