"""Numbers that change with depth: pure functions of it, frozen so that they print and compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cogitate.core.errors import InvalidInput


@runtime_checkable
class Schedule(Protocol):
    """A number for each depth, counted from 0."""

    def __call__(self, depth: int) -> float: ...


@dataclass(frozen=True)
class Constant:
    """The same at every depth.

    >>> Constant(4)(9)
    4
    """

    value: float

    def __call__(self, depth: int) -> float:
        return self.value


@dataclass(frozen=True)
class Linear:
    """From `first` at depth 0 to `last` at depth `over`, and `last` from there on.

    >>> [Linear(8, 2, over=3)(d) for d in range(5)]
    [8.0, 6.0, 4.0, 2, 2]
    """

    first: float
    last: float
    over: int

    def __post_init__(self) -> None:
        if self.over < 1:
            raise InvalidInput(f"a schedule over {self.over} depths was asked for; give at least 1")

    def __call__(self, depth: int) -> float:
        if depth >= self.over:
            return self.last
        return self.first + (self.last - self.first) * depth / self.over


@dataclass(frozen=True)
class Table:
    """One value a depth; the last one holds from there on.

    >>> [Table((8, 4, 2))(d) for d in range(4)]
    [8, 4, 2, 2]
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidInput("an empty table was given as a schedule; give at least one value")

    def __call__(self, depth: int) -> float:
        return self.values[min(depth, len(self.values) - 1)]


def at(value: int | Schedule, depth: int) -> int:
    """The whole number that holds at this depth, at least 1.

    >>> at(4, 7), at(Linear(4, 1, over=2), 1), at(Table((0,)), 0)
    (4, 2, 1)
    """
    return max(1, value if isinstance(value, int) else round(value(depth)))


def check_count(name: str, value: int | Schedule) -> None:
    """Refuse a count below 1.

    Raises:
        InvalidInput: for an integer below 1.
    """
    if isinstance(value, int) and value < 1:
        raise InvalidInput(f"{name}={value} was asked for; it must be at least 1")
