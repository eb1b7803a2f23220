"""What a metric is: an estimate with its interval, and of which kind it is.

How often the *selected* answer is right and how often *any* of k is right are different questions: the first is what
a user gets, the second what a perfect verifier could get. So they are different types here, which do not add,
compare or share a curve: a type error for a checker, and a `TypeError` where none runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, Self, TypeVar, cast

from cogitate.rules.statistics import Interval

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Value:
    """An estimate over questions, with its interval and how that was found."""

    n: int
    """Questions behind it: the question is the unit, however many samples it has."""
    estimate: float
    low: float
    high: float
    method: str
    """How the interval was found: `wilson`, `bootstrap`, `mover`."""
    seeds: tuple[int, ...] = ()
    """Seeds of the runs behind it."""
    confidence: float = CONFIDENCE
    error: float = 0.0
    """Standard error of the sub-sampling alone, where subsets were drawn; 0 where the value is exact."""

    def __contains__(self, x: float) -> bool:
        return self.low <= x <= self.high

    def __lt__(self, other: Self) -> bool:
        return self.estimate < self._like(other).estimate

    def __gt__(self, other: Self) -> bool:
        return self.estimate > self._like(other).estimate

    def __le__(self, other: Self) -> bool:
        return self.estimate <= self._like(other).estimate

    def __ge__(self, other: Self) -> bool:
        return self.estimate >= self._like(other).estimate

    def __sub__(self, other: Self) -> float:
        """The difference of the estimates; for its interval pair the questions (`bench.comparing`)."""
        return self.estimate - self._like(other).estimate

    def _like(self, other: Self) -> Self:
        if type(other) is not type(self):
            raise TypeError(
                f"{_kind(self)} was set against {_kind(other)}; they measure different things: compare like "
                "with like, or read `.estimate` where the mixture is meant"
            )
        return other

    @classmethod
    def of(
        cls,
        interval: Interval,
        n: int,
        method: str,
        seeds: tuple[int, ...] = (),
        error: float = 0.0,
    ) -> Self:
        """The value with this interval."""
        return cls(
            n,
            interval.value,
            interval.low,
            interval.high,
            method,
            seeds,
            interval.confidence,
            error,
        )


@dataclass(frozen=True, slots=True, eq=True)
class Accuracy(Value):
    """How often the selected answer is right; an abstention is wrong.

    >>> a, b = Accuracy(10, 0.5, 0.2, 0.8, "wilson"), Accuracy(10, 0.6, 0.3, 0.9, "wilson")
    >>> a < b, round(b - a, 3)
    (True, 0.1)
    """


@dataclass(frozen=True, slots=True, eq=True)
class Coverage(Value):
    """How often any of k candidates is right: pass@k, the oracle; what selection could reach, and not what it reaches.

    >>> Accuracy(10, 0.5, 0.2, 0.8, "wilson") < Coverage(10, 0.9, 0.6, 1.0, "wilson")
    Traceback (most recent call last):
    TypeError: an Accuracy was set against a Coverage; they measure different things: compare like with like, or read `.estimate` where the mixture is meant
    """


@dataclass(frozen=True, slots=True, eq=True)
class Amount(Value):
    """The mean cost of a question, in some unit."""

    unit: str = ""
    total: float = 0.0
    """Over all questions and seeds."""
    estimated: bool = False
    """Whether some part of it is an estimate and not a measurement."""


@dataclass(frozen=True, slots=True, eq=True)
class Difference(Value):
    """A paired difference over the questions that both sides have."""

    p: float = 1.0
    """Two-sided."""
    test: str = ""
    """`mcnemar` or `permutation`."""
    wins: int = 0
    """Questions on which the first side is better."""
    losses: int = 0
    ties: int = 0


V = TypeVar("V", Accuracy, Coverage)


def average(values: Sequence[V]) -> V:
    """The mean of values of one kind over independent sets of questions, such as tasks.

    The interval is made of the parts' by the method of variance estimates recovery (MOVER).

    Reference:
        @article{zou2008construction, title={Construction of confidence limits about effect measures: a general
          approach}, author={Zou, Guang Yong and Donner, Allan}, journal={Statistics in Medicine}, year={2008}}

    Raises:
        TypeError: for accuracies and coverages together.
        ValueError: for none.

    >>> average([Accuracy(10, 0.5, 0.2, 0.8, "wilson"), Accuracy(20, 0.7, 0.5, 0.9, "wilson")]).estimate
    0.6
    """
    if not values:
        raise ValueError("the average of no values was asked for")
    kind = of_one_kind(values)
    k = len(values)
    mean = math.fsum(v.estimate for v in values) / k
    below = math.sqrt(math.fsum((v.estimate - v.low) ** 2 for v in values)) / k
    above = math.sqrt(math.fsum((v.high - v.estimate) ** 2 for v in values)) / k
    return kind(
        sum(v.n for v in values),
        mean,
        max(0.0, mean - below),
        min(1.0, mean + above),
        "mover",
        tuple(sorted({s for v in values for s in v.seeds})),
        min(v.confidence for v in values),
        math.sqrt(math.fsum(v.error**2 for v in values)) / k,
    )


def of_one_kind(values: Sequence[V]) -> type[V]:
    """The type that all these values have.

    Raises:
        TypeError: where they have several.
    """
    kinds = {type(v) for v in values}
    if len(kinds) != 1 or not kinds <= {Accuracy, Coverage}:
        raise TypeError(
            f"{' and '.join(sorted(k.__name__ for k in kinds))} were put together; a series, a table row or "
            "an average holds Accuracy alone or Coverage alone"
        )
    return type(values[0])


@dataclass(frozen=True, slots=True)
class Point(Generic[V]):
    """A value at some N, or at some cost."""

    x: float
    value: V
    label: str = ""
    """What lies here: the strategy's printed spec."""
    estimated: bool = False
    """Whether `x` is an estimate."""


@dataclass(frozen=True, slots=True)
class Curve(Generic[V]):
    """Values of one kind against N or a unit of cost, by growing `x`."""

    task: str
    model: str
    line: str
    unit: str
    """Of the axis: `n`, or a unit of `COST_UNITS`."""
    points: tuple[Point[V], ...]
    budget: str = ""
    """The budget of a question, where the points share one that binds."""

    def __post_init__(self) -> None:
        if self.points:
            of_one_kind([p.value for p in self.points])

    @property
    def kind(self) -> str:
        """`accuracy` or `coverage`; empty without points."""
        return type(self.points[0].value).__name__.lower() if self.points else ""


def plain(value: Any) -> Any:
    """The value as JSON; what is not finite becomes None, and every value says its kind.

    >>> plain(Coverage(1, 1.0, 0.2, float("inf"), "wilson"))["high"] is None
    True
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.repr}
        return (
            {"kind": type(value).__name__.lower(), **shown} if isinstance(value, Value) else shown
        )
    if isinstance(value, Mapping):
        held = cast("Mapping[Any, Any]", value)
        return {str(k): plain(v) for k, v in held.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in cast("Sequence[Any]", value)]
    return value


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _refused(self: Value, other: object) -> NoReturn:
    raise TypeError(
        f"{_kind(self)} and {_kind(other)} were added; values with intervals do not add: `average` takes the "
        "mean of one kind over tasks"
    )


# Set here and not in the class, so that to a type checker these operators do not exist.
for _name in ("__add__", "__radd__"):
    setattr(Value, _name, _refused)
