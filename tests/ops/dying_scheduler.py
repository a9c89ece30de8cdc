"""A beat that dies at its first tick, for `celery beat -S`."""

from celery.beat import Scheduler


class DyingScheduler(Scheduler):
    def tick(self, *_: object, **__: object) -> float:
        raise RuntimeError("no time left for kim@example.com")
