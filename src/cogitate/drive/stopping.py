"""Ending a run from outside, with the best answer so far."""

from __future__ import annotations

from collections.abc import Callable


class Stop:
    """A handle to end a run: open and further requests raise `OutOfBudget`, and the flow returns.

    Safe to call from any thread and from a signal handler.
    """

    def __init__(self) -> None:
        self.reason = ""
        """Why the run was asked to end; empty while it was not."""
        self._wake: Callable[[], None] | None = None

    def request(self, reason: str = "interrupted") -> None:
        """Ask the run to end. The first reason counts."""
        if not self.reason:
            self.reason = reason
        if self._wake is not None:
            self._wake()

    def attach(self, wake: Callable[[], None] | None) -> None:
        """Called by the driver: how to wake it."""
        self._wake = wake
