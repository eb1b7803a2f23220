"""The schedules that a spec may give for a number: widths, branches and populations by depth."""

from __future__ import annotations

from typing import Any, Final

from cogitate.assembly import factory
from cogitate.assembly.factory import Factory
from cogitate.core.errors import InvalidInput


@factory.schedule
def linear(kind: str, first: float = 8, last: float = 2, over: int = 4) -> Any:
    """From `first` at depth 0 to `last` at depth `over`, and `last` from there on."""
    from cogitate.search import Linear

    return Linear(_sane(first), _sane(last), over)


@factory.schedule
def table(kind: str, values: tuple[float, ...] = (8, 4, 2)) -> Any:
    """One value a depth; the last one holds from there on."""
    from cogitate.search import Table

    return Table(tuple(_sane(v) for v in values))


def _sane(value: float) -> float:
    if not 0 <= value <= 100_000:
        raise InvalidInput(f"{value:g} was asked for in a schedule; it lies between 0 and 100000")
    return value


FACTORIES: Final[tuple[Factory[...], ...]] = (linear, table)
