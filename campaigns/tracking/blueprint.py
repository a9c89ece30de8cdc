"""The blueprint that this area's addresses hang on, and what each process keeps for them."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, current_app
from flask.blueprints import BlueprintSetupState

from campaigns.tracking.counting import VisitCounter
from campaigns.tracking.targets import LinkTargets

COUNTER: Final = "carillon.visit_counter"
TARGETS: Final = "carillon.link_targets"

bp = Blueprint("tracking", __name__)


@bp.record
def _keep_state(state: BlueprintSetupState) -> None:
    state.app.extensions[COUNTER] = VisitCounter(state.app)  # type: ignore[arg-type]
    state.app.extensions[TARGETS] = LinkTargets()


def visit_counter() -> VisitCounter:
    """Return what counts this process's visits."""
    counter: VisitCounter = current_app.extensions[COUNTER]
    return counter


def link_targets() -> LinkTargets:
    """Return what this process knows of where links lead."""
    targets: LinkTargets = current_app.extensions[TARGETS]
    return targets
