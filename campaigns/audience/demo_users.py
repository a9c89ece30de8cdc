"""People who do not exist, for the demo: Korean and English names, at an address that nobody can own (RFC 2606)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.audience.fields import remember_fields
from campaigns.clock import utcnow
from campaigns.extensions import db

DEMO_DOMAIN: Final = "example.com"
ROWS_AT_ONCE: Final = 1_000
SEED: Final = 20_261_122
OLDEST: Final = timedelta(days=700)

_WORDS: Final = str.split  # longer lists than one would want to see in quotes
_KOREAN_FAMILY = _WORDS("김 이 박 최 정 강 조 윤 장 임 한 오 서 신 권 황 안 송 전 홍")
_KOREAN_GIVEN = _WORDS(
    "하늘 서연 민준 지우 도윤 서현 예준 하은 주원 지민 유진 현우 수아 지호 다은 건우 채원 시우 소율 은우 나윤 준서 "
    "가온 아린 태윤 보미 한결 이안 다온 로운 세아 찬희"
)
_ROMAN_FAMILY = _WORDS("kim lee park choi jung kang cho yoon jang lim han oh seo shin kwon hwang ahn song jeon hong")
_ENGLISH_GIVEN = _WORDS(
    "Ada Grace Linus Margaret Alan Edsger Barbara Donald Radia Ken Frances Dennis Hedy Tim Katherine Niklaus Joan "
    "Claude Mary John Evelyn Robin Karen Leslie Anita Vint Shafi Brian Adele Guido Lynn Bjarne"
)
_ENGLISH_FAMILY = _WORDS(
    "Archer Bennett Carver Dalton Ellis Fletcher Garner Hayes Irving Jensen Keller Lowell Mercer Norris Osborne Porter "
    "Quincy Rhodes Sawyer Thorne Underwood Vance Whitaker Yates"
)
_KOREAN_CITIES = _WORDS("서울 부산 대구 인천 광주 대전 울산 수원 제주")
_ENGLISH_CITIES = ("Seoul", "London", "Toronto", "Sydney", "Singapore", "Dublin", "Auckland")
_PLANS = ("free", "free", "free", "basic", "basic", "team")


def add_demo_users(count: int) -> int:
    """Add as many of the first `count` demo people as are missing, all verified; return how many were added. Commits.

    The same call always makes the same people, so that a second one adds nobody.
    """
    added = 0
    rows = list(_people(count, utcnow()))
    remember_fields(["city", "plan"])
    for start in range(0, len(rows), ROWS_AT_ONCE):
        added += _add_missing(rows[start : start + ROWS_AT_ONCE])
    db.session.commit()
    return added


def _add_missing(rows: list[dict[str, Any]]) -> int:
    keys = select(User.address_key).where(User.address_key.in_([row["address_key"] for row in rows]))
    known = set(db.session.execute(keys).scalars())
    missing = [row for row in rows if row["address_key"] not in known]
    db.session.add_all([User(**row) for row in missing])
    return len(missing)


def _people(count: int, now: datetime) -> Iterator[dict[str, Any]]:
    random = Random(SEED)
    for number in range(1, count + 1):
        person = _korean(random, number) if random.random() < 0.7 else _english(random, number)
        joined_at = now - OLDEST * (1 - number / (count + 1))
        email = person.pop("local") + "@" + DEMO_DOMAIN
        times = {"created_at": joined_at, "updated_at": joined_at, "verified_at": joined_at}
        yield {**person, **times, "email": email, "address_key": email.lower()}


def _korean(random: Random, number: int) -> dict[str, Any]:
    family = random.randrange(len(_KOREAN_FAMILY))
    given = random.choice(_KOREAN_GIVEN)
    return {
        "name": _KOREAN_FAMILY[family] + given,
        "local": f"{_ROMAN_FAMILY[family]}{number:04}",
        "language": "ko",
        "attributes": {"city": random.choice(_KOREAN_CITIES), "plan": random.choice(_PLANS)},
    }


def _english(random: Random, number: int) -> dict[str, Any]:
    given, family = random.choice(_ENGLISH_GIVEN), random.choice(_ENGLISH_FAMILY)
    return {
        "name": f"{given} {family}",
        "local": f"{given}.{family}{number:04}".lower(),
        "language": "en",
        "attributes": {"city": random.choice(_ENGLISH_CITIES), "plan": random.choice(_PLANS)},
    }
