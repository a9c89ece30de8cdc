"""What people type on the account pages."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, Field, HiddenField, PasswordField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import InputRequired, Length, ValidationError

from campaigns.accounts.addresses import Address, parse_address
from campaigns.accounts.field_checks import check_address, check_printable, one_line, text_of
from campaigns.accounts.password_rules import password_problem
from campaigns.accounts.password_words import words_for
from campaigns.languages import LANGUAGES
from campaigns.page_frame import PRODUCT
from campaigns.rate_limits import is_first
from campaigns.site import current_site
from campaigns.time_zones import zone_choices

THEMES = (
    SelectChoice("system", _l("Same as the device")),
    SelectChoice("light", _l("Light")),
    SelectChoice("dark", _l("Dark")),
)


class AddressMixin:
    """A form with a person's address."""

    email: Any = EmailField(_l("E-mail"), [InputRequired(_l("Enter your e-mail address.")), check_address])

    @property
    def address(self) -> Address:
        """The address as it was checked."""
        return parse_address(text_of(self.email))


class PressOnceMixin:
    """A form whose button acts once, however often it is pressed; a page that is opened anew is another form."""

    press_key: Any = HiddenField(default=lambda: secrets.token_urlsafe(12))

    @property
    def is_pressed_again(self) -> bool:
        """Whether this very form was sent already, within the last minute."""
        key = text_of(self.press_key)[:40]
        return bool(key) and not is_first("form", key, within_seconds=60)


class NewPasswordMixin:
    """A form that sets a password; `known_words` is what an attacker knows of the person."""

    password: Any = PasswordField(_l("Password"), [InputRequired(_l("Enter a password."))])

    @property
    def known_words(self) -> Sequence[str]:
        """What a password must not be made of."""
        own = [getattr(self, name).data or "" for name in ("email", "name", "site_name") if hasattr(self, name)]
        return [*own, current_site().name, PRODUCT]

    def validate_password(self, field: Field) -> None:
        """Refuse short, endless and common passwords, and say which it is."""
        problem = password_problem(field.data or "", known_words=self.known_words)
        if problem:
            raise ValidationError(words_for(problem))


class SignUpForm(PressOnceMixin, AddressMixin, NewPasswordMixin, FlaskForm):  # type: ignore[misc]
    """Somebody signs up."""

    name = StringField(
        _l("Name"), [Length(max=100, message=_l("Use at most 100 characters.")), check_printable], [one_line]
    )


class AddressForm(PressOnceMixin, AddressMixin, FlaskForm):  # type: ignore[misc]
    """Somebody asks for a mail to their address."""


class LogInForm(FlaskForm):  # type: ignore[misc]
    """Somebody logs in; nothing here says whether the address could exist."""

    email = EmailField(_l("E-mail"), [InputRequired(_l("Enter your e-mail address."))])
    password = PasswordField(_l("Password"), [InputRequired(_l("Enter your password."))])
    remember = BooleanField(_l("Keep me logged in on this device"))


class ResetForm(NewPasswordMixin, FlaskForm):  # type: ignore[misc]
    """Somebody chooses a new password with a mailed link."""

    password = PasswordField(_l("New password"), [InputRequired(_l("Enter a new password."))])

    def __init__(self, *args: Any, known_words: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self._known_words = known_words

    @property
    def known_words(self) -> Sequence[str]:
        """What a password must not be made of."""
        return [*self._known_words, current_site().name, PRODUCT]


class ChangePasswordForm(ResetForm):
    """Somebody who is logged in changes the password."""

    current = PasswordField(_l("Current password"), [InputRequired(_l("Enter your current password."))])


class ProfileForm(FlaskForm):  # type: ignore[misc]
    """What a person says about themselves."""

    name = StringField(
        _l("Name"), [Length(max=100, message=_l("Use at most 100 characters.")), check_printable], [one_line]
    )
    language = SelectField(_l("Language"))
    timezone = SelectField(_l("Time zone"))
    theme = SelectField(_l("Theme"), choices=list(THEMES))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        site = current_site()
        usual = LANGUAGES.get(site.language, site.language)
        self.language.choices = [
            SelectChoice("", _("Same as the browser, otherwise %(usual)s", usual=usual)),
            *(SelectChoice(code, word) for code, word in LANGUAGES.items()),
        ]
        self.timezone.choices = [
            SelectChoice("", _("Same as the site: %(usual)s", usual=site.timezone)),
            *zone_choices(),
        ]


class ChangeAddressForm(FlaskForm):  # type: ignore[misc]
    """Somebody wants another address for their account."""

    email = EmailField(_l("New e-mail address"), [InputRequired(_l("Enter your new e-mail address.")), check_address])
    password = PasswordField(_l("Password"), [InputRequired(_l("Enter your password."))])

    def __init__(self, *args: Any, own_key: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._own_key = own_key

    @property
    def address(self) -> Address:
        """The address as it was checked."""
        return parse_address(text_of(self.email))

    def validate_email(self, field: Field) -> None:
        """The address of the account is no new one."""
        if self.address.key == self._own_key:
            raise ValidationError(_("This is the address of your account already."))


class AnnouncementsForm(FlaskForm):  # type: ignore[misc]
    """Whether a person wants announcements."""

    wanted = BooleanField(_l("Send me announcements"))


class DigestForm(FlaskForm):  # type: ignore[misc]
    """Whether somebody who runs the site wants the daily digest."""

    wanted = BooleanField(_l("Send me a digest every morning"), id="digest-wanted")


class DeleteAccountForm(FlaskForm):  # type: ignore[misc]
    """Somebody deletes their own account: the address typed out, and the password."""

    typed = StringField(_l("Your e-mail address"), [InputRequired(_l("Type your e-mail address."))])
    password = PasswordField(_l("Password"), [InputRequired(_l("Enter your password."))])

    def __init__(self, *args: Any, address: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._address = address

    def validate_typed(self, field: Field) -> None:
        """Only the person's own address will do."""
        if (field.data or "").strip().lower() != self._address.lower():
            raise ValidationError(_("This is not the address of this account."))


class SetupForm(AddressMixin, NewPasswordMixin, FlaskForm):  # type: ignore[misc]
    """The first visit: the owner and the site."""

    token = StringField(_l("Set-up code"), [InputRequired(_l("Enter the code from the terminal."))])
    name = StringField(
        _l("Your name"), [Length(max=100, message=_l("Use at most 100 characters.")), check_printable], [one_line]
    )
    site_name = StringField(
        _l("Name of the site"),
        [
            InputRequired(_l("Enter the name of the site.")),
            Length(max=100, message=_l("Use at most 100 characters.")),
            check_printable,
        ],
        [one_line],
    )
    language = SelectField(
        _l("Language of the site"), choices=[SelectChoice(code, word) for code, word in LANGUAGES.items()]
    )
    timezone = SelectField(_l("Time zone of the site"))
    sender_name = StringField(
        _l("Sender name"), [Length(max=100, message=_l("Use at most 100 characters.")), check_printable], [one_line]
    )
    sender_address = EmailField(
        _l("Sender address"), [InputRequired(_l("Enter the address that announcements come from.")), check_address]
    )
    postal_address = StringField(
        _l("Postal address"), [Length(max=300, message=_l("Use at most 300 characters.")), check_printable], [one_line]
    )

    def __init__(self, *args: Any, expected_token: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._expected_token = expected_token
        self.timezone.choices = list(zone_choices())

    def validate_token(self, field: Field) -> None:
        """Only the code printed in the terminal opens this page."""
        if not hmac.compare_digest((field.data or "").strip().encode(), self._expected_token.encode()):
            raise ValidationError(_("This is not the code from the terminal."))
