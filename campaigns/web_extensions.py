"""The Flask extensions of the web site and the commands, made once and bound to the application in `create_app`."""

from __future__ import annotations

from flask_limiter import Limiter
from flask_migrate import Migrate
from flask_wtf import CSRFProtect

from campaigns.remote_address import client_network

migrate = Migrate()
csrf = CSRFProtect()
limiter = Limiter(client_network)
