"""What an editor writes becomes a subject, an HTML mail and a text mail that say the same."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.compose.merge_tags import ProblemKind
from campaigns.compose.rendering import (
    CompiledContent,
    ContentError,
    ContentSource,
    MailFrame,
    Rendered,
    compile_content,
    recipient_fields,
)

FRAME = MailFrame(site_name="우편함 <우>", sender_address="news@example.com", postal_address="서울 중구 세종대로 110")
UNSUBSCRIBE_URL = "https://example.com/p/u/token?a=1&b=2"


def compile_body(body: str, **content: str) -> CompiledContent:
    return compile_content(ContentSource(**{"subject": "제목", "body": body, **content}), FRAME)


def render(body: str, fields: dict[str, str] | None = None, **content: str) -> Rendered:
    given_fields = fields or {}
    return compile_body(body, **content).render(
        recipient_fields(
            email=given_fields.pop("email", "kim@example.com"),
            name=given_fields.pop("name", "김하늘"),
            language="ko",
            attributes=given_fields,
            site_name="우편함",
            unsubscribe_url=UNSUBSCRIBE_URL,
        )
    )


def body_of(mail: Rendered) -> str:
    match = re.search(r'<td[^>]*class="body"[^>]*>(.*?)</td></tr>\s*<tr><td[^>]*class="footer"', mail.html, re.DOTALL)
    assert match
    return re.sub(r' style="[^"]*"', "", match[1]).strip()


def test_the_way_out_is_always_there_in_both_parts() -> None:
    mail = render("안녕하세요")
    assert 'href="https://example.com/p/u/token?a=1&amp;b=2"' in mail.html
    assert UNSUBSCRIBE_URL in mail.text
    for part in (mail.html, mail.text):
        assert "수신거부 (Unsubscribe)" in part
        assert "서울 중구 세종대로 110" in part
        assert "kim@example.com" in part
        assert "news@example.com" in part
    assert "우편함 &lt;우&gt;" in mail.html


def test_the_footer_speaks_the_language_of_the_campaign() -> None:
    mail = render("Hello", language="en")
    assert '<html lang="en"' in mail.html
    assert "Unsubscribe: https://" in mail.text
    assert "수신거부" not in mail.html


def test_the_preheader_comes_first_and_hidden() -> None:
    mail = render("본문", preheader='{{ name | default: "고객" }}님께')
    start = mail.html.index("<body")
    assert re.match(r'<body[^>]*>\s*<div class="preheader" style="display:\s*none', mail.html[start:])
    assert mail.html.index("김하늘님께") < mail.html.index("본문")
    assert 'class="preheader"' not in render("본문").html


def test_looks_are_inlined_and_those_for_phones_and_the_dark_are_kept() -> None:
    html = render("# 제목\n\n글").html
    assert re.search(r'<h1 style="[^"]*font-size:\s*26px', html)
    assert "@media (prefers-color-scheme: dark)" in html
    assert "@media (max-width: 480px)" in html
    assert 'role="presentation"' in html
    assert "data-css-inline" not in html


def test_markdown_and_fields_go_together() -> None:
    mail = render('# 안녕 {{ name }}님\n\n**{{ name }}**님, *{{ company | default: "귀사" }}*')
    assert "<h1>안녕 김하늘님</h1>" in body_of(mail)
    assert "<p><strong>김하늘</strong>님, <em>귀사</em></p>" in body_of(mail)
    assert mail.text.startswith("안녕 김하늘님\n=")


def test_bold_ends_before_a_korean_particle() -> None:
    assert "<strong>(새 기능)</strong>을 봅니다" in body_of(render("**(새 기능)**을 봅니다"))
    assert '<strong>"새 소식"</strong>은' in body_of(render('**"새 소식"**은')).replace("&quot;", '"')
    assert "<em>a*b</em>" not in body_of(render("2 * 3 * 4"))


def test_values_are_not_markdown_and_not_html() -> None:
    mail = render("{{ name }}", {"name": "**굵게** <script>alert(1)</script> [x](javascript:1)"})
    assert "<strong>" not in body_of(mail)
    assert "<script" not in mail.html
    assert "**굵게** <script>" in mail.text


def test_html_in_the_body_is_shown_not_obeyed() -> None:
    html = render('<script>alert(1)</script>\n\n<img src=x onerror="x">').html
    assert "<script" not in html
    assert "<img src=x" not in html


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "&#106;avascript:alert(1)",
        "data:text/html,x",
        "{{ x }}javascript:1",
        "vbscript:x",
        "file:///x",
    ],
)
def test_addresses_that_could_run_code_become_no_link(address: str) -> None:
    assert f"<a href" not in body_of(render(f"[x]({address})"))  # noqa: F541


def test_fields_in_an_address_are_encoded_in_both_parts() -> None:
    mail = render("[가기](https://example.com/?q={{ name }}&m={{ email }})", {"name": 'a&b=c"d'})
    assert 'href="https://example.com/?q=a%26b%3Dc%22d&amp;m=kim%40example.com"' in mail.html
    assert "가기 (https://example.com/?q=a%26b%3Dc%22d&m=kim%40example.com)" in mail.text


def test_a_field_may_be_the_whole_address_when_it_is_harmless() -> None:
    assert (
        'href="https://example.com/x?a=1&amp;b"'
        in render("[x]({{ link }})", {"link": "https://example.com/x?a=1&b"}).html
    )
    assert 'href=""' in render("[x]({{ link }})", {"link": "javascript:alert(1)"}).html


def test_a_bare_address_becomes_a_link_and_leaves_the_sentence_its_full_stop() -> None:
    body = body_of(render("보기: https://example.com/a?b=1. 그리고 https://example.com/c을 보세요"))
    assert '<a href="https://example.com/a?b=1">https://example.com/a?b=1</a>. 그리고' in body
    assert '<a href="https://example.com/c">https://example.com/c</a>을' in body


def test_a_link_marked_as_button_becomes_one() -> None:
    mail = render("[자세히 보기](https://example.com/news){.button}")
    assert re.search(r'<table[^>]*class="button"', mail.html)
    assert "{.button}" not in mail.html + mail.text
    assert "자세히 보기:\nhttps://example.com/news" in mail.text


def test_the_text_part_holds_every_link_and_keeps_the_shape() -> None:
    text = render(
        "## 목록\n\n- 하나 [둘](https://example.com/2)\n- 셋\n  - 넷\n\n1. 다섯\n2. 여섯\n\n> 인용\n\n"
        "| 가 | 나 |\n|---|---|\n| 1 | 2 |\n\n```\n코드 {x}\n```\n\n---\n\n<https://example.com/z> "
        "[a@example.com](mailto:a@example.com)"
    ).text
    for expected in (
        "목록\n----\n",
        "- 하나 둘 (https://example.com/2)\n- 셋\n  - 넷\n",
        "1. 다섯\n2. 여섯\n",
        "> 인용\n",
        "가 | 나\n1 | 2\n",
        "    코드 {x}\n",
        "https://example.com/z a@example.com",
    ):
        assert expected in text


def test_an_if_alone_on_its_line_wraps_whole_blocks() -> None:
    source = "시작\n{% if company %}\n## {{ company }}\n- 하나\n{% else %}\n- 둘\n{% endif %}\n끝"
    with_company, without = render(source, {"company": "네모"}), render(source)
    assert "<h2>네모</h2>" in body_of(with_company)
    assert "둘" not in with_company.text
    assert "<li>둘</li>" in body_of(without)
    assert "<p></p>" not in body_of(without)
    assert "\n\n\n" not in without.text.partition("-- ")[0].strip()


def test_an_if_that_crosses_elements_is_refused_with_its_line() -> None:
    with pytest.raises(ContentError) as raised:
        compile_body("글\n\n**굵게 {% if name %}그리고** 끝{% endif %}")
    problem = raised.value.problems["body"][0]
    assert (problem.kind, problem.line) == (ProblemKind.IF_CROSSES_BLOCKS, 3)


def test_an_if_inside_an_address_is_refused() -> None:
    with pytest.raises(ContentError) as raised:
        compile_body("[x](https://example.com/{% if name %}a{% endif %})")
    assert raised.value.problems["body"][0].kind is ProblemKind.IF_IN_LINK


def test_mistakes_in_all_parts_are_reported_together() -> None:
    source = ContentSource(subject="{{ nmae }}", preheader="{{ x", body="a\n{{ compny }}")
    with pytest.raises(ContentError) as raised:
        compile_content(source, FRAME, ("name", "company"))
    assert set(raised.value.problems) == {"subject", "preheader", "body"}
    assert raised.value.problems["subject"][0].suggestion == "name"
    assert raised.value.problems["body"][0].line == 2


def test_the_subject_is_one_line_and_not_escaped() -> None:
    mail = render("x", {"name": "A & B\r\nBcc: evil@example.com"}, subject="안녕 {{ name }} <3")
    assert mail.subject == "안녕 A & B Bcc: evil@example.com <3"


def test_compiled_content_survives_storage() -> None:
    content = compile_body(
        '{% if a %}{{ a }}{% else %}[x]({{ b }}?q={{ c | default: "d" }}){% endif %}', preheader="{{ name }}"
    )
    assert CompiledContent.from_json(json.loads(json.dumps(content.to_json()))) == content
    with pytest.raises(ValueError, match="format"):
        CompiledContent.from_json({**content.to_json(), "format": 99})


def test_it_knows_which_fields_may_leave_a_gap() -> None:
    content = compile_body('{{ company }} {{ name | default: "x" }} {{ email }}', subject="{{ 도시 }}")
    assert content.fields_without_default == {"company", "도시"}
    assert {"company", "name", "email", "도시", "unsubscribe_url"} <= content.fields_used


def test_an_attribute_never_takes_the_place_of_a_reserved_field() -> None:
    fields = recipient_fields(
        email="a@example.com", name="A", language="ko", attributes={"email": "evil", "n": 3, "none": None},
        site_name="S", unsubscribe_url=UNSUBSCRIBE_URL,
    )  # fmt: skip
    assert fields["email"] == "a@example.com"
    assert (fields["n"], fields["none"]) == ("3", "")


def test_a_writer_cannot_forge_a_mark() -> None:
    mail = render("a \ue0000\ue003 b {{ name }}")
    assert "a 0 b 김하늘" in mail.text


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab한 \n#*_-[]()<>!`\"'{}%|.:/&\\{ifnameendels https://x")), st.text())
def test_whatever_is_written_no_script_and_the_way_out_stays(body: str, name: str) -> None:
    try:
        mail = render(body, {"name": name})
    except ContentError:
        return
    assert "<script" not in mail.html
    assert UNSUBSCRIBE_URL in mail.text
    assert not re.search("[\ue000-\ue00f]", mail.html + mail.text)
