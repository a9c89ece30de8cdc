"""What all commands share: answers on standard output, everything else on standard error, failures as exit status."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from flask_babel import force_locale
from sqlalchemy.exc import OperationalError

from campaigns.errors import CarillonError
from campaigns.stored_settings import refresh_settings

F = TypeVar("F", bound=Callable[..., Any])


def operator_command(function: F) -> F:
    """Run a command in English and turn what Carillon raises on purpose into one line and exit status 1."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        refresh_settings()
        with force_locale("en"):
            try:
                return function(*args, **kwargs)
            except CarillonError as error:
                raise click.ClickException(str(error)) from error
            except OperationalError as error:
                raise click.ClickException(f"The database cannot be used: {error.orig}") from error

    return run  # type: ignore[return-value]


def answer_json(value: Mapping[str, Any]) -> None:
    """Write the command's answer as one line of JSON, alone on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False))


def tell(text: str, *, nl: bool = True) -> None:
    """Write a line for people on standard error."""
    click.echo(text, err=True, nl=nl)
