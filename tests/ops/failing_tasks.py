"""Tasks that fail, for a worker started with `-I tests.ops.failing_tasks`."""

from celery import shared_task


@shared_task(name="tests.fail")
def fail(number: int) -> None:
    raise ValueError(f"number {number} is no good")
