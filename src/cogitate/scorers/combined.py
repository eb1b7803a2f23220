"""Several scorers as one: all of them, any of them, or their weighted mean."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from cogitate.core.candidates import Artifact, Critique, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather
from cogitate.core.protocols import Scorer, Separable
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.rules.aggregate import NORMALISATIONS, Normalise, normalised

from .votes import logprobs_of, reserve_of

Missing = Literal["abstain", "leave_out"]
"""What a part that could not judge a candidate means.

`abstain`: the whole cannot judge it either, unless the others decide already; `leave_out`: the others decide.
"""

MISSING: Final[tuple[Missing, ...]] = get_args(Missing)

_ALONE: Final = ("none", "sigmoid")
"""Normalisations that read one value only."""

Scorers = tuple[Scorer[Artifact], ...]
Values = Sequence[float | None]
"""What each part says of one candidate; `None` where it could not judge."""


class _Combined(ABC):
    """What every combination does with its parts; how their values become one is its own."""

    scorers: Scorers
    normalise: Normalise

    @property
    def logprobs(self) -> int:
        """The most that a part reads."""
        return max(map(logprobs_of, self.scorers))

    @property
    def separable(self) -> bool:
        """Whether each candidate is judged by itself."""
        alone = all(isinstance(s, Separable) and s.separable for s in self.scorers)
        return alone and self.normalise in _ALONE

    def reserve(self, states: int) -> Budget | None:
        """What all parts are likely to cost."""
        return _reserve(self.scorers, states)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        """Every part asked at once, and what they say of each candidate combined."""
        parts = await gather(*(_part(scorer, task, states) for scorer in self.scorers))
        scaled = [_scaled(part, self.normalise) for part in parts]
        out: list[Score | Unscored] = []
        for place in range(len(states)):
            said = [part[place] for part in parts]
            value = self._value([values[place] for values in scaled])
            out.append(_missing(said) if value is None else _combined(value, said))
        return out

    @abstractmethod
    def _value(self, values: Values) -> float | None: ...


@dataclass(frozen=True)
class AllOf(_Combined):
    """As good as its worst part: every scorer must be content.

    The parts' values are brought to one scale by `normalise` first. With `marks` on that scale, one for each
    scorer, `Score.value` is 1 where every part reaches its mark and 0 where any misses it, and a missed mark
    decides, whatever a part that could not judge would say. Without marks it is the least of the values. Step scores are those of the first
    part that has any; critiques are joined. Features: those of the parts, the first to name one wins, and
    `part0`, `part1`, … with the parts' own values.

    >>> from cogitate.scorers import Majority, ProcessReward
    >>> AllOf((Majority(), ProcessReward()), marks=(0.5, 0.9)).reserve(4)
    Budget(calls=4)
    """

    scorers: Scorers
    marks: tuple[float, ...] = ()
    normalise: Normalise = "none"
    missing: Missing = "abstain"

    def __post_init__(self) -> None:
        _check(self.scorers, self.marks, "marks", self.normalise, self.missing)

    def _value(self, values: Values) -> float | None:
        if not self.marks:
            return _reduced(values, self.missing, min)
        passed = _passed(values, self.marks)
        if False in passed:
            return 0.0
        return _reduced([None if p is None else 1.0 for p in passed], self.missing, min)


@dataclass(frozen=True)
class AnyOf(_Combined):
    """As good as its best part: one content scorer is enough.

    The parts' values are brought to one scale by `normalise` first. With `marks` on that scale, one for each
    scorer, `Score.value` is 1 where any part reaches its mark, which decides, and 0 where all miss theirs;
    without, the greatest of the values.
    Steps, critiques and features: see `AllOf`.

    >>> from cogitate.scorers import MeanLogprob, SelfCertainty
    >>> AnyOf((MeanLogprob(), SelfCertainty(top=7)), normalise="rank").logprobs
    7
    """

    scorers: Scorers
    marks: tuple[float, ...] = ()
    normalise: Normalise = "none"
    missing: Missing = "abstain"

    def __post_init__(self) -> None:
        _check(self.scorers, self.marks, "marks", self.normalise, self.missing)

    def _value(self, values: Values) -> float | None:
        if not self.marks:
            return _reduced(values, self.missing, max)
        passed = _passed(values, self.marks)
        if True in passed:
            return 1.0
        return _reduced([None if p is None else 0.0 for p in passed], self.missing, max)


@dataclass(frozen=True)
class Ensemble(_Combined):
    """The weighted mean of several scorers, each brought to one scale first.

    `Score.value` is the sum of weight times normalised value over the sum of the weights' sizes; a negative
    weight counts against. By default the parts count by rank among the candidates, since their scales differ.
    Steps, critiques and features: see `AllOf`.

    >>> from cogitate.scorers import Judge, ProcessReward
    >>> Ensemble((ProcessReward(), Judge()), weights=(3.0, 1.0)).reserve(2)
    Budget(tokens_out=512, calls=4)
    """

    scorers: Scorers
    weights: tuple[float, ...] = ()
    """One for each scorer; empty: all count alike."""
    normalise: Normalise = "rank"
    missing: Missing = "abstain"

    def __post_init__(self) -> None:
        _check(self.scorers, self.weights, "weights", self.normalise, self.missing)
        if self.weights and not any(self.weights):
            raise InvalidInput("weights of 0 were asked for; one of them must count")

    def _value(self, values: Values) -> float | None:
        weights = self.weights or (1.0,) * len(values)
        if self.missing == "abstain" and None in values:
            return None
        known = [(w, v) for w, v in zip(weights, values, strict=True) if v is not None]
        size = math.fsum(abs(w) for w, _ in known)
        return math.fsum(w * v for w, v in known) / size if size else None


# ----------------------------------------------------------------------------- what they share


def _check(
    scorers: Scorers, numbers: tuple[float, ...], name: str, normalise: str, missing: str
) -> None:
    if not scorers:
        raise InvalidInput("a combination of no scorers was asked for; give at least one")
    if numbers and (len(numbers) != len(scorers) or not all(map(math.isfinite, numbers))):
        raise InvalidInput(
            f"{name}={numbers} were given for {len(scorers)} scorers; give one finite number for each, or none"
        )
    if normalise not in NORMALISATIONS or missing not in MISSING:
        raise InvalidInput(
            f"normalise={normalise!r} and missing={missing!r} were asked for; there are "
            f"{', '.join(NORMALISATIONS)}, and {' and '.join(MISSING)}"
        )


def _reserve(scorers: Scorers, states: int) -> Budget | None:
    """The sum of what the parts say, unit by unit."""
    totals: dict[str, float] = {}
    for scorer in scorers:
        for unit, amount in (reserve_of(scorer, states) or Budget()).bounds():
            totals[unit] = totals.get(unit, 0) + amount
    return Budget(**totals) if totals else None  # pyright: ignore[reportArgumentType]


async def _part(
    scorer: Scorer[Artifact], task: Task, states: Sequence[Artifact]
) -> list[Score | Unscored]:
    """One outcome for each candidate, whatever the part does."""
    try:
        found = list(await scorer(task, states))
    except (Failed, OutOfBudget) as error:
        return [Unscored.because(error)] * len(states)
    if len(found) != len(states):
        reason = f"a part gave {len(found)} scores for {len(states)} candidates"
        return [Unscored(reason, "form")] * len(states)
    return [
        Unscored(f"a part gave the value {s.value}", "form")
        if isinstance(s, Score) and not math.isfinite(s.value)
        else s
        for s in found
    ]


def _scaled(part: Sequence[Score | Unscored], how: Normalise) -> list[float | None]:
    values = iter(normalised([s.value for s in part if isinstance(s, Score)], how))
    return [next(values) if isinstance(s, Score) else None for s in part]


def _passed(values: Values, marks: Sequence[float]) -> list[bool | None]:
    return [None if v is None else v >= mark for v, mark in zip(values, marks, strict=True)]


def _reduced(
    values: Values, missing: Missing, rule: Callable[[list[float]], float]
) -> float | None:
    known = [v for v in values if v is not None]
    if not known or (missing == "abstain" and len(known) < len(values)):
        return None
    return rule(known)


def _missing(said: Sequence[Score | Unscored]) -> Unscored:
    return next(
        (s for s in said if isinstance(s, Unscored)), Unscored("no part of it counts", "abstained")
    )


def _combined(value: float, said: Sequence[Score | Unscored]) -> Score:
    """The value with what the parts said beside theirs."""
    scores = [s for s in said if isinstance(s, Score)]
    features: dict[str, tuple[float, ...]] = {}
    for score in reversed(scores):
        features |= score.features
    features |= {f"part{i}": (s.value,) for i, s in enumerate(said) if isinstance(s, Score)}
    critiques = [s.critique for s in scores if s.critique is not None]
    blamed = [c.first_error for c in critiques if c.first_error is not None]
    critique = None
    if critiques:
        text = "\n\n".join(c.text for c in critiques)
        critique = Critique(text, min(blamed, default=None))
    steps = next((s.steps for s in scores if s.steps), ())
    return Score(value, steps, critique, features)
