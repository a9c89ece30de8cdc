"""Every setting, once: its name in the environment, its type, its default, its unit and what it means.

`load_settings` reads them strictly and reports all that are wrong together, so that a process either starts right or
says what to change. No other module reads the environment. What the environment does not fix may be changed in the
browser: `current_settings` has it as it is now (stored_settings.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from socket import gethostname
from typing import Literal, cast

from flask import current_app

from campaigns.errors import SettingsError
from campaigns.mail_server_urls import LOOPBACK_HOSTS, MailServerUrl, is_elsewhere
from campaigns.secret_files import kept_secret
from campaigns.setting_groups import read_groups, run_dir_of
from campaigns.setting_readers import Reader


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
    flower_url: str  # FLOWER_URL: where admins reach Flower, with a path; when set, workers tell it of tasks
    flower_host: str  # FLOWER_HOST: address Flower listens on; 127.0.0.1
    flower_port: int  # FLOWER_PORT: port Flower listens on; 5555
    flower_port_is_given: bool  # whether FLOWER_PORT was set, so that another must not be taken in its place
    flower_password: str  # FLOWER_PASSWORD (or FLOWER_PASSWORD_FILE): made once in instance/ when not given
    mail_servers: tuple[MailServerUrl, ...]  # MAIL_SERVERS (or MAIL_SERVERS_FILE): several, instead of MAIL_SERVER
    mail_server: str  # MAIL_SERVER: host of the mail server; empty, and no MAIL_SERVERS = trial mode
    mail_port: int  # MAIL_PORT; 25, or 465 with MAIL_USE_SSL
    mail_use_tls: bool  # MAIL_USE_TLS: STARTTLS, required
    mail_use_ssl: bool  # MAIL_USE_SSL: TLS from the first byte
    mail_username: str  # MAIL_USERNAME
    mail_password: str  # MAIL_PASSWORD (or MAIL_PASSWORD_FILE)
    mail_chunking: bool  # MAIL_CHUNKING: BDAT instead of DATA where it is offered; false
    mail_default_sender: str  # MAIL_DEFAULT_SENDER: address, or "Name <address>"; until the site has its own
    mail_tls_verify: bool  # MAIL_TLS_VERIFY: check the mail server's certificate; true
    mail_ca_file: Path | None  # MAIL_CA_FILE: certificate authority of a private mail server
    mail_ehlo_name: str  # MAIL_EHLO_NAME: how we introduce ourselves; default this machine's name
    mail_timeout_seconds: int  # MAIL_TIMEOUT: longest wait for any reply but the last, seconds; 60
    mail_max_emails: int  # MAIL_MAX_EMAILS: messages over one connection before it is renewed; 1000
    hold_seconds: int  # HOLD_SECONDS: how long a launch can be taken back, 0 to 600; 60
    confirm_from: int  # CONFIRM_FROM: recipients from which the number must be typed; 1000
    approve_from: int  # APPROVE_FROM: recipients from which a second person must approve a launch; 0 = never
    batch_size: int  # BATCH_SIZE: the most recipients in one batch; 1000
    bulk_threads: int  # BULK_THREADS: batches that each sending process sends at once; 2
    bulk_connections: int  # BULK_CONNECTIONS: connections over which a batch is sent at once; 4
    rate_per_second: float  # RATE_PER_SECOND: most mails of campaigns in a second, all workers together; 0 = no limit
    rate_per_day: int  # RATE_PER_DAY: most mails in any 24 hours, of which only campaigns wait; 0 = none
    rate_per_domain: tuple[tuple[str, float], ...]  # RATE_PER_DOMAIN: gmail.com=20,… most mails in a second to a domain
    give_up_hours: int  # GIVE_UP_HOURS: how long temporary refusals are tried again, hours; 24
    brake_failed_percent: int  # BRAKE_FAILED_PERCENT: share of permanent refusals that pauses a campaign; 10, 0 = never
    brake_after: int  # BRAKE_AFTER: answered mails from which the brake looks; 200
    track_opens: bool  # TRACK_OPENS: whether openings of a new campaign's mails are counted; false
    track_clicks: bool  # TRACK_CLICKS: whether clicks on a new campaign's links are counted; false
    queue_mark: int  # QUEUE_MARK: tasks waiting in a queue from which new campaigns hold; 5000
    public_mails_per_hour: int  # PUBLIC_MAILS_PER_HOUR: most mails that sign-up and reset pages cause together; 1000
    reconcile_seconds: int  # RECONCILE_SECONDS: how often lost work is looked for; 10
    lease_seconds: int  # LEASE_SECONDS: after how long a silent worker's batch is taken over; 30
    keep_failures_days: int  # KEEP_FAILURES_DAYS: how long failed tasks that are dealt with are kept, days; 30
    keep_mails_days: int  # KEEP_MAILS_DAYS: how long it is kept to whom single mails went, days; 30
    keep_imports_days: int  # KEEP_IMPORTS_DAYS: how long imports are kept with their refused rows, days; 90
    keep_tracking_days: int  # KEEP_TRACKING_DAYS: how long it is kept who opened and clicked, days; 90
    keep_attempts_days: int  # KEEP_ATTEMPTS_DAYS: how long each attempt is kept that was not accepted, days; 365
    keep_audit_days: int  # KEEP_AUDIT_DAYS: how long the activity log is kept, days; 1095
    two_step_required_from: str  # TWO_STEP_REQUIRED_FROM: lowest role that needs two-step log-in; nobody
    upload_limit_bytes: int  # UPLOAD_LIMIT_MB: largest upload, MB; 64
    journal_dir: Path  # JOURNAL_DIR: local folder of the senders' journals; default journal/ in INSTANCE_DIR
    metrics_token: str  # METRICS_TOKEN (or METRICS_TOKEN_FILE): who knows it may read /metrics; without it this machine
    metrics_port: int  # METRICS_PORT: where workers serve /metrics on a machine without a web site; 0 = nowhere
    metrics_host: str  # METRICS_HOST: address that METRICS_PORT listens on; 127.0.0.1
    log_level: str  # LOG_LEVEL: debug, info, warning or error; info
    log_format: Literal["json", "text"]  # LOG_FORMAT: json or text; json
    failure_notice_after: int  # FAILURE_NOTICE_AFTER: failed tasks in an hour that are told by mail; 10, 0 = never
    sentry_dsn: str  # SENTRY_DSN (or SENTRY_DSN_FILE): where errors are sent; empty = nowhere
    sentry_environment: str  # SENTRY_ENVIRONMENT: what Sentry calls this installation; production
    sentry_crons: bool  # SENTRY_CRONS: whether periodic jobs check in there; false
    dns_server: str  # DNS_SERVER: host or host:port asked about the sending domain; the machine's own
    testing: bool  # TESTING: only the tests set it
    given: frozenset[str]  # the fields that the environment says, which the browser cannot change

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
    def metrics_dir(self) -> Path:
        """The folder in which the processes of this machine count together; a shared INSTANCE_DIR has one for each."""
        return self.instance_dir / "metrics" / (gethostname() or "here")

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
    """Return the settings as they are now; ask again each time, never keep them."""
    return cast("Settings", current_app.extensions["carillon.settings"])


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read every setting from `environ`.

    Raises SettingsError naming each wrong one and what was expected. Creates the instance folder, and the secret key
    in it when none is given.
    """
    read = Reader(environ)
    values = read_groups(read)
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
