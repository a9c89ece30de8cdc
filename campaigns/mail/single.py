"""The look of single mails: subject, text and HTML from the templates of one folder, inside the site's own frame."""

from __future__ import annotations

import re
from typing import Any, Final

from css_inline import CSSInliner
from flask import render_template
from flask_babel import get_locale

from campaigns.mail.kinds import MailContent
from campaigns.site import current_site, default_sender


def render_single_mail(name: str, **values: Any) -> MailContent:
    """Return the mail whose templates are `mail/<name>/subject.txt`, `body.txt` and `body.html`.

    `body.html` extends mail/single.html, `body.txt` extends mail/single.txt. The language is the one that the outbox
    renders in, or the one forced around the call.
    """
    shared = {"site": current_site(), "contact_address": default_sender()[1], "language": str(get_locale()), **values}
    subject = " ".join(render_template(f"mail/{name}/subject.txt", **shared).split())
    text = re.sub(r"\n{3,}", "\n\n", render_template(f"mail/{name}/body.txt", **shared)).strip() + "\n"
    html = _INLINER.inline(render_template(f"mail/{name}/body.html", **shared)).replace(' data-css-inline="keep"', "")
    return MailContent(subject=subject, text=text, html=html)


# Only what the frame itself says is inlined: nothing is fetched, wherever a stylesheet might point.
_INLINER: Final = CSSInliner(load_remote_stylesheets=False, minify_css=True)
