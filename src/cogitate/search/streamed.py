"""Which compositions say their answer last, so that it can be read while it is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from ._streaming import as_final
from .beam import BeamSearch
from .best_of import BestOf
from .compose import Solve, Vote
from .escalation import Cascade, Escalate
from .fusion import Fusion
from .refinement import Refinement
from .revision import SequentialRevision
from .routing import Route
from .self_consistency import SelfConsistency
from .until_good import SampleUntilGood


def streamed(strategy: Any) -> Any:
    """The same strategy with what it says last marked as its answer; `None` where that cannot be known before.

    >>> streamed(Solve(process=None, scorer=None, search=BestOf(8))) is None
    True
    """
    match strategy:
        case Solve():
            return _solved(cast("Solve[Any]", strategy))
        case Vote(strategy=inner, n=1):
            return _with(strategy, "strategy", streamed(inner))
        case Route(arms=arms):
            marked = tuple(streamed(arm) for arm in arms)
            return None if any(arm is None for arm in marked) else replace(strategy, arms=marked)
        case Cascade(dear=dear):
            return _with(replace(strategy, shown=True), "dear", streamed(dear))
        case Escalate(levels=levels):
            last = streamed(levels[-1])
            marked = None if last is None else (*levels[:-1], last)
            return _with(replace(strategy, shown=True), "levels", marked)
        case _:
            return None


def _solved(strategy: Solve[Any]) -> Any:
    search: Any = strategy.search
    final = as_final(strategy.process)
    if isinstance(search, Fusion):
        alone = final is not None and strategy.final is None  # which could put a draft before it
        return replace(strategy, search=replace(search, final=True)) if alone else None
    if _of_one(search):
        return _with(strategy, "process", final)
    if isinstance(search, BeamSearch) and search.width == 1:
        return replace(strategy, search=replace(search, settle=True))
    return None


def _of_one(search: Any) -> bool:
    """Whether a search draws one sample and does nothing else."""
    match search:
        case BestOf(n=1) | SelfConsistency(n=1) | SampleUntilGood(at_most=1):
            return True
        case BeamSearch(width=1, branch=1) | Refinement(rounds=0, width=1):
            return True
        case SequentialRevision(n=1, chains=1):
            return True
        case _:
            return False


def _with(strategy: Any, name: str, part: Any) -> Any:
    return None if part is None else replace(strategy, **{name: part})
