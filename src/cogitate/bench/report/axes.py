"""Axes of charts: limits that hold all values, ticks that people can read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_STEPS: Final = (1, 2, 2.5, 5, 10)
_PREFIXES: Final = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_MOST_DECADES: Final = 60
_THIN_SPACE: Final = "\u202f"


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a chart."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    """Value and what is written beside it, rising."""
    log: bool = False
    minor: tuple[float, ...] = ()
    """Ticks without a number."""
    brief: str = ""
    """The label where there is little room."""

    def place(self, value: float) -> float:
        """Where a value lies, as a share of the axis; values beyond its ends lie at them."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(max(value, self.low)) - low) / (high - low) if high > low else 0.5
        return min(max(share, 0.0), 1.0)

    def _scaled(self, value: float) -> float:
        return math.log2(value) if self.log else value


def counts(values: Sequence[float], label: str) -> Axis:
    """A logarithmic axis of numbers of samples: a tick at each power of two that occurs or lies between.

    >>> [text for _, text in counts([1, 4, 16], "samples").ticks]
    ['1', '2', '4', '8', '16']
    """
    low, high = min(values), max(values)
    first, last = math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9)
    places = sorted({2.0**k for k in range(first, last + 1)} | {low, high})
    if low == high:
        places, low, high = [low], low / 2, high * 2
    return Axis(label, low, high, tuple((v, f"{v:,.10g}") for v in places), log=True)


def costs(values: Sequence[float], label: str, *, dollars: bool = False) -> Axis:
    """A logarithmic axis of a cost, with ticks at 1, 2 and 5 of each power of ten.

    Over more than three powers of ten only the powers have a number.

    >>> [text for _, text in costs([180, 9000], "tokens").ticks]
    ['200', '500', '1k', '2k', '5k', '10k']
    """
    low, high = min(values), max(values)
    room = max((high / low) ** 0.04, 1.02)
    low, high = low / room, high * room
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = range(first, min(last, first + _MOST_DECADES) + 1)
    powers = [10.0**k for k in decades if low <= 10.0**k <= high]
    fine = [m * 10.0**k for k in decades for m in (1, 2, 5) if low <= m * 10.0**k <= high]
    if len(fine) < 2:
        shown = _linear_ticks(low, high, 4)
        fine = [v for v in shown if low <= v <= high]
    wide = len(powers) > 3
    shown = powers if wide else fine
    ticks = tuple((v, amount(v, dollars=dollars)) for v in shown)
    return Axis(label, low, high, ticks, log=True, minor=tuple(fine) if wide else ())


def shares(values: Sequence[float], label: str) -> Axis:
    """A linear axis of shares in percent that holds all values; it need not begin at zero.

    >>> [text for _, text in shares([0.31, 0.52], "accuracy").ticks]
    ['30', '35', '40', '45', '50', '55']
    """
    low, high = min(values), max(values)
    if high - low < 0.04:
        low, high = max(0.0, low - 0.02), min(1.0, high + 0.02)
    ticks = _linear_ticks(low, high, 7)
    ticks = [v for v in ticks if -1e-9 <= v <= 1 + 1e-9] if low >= 0 and high <= 1 else ticks
    return Axis(
        label,
        min(low, ticks[0]),
        max(high, ticks[-1]),
        tuple((v, f"{round(100 * v, 6) + 0:g}".replace("-", "\u2212")) for v in ticks),
    )


def amount(value: float, *, dollars: bool = False) -> str:
    """A number with three digits and the prefix of its size.

    >>> amount(1234567), amount(0.00042), amount(12, dollars=True)
    ('1.23\u202fM', '0.00042', '$12')
    """
    sign = "\u2212" if value < 0 else ""
    value = abs(value)
    mark = "$" if dollars else ""
    for size, prefix in _PREFIXES:
        # 999.6 is written as 1,000, so that it counts as a thousand.
        if float(f"{value:.3g}") >= size:
            space = "" if prefix == "k" else _THIN_SPACE
            return f"{sign}{mark}{_plain(value / size)}{space}{prefix}"
    return f"{sign}{mark}{_plain(value)}"


def _plain(value: float) -> str:
    if value and abs(value) < 1e-4:
        return f"{value:.3g}"
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    shown = f"{value:.{digits}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Round values from at or below the least to at or above the greatest."""
    span = high - low or 1.0
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(f for f in _STEPS if f * step * most >= span - 1e-12)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]
