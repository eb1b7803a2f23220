"""Who of a population goes on, and until when: resampling, and stages of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from cogitate.core.candidates import Candidate, Score, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.rules.potentials import POTENTIALS, Potential, Trace, potential
from cogitate.rules.resampling import RESAMPLINGS, Resampling, effective_size, resample
from cogitate.rules.selection import softmax

from .select import Selection

S = TypeVar("S")

DONE: Final = 1_000_000
"""A depth that no search reaches."""

TRACE: Final = "trace"
"""The feature in which a population shows its past to a selection."""


@dataclass(frozen=True)
class Resample:
    """Draw k candidates with repetition, by the softmax of a potential of their past scores.

    A candidate that shows no past is weighed by its score alone; one without a score weighs nothing
    beside scored ones, and where none has a score no weight changes. Where the effective size is at least
    `below` of the population and k keeps its size, no one is drawn: the weights go on, and the next
    weighing adds to them.

    >>> from cogitate.core.candidates import Score
    >>> shown = [Candidate(i, Score(v), str(i)) for i, v in enumerate((0.0, 5.0))]
    >>> [c.state for c in Resample(temperature=0.1)(shown, 3, Seed(0))]
    [1, 1, 1]
    """

    potential: Potential = "value"
    temperature: float = 1.0
    """Log-weights are the potential over this; 0 draws among the highest only."""
    method: Resampling = "systematic"
    below: float = 1.0
    """Draw only where the effective size is below this share of the population; 1: always."""

    def __post_init__(self) -> None:
        if self.potential not in POTENTIALS or self.method not in RESAMPLINGS:
            raise InvalidInput(
                f"potential={self.potential!r} and method={self.method!r} were asked for; potentials are "
                f"{', '.join(POTENTIALS)}, methods {', '.join(RESAMPLINGS)}"
            )
        if self.temperature < 0 or not 0 < self.below <= 1:
            raise InvalidInput(
                f"temperature={self.temperature} and below={self.below} were asked for; the temperature is "
                "at least 0, and below lies above 0 and up to 1"
            )

    def __call__(
        self, candidates: Sequence[Candidate[S]], k: int, seed: Seed
    ) -> Sequence[Candidate[S]]:
        drawn = self.drawn(self.log_weights(candidates), k, seed)
        return candidates if drawn is None else [candidates[i] for i in drawn]

    def log_weights(
        self, candidates: Sequence[Candidate[S]], owed: Sequence[float] = ()
    ) -> list[float]:
        """What each weighs now; `owed` are its weights since the last draw, none by default."""
        owed = list(owed) or [0.0] * len(candidates)
        found = [self._potential(c.score) for c in candidates]
        high = max(found, default=-math.inf)
        if high == -math.inf:
            return owed
        if self.temperature == 0:
            return [o if f == high else -math.inf for o, f in zip(owed, found, strict=True)]
        # Relative to the highest, so that a tiny temperature does not overflow.
        return [o + (f - high) / self.temperature for o, f in zip(owed, found, strict=True)]

    def drawn(self, log_weights: Sequence[float], k: int, seed: Seed) -> list[int] | None:
        """The places that go on, k of them in rising order; `None` where all stay as they are."""
        if not log_weights:
            return []
        weights = softmax(log_weights)
        enough = effective_size(weights) >= self.below * len(weights)
        if k == len(weights) and self.below < 1 and enough:
            return None
        return resample(weights, k, seed.int(), self.method)

    def _potential(self, score: Score | Unscored) -> float:
        if isinstance(score, Unscored):
            return -math.inf
        past = score.features.get(TRACE)
        return potential(Trace.first(score.value) if past is None else _read(past), self.potential)


@dataclass(frozen=True)
class Until:
    """A stage: up to this depth, so many go on as the population says, chosen by `keep`.

    >>> from cogitate.search.select import TopK
    >>> Until(2, keep=TopK())
    Until(depth=2, keep=TopK())
    """

    depth: int = DONE
    """The first depth, from 0, at which it no longer holds."""
    keep: Selection | None = None
    """`None`: everyone goes on."""

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise InvalidInput(f"a stage until depth {self.depth} was asked for; give at least 1")


def traced(score: Score | Unscored, past: Trace | None) -> Score | Unscored:
    """A score that shows a particle's past to the selection."""
    if isinstance(score, Unscored) or past is None:
        return score
    features: Mapping[str, tuple[float, ...]] = {**score.features, TRACE: _written(past)}
    return replace(score, features=features)


def _written(past: Trace) -> tuple[float, ...]:
    since = math.nan if past.since is None else past.since
    return (past.last, since, past.total, past.highest)


def _read(raw: tuple[float, ...]) -> Trace:
    last, since, total, highest = raw
    return Trace(last, None if math.isnan(since) else since, total, highest)


def log_odds(probability: float) -> float:
    """The log-odds of a probability, finite at both ends.

    >>> log_odds(0.5), round(log_odds(1.0), 1)
    (0.0, 20.7)
    """
    clipped = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(clipped / (1 - clipped))
