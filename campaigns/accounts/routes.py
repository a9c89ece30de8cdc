"""The pages of accounts; each file hangs its own on the blueprint."""

from __future__ import annotations

from campaigns.accounts import (
    account_routes,
    address_routes,
    login_code_routes,
    login_routes,
    mails,
    setup_routes,
    sign_up_routes,
    tasks,
    two_step_routes,
)
from campaigns.accounts.blueprint import bp

__all__ = [
    "account_routes",
    "address_routes",
    "bp",
    "login_code_routes",
    "login_routes",
    "mails",
    "setup_routes",
    "sign_up_routes",
    "tasks",
    "two_step_routes",
]
