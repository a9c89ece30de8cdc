"""Signals that Celery does not have; watched_worker.py sends them from inside a worker."""

from __future__ import annotations

from typing import Final

from celery.utils.dispatch import Signal

# Sent in the worker's main process; the sender is the task.
task_worker_lost: Final = Signal(name="task_worker_lost", providing_args=["task_id", "args", "kwargs", "reason"])
# `message_id` and `task_name` may be empty; the sender is the consumer.
message_undecodable: Final = Signal(name="message_undecodable", providing_args=["message_id", "task_name", "error"])
