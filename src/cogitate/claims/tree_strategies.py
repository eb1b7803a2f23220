"""Paper 35: the strategies that its claims compare, and what their trees need."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Final

from cogitate.core.events import Event, Noted
from cogitate.core.flow import gather
from cogitate.core.seeds import Seed
from cogitate.drive import PrefixTokens, Router, run
from cogitate.engines.grading import Grader
from cogitate.lab.worlds import ChainModel, ChainWorld, chains
from cogitate.processes import Reasoning
from cogitate.recipes.ets import ets as efficient
from cogitate.recipes.rebase import rebase as balanced
from cogitate.scorers import ProcessReward
from cogitate.search import Solve

PRM: Final = ProcessReward()
SMALL: Final = 16
"""The width that most claims use; the smallest of the paper's."""
COST: Final = 2.0
COVERAGE: Final = 1.5
"""What `bench tune` chose at this width on 100 problems of seed 7 of the preset `blind_alleys`, at a tolerance of 0.02,
among costs of 1, 2, 4 and coverages of 1.5 and 3. The claims use other seeds."""


def rebase(width: int = SMALL) -> Solve[Any]:
    """The baseline: no leaf is dropped before the shares are given."""
    return balanced(Reasoning(), PRM, width=width)


def ets(width: int = SMALL, cost: float = COST, coverage: float = COVERAGE) -> Solve[Any]:
    """Weight, nodes and meanings."""
    return efficient(Reasoning(), PRM, width=width, cost=cost, coverage=coverage)


def prune(width: int = SMALL, cost: float = COST) -> Solve[Any]:
    """Weight and nodes only."""
    return ets(width, cost, 0.0)


@dataclass(frozen=True)
class Grown:
    """Trees of one strategy on problems of one world."""

    right: tuple[bool, ...]
    kept: tuple[int, ...]
    """Unique-prefix tokens of each problem's tree, summed over depths; the question left out."""
    notes: tuple[Noted, ...]
    tokens: int
    """Generated in all."""


@functools.lru_cache(maxsize=64)
def grown(
    strategy: Solve[Any], world: ChainWorld, count: int, seeds: tuple[int, ...] = (0,)
) -> Grown:
    """Search the first `count` problems of a world, once for each seed; known ones are not run again."""
    right: list[bool] = []
    kept: list[int] = []
    notes: list[Noted] = []
    tokens = 0
    for seed in seeds:
        problems = chains(world, count, seed)
        heard = PrefixTokens()

        def listen(event: Event, heard: PrefixTokens = heard) -> None:
            heard(event)
            if isinstance(event, Noted):
                notes.append(event)

        async def flow(seed: int = seed, problems: Any = problems) -> Any:
            return await gather(
                *(strategy(p.task, Seed(seed).at("problem", p.number)) for p in problems)
            )

        engines = Router({"policy": (ChainModel(world),)}, [Grader(symbolic=False)])
        done = run(flow(), engines, listen=listen)
        right += [
            bool(r.items) and r.best.state.answer == p.gold
            for r, p in zip(done.value, problems, strict=True)
        ]
        kept += [sum(levels) for levels in heard.trees]
        tokens += done.usage.tokens_out
    return Grown(tuple(right), tuple(kept), tuple(notes), tokens)


def ratio(first: Grown, second: Grown) -> float:
    """How much more cache the first needs: a ratio of averages, as the paper's."""
    return math.fsum(first.kept) / max(1.0, math.fsum(second.kept))
