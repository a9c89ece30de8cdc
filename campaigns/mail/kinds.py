"""What single mails there are. Each kind is registered by the area whose mail it is, and rendered when it is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from campaigns.mail.models import OutboxMail


@dataclass(frozen=True)
class MailContent:
    """One rendered mail. `sender` is (name, address); empty means the site's own."""

    subject: str
    text: str
    html: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    sender: tuple[str, str] | None = None
    reply_to: str | None = None


Renderer = Callable[[OutboxMail], MailContent | None]

_renderers: dict[str, Renderer] = {}


def mail_kind(name: str) -> Callable[[Renderer], Renderer]:
    """Register the renderer of a kind of mail.

    It runs inside the mail's language and returns None when the mail should not be sent any more, for instance because
    its link has been used.
    """

    def register(renderer: Renderer) -> Renderer:
        _renderers[name] = renderer
        return renderer

    return register


def render(mail: OutboxMail) -> MailContent | None:
    """Return the mail's content, or None when it should not be sent any more; raises KeyError for an unknown kind."""
    return _renderers[mail.kind](mail)
