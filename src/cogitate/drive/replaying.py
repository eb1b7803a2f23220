"""The replay driver: tells from a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cogitate.budget import Ledger
from cogitate.core.errors import JournalError
from cogitate.core.events import Event
from cogitate.core.flow import Flow
from cogitate.core.journal import Journal
from cogitate.core.machine import Machine
from cogitate.core.usage import Budget

from .batch import Run

T = TypeVar("T")


def replay(
    flow: Flow[T],
    journal: Journal,
    *,
    budget: Budget | None = None,
    listen: Callable[[Event], None] | None = None,
) -> Run[T]:
    """Run a flow again from its journal: no engine, no cost, the same answer.

    Raises:
        JournalError: when the journal ends before the flow does; resume it instead.
        ReplayMismatch: when the code asks something else than was recorded.
        Exception: what the flow raised.
    """
    ledger = Ledger(budget or Budget())
    machine: Machine[T] = Machine(flow, journal, books=ledger, listen=listen)
    try:
        if not machine.done:
            missing = machine.pending()[0]
            raise JournalError(
                f"the journal ends before the answer: {type(missing.request).__name__} at {missing.at} "
                "was never answered; resume it with the model, or view what there is"
            )
        return Run(
            machine.result,
            ledger.total,
            dict(ledger.roles),
            spent=ledger.spent,
            overdrawn=ledger.overdrawn,
        )
    finally:
        machine.close()
