"""The settings by group: what each is called in the environment, and what it may be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from campaigns.mail_server_urls import LOOPBACK_HOSTS, is_elsewhere
from campaigns.setting_readers import Reader

TWO_STEP_FROM = ("nobody", "viewer", "editor", "sender", "admin", "owner")
MOST_RATE = 1_000_000
MOST_PEOPLE = 1_000_000_000
MOST_DAYS = 36_500
ONE_SERVER = ("SERVER", "PORT", "USE_TLS", "USE_SSL", "USERNAME", "PASSWORD", "PASSWORD_FILE", "CHUNKING")

# What may be changed in the browser as long as the environment does not say it: the field, and its name there.
CHANGEABLE = {
    "mail_servers": "MAIL_SERVERS",
    "rate_per_second": "RATE_PER_SECOND",
    "rate_per_day": "RATE_PER_DAY",
    "rate_per_domain": "RATE_PER_DOMAIN",
    "batch_size": "BATCH_SIZE",
    "give_up_hours": "GIVE_UP_HOURS",
    "brake_failed_percent": "BRAKE_FAILED_PERCENT",
    "brake_after": "BRAKE_AFTER",
    "hold_seconds": "HOLD_SECONDS",
    "confirm_from": "CONFIRM_FROM",
    "approve_from": "APPROVE_FROM",
    "track_opens": "TRACK_OPENS",
    "track_clicks": "TRACK_CLICKS",
    "keep_failures_days": "KEEP_FAILURES_DAYS",
    "keep_mails_days": "KEEP_MAILS_DAYS",
    "keep_imports_days": "KEEP_IMPORTS_DAYS",
    "keep_tracking_days": "KEEP_TRACKING_DAYS",
    "keep_attempts_days": "KEEP_ATTEMPTS_DAYS",
    "keep_audit_days": "KEEP_AUDIT_DAYS",
    "two_step_required_from": "TWO_STEP_REQUIRED_FROM",
}


def read_groups(read: Reader) -> dict[str, Any]:
    """Read every setting; what is wrong is noted in `read`. Keys are the fields of `config.Settings`."""
    instance_dir = _instance_dir(read)
    values = {
        **_read_places(read),
        **_read_web(read),
        **_read_flower(read),
        **_read_mail(read),
        **_read_delivery(read, instance_dir),
        **_read_metrics(read),
        **_read_failures(read),
    }
    _check_together(read, values)
    values["given"] = _given(read)
    return values


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


def _given(read: Reader) -> frozenset[str]:
    names = {**CHANGEABLE, "public_base_url": "PUBLIC_BASE_URL"}
    given = {field for field, name in names.items() if read.is_given(name) or read.is_given(f"{name}_FILE")}
    # One server by its own names is as good as a list of them.
    return frozenset(given | ({"mail_servers"} if read.is_given("MAIL_SERVER") else set()))


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
        "two_step_required_from": read.choice("TWO_STEP_REQUIRED_FROM", default=TWO_STEP_FROM[0], among=TWO_STEP_FROM),
        "upload_limit_bytes": read.whole("UPLOAD_LIMIT_MB", default=64, least=1, most=4096) * 1_000_000,
    }


def _read_flower(read: Reader) -> dict[str, Any]:
    url = read.base_url("FLOWER_URL", default="") if read.is_given("FLOWER_URL") else ""
    # Flower answers under one path only, beside Carillon; the path of its address says which.
    if url and not urlsplit(url).path.strip("/"):
        read.problem(f"FLOWER_URL: expected an address with a path, like https://news.example.com/flower, got {url!r}")
    return {
        "flower_url": url,
        "flower_host": read.text("FLOWER_HOST", default="127.0.0.1"),
        "flower_port": read.whole("FLOWER_PORT", default=5555, least=1, most=65535),
        "flower_port_is_given": read.is_given("FLOWER_PORT"),
        "flower_password": read.secret("FLOWER_PASSWORD"),
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
        "mail_chunking": read.flag("MAIL_CHUNKING", default=False),
        "mail_default_sender": read.mailbox("MAIL_DEFAULT_SENDER"),
        "mail_tls_verify": read.flag("MAIL_TLS_VERIFY", default=True),
        "mail_ca_file": read.existing_file("MAIL_CA_FILE"),
        "mail_ehlo_name": read.text("MAIL_EHLO_NAME", default=""),
        "mail_timeout_seconds": read.whole("MAIL_TIMEOUT", default=60, least=1, most=600),
        "dns_server": read.text("DNS_SERVER", default=""),
        "mail_max_emails": read.whole("MAIL_MAX_EMAILS", default=1000, least=1, most=1_000_000),
    }


def _instance_dir(read: Reader) -> Path:
    return Path(read.text("INSTANCE_DIR", default="instance")).absolute()


def _read_delivery(read: Reader, instance_dir: Path) -> dict[str, Any]:
    return {
        "hold_seconds": read.whole("HOLD_SECONDS", default=60, least=0, most=600),
        "confirm_from": read.whole("CONFIRM_FROM", default=1000, least=1, most=MOST_PEOPLE),
        "approve_from": read.whole("APPROVE_FROM", default=0, least=0, most=MOST_PEOPLE),
        "batch_size": read.whole("BATCH_SIZE", default=1_000, least=1, most=10_000),
        "bulk_threads": read.whole("BULK_THREADS", default=2, least=1, most=200),
        "bulk_connections": read.whole("BULK_CONNECTIONS", default=4, least=1, most=200),
        "rate_per_second": read.number("RATE_PER_SECOND", default=0, most=MOST_RATE),
        "rate_per_day": read.whole("RATE_PER_DAY", default=0, least=0, most=MOST_PEOPLE),
        "rate_per_domain": read.domain_rates("RATE_PER_DOMAIN", most=MOST_RATE),
        "give_up_hours": read.whole("GIVE_UP_HOURS", default=24, least=0, most=240),
        "brake_failed_percent": read.whole("BRAKE_FAILED_PERCENT", default=10, least=0, most=100),
        "brake_after": read.whole("BRAKE_AFTER", default=200, least=1, most=1_000_000),
        "keep_failures_days": read.whole("KEEP_FAILURES_DAYS", default=30, least=1, most=MOST_DAYS),
        "keep_mails_days": read.whole("KEEP_MAILS_DAYS", default=30, least=1, most=MOST_DAYS),
        "keep_imports_days": read.whole("KEEP_IMPORTS_DAYS", default=90, least=1, most=MOST_DAYS),
        "keep_tracking_days": read.whole("KEEP_TRACKING_DAYS", default=90, least=1, most=MOST_DAYS),
        "keep_attempts_days": read.whole("KEEP_ATTEMPTS_DAYS", default=365, least=1, most=MOST_DAYS),
        "keep_audit_days": read.whole("KEEP_AUDIT_DAYS", default=1095, least=1, most=MOST_DAYS),
        "track_opens": read.flag("TRACK_OPENS", default=False),
        "track_clicks": read.flag("TRACK_CLICKS", default=False),
        "queue_mark": read.whole("QUEUE_MARK", default=5000, least=1, most=10_000_000),
        "public_mails_per_hour": read.whole("PUBLIC_MAILS_PER_HOUR", default=1000, least=1, most=1_000_000),
        "reconcile_seconds": read.whole("RECONCILE_SECONDS", default=10, least=1, most=3600),
        "journal_dir": read.writable_folder("JOURNAL_DIR", default=instance_dir / "journal"),
        "lease_seconds": read.whole("LEASE_SECONDS", default=30, least=5, most=3600),
    }


def _read_metrics(read: Reader) -> dict[str, Any]:
    values = {
        "metrics_token": read.secret("METRICS_TOKEN"),
        "metrics_port": read.whole("METRICS_PORT", default=0, least=0, most=65535),
        "metrics_host": read.text("METRICS_HOST", default="127.0.0.1"),
    }
    if values["metrics_port"] and not values["metrics_token"] and values["metrics_host"] not in LOOPBACK_HOSTS:
        read.problem("METRICS_TOKEN: expected a token, since METRICS_HOST lets other machines ask")
    return values


def _read_failures(read: Reader) -> dict[str, Any]:
    return {
        "failure_notice_after": read.whole("FAILURE_NOTICE_AFTER", default=10, least=0, most=1_000_000),
        "sentry_dsn": read.sentry_dsn("SENTRY_DSN"),
        "sentry_crons": read.flag("SENTRY_CRONS", default=False),
        "sentry_environment": read.text("SENTRY_ENVIRONMENT", default="production"),
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
