"""Which ports the web server and Flower listen on: the given ones, or the next that nobody else has."""

from __future__ import annotations

import dataclasses
import errno
import socket
from collections.abc import Callable

from campaigns.config import Settings
from campaigns.errors import CarillonError

PORTS_TRIED = 50


class CannotStart(CarillonError):
    """Something that must be there for a start is missing; the message says what to do."""


def with_free_port(settings: Settings, say: Callable[[str], None]) -> Settings:
    """Return the settings with a port nobody listens on; raises CannotStart when PORT was given and is taken."""
    port = _free_port("PORT", settings.host, settings.port, is_given=settings.port_is_given)
    if port == settings.port:
        return settings
    say(f"Port {settings.port} is taken by another program; using {port}")
    base = settings.public_base_url.replace(f"http://127.0.0.1:{settings.port}", f"http://127.0.0.1:{port}")
    return dataclasses.replace(settings, port=port, public_base_url=base)


def with_flower(settings: Settings, say: Callable[[str], None]) -> Settings:
    """Return the settings of a site with Flower beside it; raises CannotStart when FLOWER_PORT was given and is taken.

    Without FLOWER_URL it is reached on this machine alone.
    """
    given = settings.flower_port_is_given
    port = _free_port("FLOWER_PORT", settings.flower_host, settings.flower_port, is_given=given, but=settings.port)
    if port != settings.flower_port:
        say(f"Port {settings.flower_port} is taken by another program; Flower uses {port}")
    url = settings.flower_url or f"http://127.0.0.1:{port}/flower"
    return dataclasses.replace(settings, flower_port=port, flower_url=url)


def _free_port(name: str, host: str, port: int, *, is_given: bool, but: int = 0) -> int:
    if port != but and is_free(host, port):
        return port
    if is_given:
        raise CannotStart(f"{name}: another program listens on port {port} already; stop it or set another.")
    for other in range(port + 1, port + PORTS_TRIED):
        if other != but and is_free(host, other):
            return other
    raise CannotStart(f"{name}: no port from {port} to {port + PORTS_TRIED - 1} is free.")


def is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there; raises CannotStart for a host that is not this machine's."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise CannotStart(f"HOST, PORT: cannot listen on {host}:{port}: {error.strerror}") from error
    return True
