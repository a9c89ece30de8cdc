"""The blueprint that this area's pages hang on."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("settings", __name__)
