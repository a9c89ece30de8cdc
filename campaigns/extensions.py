"""The Flask extensions that every process has, made once and bound to the application in `make_base_app`."""

from __future__ import annotations

from flask_babel import Babel
from flask_login import LoginManager
from flask_mail import Mail
from flask_sqlalchemy import SQLAlchemy

from campaigns.database import Base

db = SQLAlchemy(model_class=Base, disable_autonaming=True)
login_manager = LoginManager()  # bound for the web site; what people log in with is also changed by tasks
babel = Babel()
mail = Mail()
