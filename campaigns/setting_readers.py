"""Strict readers for settings: each returns a value of its type, or notes what was expected and goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlsplit

import idna

from campaigns.errors import SettingsError
from campaigns.mail_server_urls import MailServerUrl, WrongMailServer, read_mail_servers

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")


class Reader:
    """Reads settings from an environment and collects every problem, so that all are reported together."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[str] = []

    def problem(self, text: str) -> None:
        """Note one problem: the setting's name, what was expected, what was found."""
        self._problems.append(text)

    def raise_problems(self) -> None:
        """Raise SettingsError with a line for each problem noted, if there is any."""
        if self._problems:
            raise SettingsError("\n".join(self._problems))

    def is_given(self, name: str) -> bool:
        """Tell whether the setting is there and not empty."""
        return bool(self._environ.get(name, "").strip())

    def text(self, name: str, *, default: str) -> str:
        """Read a line of text."""
        value = self._environ.get(name, "").strip() or default
        if any(ord(character) < 32 for character in value):
            self.problem(f"{name}: expected one line without control characters")
        return value

    def secret(self, name: str) -> str:
        """Read a secret from NAME, or from the file that NAME_FILE names; empty when neither is given."""
        path = self.existing_file(f"{name}_FILE")
        return path.read_text().strip() if path else self._environ.get(name, "").strip()

    def words(self, name: str) -> tuple[str, ...]:
        """Read a comma-separated list."""
        return tuple(word.strip() for word in self._environ.get(name, "").split(",") if word.strip())

    def flag(self, name: str, *, default: bool) -> bool:
        """Read a yes or no; anything but the listed words is a problem, never a guess."""
        value = self._environ.get(name, "").strip().lower()
        if not value:
            return default
        if value not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
            self.problem(f"{name}: expected true or false, got {value!r}")
        return value in {"1", "true", "yes", "on"}

    def whole(self, name: str, *, default: int, least: int, most: int) -> int:
        """Read a whole number between two bounds, both allowed."""
        value = self._environ.get(name, "").strip()
        if not value:
            return default
        if not value.lstrip("-").isascii() or not value.lstrip("-").isdigit() or not least <= int(value) <= most:
            self.problem(f"{name}: expected a whole number from {least} to {most}, got {value!r}")
            return default
        return int(value)

    def number(self, name: str, *, default: float, most: float) -> float:
        """Read a number of 0 or more, with or without decimals."""
        value = self._environ.get(name, "").strip()
        if not value:
            return default
        if not _NUMBER.fullmatch(value) or float(value) > most:
            self.problem(f"{name}: expected a number from 0 to {most:g}, got {value!r}")
            return default
        return float(value)

    def domain_rates(self, name: str, *, most: float) -> tuple[tuple[str, float], ...]:
        """Read a list like `gmail.com=20,naver.com=10.5`: a domain, and a number greater than 0 for each."""
        rates: dict[str, float] = {}
        for word in self.words(name):
            domain, _, value = (part.strip() for part in word.partition("="))
            key = _ascii_domain(domain)
            if not _DOMAIN.fullmatch(key):
                self.problem(f"{name}: expected a list like gmail.com=20,naver.com=10.5, got {word!r}")
            elif key in rates:
                self.problem(f"{name}: expected each domain once, got {domain!r} twice")
            elif not _NUMBER.fullmatch(value) or not 0 < float(value) <= most:
                self.problem(f"{name}: expected more than 0 and at most {most:g} for {domain}, got {value!r}")
            else:
                rates[key] = float(value)
        return tuple(rates.items())

    def mail_servers(self, name: str, *, instead_of: Sequence[str]) -> tuple[MailServerUrl, ...]:
        """Read mail servers from NAME, or from the file that NAME_FILE names.

        The settings that they stand instead of must not be given too: they would be ignored without a word.
        """
        try:
            servers = read_mail_servers(self.secret(name))
        except WrongMailServer as error:
            self.problem(f"{name}: {error}")
            return ()
        for other in instead_of if servers else ():
            if self.is_given(other):
                self.problem(f"{other}: expected nothing, since {name} says how each server is reached")
        return servers

    def choice(self, name: str, *, default: str, among: Sequence[str]) -> str:
        """Read one of a few words."""
        value = self._environ.get(name, "").strip().lower() or default
        if value not in among:
            self.problem(f"{name}: expected one of {', '.join(among)}, got {value!r}")
        return value

    def url(self, name: str, *, default: str, schemes: Sequence[str]) -> str:
        """Read an address with one of the given schemes."""
        value = self._environ.get(name, "").strip() or default
        if urlsplit(value).scheme not in schemes:
            self.problem(f"{name}: expected an address starting with {', '.join(s + '://' for s in schemes)}")
        return value

    def base_url(self, name: str, *, default: str) -> str:
        """Read a site's address: http or https, a host, no query; the closing slash is dropped."""
        value = self.url(name, default=default, schemes=("http", "https")).rstrip("/")
        parts = urlsplit(value)
        if not parts.hostname or parts.query or parts.fragment:
            self.problem(f"{name}: expected an address like https://news.example.com, got {value!r}")
        return value

    def database_url(self, name: str, *, default: str) -> str:
        """Read a database's address, and name the driver that Carillon uses for it."""
        value = self._environ.get(name, "").strip() or default
        for scheme in ("postgres://", "postgresql://"):
            if value.startswith(scheme):
                return "postgresql+psycopg://" + value.removeprefix(scheme)
        if not value.startswith(("postgresql+psycopg://", "sqlite:///")):
            self.problem(f"{name}: expected postgresql://… or sqlite:///…")
        return value

    def mailbox(self, name: str) -> str:
        """Read a mail address with or without a display name; empty when not given."""
        value = self.text(name, default="")
        if value and "@" not in parseaddr(value)[1]:
            self.problem(f"{name}: expected an address like news@example.com or Name <news@example.com>, got {value!r}")
        return value

    def sentry_dsn(self, name: str) -> str:
        """Read where errors are sent, from NAME or NAME_FILE: `https://key@host/project`; empty when not given."""
        value = self.secret(name)
        parts = urlsplit(value)
        is_whole = parts.username and parts.hostname and parts.path.rpartition("/")[2].isdigit()
        if value and (parts.scheme not in ("http", "https") or not is_whole):
            self.problem(f"{name}: expected an address like https://key@errors.example.com/1")
            return ""
        return value

    def existing_file(self, name: str) -> Path | None:
        """Read the path of a file that must exist; None when not given."""
        value = self._environ.get(name, "").strip()
        if not value:
            return None
        if not Path(value).is_file():
            self.problem(f"{name}: expected a file that can be read, found none at {value!r}")
            return None
        return Path(value)

    def writable_folder(self, name: str, *, default: Path) -> Path:
        """Read a folder that is made if need be and can be written to."""
        folder = Path(self._environ.get(name, "").strip() or default).absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            self.problem(f"{name}: expected a folder that can be made at {str(folder)!r}: {error.strerror}")
            return folder
        if not os.access(folder, os.W_OK | os.X_OK):
            self.problem(f"{name}: expected a folder that can be written to, {str(folder)!r} cannot")
        return folder


def _ascii_domain(domain: str) -> str:
    """Return a domain as mail servers see it; empty when it cannot be one."""
    try:
        return domain.lower() if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return ""
