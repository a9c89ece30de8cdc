"""What is typed of a mail server; its password comes in and is never shown."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, PasswordField, RadioField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import DataRequired, InputRequired, StopValidation
from wtforms.widgets import HiddenInput

from campaigns.accounts.field_checks import check_printable, one_line
from campaigns.config import current_settings
from campaigns.delivery.copy_guard import campaigns_in_flight
from campaigns.mail_server_urls import HOST_NAME, LOOPBACK_HOSTS, MOST_WEIGHT
from campaigns.settings.form_fields import whole
from campaigns.settings.server_services import ServerEntry

USUAL_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class ServerForm(FlaskForm):  # type: ignore[misc]
    """One mail server, new or changed; `stored` is what is known of it, `others` are the addresses of the others.

    A stored password goes only to the server it was typed for: who changes where or how it is sent types it again.
    """

    version = IntegerField(widget=HiddenInput())
    host = StringField(_l("Host"), [DataRequired(_l("Enter the server's host name.")), check_printable], [one_line])
    tls = RadioField(
        _l("Encryption"),
        choices=[
            SelectChoice("starttls", _l("STARTTLS, usually port 587")),
            SelectChoice("tls", _l("TLS from the first byte, usually port 465")),
            SelectChoice("none", _l("None, usually port 25; only inside your own network")),
        ],
        default="starttls",
    )
    port = StringField(_l("Port"), filters=[one_line], description=_l("Leave empty for the usual port."))
    username = StringField(_l("User name"), [check_printable], [one_line], description=_l("Leave empty for no log-in."))
    password = PasswordField(_l("Password"))
    weight = StringField(
        _l("Weight"),
        [InputRequired(_l("Enter a number.")), whole(least=1, most=MOST_WEIGHT)],
        default="1",
        description=_l("Of several servers, each gets mail in proportion to it."),
    )
    chunking = BooleanField(
        _l("Send contents with BDAT instead of DATA"),
        description=_l(
            "Where the server offers CHUNKING. It is not faster, and some servers get it wrong: send a test mail first."
        ),
    )

    def __init__(
        self,
        *arguments: Any,
        stored: dict[str, Any] | None = None,
        others: frozenset[str] = frozenset(),
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._stored = stored
        self._others = others

    @property
    def keeps_password(self) -> bool:
        """Whether there is a stored password that stays when none is typed."""
        return bool(self._stored and self._stored["password"])

    def validate_host(self, field: StringField) -> None:
        """Take a host name or an address; another machine needs to know where links in mail lead."""
        if not HOST_NAME.fullmatch(field.data or ""):
            raise StopValidation(_("Enter a host name like relay.example.com."))
        field.data = str(field.data).lower()
        settings = current_settings()
        if field.data not in LOOPBACK_HOSTS and "public_base_url" not in settings.given and not settings.testing:
            raise StopValidation(
                _("First set PUBLIC_BASE_URL where the site is started: links in mail that goes out begin with it.")
            )

    def validate_port(self, field: StringField) -> None:
        """Take a port, or the usual one; each server may be named once."""
        field.data = field.data or str(USUAL_PORTS.get(self.tls.data or "", 25))
        whole(least=1, most=65535)(self, field)
        if f"{self.host.data}:{field.data}" in self._others:
            raise StopValidation(_("This server is in the list already."))

    def validate_username(self, field: StringField) -> None:
        """A user name needs a password."""
        if field.data and not (self.password.data or self.keeps_password):
            raise StopValidation(_("Enter the password too, or neither."))

    def validate_password(self, field: PasswordField) -> None:
        """A password needs a user name, encryption on its way, and its own server."""
        text = field.data or ""
        if text and not self.username.data:
            raise StopValidation(_("Enter the user name too, or neither."))
        if "\0" in text:
            raise StopValidation(_("There are characters in here that cannot be shown. Type it again."))
        if self.username.data and self.tls.data == "none" and self.host.data not in LOOPBACK_HOSTS:
            raise StopValidation(_("A password is not sent without encryption. Choose STARTTLS or TLS."))
        if self.username.data and not text and self.keeps_password and self._goes_elsewhere():
            raise StopValidation(_("Type the password again, since it would go to another place than before."))

    def _goes_elsewhere(self) -> bool:
        stored = self._stored or {}
        now = (self.host.data, self.username.data)
        return now != (stored["host"], stored["username"]) or (self.tls.data == "none" and stored["tls"] != "none")

    def entry(self) -> ServerEntry:
        """Return the server as typed."""
        return ServerEntry(
            host=self.host.data or "",
            port=int(self.port.data or 0),
            tls=self.tls.data,
            username=self.username.data or "",
            password=self.password.data or (None if self.keeps_password and self.username.data else ""),
            weight=int(self.weight.data or 1),
            chunking=bool(self.chunking.data),
        )


class RemoveForm(FlaskForm):  # type: ignore[misc]
    """Removing a server; the last one ends all mail to the outside, which has to be ticked as understood."""

    version = IntegerField(widget=HiddenInput())
    understood = BooleanField(_l("From then on mail stays on this machine"))

    def __init__(self, *arguments: Any, is_last: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.is_last = is_last

    def validate_understood(self, field: BooleanField) -> None:
        """The last server is not removed by accident, nor from under a campaign: its mail would count as sent."""
        if self.is_last and campaigns_in_flight():
            raise StopValidation(
                _("Campaigns are under way. Cancel them or let them end first, or add another server.")
            )
        if self.is_last and not field.data:
            raise StopValidation(_("Tick this to remove the last mail server."))
