"""The simulated worlds that a model spec may name: `sim:NAME(…)`."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal

from cogitate.core.protocols import Engine

from . import factory


@factory.model
def arithmetic(
    kind: str,
    skill: float = 0.6,
    attractor: float = 0.4,
    auc: float = 0.85,
    latency_s: float = 0.0,
) -> Engine:
    """A simulated policy and verifier for arithmetic word problems, right as often as `skill` says."""
    from cogitate.engines.simulated import Simulated

    return Simulated(skill=skill, attractor=attractor, auc=auc, latency_s=latency_s)


@factory.model
def chain(
    kind: str,
    preset: str = "medium",
    skill: float | None = None,
    attractor: float | None = None,
    repair: float | None = None,
    verifier: Literal["oracle", "value", "noisy", "outcome"] | None = None,
    auc: float | None = None,
    ways: int | None = None,
    dead: int | None = None,
    doubt: float | None = None,
    latency_s: float | None = None,
    failures: float | None = None,
    seed: int | None = None,
) -> Engine:
    """A simulated world of chains: policy, verifier, judge, critic and embedder, from a named preset."""
    from cogitate.lab.worlds import ChainModel
    from cogitate.lab.worlds import preset as named_preset

    given = {
        "skill": skill,
        "attractor": attractor,
        "repair": repair,
        "verifier": verifier,
        "auc": auc,
        "ways": ways,
        "dead": dead,
        "doubt": doubt,
        "latency_s": latency_s,
        "failures": failures,
        "seed": seed,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return ChainModel(named_preset(preset, **changes))


@factory.model
def tree(
    kind: str, branching: int = 3, depth: int = 4, guidance: float = 0.7, seed: int = 0
) -> Engine:
    """A simulated tree of choices with one planted best leaf, and scores that guide to it."""
    from cogitate.lab.worlds import TreeWorld, WorldModel

    return WorldModel(TreeWorld(branching, depth, guidance, seed))


@factory.model
def bandit(kind: str, arms: int = 5, best: float = 0.7, gap: float = 0.3, seed: int = 0) -> Engine:
    """A simulated bandit: a sample pulls an arm, and the verifier says whether it paid."""
    from cogitate.lab.worlds import BanditWorld, WorldModel

    return WorldModel(BanditWorld(arms, best, gap, seed))


@factory.model
def pairs(
    kind: str,
    first: float = 0.6,
    corrects: float = 0.3,
    spoils: float = 0.1,
    position_bias: float = 0.0,
    auc: float = 0.85,
    seed: int = 0,
) -> Engine:
    """A simulated judge of pairs of answers, whose verdict changes as it is made to think on."""
    from cogitate.lab.worlds import PairsWorld, WorldModel

    return WorldModel(PairsWorld(first, corrects, spoils, position_bias, auc, seed))


@factory.model
def riddle(
    kind: str,
    kinds: int = 6,
    steps: int = 5,
    known: float = 0.6,
    hint: float = 2.5,
    distract: float = 1.5,
    example: float = 0.8,
    mislead: float = 0.8,
    auc: float = 0.85,
    seed: int = 0,
) -> Engine:
    """A simulated world of riddles of few kinds, for retrieval: what is solved in the same way helps."""
    from cogitate.lab.worlds import RiddleWorld, WorldModel

    return WorldModel(
        RiddleWorld(
            kinds=kinds,
            steps=steps,
            known=known,
            hint=hint,
            distract=distract,
            example=example,
            mislead=mislead,
            auc=auc,
            seed=seed,
        )
    )


WORLDS: Final = MappingProxyType(
    {made.name: made for made in (arithmetic, chain, tree, bandit, pairs, riddle)}
)
"""The simulated worlds, for `sim:NAME(…)`."""
