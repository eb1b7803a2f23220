"""Verifiers of the chain world: scores of steps with known quality and known faults."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from .chain import Chain, ChainWorld, apart, normal
from .closed_forms import finish_chance
from .solution import FINAL, FLOURISH, Place, is_dead, read_on


def step_scores(
    world: ChainWorld, chain: Chain, begun: str, steps: Sequence[str], boost: float = 0.0
) -> tuple[float, ...]:
    """One score a step, from 0 to 1, each for the solution up to and with it.

    The noise belongs to the text judged, so equal solutions score alike.
    """
    place = read_on(chain, Place(), begun)
    text = hashlib.blake2b(f"{world.seed}|{chain.question}|{begun}".encode(), digest_size=8)
    found: list[float] = []
    for step in steps:
        place = read_on(chain, place, step)
        text.update(step.encode("utf-8", "surrogatepass"))
        score = _plain(world, chain, place, step, text.hexdigest(), boost)
        found.append(_biased(world, score, step))
    return tuple(found)


def _plain(
    world: ChainWorld, chain: Chain, place: Place, step: str, digest: str, boost: float
) -> float:
    right = place.offset == 0
    match world.verifier:
        case "oracle":
            return 1.0 if right else 0.0
        case "value":
            return finish_chance(world, chain, place, boost)
        case "outcome":
            return _noisy(world, right, digest) if FINAL.search(step) else 0.5
        case "noisy":
            return _noisy(world, right, digest)


def _noisy(world: ChainWorld, right: bool, digest: str) -> float:
    """A binormal score: its AUC is exact, and calibrated it is the chance of `right` at even odds.

    Below an AUC of 0.5 no score is calibrated: it is then one minus that chance.
    """
    distance = apart(world.auc)
    seen = normal(f"verifier|{digest}") + (distance / 2 if right else -distance / 2)
    # A misleading score is as sure of itself as one of the mirrored AUC; scaled by its own sign it would be right.
    return _logistic(abs(distance) * seen if world.calibrated else 3 * seen + 1)


def _biased(world: ChainWorld, score: float, step: str) -> float:
    """The score with the world's faults: a liking for length, and for a flourish."""
    extra = world.length_bias * len(step) / 100
    if world.exploit and FLOURISH in step:
        extra += world.exploit
    if not extra:
        return score
    clipped = min(max(score, 1e-9), 1 - 1e-9)
    return _logistic(math.log(clipped / (1 - clipped)) + extra)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-min(max(x, -700.0), 700.0)))


def whole_score(world: ChainWorld, chain: Chain, text: str) -> float:
    """A verifier's impression of a whole answer: a number on the line, right ones higher by the judge's AUC.

    For judges, which compare texts and not steps.
    """
    place = read_on(chain, Place(), text)
    right = place.offset == 0 and not is_dead(world, place)
    distance = apart(world.judge_auc)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    seen = normal(f"judge|{world.seed}|{chain.number}|{digest}")
    return seen + (distance / 2 if right else -distance / 2)
