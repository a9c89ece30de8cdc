"""How one gets into Flower: its own name and password, beside Carillon's log-in that nginx asks for."""

from __future__ import annotations

from base64 import b64encode

from campaigns.config import Settings
from campaigns.secret_files import kept_secret

FLOWER_USER = "carillon"


def flower_password(settings: Settings) -> str:
    """Return FLOWER_PASSWORD, or the one that this site has made for itself and keeps in its instance folder."""
    return settings.flower_password or kept_secret(settings.instance_dir / "flower_password", size_bytes=24)


def flower_authorization(settings: Settings) -> str:
    """Return the Authorization header that lets a request into Flower (RFC 7617 §2)."""
    return "Basic " + b64encode(f"{FLOWER_USER}:{flower_password(settings)}".encode()).decode()
