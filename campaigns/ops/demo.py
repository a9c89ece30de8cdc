"""The demo: people who do not exist, one announcement to all of them, and the proof that it adds up."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from campaigns.accounts.models import User
from campaigns.accounts.queries import find_user
from campaigns.accounts.services import create_admin
from campaigns.audience.demo_users import DEMO_DOMAIN, add_demo_users
from campaigns.compose.services import Draft, create_campaign
from campaigns.delivery.launch import launch_now
from campaigns.delivery.models import Delivery, DeliveryState
from campaigns.errors import UserError
from campaigns.extensions import db
from campaigns.ops.inbox import inbox_path, recipients_after
from campaigns.security import Role
from campaigns.site import Site

DEMO_USERS = 2_000
OWNER_ADDRESS = f"owner@{DEMO_DOMAIN}"

SUBJECT = '{{ name | default: "회원" }}님, 11월 소식이 도착했습니다 · November news'
BODY = """\
# 11월 소식

{{ name | default: "회원" }}님, 안녕하세요.

Carillon이 보내는 **데모 공지**입니다. 받는 분마다 이름을 채워 한 통씩 보냈습니다.

- 묶음마다 Celery 작업 하나가 메일 서버와 한 연결로 보냅니다.
- 모든 묶음이 끝나면 코드(chord)의 마지막 작업이 합계를 셉니다.
- 보낸 수, 실패한 수, 남은 수를 더하면 언제나 받는 사람 수와 같습니다.

---

Hello {{ name | default: "reader" }},

this is a **demo announcement**, sent by Carillon to every demo user, each by name. Nothing has left this machine: the
built-in mail catcher took it. Every recipient is accounted for, and the terminal shows the sum.
"""


@dataclass(frozen=True)
class DemoSite:
    """Where to log in, and how many demo users there are."""

    owner_address: str
    password: str
    users: int


@dataclass(frozen=True)
class Arrivals:
    """What the catcher holds of a campaign, against what the ledger says was sent."""

    expected: int
    once: int
    missing: int
    doubled: int
    strangers: int

    @property
    def is_exact(self) -> bool:
        """Whether every recipient has exactly one mail, and nobody else has any."""
        return self.once == self.expected and not (self.missing or self.doubled or self.strangers)


def prepare_demo_site() -> DemoSite:
    """Make the site, its owner with a new password, and the demo users, as far as they are missing. Commits.

    Raises UserError when the database holds people who are not the demo's: it never touches a real site.
    """
    refuse_real_people()
    if db.session.get(Site, 1) is None:
        db.session.add(
            Site(
                id=1,
                name="Carillon Demo",
                sender_name="Carillon Demo",
                sender_address=f"news@{DEMO_DOMAIN}",
                postal_address="서울특별시 중구 세종대로 110",
            )
        )
        db.session.commit()
    password = secrets.token_urlsafe(9)
    create_admin(OWNER_ADDRESS, Role.OWNER, "데모 관리자", password)
    add_demo_users(DEMO_USERS)
    count = db.session.execute(select(func.count()).select_from(User).where(User.role.is_(None))).scalar_one()
    return DemoSite(OWNER_ADDRESS, password, count)


def refuse_real_people() -> None:
    """Raise UserError when there are people here, and the demo's owner is none of them."""
    if find_user(OWNER_ADDRESS):
        return
    others = select(func.count()).select_from(User).where(User.address_key.not_like(f"%@{DEMO_DOMAIN}"))
    count = db.session.execute(others).scalar_one()
    if count:
        raise UserError(
            f"This database holds {count:,} people who are not the demo's. The demo leaves it alone: "
            "unset DATABASE_URL, or name an empty database."
        )


def launch_demo_campaign() -> int:
    """Compose the demo's announcement and launch it to everybody, without a hold; return its id. Commits."""
    draft = Draft(
        subject=SUBJECT,
        preheader="받는 분마다 한 통, 합계는 언제나 맞습니다.",
        sender_name="Carillon Demo",
        reply_to="",
        language="ko",
        body=BODY,
    )
    campaign_id = create_campaign(created_by_id=None, draft=draft)
    launch_now(campaign_id, by=None, launch_key=secrets.token_hex(16), hold_seconds=0)
    return campaign_id


def count_arrivals(campaign_id: int, instance_dir: Path, *, after_id: int) -> Arrivals:
    """Compare the mails caught after `after_id` with the campaign's recipients, address by address."""
    query = select(Delivery.address).where(
        Delivery.campaign_id == campaign_id, Delivery.state != DeliveryState.EXCLUDED
    )
    expected = set(db.session.execute(query).scalars())
    caught = recipients_after(inbox_path(instance_dir), after_id)
    return Arrivals(
        expected=len(expected),
        once=sum(caught.get(address) == 1 for address in expected),
        missing=sum(address not in caught for address in expected),
        doubled=sum(caught.get(address, 0) > 1 for address in expected),
        strangers=sum(address not in expected for address in caught),
    )
