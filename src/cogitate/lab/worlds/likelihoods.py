"""How likely the chain world finds what others say: labels of a verdict, and answers after a solution."""

from __future__ import annotations

import math
import re
from typing import Final

from cogitate.core.requests import Likelihood, Loglikelihood
from cogitate.engines.writing import pieces

from .chain import ChainWorld, apart
from .closed_forms import finish_chance
from .judging import ANSWER, whole
from .policy import Situation
from .verifiers import whole_score

_LABELLED: Final = re.compile(r"(?m)^([A-Z])\) (True|False)$")
_NUMBER: Final = re.compile(r"-?\d{1,12}")
_LEAST: Final = 1e-12


def likelihoods(world: ChainWorld, at: Situation, request: Loglikelihood) -> tuple[Likelihood, ...]:
    """One a continuation.

    Where the prompt shows an answer and labels True and False, a label has the chance that the judge gives to the answer:
    binormal with `judge_auc`, calibrated at even odds. Otherwise the last number of a continuation is taken as a
    result, and has the chance that the policy comes to it from where the prompt ends.
    """
    if request.labels:
        asked = whole(request.prompt)
        labels = dict(_LABELLED.findall(asked))
        shown = ANSWER.findall(asked)
        if shown and {"True", "False"} <= set(labels.values()):
            seen = abs(apart(world.judge_auc)) * whole_score(world, at.chain, shown[-1][1])
            true = 1 / (1 + math.exp(-min(max(seen, -500.0), 500.0)))
            chances = {"True": true, "False": 1 - true}
            return tuple(
                _said(chances.get(labels.get(label.strip(), ""), 0.0), 1)
                for label in request.continuations
            )
    return tuple(
        _said(_chance(world, at, text), len(pieces(text))) for text in request.continuations
    )


def _said(chance: float, tokens: int) -> Likelihood:
    return Likelihood(math.log(max(chance, _LEAST)), max(1, tokens))


def _chance(world: ChainWorld, at: Situation, text: str) -> float:
    """The chance of the number that a continuation states; of words without one, half a piece each."""
    stated = _NUMBER.findall(text)
    if not stated:
        return float(0.5 ** len(pieces(text)))
    boost = at.boost + world.thinking_gain(at.words)
    right = finish_chance(world, at.chain, at.place, boost)
    offset = int(stated[-1]) - at.chain.answer
    if offset == 0:
        return right
    if at.place.offset and not world.repair:  # an error stays as it is
        return 1.0 if offset == at.place.offset else 0.0
    if offset == at.chain.attractor(world):
        return (1 - right) * world.attractor
    scattered = (1 - right) * (1 - world.attractor)
    return scattered / (2 * world.scatter - 1) if abs(offset) <= world.scatter else 0.0
