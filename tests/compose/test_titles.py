"""A campaign is called what people will read, not what its author typed to fill it in."""

from __future__ import annotations

import pytest
from flask_babel import force_locale

from campaigns.compose.titles import campaign_title


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        ('{{ name | default: "회원" }}님, 11월 소식', "회원님, 11월 소식"),
        ("{{ name }}님, {{ city }} 소식", "[name]님, [city] 소식"),
        ("{% if name %}{{ name }}님{% else %}여러분{% endif %}께", "여러분께"),
        ("{{ not closed", "{{ not closed"),
    ],
)
def test_a_title_is_the_subject_with_its_defaults(app, subject, title):
    assert campaign_title(subject) == title


def test_a_campaign_without_a_subject_says_so(app):
    with force_locale("en"):
        assert campaign_title("  ") == "(no subject yet)"
