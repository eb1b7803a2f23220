"""Paired differences against a baseline, adjusted for being several: which of them are real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cogitate.bench.metrics.cells import Row
from cogitate.bench.metrics.pairs import paired
from cogitate.bench.metrics.values import Difference
from cogitate.rules.statistics import holm

LEVEL: Final = 0.05
_VOTES: Final = ("majority", "self_consistency")


@dataclass(frozen=True, slots=True)
class Compared:
    """A row less its baseline, over the questions that both have."""

    row: Row
    baseline: Row
    difference: Difference
    adjusted: float
    """The p value, adjusted over all comparisons of the task (Holm)."""

    @property
    def real(self) -> bool:
        """Whether the interval excludes zero and the adjusted p value is below 5 %."""
        d = self.difference
        return self.adjusted < LEVEL and not d.low <= 0.0 <= d.high


def baseline_line(rows: Sequence[Row], wanted: str = "") -> str:
    """The line that others are compared with: the one asked for, else a majority vote, else the first.

    Args:
        rows: of one task and model.
        wanted: a line, or part of one.
    """
    lines = list(dict.fromkeys(r.line or r.strategy for r in rows))
    if wanted:
        found = [line for line in lines if line == wanted] or [
            line for line in lines if wanted in line
        ]
        if found:
            return found[0]
    votes = [line for line in lines if any(vote in line for vote in _VOTES)]
    votes.sort(key=lambda line: next(i for i, vote in enumerate(_VOTES) if vote in line))
    return (votes or lines)[0]


def compared(rows: Sequence[Row], wanted: str = "", seed: int = 0) -> list[Compared]:
    """Every row of a task against the baseline's row with the same model, budget and N.

    Where the baseline lacks that N, its largest serves; the page says which.

    Args:
        rows: of one task.
        wanted: the baseline's line, or part of it.
        seed: of the bootstraps.
    """
    found: list[tuple[Row, Row, Difference]] = []
    for model in dict.fromkeys(r.model for r in rows):
        held = [r for r in rows if r.model == model]
        line = baseline_line(held, wanted)
        base = [r for r in held if (r.line or r.strategy) == line]
        for row in held:
            other = _beside(row, base)
            if other is None or (row.line or row.strategy) == line:
                continue
            shared = [q for q in row.scores if q in other.scores]
            if not shared:
                continue
            first, second = [row.scores[q] for q in shared], [other.scores[q] for q in shared]
            found.append((row, other, paired(first, second, seed, row.seeds)))
    adjusted = holm([d.p for _, _, d in found])
    return [Compared(r, b, d, p) for (r, b, d), p in zip(found, adjusted, strict=True)]


def _beside(row: Row, base: Sequence[Row]) -> Row | None:
    same = [b for b in base if b.budget == row.budget] or list(base)
    equal = [b for b in same if b.n == row.n]
    if equal:
        return equal[0]
    return max(same, key=lambda b: b.n or 0, default=None)
