"""How many an announcement would go to now; the freeze's own rules."""

from campaigns.delivery.freeze import AudienceCount, count_audience

__all__ = ["AudienceCount", "count_audience"]
