"""Noticing that this database is a copy or an old backup, and holding what it would send until a person has looked.

A second copy of a site's database holds the same schedules, and one restored from a backup has forgotten what was sent
since. Either would send again. Two marks tell:

* the database says where it lives, and a copy lives elsewhere: another file (SQLite), or another database or server
  (PostgreSQL). Workers on other machines, and instance folders that are new, are no copies;
* the database and the instance folder both remember how far the site has come, in seconds that only grow. A folder that
  has come further than its database knows that the database has gone back.

Nothing is held where no campaign is launched and unfinished, so a new site and a finished one's copy need no asking;
but what `flask restore` has put back is always held, for a schedule in it may launch what another copy launches too.
What this cannot see: a PostgreSQL server copied as a whole, files and all, to a machine without the instance folder.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from secrets import token_hex

from sqlalchemy import ColumnElement, select, text, update
from sqlalchemy.exc import IntegrityError

from campaigns.audit.services import Target, record_action
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.config import current_settings
from campaigns.delivery import states
from campaigns.delivery.models import DatabaseHome, Recurrence, RecurrenceState
from campaigns.extensions import db

# More than what a database may lose in a crash when commits are not written through, and than clocks differ.
TOLERANCE_SECONDS = 60
RESTORED = "restored"  # instead of where a database lives: nothing else may be asked before a person has looked
COPIED = "database_copied"  # why a campaign is paused that was being sent when its database was copied
IN_FLIGHT = (
    CampaignState.SCHEDULED,
    CampaignState.STARTING,
    CampaignState.PREPARING,
    CampaignState.SENDING,
    CampaignState.PAUSED,
)

_MARKS = select(DatabaseHome.fingerprint, DatabaseHome.generation).where(DatabaseHome.id == 1)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hold:
    """Why sending is held: `moved` when the database lives elsewhere, else it has gone back in time."""

    moved: bool


def find_hold() -> Hold | None:
    """Return why nothing may be sent by itself, or None; reads only."""
    home = db.session.execute(_MARKS).one_or_none()  # each batch asks, so no object is made of it
    if home and home.fingerprint == RESTORED:
        return Hold(moved=True)
    if home is None:
        return None
    has_moved = home.fingerprint != _fingerprint()
    # What costs another statement is asked last, and nearly never.
    if (has_moved or home.generation < _remembered() - TOLERANCE_SECONDS) and _anything_in_flight():
        return Hold(moved=has_moved)
    return None


def is_held() -> bool:
    """Tell whether a person has to look at this database first."""
    return find_hold() is not None


def note_home() -> None:
    """Write down where the database lives and that it has come further, unless it is held. Commits."""
    if not is_held():
        _settle_in()


def confirm() -> int:
    """Make this database the site's own, as a person has decided; returns how many campaigns were paused. Commits.

    What was being sent is paused, for nobody here knows how far it has come elsewhere: each is a person's to continue.
    """
    sending = list(db.session.scalars(select(Campaign.id).where(Campaign.state == CampaignState.SENDING)))
    paused = sum(states.pause(campaign_id, reason=COPIED) for campaign_id in sending)
    record_action("site.database_confirmed", Target("site"), after={"campaigns_paused": paused})
    _settle_in()
    logger.warning("the database was confirmed to be this site's own; %s campaigns were paused", paused)
    return paused


def mark_restored() -> None:
    """Hold everything until a person confirms, within the caller's transaction. Commits nothing."""
    if home := _home():
        home.fingerprint = RESTORED
    else:
        db.session.add(DatabaseHome(id=1, fingerprint=RESTORED, generation=0))


def campaigns_in_flight() -> list[Campaign]:
    """Return the campaigns that are held, in the order of their launch."""
    return list(db.session.scalars(select(Campaign).where(_in_flight()).order_by(Campaign.launched_at, Campaign.id)))


def _settle_in() -> None:
    home = _home()
    generation = max(home.generation + 1 if home else 0, int(utcnow().timestamp()))
    values = {"fingerprint": _fingerprint(), "generation": generation}
    if home:
        behind = update(DatabaseHome).where(DatabaseHome.id == 1, DatabaseHome.generation < generation)
        db.session.execute(behind.values(values))
    else:
        db.session.add(DatabaseHome(id=1, **values))
    try:
        db.session.commit()
    except IntegrityError:  # another process of this new site was first
        db.session.rollback()
    else:
        _remember(generation)


def _home() -> DatabaseHome | None:
    query = select(DatabaseHome).where(DatabaseHome.id == 1)
    return db.session.execute(query.execution_options(populate_existing=True)).scalar_one_or_none()


def _anything_in_flight() -> bool:
    repeated = select(Recurrence.id).where(Recurrence.state == RecurrenceState.ACTIVE)
    return any(
        db.session.scalar(query.limit(1)) is not None for query in (select(Campaign.id).where(_in_flight()), repeated)
    )


def _in_flight() -> ColumnElement[bool]:
    return Campaign.state.in_(IN_FLIGHT)


def _fingerprint() -> str:
    """Return what tells this database from its copies."""
    if db.engine.dialect.name == "sqlite":
        path = Path(db.engine.url.database or "")
        return f"sqlite:{path.stat().st_ino}" if path.is_file() else "sqlite"
    return _postgres_fingerprint(str(db.engine.url))


@lru_cache(maxsize=4)
def _postgres_fingerprint(_url: str) -> str:
    """Return server and database; asked once in a process, for every batch wants to know."""
    database = db.session.scalar(text("SELECT oid FROM pg_database WHERE datname = current_database()"))
    return f"postgresql:{_server_identifier()}:{database}"


def _server_identifier() -> int:
    """Return what a PostgreSQL server was given at its birth; 0 where it does not let us ask."""
    if not db.session.scalar(text("SELECT has_function_privilege('pg_control_system()', 'execute')")):
        return 0
    return int(db.session.scalar(text("SELECT system_identifier FROM pg_control_system()")) or 0)


def _remembered() -> int:
    with suppress(OSError, ValueError):
        return int(_memory().read_text())
    return 0


def _remember(generation: int) -> None:
    """Write to the instance folder what the database has committed; a folder that cannot be written remembers less."""
    # Containers that share the folder have the same few process ids.
    draft = _memory().with_suffix(f".{token_hex(6)}")
    try:
        draft.write_text(f"{generation}\n")
        draft.replace(_memory())
    except OSError as error:
        logger.warning("the instance folder cannot remember how far the site has come: %s", error)


def _memory() -> Path:
    return current_settings().instance_dir / "generation"
