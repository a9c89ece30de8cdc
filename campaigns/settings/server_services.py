"""What changes the mail servers. Passwords come in, are encrypted, and never go out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from campaigns.config import current_settings
from campaigns.mail_server_urls import Tls
from campaigns.secrets_at_rest import SecretNotReadable, decrypt, encrypt
from campaigns.settings.queries import section_version, stored_values
from campaigns.settings.sections import MAIL
from campaigns.settings.services import SettingsConflict, commit, record_change, store


@dataclass(frozen=True, kw_only=True)
class ServerEntry:
    """A mail server as typed; `password` None keeps the stored one."""

    host: str
    port: int
    tls: Tls
    username: str
    password: str | None
    weight: int
    chunking: bool = False


def save_server(entry: ServerEntry, *, place: int | None, version: int) -> None:
    """Change the server at `place`, counted from 0, or add one. Commits.

    Raises SettingsConflict when the servers are not at `version` any more, so a place always means the server shown.
    """
    entries = stored_entries()
    old = entries[place] if place is not None and place < len(entries) else None
    new = _stored(entry, old)
    if old is None:
        entries.append(new)
    else:
        entries[entries.index(old)] = new
    after = {"server": _described(new)}
    if entry.password is not None:
        after["password"] = "changed" if old else "set"
    _save(entries, version, before={"server": _described(old)} if old else {}, after=after)


def remove_server(place: int, *, version: int) -> None:
    """Remove the server at `place`, counted from 0; without any the site is in trial mode. Commits.

    Raises SettingsConflict when the servers are not at `version` any more.
    """
    entries = stored_entries()
    gone = entries.pop(place) if place < len(entries) else None
    _save(entries, version, before={"server": _described(gone)} if gone else {}, after={"server": ""})


def renew_passwords() -> int:
    """Encrypt the stored passwords with the key of now while older ones are accepted; returns how many. Commits.

    Once it has run, SECRET_KEY_FALLBACKS may go. Harmless to repeat; when somebody saves meanwhile, that did it.
    """
    sealed = [entry for entry in stored_entries() if entry["password"]]
    if not sealed or not current_settings().secret_key_fallbacks:
        return 0
    entries = [{**entry, "password": renew(entry["password"])} for entry in stored_entries()]
    try:
        store(MAIL, {"mail_servers": entries}, version=section_version(MAIL))
    except SettingsConflict:
        return 0
    commit()
    return len(sealed)


def stored_entries() -> list[dict[str, Any]]:
    """Return the servers as they are stored, passwords encrypted."""
    return [dict(entry) for entry in stored_values(MAIL).get("mail_servers", [])]


def _stored(entry: ServerEntry, old: dict[str, Any] | None) -> dict[str, Any]:
    kept = old["password"] if old and entry.username else ""
    sealed = kept if entry.password is None else encrypt(entry.password) if entry.password else ""
    return {**vars(entry), "password": sealed}


def _save(entries: list[dict[str, Any]], version: int, *, before: dict[str, Any], after: dict[str, Any]) -> None:
    renewed = [{**entry, "password": renew(entry["password"])} for entry in entries]
    store(MAIL, {"mail_servers": renewed}, version=version)
    record_change(MAIL, before=before, after=after)
    commit()


def renew(token: str) -> str:
    """Return a stored password encrypted with the key of now; one that cannot be read stays as it is."""
    try:
        return encrypt(decrypt(token)) if token else ""
    except SecretNotReadable:
        return token


def _described(entry: dict[str, Any]) -> str:
    login = f", {entry['username']}" if entry["username"] else ""
    way = ", BDAT" if entry.get("chunking") else ""
    return f"{entry['host']}:{entry['port']} ({entry['tls']}{login}, weight {entry['weight']}{way})"
