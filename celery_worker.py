"""The Celery application, for `celery -A celery_worker worker` and `celery -A celery_worker beat`."""

import os

from app import create_app

# Celery's command line takes BROKER_URL as its own option, which would overrule the address we make of that setting.
os.environ.pop("CELERY_BROKER_URL", None)

celery = create_app().extensions["celery"]
