"""The mail catcher: a real process, spoken to over its socket."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from campaigns.config import Settings
from campaigns.ops.inbox import inbox_path, read_mail, read_page, recipients_after
from tests.parts import wait_until


class SocketSmtp(smtplib.SMTP):
    """An SMTP client that connects to a Unix socket."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        super().__init__("localhost", local_hostname="client.example.com")

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        return connection


@pytest.fixture
def catcher(start_process: Callable[..., Any], settings: Settings) -> Iterator[Any]:
    process = start_process("campaigns.ops.catcher")
    wait_until(lambda: answers(settings.catcher_socket), what="the catcher")
    return process


def answers(path: Path) -> bool:
    """Tell whether somebody listens there; the socket stands in its folder a moment before."""
    try:
        with SocketSmtp(path):
            return True
    except OSError:
        return False


def mail(to: str, subject: str = "Hello", body: str = "text") -> str:
    return f"From: news@example.com\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <1@example.com>\r\n\r\n{body}\r\n"


def test_a_mail_that_was_answered_ok_can_be_read_byte_for_byte(catcher: Any, settings: Settings) -> None:
    source = mail("kim@example.com", "=?utf-8?b?7JWI64WV7ZWY7IS47JqU?=", "안녕하세요\r\n.a line with a dot").encode()
    with SocketSmtp(settings.catcher_socket) as client:
        client.sendmail("news@example.com", ["kim@example.com"], source)
    page = read_page(inbox_path(settings.instance_dir))
    caught, raw = read_mail(inbox_path(settings.instance_dir), page.mails[0].id) or (None, b"")
    assert caught is not None
    assert raw == source
    assert (caught.sender, caught.recipient) == ("news@example.com", "kim@example.com")
    assert (caught.subject, caught.message_id) == ("안녕하세요", "<1@example.com>")


def test_many_connections_at_once_lose_nothing(catcher: Any, settings: Settings) -> None:
    def send(connection: int) -> None:
        with SocketSmtp(settings.catcher_socket) as client:
            for number in range(25):
                address = f"p{connection}.{number}@example.com"
                client.sendmail("news@example.com", [address], mail(address))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(8)))
    caught = recipients_after(inbox_path(settings.instance_dir), 0)
    assert len(caught) == 200
    assert set(caught.values()) == {1}


def test_what_was_answered_ok_survives_kill_9(catcher: Any, settings: Settings) -> None:
    with SocketSmtp(settings.catcher_socket) as client:
        for number in range(20):
            client.sendmail("news@example.com", [f"k{number}@example.com"], mail("k@example.com"))
        os.kill(catcher.pid, signal.SIGKILL)
        catcher.wait()
    assert len(recipients_after(inbox_path(settings.instance_dir), 0)) == 20


def test_only_this_user_may_reach_the_socket(catcher: Any, settings: Settings) -> None:
    assert settings.run_dir.stat().st_mode & 0o777 == 0o700
    assert settings.catcher_socket.stat().st_mode & 0o777 == 0o600


def test_it_starts_again_over_a_socket_left_behind(
    catcher: Any, start_process: Callable[..., Any], settings: Settings
) -> None:
    os.kill(catcher.pid, signal.SIGKILL)
    catcher.wait()
    start_process("campaigns.ops.catcher")
    wait_until(lambda: answers(settings.catcher_socket), what="the catcher")
