"""What is typed on the team's pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import EmailField, Field, PasswordField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import InputRequired, Length, ValidationError

from campaigns.accounts.addresses import Address, parse_address
from campaigns.accounts.field_checks import check_address, check_printable, one_line
from campaigns.accounts.password_rules import password_problem
from campaigns.accounts.password_words import words_for
from campaigns.languages import LANGUAGES
from campaigns.page_frame import PRODUCT
from campaigns.security import Role
from campaigns.site import current_site
from campaigns.team.words import ROLE_SENTENCES


class InviteForm(FlaskForm):  # type: ignore[misc]
    """Somebody is asked into the team."""

    email = EmailField(_l("E-mail"), [InputRequired(_l("Enter the person's e-mail address.")), check_address])
    role = SelectField(_l("Role"))
    language = SelectField(
        _l("Language of the mail"), choices=[SelectChoice(code, word) for code, word in LANGUAGES.items()]
    )
    name = StringField(
        _l("Name"), [Length(max=100, message=_l("Use at most 100 characters.")), check_printable], [one_line]
    )

    def __init__(self, *args: Any, roles: Sequence[Role], **options: Any) -> None:
        super().__init__(*args, **options)
        self.role.choices = [SelectChoice(role.value, ROLE_SENTENCES[role]) for role in reversed(roles)]

    @property
    def address(self) -> Address:
        """The address as it was checked."""
        return parse_address(str(self.email.data))

    @property
    def chosen(self) -> Role:
        """The role."""
        return Role(self.role.data)


class MemberRoleForm(FlaskForm):  # type: ignore[misc]
    """What a member may do; "" for nothing but their own account."""

    role = SelectField(_l("Role"))

    def __init__(self, *args: Any, roles: Sequence[Role], **options: Any) -> None:
        super().__init__(*args, **options)
        given = (SelectChoice(role.value, ROLE_SENTENCES[role]) for role in reversed(roles))
        self.role.choices = [SelectChoice("", _l("No role")), *given]

    @property
    def chosen(self) -> Role | None:
        """The role, None for none."""
        return Role(self.role.data) if self.role.data else None


class AcceptForm(FlaskForm):  # type: ignore[misc]
    """An invitation is accepted by somebody who has a password."""


class AcceptWithPasswordForm(FlaskForm):  # type: ignore[misc]
    """An invitation is accepted by somebody who still needs a password."""

    password = PasswordField(_l("Password"), [InputRequired(_l("Enter a password."))])

    def __init__(self, *args: Any, known_words: Sequence[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._known_words = [*known_words, current_site().name, PRODUCT]

    def validate_password(self, field: Field) -> None:
        """Refuse short, endless and common passwords, and say which it is."""
        problem = password_problem(field.data or "", known_words=self._known_words)
        if problem:
            raise ValidationError(words_for(problem))
