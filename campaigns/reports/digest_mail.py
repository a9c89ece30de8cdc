"""The digest as a mail: rendered when it is sent, in the reader's language."""

from __future__ import annotations

from flask_babel import format_date

from campaigns.accounts.models import User
from campaigns.extensions import db
from campaigns.links import public_url
from campaigns.mail.kinds import MailContent, mail_kind
from campaigns.mail.models import OutboxMail
from campaigns.mail.single import render_single_mail
from campaigns.reports.digests import digest_content
from campaigns.reports.models import Digest


@mail_kind("digest")
def tell_of_the_day(mail: OutboxMail) -> MailContent | None:
    """What ended, what needs attention and how many people came; nothing to somebody who wants it no more."""
    digest = db.session.get(Digest, mail.context["digest_id"])
    user = db.session.get(User, digest.user_id) if digest else None
    if digest is None or user is None or not user.wants_digest or not user.can_log_in:
        return None
    return render_single_mail(
        "digest",
        day=format_date(digest.local_date, "long"),
        content=digest_content(user, digest),
        dashboard_url=public_url("reports.dashboard"),
        account_url=public_url("accounts.account"),
        report_url=lambda campaign_id: public_url("reports.report", campaign_id=campaign_id),
    )
