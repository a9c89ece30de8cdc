"""Every setting, once: its name in the environment, its type, its default, its unit and what it means.

`load_settings` reads them strictly and reports all that are wrong together, so that a process either starts right or
says what to change. No other module reads the environment.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from flask import current_app

from campaigns.errors import SettingsError
from campaigns.mail_server_urls import LOOPBACK_HOSTS, MailServerUrl, is_elsewhere
from campaigns.secret_files import kept_secret
from campaigns.setting_readers import Reader

MOST_RATE = 1_000_000
ONE_SERVER = ("SERVER", "PORT", "USE_TLS", "USE_SSL", "USERNAME", "PASSWORD", "PASSWORD_FILE")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process; the comments are their documentation, the README's table follows them."""

    instance_dir: Path  # INSTANCE_DIR: folder for data, sockets and logs; default ./instance
    secret_key: str  # SECRET_KEY (or SECRET_KEY_FILE): signs sessions and links; made once in instance/ when not given
    secret_key_fallbacks: tuple[str, ...]  # SECRET_KEY_FALLBACKS: older keys, comma separated, still accepted
    database_url: str  # DATABASE_URL: postgresql://… or sqlite:///…; default SQLite in instance/
    redis_url: str  # REDIS_URL: redis://…, rediss://… or unix://…; default the embedded server's socket
    broker_url: str  # BROKER_URL: where Celery's messages wait, redis or amqp://…; default REDIS_URL
    queue_prefix: str  # QUEUE_PREFIX: begins the names of the queues, so that sites can share a broker; empty
    public_base_url: str  # PUBLIC_BASE_URL: the site's address as people see it; links in mail start with it
    trusted_hosts: tuple[str, ...]  # TRUSTED_HOSTS: further host names that requests may carry
    proxy_hops: int  # PROXY_HOPS: how many reverse proxies stand in front; 0
    host: str  # HOST: address the web server listens on; 127.0.0.1
    port: int  # PORT: port the web server listens on; 8000
    port_is_given: bool  # whether PORT was set, so that another must not be taken in its place
    mail_servers: tuple[MailServerUrl, ...]  # MAIL_SERVERS (or MAIL_SERVERS_FILE): several, instead of MAIL_SERVER
    mail_server: str  # MAIL_SERVER: host of the mail server; empty, and no MAIL_SERVERS = trial mode
    mail_port: int  # MAIL_PORT; 25, or 465 with MAIL_USE_SSL
    mail_use_tls: bool  # MAIL_USE_TLS: STARTTLS, required
    mail_use_ssl: bool  # MAIL_USE_SSL: TLS from the first byte
    mail_username: str  # MAIL_USERNAME
    mail_password: str  # MAIL_PASSWORD (or MAIL_PASSWORD_FILE)
    mail_default_sender: str  # MAIL_DEFAULT_SENDER: address, or "Name <address>"; default from the site's settings
    mail_tls_verify: bool  # MAIL_TLS_VERIFY: check the mail server's certificate; true
    mail_ca_file: Path | None  # MAIL_CA_FILE: certificate authority of a private mail server
    mail_ehlo_name: str  # MAIL_EHLO_NAME: how we introduce ourselves; default this machine's name
    mail_timeout_seconds: int  # MAIL_TIMEOUT: longest wait for any reply but the last, seconds; 60
    mail_max_emails: int  # MAIL_MAX_EMAILS: messages over one connection before it is renewed; 1000
    hold_seconds: int  # HOLD_SECONDS: how long a launch can be taken back, 0 to 600; 60
    confirm_from: int  # CONFIRM_FROM: recipients from which the number must be typed; 1000
    batch_size: int  # BATCH_SIZE: recipients in one batch; 500
    bulk_threads: int  # BULK_THREADS: mails that each sending process has on their way at once; 2
    rate_per_second: float  # RATE_PER_SECOND: most mails of campaigns in a second, all workers together; 0 = no limit
    rate_per_day: int  # RATE_PER_DAY: most mails of campaigns in any 24 hours; 0 = no limit
    rate_per_domain: tuple[tuple[str, float], ...]  # RATE_PER_DOMAIN: gmail.com=20,… most mails in a second to a domain
    give_up_hours: int  # GIVE_UP_HOURS: how long temporary refusals are tried again, hours; 24
    brake_failed_percent: int  # BRAKE_FAILED_PERCENT: share of permanent refusals that pauses a campaign; 10, 0 = never
    brake_after: int  # BRAKE_AFTER: answered mails from which the brake looks; 200
    reconcile_seconds: int  # RECONCILE_SECONDS: how often lost work is looked for; 10
    lease_seconds: int  # LEASE_SECONDS: after how long a silent worker's batch is taken over; 30
    upload_limit_bytes: int  # UPLOAD_LIMIT_MB: largest upload, MB; 64
    journal_dir: Path  # JOURNAL_DIR: local folder of the senders' journals; default journal/ in INSTANCE_DIR
    log_level: str  # LOG_LEVEL: debug, info, warning or error; info
    log_format: Literal["json", "text"]  # LOG_FORMAT: json or text; json
    testing: bool  # TESTING: only the tests set it

    @property
    def trial_mode(self) -> bool:
        """Whether mail stays on this machine and is read at /inbox."""
        return not self.mail_server and not self.mail_servers

    @property
    def mail_leaves_machine(self) -> bool:
        """Whether a mail server is another machine."""
        return is_elsewhere(self.mail_server, self.mail_servers)

    @property
    def catcher_socket(self) -> Path:
        """The Unix socket of the built-in mail catcher."""
        return self.run_dir / "mail.sock"

    @property
    def run_dir(self) -> Path:
        """The folder of sockets and process files, short enough for a socket's path."""
        return run_dir_of(self.instance_dir)

    @property
    def embedded_redis(self) -> Path | None:
        """The socket of the Redis-protocol server that `make run` starts; None when REDIS_URL names another one."""
        socket = self.run_dir / "redis.sock"
        return socket if self.redis_url == f"unix://{socket}?db=0" else None

    @property
    def is_secure(self) -> bool:
        """Whether people reach the site over TLS."""
        return self.public_base_url.startswith("https://")


def current_settings() -> Settings:
    """Return the settings of the running application."""
    return cast("Settings", current_app.extensions["carillon.settings"])


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read every setting from `environ`.

    Raises SettingsError naming each wrong one and what was expected. Creates the instance folder, and the secret key
    in it when none is given.
    """
    read = Reader(environ)
    values = {**_read_places(read), **_read_web(read), **_read_mail(read), **_read_delivery(read, _instance_dir(read))}
    _check_together(read, values)
    read.raise_problems()
    values["secret_key"] = values["secret_key"] or kept_secret(values["instance_dir"] / "secret_key", size_bytes=48)
    return Settings(**values)


def load_settings_or_exit(environ: Mapping[str, str]) -> Settings:
    """Read every setting; when one is wrong, say so in plain lines and end the process with exit status 2."""
    try:
        return load_settings(environ)
    except SettingsError as error:
        lines = "\n".join(f"  {line}" for line in str(error).splitlines())
        sys.stderr.write(f"Carillon cannot start; these settings are wrong:\n{lines}\n")
        raise SystemExit(2) from None


def run_dir_of(instance_dir: Path) -> Path:
    """Return the folder for sockets: instance/run, or a short one in the temporary folder when the path is too long.

    A Unix socket's path holds at most 104 bytes on macOS and 108 on Linux.
    """
    folder = instance_dir / "run"
    if len(str(folder / "redis.sock")) < 100:
        return folder
    return Path("/tmp") / f"carillon-{abs(hash_of(str(instance_dir))):x}"  # noqa: S108 - made 0700 by the supervisor


def hash_of(text: str) -> int:
    """Return a hash of `text` that is the same in every process."""
    value = 14695981039346656037
    for byte in text.encode():
        value = ((value ^ byte) * 1099511628211) % 2**64
    return value


def _read_places(read: Reader) -> dict[str, Any]:
    instance_dir = _instance_dir(read)
    embedded = f"unix://{run_dir_of(instance_dir) / 'redis.sock'}?db=0"
    redis_url = read.url("REDIS_URL", default=embedded, schemes=("redis", "rediss", "unix"))
    return {
        "instance_dir": instance_dir,
        "secret_key": read.secret("SECRET_KEY"),
        "secret_key_fallbacks": read.words("SECRET_KEY_FALLBACKS"),
        "database_url": read.database_url("DATABASE_URL", default=f"sqlite:///{instance_dir / 'carillon.sqlite'}"),
        "redis_url": redis_url,
        "broker_url": read.url(
            "BROKER_URL", default=redis_url, schemes=("redis", "rediss", "unix", "redis+socket", "amqp", "amqps")
        ),
        "queue_prefix": _queue_prefix(read),
        "log_level": read.choice("LOG_LEVEL", default="info", among=("debug", "info", "warning", "error")),
        "log_format": read.choice("LOG_FORMAT", default="json", among=("json", "text")),
        "testing": read.flag("TESTING", default=False),
    }


def _queue_prefix(read: Reader) -> str:
    prefix = read.text("QUEUE_PREFIX", default="")
    # A dot would part it from the lane's name, and another site's delayed messages would match.
    if prefix and not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", prefix):
        read.problem("QUEUE_PREFIX: expected at most 40 letters, digits, hyphens and underscores")
    return prefix


def _read_web(read: Reader) -> dict[str, Any]:
    port = read.whole("PORT", default=8000, least=1, most=65535)
    return {
        "public_base_url": read.base_url("PUBLIC_BASE_URL", default=f"http://127.0.0.1:{port}"),
        "trusted_hosts": read.words("TRUSTED_HOSTS"),
        "proxy_hops": read.whole("PROXY_HOPS", default=0, least=0, most=5),
        "host": read.text("HOST", default="127.0.0.1"),
        "port": port,
        "port_is_given": read.is_given("PORT"),
        "upload_limit_bytes": read.whole("UPLOAD_LIMIT_MB", default=64, least=1, most=4096) * 1_000_000,
    }


def _read_mail(read: Reader) -> dict[str, Any]:
    use_ssl = read.flag("MAIL_USE_SSL", default=False)
    return {
        "mail_servers": read.mail_servers("MAIL_SERVERS", instead_of=[f"MAIL_{word}" for word in ONE_SERVER]),
        "mail_server": read.text("MAIL_SERVER", default=""),
        "mail_port": read.whole("MAIL_PORT", default=465 if use_ssl else 25, least=1, most=65535),
        "mail_use_tls": read.flag("MAIL_USE_TLS", default=False),
        "mail_use_ssl": use_ssl,
        "mail_username": read.text("MAIL_USERNAME", default=""),
        "mail_password": read.secret("MAIL_PASSWORD"),
        "mail_default_sender": read.mailbox("MAIL_DEFAULT_SENDER"),
        "mail_tls_verify": read.flag("MAIL_TLS_VERIFY", default=True),
        "mail_ca_file": read.existing_file("MAIL_CA_FILE"),
        "mail_ehlo_name": read.text("MAIL_EHLO_NAME", default=""),
        "mail_timeout_seconds": read.whole("MAIL_TIMEOUT", default=60, least=1, most=600),
        "mail_max_emails": read.whole("MAIL_MAX_EMAILS", default=1000, least=1, most=1_000_000),
    }


def _instance_dir(read: Reader) -> Path:
    return Path(read.text("INSTANCE_DIR", default="instance")).absolute()


def _read_delivery(read: Reader, instance_dir: Path) -> dict[str, Any]:
    return {
        "hold_seconds": read.whole("HOLD_SECONDS", default=60, least=0, most=600),
        "confirm_from": read.whole("CONFIRM_FROM", default=1000, least=1, most=1_000_000_000),
        "batch_size": read.whole("BATCH_SIZE", default=500, least=1, most=10_000),
        "bulk_threads": read.whole("BULK_THREADS", default=2, least=1, most=200),
        "rate_per_second": read.number("RATE_PER_SECOND", default=0, most=MOST_RATE),
        "rate_per_day": read.whole("RATE_PER_DAY", default=0, least=0, most=1_000_000_000),
        "rate_per_domain": read.domain_rates("RATE_PER_DOMAIN", most=MOST_RATE),
        "give_up_hours": read.whole("GIVE_UP_HOURS", default=24, least=0, most=240),
        "brake_failed_percent": read.whole("BRAKE_FAILED_PERCENT", default=10, least=0, most=100),
        "brake_after": read.whole("BRAKE_AFTER", default=200, least=1, most=1_000_000),
        "reconcile_seconds": read.whole("RECONCILE_SECONDS", default=10, least=1, most=3600),
        "journal_dir": read.writable_folder("JOURNAL_DIR", default=instance_dir / "journal"),
        "lease_seconds": read.whole("LEASE_SECONDS", default=30, least=5, most=3600),
    }


def _check_together(read: Reader, values: dict[str, Any]) -> None:
    if values["mail_use_tls"] and values["mail_use_ssl"]:
        read.problem("MAIL_USE_TLS, MAIL_USE_SSL: expected at most one of them to be true")
    if bool(values["mail_username"]) != bool(values["mail_password"]):
        read.problem("MAIL_USERNAME, MAIL_PASSWORD: expected both or neither")
    if values["testing"] or not is_elsewhere(values["mail_server"], values["mail_servers"]):
        return
    # Mail that leaves the machine carries links: they must lead here, and only we may be able to sign them.
    if not read.is_given("PUBLIC_BASE_URL"):
        read.problem("PUBLIC_BASE_URL: expected the site's public address, since the mail server is another machine")
    if urlsplit(str(values["public_base_url"])).hostname == "":
        read.problem("PUBLIC_BASE_URL: expected a host name")


def setting_names() -> list[str]:
    """Return the field names of Settings, in the order of the file."""
    return [field.name for field in fields(Settings)]


__all__ = [
    "LOOPBACK_HOSTS",
    "Settings",
    "SettingsError",
    "current_settings",
    "load_settings",
    "load_settings_or_exit",
    "setting_names",
]
