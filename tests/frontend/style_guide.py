"""A tiny application that renders every macro, so that people and tests can look at them. It has no database.

Run it by hand: python -m tests.frontend.style_guide (127.0.0.1:8765).
"""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flask import Flask, flash, make_response, redirect, render_template, request
from flask_babel import Babel
from flask_login import LoginManager, UserMixin
from flask_wtf import CSRFProtect, FlaskForm
from flask_wtf.file import FileField
from jinja2 import ChoiceLoader, FileSystemLoader
from wtforms import (
    BooleanField,
    PasswordField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length
from wtforms.widgets import CheckboxInput, ListWidget

from campaigns.presentation import register_presentation, render_error_page
from campaigns.security import APP_POLICY, POLICIES, Role

ROOT = Path(__file__).parents[2]


class Person(UserMixin):
    """Somebody who is logged in and may do everything."""

    id = "1"
    name = "김하늘"
    email = "haneul@example.com"
    role = Role.OWNER


WHEN = [SelectChoice("now", "Now"), SelectChoice("later", "At a time")]


class GuideForm(FlaskForm):
    """One field of each kind."""

    subject = StringField("Subject", [InputRequired("Enter a subject"), Length(max=200)])
    preheader = StringField("Preview text")
    password = PasswordField("Password", [InputRequired("Enter a password")])
    zone = SelectField("Time zone", choices=[SelectChoice("Asia/Seoul", "Asia/Seoul"), SelectChoice("UTC", "UTC")])
    when = RadioField(
        "When", [InputRequired("Choose when")], choices=[SelectChoice("now", "Now"), SelectChoice("later", "At a time")]
    )
    topics = SelectMultipleField(
        "Topics",
        choices=[SelectChoice("news", "Monthly news 12,480"), SelectChoice("product", "Product notices 8,102")],
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    agree = BooleanField("I have seen this warning", [InputRequired("Confirm that you have seen it")])
    body = TextAreaField("Body", [InputRequired("Write the body")], default="# November news\n\nHello {{ name }},")
    upload = FileField("File", [InputRequired("Choose a file")])


def make_app() -> Flask:
    """Return the style guide as an application; ?lang, the theme cookie and ?errors choose what is shown."""
    app = Flask("style_guide", root_path=str(ROOT), static_folder="static", template_folder="templates")
    translations = str(ROOT / "campaigns" / "translations")
    app.config.update(SECRET_KEY="only for the style guide", BABEL_TRANSLATION_DIRECTORIES=translations)
    app.extensions["carillon.settings"] = SimpleNamespace(trial_mode=True, upload_limit_bytes=64_000_000)
    Babel(app, locale_selector=lambda: request.args.get("lang") or request.cookies.get("lang") or "en")
    CSRFProtect(app)
    LoginManager(app).request_loader(lambda _request: None if request.args.get("anonymous") else Person())
    register_presentation(app)
    _add_pages(app)
    return app


def _add_pages(app: Flask) -> None:
    app.jinja_env.loader = _with_guide_templates(app)
    app.after_request(_add_policy)
    started = time.monotonic()
    areas = {"dashboard": "reports", "list_campaigns": "compose", "list_users": "audience", "list_imports": "audience"}
    for name, area in {**areas, "jobs": "ops", "inbox": "ops", "account": "accounts"}.items():
        path = "/" if name == "list_campaigns" else f"/{name}"
        app.add_url_rule(path, f"{area}.{name}", _public(lambda: _guide(started)))
    app.add_url_rule("/public", "guide.public", _public(lambda: render_template("guide_public.html", form=_form())))
    app.add_url_rule("/empty", "guide.empty", _public(lambda: render_template("guide_empty.html")))
    app.add_url_rule("/live", "guide.live", _public(lambda: render_template("guide_live.html", **_progress())))
    app.add_url_rule("/fail/<int:status>", "guide.fail", _public(_fail))
    app.add_url_rule("/set-language", "set_language", _public(_set_language), methods=["POST"])
    app.add_url_rule("/log-out", "accounts.logout", _public(lambda: redirect("/?anonymous=1", 303)), methods=["POST"])
    app.add_url_rule("/compose", "guide.compose", _public(lambda: render_template("guide_compose.html", form=_form())))
    app.add_url_rule("/save", "guide.save", _public(_save), methods=["POST"])
    app.add_url_rule("/preview", "guide.preview", _public(_preview), methods=["POST"])


def _guide(started: float) -> str:
    if request.args.get("flash"):
        flash("11월 소식 캠페인을 저장했습니다.", "ok")
    return render_template("guide.html", form=_form(), uptime=time.monotonic() - started)


def _form() -> GuideForm:
    form = GuideForm(meta={"csrf": False})
    if request.args.get("errors"):
        form.process(None)
        form.validate()
    return form


_polls = {"count": 0}


def _progress() -> dict[str, Any]:
    if "start" in request.args:
        _polls["count"] = 0
    _polls["count"] += 1
    share = min(1.0, _polls["count"] * 0.3)
    return {"share": share, "done": share >= 1, "full": not request.headers.get("HX-Request")}


def _save() -> Any:
    if "conflict" in request.form.get("subject", ""):
        return {"message": "Somebody else changed this campaign."}, 409
    return {"version": int(request.form["version"]) + 1, "message": "Saved 14:03"}


def _preview() -> Any:
    response = make_response(f"<!doctype html><title>preview</title><p>{request.form['body']}</p>")
    response.headers["Content-Security-Policy"] = POLICIES["preview"]
    return response


def _fail(status: int) -> Any:
    return render_error_page(status, error_id="7f3a91c2", retry_after=42), status


def _set_language() -> Any:
    response = redirect(request.form["next"], 303)
    response.set_cookie("lang", request.form["language"])
    return response


def _add_policy(response: Any) -> Any:
    response.headers.setdefault("Content-Security-Policy", APP_POLICY)
    return response


def _public(view: Any) -> Any:
    view.guard = "public"
    return view


def _with_guide_templates(app: Flask) -> Any:
    return ChoiceLoader([FileSystemLoader(ROOT / "templates"), FileSystemLoader(Path(__file__).parent / "templates")])


if __name__ == "__main__":
    make_app().run("127.0.0.1", 8765, debug=False)
