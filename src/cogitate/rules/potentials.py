"""What of a particle's past scores decides whether it is drawn again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

Potential = Literal["value", "diff", "sum", "max"]
POTENTIALS = get_args(Potential)


@dataclass(frozen=True, slots=True)
class Trace:
    """The past of one particle, as far as any potential needs it; constant in size."""

    last: float
    """The latest score."""
    since: float | None
    """The score when it was last weighed; `None` before the first time."""
    total: float
    """The sum of all."""
    highest: float
    """The largest."""

    @classmethod
    def first(cls, score: float) -> Trace:
        """After one score."""
        return cls(score, None, score, score)

    def then(self, score: float) -> Trace:
        """After one more score."""
        return replace(self, last=score, total=self.total + score, highest=max(self.highest, score))

    def weighed(self) -> Trace:
        """After its particle was weighed, whether or not anyone was drawn."""
        return replace(self, since=self.last)


def potential(trace: Trace, kind: Potential) -> float:
    """What one weighing adds to the log-weight, before temperature.

    `value` is the latest score, `max` the largest and `sum` the sum of all so far. `diff` is the gain since
    the last weighing, and the score itself at the first: over a whole line the gains add up to its last
    score, so that `diff` weighs a finished line by exactly that, whenever it was weighed.

    >>> past = Trace.first(0.2).weighed().then(0.9).then(0.5)
    >>> [round(potential(past, kind), 6) for kind in ("value", "diff", "sum", "max")]
    [0.5, 0.3, 1.6, 0.9]
    """
    match kind:
        case "value":
            return trace.last
        case "diff":
            return trace.last - (0.0 if trace.since is None else trace.since)
        case "sum":
            return trace.total
        case "max":
            return trace.highest
