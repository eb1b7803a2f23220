"""Which candidates a search keeps: thin adapters from candidates to the rules of selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from cogitate.core.candidates import Candidate
from cogitate.core.seeds import Seed
from cogitate.rules.selection import sample_k, top_k, top_k_spread

S = TypeVar("S")


class Selection(Protocol):
    """Keeps at most k of the candidates, best first; always a subset."""

    def __call__(
        self, candidates: Sequence[Candidate[S]], k: int, seed: Seed
    ) -> Sequence[Candidate[S]]: ...


@dataclass(frozen=True)
class TopK:
    """The k best; ties go to the earlier, and what has no score comes last.

    >>> from cogitate.core.candidates import Score
    >>> [c.id for c in TopK()([Candidate(0, Score(0.1), "a"), Candidate(0, Score(0.9), "b")], 1, Seed(0))]
    ['b']
    """

    def __call__(
        self, candidates: Sequence[Candidate[S]], k: int, seed: Seed
    ) -> Sequence[Candidate[S]]:
        return [candidates[i] for i in top_k([c.value for c in candidates], k)]


@dataclass(frozen=True)
class TopKSpread:
    """The k best with at most `per_parent` children of any one parent: keeps lines apart.

    Children of the root have no line in common.

    >>> TopKSpread(per_parent=2)
    TopKSpread(per_parent=2)
    """

    per_parent: int = 1

    def __call__(
        self, candidates: Sequence[Candidate[S]], k: int, seed: Seed
    ) -> Sequence[Candidate[S]]:
        values = [c.value for c in candidates]
        parents = [(c.parent,) if c.parent is not None else (None, c.id) for c in candidates]
        return [candidates[i] for i in top_k_spread(values, parents, k, self.per_parent)]


@dataclass(frozen=True)
class SampleK:
    """Draw k candidates, each once, by the softmax of their scores.

    >>> SampleK(temperature=0.5)
    SampleK(temperature=0.5)
    """

    temperature: float = 1.0

    def __call__(
        self, candidates: Sequence[Candidate[S]], k: int, seed: Seed
    ) -> Sequence[Candidate[S]]:
        drawn = sample_k([c.value for c in candidates], k, self.temperature, seed.int())
        return [candidates[i] for i in drawn]
