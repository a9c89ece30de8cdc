"""Waiting for a database that is away, however it is: silent, full of others, or in the middle of a lock."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError

from campaigns.flask_settings import engine_options
from campaigns.patience import while_database_returns


@pytest.fixture
def open_engine() -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def open_it(url: str, **changes: Any) -> Engine:
        engines.append(
            create_engine(url.replace("postgresql:", "postgresql+psycopg:"), **engine_options(url) | changes)
        )
        return engines[-1]

    yield open_it
    for engine in engines:
        engine.dispose()


def ask(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(text("SELECT 1")).scalar_one()


def test_a_host_that_takes_the_call_and_says_nothing_is_waited_for(app, postgres_database, open_engine):
    """As one does that hangs, or whose firewall drops every packet: nobody refuses, the time is up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/postgres"
        engines = iter([open_engine(silent_url), open_engine(postgres_database)])
        assert while_database_returns(lambda: ask(next(engines))) == 1


def test_a_connection_is_waited_for_while_others_have_them_all(app, postgres_database, open_engine):
    engine = open_engine(postgres_database, pool_size=1, max_overflow=0, pool_timeout=0.1)
    others = [engine.connect()]

    def write() -> int:
        try:
            return ask(engine)
        finally:
            while others:
                others.pop().close()

    assert while_database_returns(write) == 1


def test_what_will_never_succeed_is_said_at_once(app, postgres_database, open_engine):
    engine, tries = open_engine(postgres_database), []

    def write() -> None:
        tries.append(1)
        with engine.connect() as connection:
            connection.execute(text("SELECT * FROM no_such_table"))

    with pytest.raises(ProgrammingError):
        while_database_returns(write)
    assert len(tries) == 1
