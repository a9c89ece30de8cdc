"""Reading /metrics as Prometheus does."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from campaigns.delivery.queries import Totals

TERMS = ("sent", "failed", "skipped", "cancelled", "uncertain", "deferred", "sending", "waiting")


class Page:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: dict[str, Metric] = {family.name: family for family in text_string_to_metric_families(text)}

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of a name that carry these labels."""
        return sum(value for found, value in self._samples(name) if labels.items() <= found.items())

    def labels(self, name: str, label: str) -> set[str]:
        """Return every value of a label."""
        return {found[label] for found, _value in self._samples(name)}

    def is_ok(self, part: str) -> bool:
        """Tell whether a part could be read."""
        assert part in self.labels("carillon_scrape_ok", "part")
        return self.sum("carillon_scrape_ok", part=part) == 1

    def missing(self) -> set[str]:
        """Return the parts that could not be read, or not within a scrape's time."""
        return {part for part in self.labels("carillon_scrape_ok", "part") if not self.is_ok(part)}

    def deliveries(self, campaign: str) -> dict[str, int]:
        """Return the terms of one campaign's second line."""
        return {term: int(self.sum("carillon_campaign_deliveries", campaign=campaign, outcome=term)) for term in TERMS}

    def adds_up(self) -> bool:
        """Tell whether both lines of every campaign on this page are true."""
        return all(self._adds_up(campaign) for campaign in self.labels("carillon_campaign_recipients", "campaign"))

    def is_of(self, totals: Totals, *, campaign: str) -> bool:
        """Tell whether a campaign's terms are these."""
        return self.deliveries(campaign) == {term: getattr(totals, term) for term in TERMS}

    def _adds_up(self, campaign: str) -> bool:
        recipients = self.sum("carillon_campaign_recipients", campaign=campaign)
        excluded = self.sum("carillon_campaign_excluded", campaign=campaign)
        candidates = self.sum("carillon_campaign_candidates", campaign=campaign)
        return recipients == sum(self.deliveries(campaign).values()) and candidates == recipients + excluded

    def _samples(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name:
                    yield sample.labels, sample.value


def scrape(port: int, **headers: str) -> Page | None:
    """Read the page of a server on this machine; None as long as nobody answers there."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Page(answer.read().decode())
    except urllib.error.HTTPError:
        raise
    except OSError:
        return None
