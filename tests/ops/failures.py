"""The failed tasks that the jobs page shows, group by group, as rows."""

from __future__ import annotations

from campaigns.ops.failed_tasks import open_groups, open_of_group
from campaigns.ops.models import FailedTask


def open_failures() -> list[FailedTask]:
    """Return what nobody has dealt with, newest first."""
    shown = [failed for group in open_groups() for failed in open_of_group(group.newest.group_key)]
    return sorted(shown, key=lambda failed: failed.id, reverse=True)
