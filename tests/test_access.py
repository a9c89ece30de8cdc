"""Every route lets in whom it says and nobody else: every rule × every role × people without one × strangers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from campaigns.accounts.logins import Visitor, begin_login
from campaigns.accounts.models import User
from campaigns.extensions import db
from campaigns.security import ROLE_RIGHTS, Right, Role, guard_of
from campaigns.web_extensions import limiter
from tests.people import make_user

# What anybody may open. A new public route is written down here by hand, after a second thought.
PUBLIC = {
    "accounts.account_deleted",
    "accounts.confirm_address",
    "accounts.enter_code",
    "accounts.enter_recovery_code",
    "accounts.forgot_password",
    "accounts.login",
    "accounts.logout",
    "accounts.renew_verification",
    "accounts.request_verification",
    "accounts.reset_password",
    "accounts.reset_sent",
    "accounts.set_up",
    "accounts.sign_up",
    "accounts.sign_up_sent",
    "accounts.use_address_link",
    "accounts.use_verification",
    "accounts.verify",
    "audience.subscribe_again",
    "audience.subscribe_again",
    "audience.unsubscribe",
    "compose.explain_test_link",
    "ops.healthz",
    "ops.inbox",  # trial mode only
    "ops.inbox_html",
    "ops.inbox_mail",
    "ops.inbox_raw",
    "ops.metrics",  # who knows the token, or is on this machine
    "ops.readyz",
    "set_language",
    "team.accept_invitation",
    "team.show_invitation",
    "tracking.follow_link",  # leads to what the mail's link was made for, and nowhere else
    "tracking.opening_picture",
}
# What people who are logged in may open without a role.
OWN_ACCOUNT = {
    "accounts.account",
    "accounts.begin_two_step",
    "accounts.change_address",
    "accounts.change_password",
    "accounts.choose_announcements",
    "accounts.delete_account",
    "accounts.end_login",
    "accounts.end_other_logins",
    "accounts.renew_recovery_codes",
    "accounts.save_profile",
    "accounts.turn_two_step_off",
    "accounts.turn_two_step_on",
    "accounts.two_step",
    "reports.dashboard",  # leads people without a role to their account
}
ANSWERS_401 = {"ops.admit_to_flower"}  # a proxy asks, on behalf of a browser
SAYS_503 = {"ops.readyz"}  # when no worker runs, as here
NO_ROLE = "no role"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
VALUES = {"int": 1, "float": 1.0, "uuid": "00000000-0000-0000-0000-000000000001"}


@pytest.fixture
def open_app(app: Flask) -> Iterator[Flask]:
    """The application, with nothing in front of the guards: neither tokens of forms nor limits."""
    app.config["WTF_CSRF_ENABLED"] = False
    limiter.enabled = False
    make_user("number-one@example.com")  # whom the addresses name: nobody whom only some may change
    make_user("owner@example.com", role="owner")  # so that the site is set up
    yield app
    limiter.enabled = True


@pytest.mark.parametrize("who", ["stranger", NO_ROLE, *Role])
def test_each_route_lets_in_whom_it_says(open_app: Flask, who: str) -> None:
    wrong = []
    for rule, method in walk(open_app):
        client = browser_of(open_app, who)
        answer = client.open(path_of(rule), method=method)
        if answer.status_code == 503 and rule.endpoint in SAYS_503:
            continue
        may = is_allowed(open_app, rule, who)
        if who == "stranger" and rule.endpoint in ANSWERS_401 and answer.status_code == 401:
            continue
        problem = judge(answer.status_code, answer.headers.get("Location", ""), who=who, method=method, may=may)
        if problem:
            wrong.append(f"{method} {rule.rule} ({rule.endpoint}) for {who}: {problem}")
    assert not wrong, "\n".join(wrong)


def test_what_anybody_may_open_is_written_down_here(app: Flask) -> None:
    found = {name for name, view in app.view_functions.items() if guard_of(view) == "public"}
    assert found - PUBLIC == set(), "new public routes: think twice, then write them down"
    assert {name for name in PUBLIC - found if name.partition(".")[0] in app.blueprints} == set(), "gone"


def test_what_needs_no_role_is_written_down_here(app: Flask) -> None:
    found = {name for name, view in app.view_functions.items() if guard_of(view) == "signed_in"}
    assert found == OWN_ACCOUNT


def test_every_route_has_a_guard(app: Flask) -> None:
    bare = [name for name, view in app.view_functions.items() if guard_of(view) is None and name != "static"]
    assert bare == []


def test_a_route_without_a_guard_is_open_to_nobody(open_app: Flask) -> None:
    open_app._got_first_request = False  # the test adds a route late
    open_app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    for who in ("stranger", NO_ROLE, *Role):
        answer = browser_of(open_app, who).get("/forgotten")
        assert answer.status_code == 403
        assert "secret" not in answer.text


def test_each_role_has_the_rights_of_the_one_below() -> None:
    ladder = [ROLE_RIGHTS[role] for role in (Role.VIEWER, Role.EDITOR, Role.SENDER, Role.ADMIN, Role.OWNER)]
    assert all(lower < higher for lower, higher in itertools.pairwise(ladder))
    assert Right.LAUNCH not in ROLE_RIGHTS[Role.EDITOR]
    assert Right.WRITE not in ROLE_RIGHTS[Role.VIEWER]
    assert set(ROLE_RIGHTS) == set(Role)


def test_a_part_of_a_page_gets_401_instead_of_a_log_in_page(open_app: Flask) -> None:
    answer = open_app.test_client().get("/account", headers={"HX-Request": "true"})
    assert answer.status_code == 401


def walk(app: Flask) -> list[tuple[Rule, str]]:
    """Return every rule with each method that it takes."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"]
    return [(rule, method) for rule in rules for method in METHODS if method in (rule.methods or ())]


def path_of(rule: Rule) -> str:
    """Return an address that the rule matches; what it names need not exist."""
    values = {
        name: VALUES.get(type(converter).__name__.removesuffix("Converter").lower().replace("integer", "int"), "x")
        for name, converter in rule._converters.items()
    }
    built = rule.build(values)
    assert built is not None, rule
    return built[1]


def is_allowed(app: Flask, rule: Rule, who: str) -> bool:
    guard = guard_of(app.view_functions[rule.endpoint])
    if guard == "public":
        return True
    if who == "stranger" or guard is None:
        return False
    if guard == "signed_in":
        return True
    return who != NO_ROLE and guard in ROLE_RIGHTS[Role(who)]


def judge(status: int, location: str, *, who: str, method: str, may: bool) -> str:
    """Return what is wrong with an answer, or nothing."""
    to_log_in = status == 303 and location.startswith("/login?")
    if may:
        return f"refused ({status})" if status in {401, 403} or to_log_in else f"broke ({status})" * (status >= 500)
    if who == "stranger":
        asked = to_log_in if method == "GET" else status == 303 and location.startswith("/login")
        return "" if asked else f"not asked to log in ({status} {location})"
    return "" if status == 403 else f"not refused ({status})"


def browser_of(app: Flask, who: str) -> FlaskClient:
    """Return a browser with a log-in of its own; each visit gets a new one, since some routes end it."""
    client = app.test_client()
    if who == "stranger":
        return client
    user = find_or_make(f"{who.replace(' ', '-')}@example.org", None if who == NO_ROLE else who)
    begin_login(user, remember=False, visitor=Visitor("127.0.0.1", "test"))
    token = user.login_token
    db.session.commit()
    with client.session_transaction() as session:
        session["_user_id"] = token
        session["_fresh"] = True
    return client


def find_or_make(email: str, role: str | None) -> User:
    db.session.expire_all()
    found = db.session.query(User).filter_by(address_key=email).one_or_none()
    return found or make_user(email, role=role)
