"""The three replies that let a message's content go are taken as one; whatever differs is read one by one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from campaigns.mail.replies import Phase
from campaigns.mail.smtp_wire import Wire

GO_AHEAD = b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[Wire, socket.socket]]:
    ours, theirs = socket.socketpair()
    with theirs:
        wire = Wire(ours)
        yield wire, theirs
        wire.close()


def taken_after_final_dot(ends: tuple[Wire, socket.socket], replies: bytes) -> bool:
    """Read the answer to a final dot, which the replies follow, and then try to take them as one."""
    wire, server = ends
    server.sendall(b"250 2.0.0 Ok: queued\r\n" + replies)
    assert wire.read_reply(Phase.CONTENT, 5).code == 250
    return wire.take_go_ahead()


def test_three_replies_that_accept_are_taken_as_one(ends: tuple[Wire, socket.socket]) -> None:
    wire, server = ends
    assert taken_after_final_dot(ends, GO_AHEAD)
    server.sendall(b"250 2.0.0 Ok: the next\r\n")
    assert wire.read_reply(Phase.CONTENT, 5).text == "2.0.0 Ok: the next"


@pytest.mark.parametrize(
    "replies",
    [
        b"250 ok\r\n550 5.1.1 no\r\n354 go\r\n",
        b"550 5.7.1 no\r\n503 no\r\n503 no\r\n",
        b"250 ok\r\n250 ok\r\n554 5.5.1 no\r\n",
        b"250 ok\r\n250 ok\r\n250 ok\r\n",
        b"354 ok\r\n250 ok\r\n354 ok\r\n",
        b"250 ok\r\n421 4.3.2 closing\r\n354 go\r\n",
        b"250 ok\r\n250-first\r\n250 second\r\n",
        b"250 ok\r\nnonsense\r\n354 go\r\n",
        GO_AHEAD[:-1],
        GO_AHEAD + b"421 4.4.2 timeout\r\n",
        b"250 ok\r\n",
        b"",
    ],
)
def test_anything_else_is_left_to_be_read_one_by_one(ends: tuple[Wire, socket.socket], replies: bytes) -> None:
    wire, _server = ends
    assert not taken_after_final_dot(ends, replies)
    if replies.startswith(b"250 ok\r\n"):
        assert wire.read_reply(Phase.MAIL, 5).text == "ok", "nothing was taken"
