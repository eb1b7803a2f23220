"""The plain strategies that a spec may name: samples, votes, beams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from cogitate.assembly import factory
from cogitate.assembly.factory import A_PROCESS, A_SCORER, A_STEP_SCORER, A_STRATEGY, COUNT, Factory

from .defaults import solve, solve_alone
from .parts import count, counted
from .processes import answer, reasoning
from .scorers import majority


@factory.strategy
def greedy(kind: str, process: A_PROCESS | None = None) -> Any:
    """One answer without randomness: what the model says first."""
    from cogitate.core.requests import Sampling
    from cogitate.scorers import Indifferent
    from cogitate.search import BestOf, Solve

    chosen = process if process is not None else answer().for_kind(kind)
    return Solve(replace(chosen, sampling=Sampling(temperature=0.0)), Indifferent(), BestOf(1))


@factory.strategy
def best_of(
    kind: str, n: int = 8, scorer: A_SCORER | None = None, process: A_PROCESS | None = None
) -> Any:
    """The best of n independent answers, by a scorer."""
    from cogitate.search import BestOf

    return solve(kind, process or answer().for_kind(kind), scorer, BestOf(count(n, "n")))


@factory.strategy
def self_consistency(
    kind: str, n: int = 16, confidence: float | None = None, process: A_PROCESS | None = None
) -> Any:
    """The most frequent of up to n answers; stops once the vote is decided.

    With `confidence`, such as 0.95, it also stops once the leader is that likely to stay ahead.
    """
    from cogitate.search import SelfConsistency

    chosen = process or answer().for_kind(kind)
    return solve(
        kind,
        chosen,
        majority().for_kind(kind),
        SelfConsistency(count(n, "n"), confidence=confidence),
    )


@factory.strategy
def beam_search(
    kind: str,
    width: COUNT = 4,
    branch: COUNT = 4,
    depth: int = 16,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Keep the best partial answers at each step, by a scorer.

    `final` ranks the finished answers anew, such as `majority()`.
    """
    from cogitate.search import BeamSearch

    search = BeamSearch(counted(width, "width"), counted(branch, "branch"), count(depth, "depth"))
    return solve_alone(kind, process or reasoning().for_kind(kind), scorer, search, final)


@factory.strategy
def vote(kind: str, strategy: A_STRATEGY, n: int = 3) -> Any:
    """Run a strategy n times and take the most frequent answer."""
    from cogitate.search import Vote

    return Vote(strategy, count(n, "n"))


FACTORIES: Final[tuple[Factory[...], ...]] = (
    greedy,
    best_of,
    self_consistency,
    beam_search,
    vote,
)
