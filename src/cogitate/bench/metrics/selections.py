"""What selection methods make of a pool, as values: lines over N, and where their gains come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic

from cogitate.rules.votes import Tie

from .how_well import Finding
from .values import Accuracy, Amount, Coverage, Curve, Difference, Point, V, Value

RANDOM: Final = "random"
MAJORITY: Final = "majority"
WEIGHTED: Final = "weighted"
BEST_OF: Final = "best_of"
ORACLE: Final = "coverage"


@dataclass(frozen=True, slots=True)
class Share(Value):
    """A part of a gain: a difference of expected shares over the same questions."""


@dataclass(frozen=True, slots=True)
class Gain:
    """Where the gain of a method at N comes from, beside a random pick of one sample.

    `total` = `covered` - `lost`: of what N samples cover beyond one, selection finds all but what it lost.
    """

    n: int
    total: Share
    """Accuracy at N less pass@1."""
    covered: Share
    """Coverage at N less pass@1: what a perfect selection would have gained."""
    lost: Share
    """Coverage at N less accuracy at N: right samples that were there and not chosen."""
    answering: Share
    """What picking at random among those of the N that have an answer gains: the part that needs no selection."""


@dataclass(frozen=True, slots=True)
class SelectionLine(Generic[V]):
    """One way of choosing, at every N."""

    method: str
    """`random`, `majority`, `weighted`, `best_of` or `coverage`."""
    scorer: str
    """The scorer's printed spec; empty where there is none."""
    points: tuple[Point[V], ...]
    """At every N; those where the pool is too small are not there."""
    costs: tuple[dict[str, Amount | None], ...]
    """Mean cost of a question at each point, the scorer's included."""
    gains: tuple[Gain, ...] = ()
    """At each point."""
    against_random: Difference | None = None
    """At the largest N, paired by question against one sample."""
    against_majority: Difference | None = None
    """At the largest N, paired by question."""

    @property
    def name(self) -> str:
        """The method with its scorer."""
        return f"{self.method}({self.scorer})" if self.scorer else self.method

    def at(self, n: int) -> V:
        """The value at N.

        Raises:
            KeyError: for an N that was not looked at.
        """
        for point in self.points:
            if point.x == n:
                return point.value
        raise KeyError(n)


@dataclass(frozen=True, slots=True)
class SelectionTable:
    """All ways of choosing from one pool; the coverage stands apart, because nobody can choose by it."""

    task: str
    model: str
    process: str
    seed: int
    """Of the run that drew the samples."""
    questions: int
    samples: int
    """That every question has at least."""
    sizes: tuple[int, ...]
    lines: tuple[SelectionLine[Accuracy], ...]
    coverage: SelectionLine[Coverage]
    abstained: float
    """Share of samples without an answer; each counts as wrong."""
    truncated: float
    unscored: dict[str, float]
    """Scorer to the share of samples that it could not judge; none of them is chosen while another is judged."""
    tie: Tie
    """How equal votes are decided: `first` lets the tied win alike often."""
    left_out: tuple[str, ...] = ()
    """Scorers of the pool whose scores depend on the other samples: a subset's would differ, so they have no line."""

    def line(self, name: str) -> SelectionLine[Accuracy]:
        """The line of this name, such as `majority`.

        Raises:
            KeyError: where there is none.
        """
        for found in self.lines:
            if found.name == name:
                return found
        raise KeyError(name)

    def curves(self, unit: str = "n") -> tuple[Curve[Accuracy], ...]:
        """The lines as curves against N or a unit of cost; without those whose cost is unknown."""
        return tuple(c for line in self.lines if (c := self._curve(line, unit)).points)

    def coverage_curve(self, unit: str = "n") -> Curve[Coverage]:
        """The coverage as a curve of its own kind."""
        return self._curve(self.coverage, unit)

    def _curve(self, line: SelectionLine[V], unit: str) -> Curve[V]:
        if unit == "n":
            points = line.points
        else:
            priced = [(p, c.get(unit)) for p, c in zip(line.points, line.costs, strict=True)]
            points = tuple(
                Point(a.estimate, p.value, p.label, a.estimated) for p, a in priced if a is not None
            )
        return Curve(self.task, self.model, line.name, unit, points)

    def findings(self) -> tuple[Finding, ...]:
        """The registry's metrics of a pool: pass@1, pass@k and cons@k."""
        told = (self.task, self.model, self.process)
        single = self.lines[0].points[0].value
        found = [Finding("pass@1", "performance/pass_at_1", *told, single)]
        found += [
            Finding("pass@k", "performance/coverage", *told, p.value, f"k = {p.x:g}")
            for p in self.coverage.points
        ]
        found += [
            Finding(
                "cons@k", "performance/consensus", *told, p.value, f"k = {p.x:g}, ties: {self.tie}"
            )
            for p in self.line(MAJORITY).points
        ]
        return tuple(found)
