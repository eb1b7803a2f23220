"""The presets: worlds with a reason, laid down before any claim uses them and tuned to none."""

from __future__ import annotations

import difflib
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from cogitate.core.errors import InvalidInput

from .chain import ChainWorld

_LADDER: Final = ChainWorld(steps=(3, 6), attractor=0.4, auc=0.85)

_ALL: Final = (
    replace(
        _LADDER,
        name="easy",
        reason="the low rung of the ladder of difficulty: most samples are right, so little is to be gained",
        difficulty=(-1.5, -0.5),
    ),
    replace(
        _LADDER,
        name="medium",
        reason="the middle rung: about half of the samples are right, where methods differ most",
        difficulty=(-0.5, 0.5),
    ),
    replace(
        _LADDER,
        name="hard",
        reason="the high rung: right samples are rare but there, so coverage grows long after votes have stopped",
        difficulty=(0.5, 2.0),
    ),
    replace(
        _LADDER,
        name="ladder",
        reason="all rungs in one set, for everything that decides by difficulty",
        difficulty=(-1.5, 2.5),
    ),
    replace(
        _LADDER,
        name="scatter",
        reason="wrong answers hardly ever agree, so a vote finds the right one even where it is rare",
        difficulty=(0.5, 1.5),
        attractor=0.0,
    ),
    replace(
        _LADDER,
        name="attractor",
        reason="wrong answers agree more often than right ones, so a vote gets worse with more samples",
        difficulty=(1.0, 1.8),
        attractor=0.95,
    ),
    replace(
        _LADDER,
        name="weak_verifier",
        reason="a verifier hardly better than chance: does a method still hold up?",
        difficulty=(-0.5, 0.5),
        auc=0.6,
    ),
    replace(
        _LADDER,
        name="perfect_verifier",
        reason="the verifier says the true chance to end right: the bound of what search can do",
        difficulty=(-0.5, 1.5),
        verifier="value",
    ),
    replace(
        _LADDER,
        name="misleading_verifier",
        reason="a verifier that puts wrong steps above right ones: search must lose to sampling",
        difficulty=(-0.5, 0.5),
        auc=0.3,
    ),
    replace(
        _LADDER,
        name="exploitable",
        reason="a flourish in some wrong steps outweighs everything: optimising harder finds more of it",
        difficulty=(-1.0, 0.5),
        exploit=6.0,
        flourish=0.25,
    ),
    replace(
        _LADDER,
        name="wordy",
        reason="the verifier likes long steps, and length says nothing about being right",
        difficulty=(-0.5, 0.5),
        padding=6,
        length_bias=1.5,
    ),
    replace(
        _LADDER,
        name="self_correcting",
        reason="errors are often repaired later, so a low score early should not be final",
        difficulty=(0.0, 1.0),
        repair=0.5,
    ),
    replace(
        _LADDER,
        name="revising",
        reason="earlier attempts and feedback help, and some right answers are broken again",
        difficulty=(0.0, 2.0),
        revision=0.8,
        feedback=1.2,
        plan=0.5,
        examples=0.3,
        thinking=1.5,
    ),
    replace(
        _LADDER,
        name="deceptive",
        reason="half of the ways of solving look right until the end and cannot succeed: variety pays",
        difficulty=(-0.5, 0.5),
        ways=6,
        dead=3,
        verifier="value",
        embedding_noise=0.2,
    ),
    replace(
        _LADDER,
        name="blind_alleys",
        reason="long solutions in several ways, half of which fail at the very end, unseen by the verifier: what branches share is most of what they hold, and to keep one way only is to stake all on it",
        steps=(12, 20),
        skill=3.2,
        difficulty=(-0.5, 0.5),
        ways=6,
        dead=3,
        embedding_noise=0.02,
    ),
    replace(
        _LADDER,
        name="confident",
        reason="the policy is less sure of its words once it errs, so its own log-probabilities say something",
        difficulty=(-0.5, 1.0),
        doubt=0.6,
    ),
    replace(
        _LADDER,
        name="thinking",
        reason="the policy thinks before it solves: longer helps up to a point, and hurts beyond it",
        difficulty=(0.5, 1.5),
        thinking=1.5,
        thinking_best=120,
        thinking_words=60,
    ),
    replace(
        _LADDER,
        name="null",
        reason="nothing to be found: the verifier is blind and the right answer has no more votes than the wrong one",
        difficulty=(0.3, 0.3),
        steps=(4, 4),
        attractor=1.0,
        auc=0.5,
        skill=1.964913,
        judge_auc=0.5,
        critic_recall=0.0,
        ways=1,
    ),
)

PRESETS: Final = MappingProxyType({world.name: world for world in _ALL})
"""The presets by name; `null` is the world in which a claim about choosing must fail."""


def preset(name: str, **changes: Any) -> ChainWorld:
    """A preset, with some parameters changed.

    >>> preset("medium", auc=0.7).auc
    0.7

    Raises:
        InvalidInput: for an unknown preset or parameter; names the nearest one.
    """
    if name not in PRESETS:
        raise InvalidInput(f"there is no world preset {name!r}{_nearest(name, list(PRESETS))}")
    known = [field for field in ChainWorld.__dataclass_fields__ if field not in ("name", "reason")]
    for change in changes:
        if change not in known:
            raise InvalidInput(f"a world has no parameter {change!r}{_nearest(change, known)}")
    return replace(PRESETS[name], **changes)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"
