"""The drill's proof: the mail server's record held against the ledger, recipient by recipient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import select

from campaigns.compose.models import FINAL_STATES
from campaigns.delivery.models import Delivery, DeliveryState
from campaigns.delivery.queries import Totals, campaign_totals, ledger_totals
from campaigns.extensions import db
from campaigns.ops.drill_record import Accepted

D = DeliveryState
OPEN = frozenset({D.WAITING, D.SENDING, D.DEFERRED})
MAY_BE_ACCEPTED = frozenset({D.SENT, D.UNCERTAIN})


@dataclass(frozen=True)
class Uncertain:
    """One recipient whose mail was handed over without an answer, and what the mail server's record says of it."""

    address: str
    reason: str
    was_delivered: bool


@dataclass
class Verdict:
    """What the drill found. Addresses stand where something is wrong, so that it can be looked up."""

    by_batches: Totals
    by_ledger: Totals
    most_uncertain: int
    knows_whose: bool = True  # else connections that were not the killed process's count too
    accepted: int = 0
    lost: list[str] = field(default_factory=list)  # the ledger says sent, the mail server never took it
    doubled: list[str] = field(default_factory=list)  # the mail server took it more than once
    contradicted: list[str] = field(default_factory=list)  # the mail server took what the ledger says it did not
    left_open: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)  # took mail, and is no recipient
    uncertain: list[Uncertain] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Return, in words, whatever does not hold; empty when all does."""
        found = [
            f"{len(addresses):,} {what}: {', '.join(addresses[:5])}{' …' if len(addresses) > 5 else ''}"
            for addresses, what in (
                (self.lost, "lost"),
                (self.doubled, "doubled"),
                (self.contradicted, "delivered although the ledger says they were not"),
                (self.left_open, "left open"),
                (self.strangers, "delivered to somebody who is no recipient"),
            )
            if addresses
        ]
        if not self.is_balanced:
            found.append(f"the equation does not hold: by batches {self.by_batches}, by rows {self.by_ledger}")
        if self.by_ledger.state not in FINAL_STATES:
            found.append(f"the campaign has not ended, it is {self.by_ledger.state}")
        if len(self.uncertain) > self.most_uncertain:
            found.append(f"{len(self.uncertain)} uncertain are more than the {self.most_uncertain} connections cut")
        return found

    @property
    def is_balanced(self) -> bool:
        """Whether the equation holds, and says the same by the batches' counts and row by row."""
        return self.by_batches.balances and self.by_ledger.balances and self.by_batches == self.by_ledger

    @property
    def bound_in_words(self) -> str:
        """Return what `most_uncertain` counts."""
        if self.knows_whose:
            return "one for each connection that a killed process had open, or that was cut in mid-mail"
        return (
            "one for each connection that anybody had open at a kill (a loose bound: this system does not tell whose "
            "they were), or that was cut in mid-mail"
        )

    @property
    def holds(self) -> bool:
        """Whether nobody was lost, nobody got it twice, and all else is accounted for."""
        return not self.problems

    @property
    def uncertain_delivered(self) -> int:
        return sum(each.was_delivered for each in self.uncertain)


def judge(campaign_id: int, record: Iterable[Accepted], *, most_uncertain: int, knows_whose: bool = True) -> Verdict:
    """Compare the ledger with what the mail server accepted. Reads only."""
    verdict = Verdict(campaign_totals(campaign_id), ledger_totals(campaign_id), most_uncertain, knows_whose)
    mails: defaultdict[str, list[Accepted]] = defaultdict(list)
    for mail in record:
        mails[mail.recipient].append(mail)
        verdict.accepted += 1
    query = select(Delivery.address, Delivery.state, Delivery.reason).where(Delivery.campaign_id == campaign_id)
    for address, state, reason in db.session.execute(query.order_by(Delivery.position)):
        _judge_one(verdict, address, D(state), reason or "", times=len(mails.pop(address, ())))
    verdict.strangers = sorted(mails)
    return verdict


def _judge_one(verdict: Verdict, address: str, state: DeliveryState, reason: str, *, times: int) -> None:
    if times > 1:
        verdict.doubled.append(address)
    if state in OPEN:
        verdict.left_open.append(address)
    elif state is D.UNCERTAIN:
        verdict.uncertain.append(Uncertain(address, reason, was_delivered=times > 0))
    if state is D.SENT and not times:
        verdict.lost.append(address)
    if times and state not in MAY_BE_ACCEPTED:
        verdict.contradicted.append(address)
