"""What is chosen where nothing was said: the strategy, and the scorers inside one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from cogitate.assembly.factory import Assembled, scores_steps

from .defaults import VOTABLE, default_scorer
from .scorers import judge, prm
from .strategies import best_of, self_consistency


def default_strategy(kind: str) -> tuple[Assembled, str]:
    """The strategy for a kind of answer, and why.

    >>> default_strategy("number")[0]
    self_consistency(n=8)
    """
    if kind in VOTABLE:
        return self_consistency(n=8), default_scorer(kind)[1]
    return best_of(n=4), ""


def filled(strategy: Assembled, kind: str, verifier: bool = False) -> tuple[Assembled, str]:
    """The strategy with the scorers that were left open filled in, and why those.

    Args:
        strategy: what was chosen.
        kind: of the answer.
        verifier: whether a process reward model is at hand.
    """
    voting = strategy.name in ("self_consistency", "vote")
    reason = _SELDOM_AGREE if voting and kind not in VOTABLE else ""
    arguments = dict(strategy.arguments)
    for name in strategy.factory.parameters:
        held = strategy.argument(name)
        if isinstance(held, Assembled) and held.family == "strategy":
            arguments[name], reason = filled(held, kind, verifier)
        elif isinstance(held, tuple):
            arguments[name] = tuple(
                filled(one, kind, verifier)[0]
                if isinstance(one, Assembled) and one.family == "strategy"
                else one
                for one in cast(tuple[Any, ...], held)
            )
        elif held is None and name == "scorer" and strategy.family == "strategy":
            steps = scores_steps(strategy.factory.parameters[name])
            arguments[name], reason = _of_steps(verifier) if steps else default_scorer(kind)
    ordered = tuple((n, arguments[n]) for n in strategy.factory.parameters if n in arguments)
    return replace(strategy, arguments=ordered), reason


def _of_steps(verifier: bool) -> tuple[Assembled, str]:
    """Partial answers cannot vote: a verifier of steps scores them, or else a judge."""
    if verifier:
        return prm(), "a verifier is at hand, so it scores the steps"
    return (
        judge(),
        "no verifier was given, so a judge scores the steps; --model verifier=SPEC names one",
    )


_SELDOM_AGREE = (
    "a vote was asked for, but free texts seldom agree; a judge, as in best_of(), says more"
)
