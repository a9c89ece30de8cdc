"""What can come of a mail, by short names for the tests' tables."""

from __future__ import annotations

from campaigns.mail.smtp import OutcomeKind

SENT, TEMPORARY, PERMANENT = OutcomeKind.SENT, OutcomeKind.TEMPORARY, OutcomeKind.PERMANENT
SENDER_REFUSED, UNCERTAIN = OutcomeKind.SENDER_REFUSED, OutcomeKind.UNCERTAIN
NOT_HANDED_OVER = OutcomeKind.NOT_HANDED_OVER
