"""A stage for each experiment, and its end, whatever happened on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from app import create_app
from campaigns.config import load_settings
from campaigns.extensions import db
from campaigns.ops.drill_stage import Stage
from tests.drill.harness import Experiment, environment
from tests.parts import short_folder
from tests.smtp_sink import free_port


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real processes start and stop here; on a busy machine that alone takes a while."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture
def make_experiment(database_url: str) -> Iterator[Callable[..., Experiment]]:
    """Make an experiment with further settings, in whose application the test goes on."""
    endings: list[Callable[[], None]] = []

    def make(*, chunking: bool = False, **more: str) -> Experiment:
        folder = short_folder()
        environ = {**os.environ, **environment(str(folder), database_url, free_port(), chunking=chunking, **more)}
        settings = load_settings(environ)
        app = create_app(settings)
        context = app.app_context()
        context.push()
        stage = Stage(settings, environ, say=print)

        def end() -> None:
            stage.stop()
            db.session.remove()
            db.engine.dispose()
            context.pop()
            app.extensions["celery"].close()
            shutil.rmtree(folder, ignore_errors=True)

        endings.append(end)
        return Experiment(settings, stage)

    yield make
    for end in reversed(endings):
        end()


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    """An experiment with the usual settings."""
    return make_experiment()


@pytest.fixture
def site(experiment: Experiment) -> Iterator[Flask]:
    """The web site of the experiment's installation, outside its application context."""
    app = create_app(experiment.settings)
    yield app
    with app.app_context():
        db.engine.dispose()
    app.extensions["celery"].close()
