"""Paper 23: tree search with and without memory, tried on riddles."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from cogitate.core.events import Answered, Event, Noted
from cogitate.core.flow import gather
from cogitate.core.protocols import Search
from cogitate.core.requests import Generate, Request
from cogitate.core.retrieve import Retrieve
from cogitate.core.seeds import Seed
from cogitate.drive import Router, run
from cogitate.engines.grading import Grader
from cogitate.engines.retrieval import Corpus, Entry, Retriever, TfIdf
from cogitate.lab.worlds import RIDDLES, RiddleWorld, WorldModel, remembered, riddles
from cogitate.processes import Reasoning
from cogitate.recipes.r2_llms import r2_llms
from cogitate.rules import Interval, paired_bootstrap
from cogitate.scorers import ProcessReward
from cogitate.search import BestOf, Solve

from .claim import Setting

PRM: Final = ProcessReward()
SOLVED: Final = 60
"""Solved riddles in a corpus: about ten of each kind."""
ITERATIONS: Final = 8
CHAIN: Final = BestOf(1)
"""One chain in the place of the tree search."""
EMPTY: Final[Mapping[str, Corpus]] = {
    name: Corpus((Entry("none", "—"),)) for name in ("problems", "steps")
}
"""Nothing that any query shares a word with."""


def recalling(
    *, problems: int = 3, steps: int = 1, reject: bool = True, iterations: int = ITERATIONS,
    search: Search | None = None, at_least: float | None = None, exploration: float = 1.0,
) -> Solve[Any]:  # fmt: skip
    """R2-style search; `reject` leaves out what is not alike."""
    return r2_llms(
        Reasoning(),
        PRM,
        problems=problems,
        steps=steps,
        at_least=at_least if at_least is not None else (0.5 if reject else -1.0),
        at_least_alike=at_least if at_least is not None else (0.7 if reject else 0.0),
        iterations=iterations,
        exploration=exploration,
        search=search,
    )


@dataclass(frozen=True)
class Recalling:
    """What a strategy made of riddles."""

    right: tuple[bool, ...]
    texts: tuple[tuple[str, ...], ...]
    """Of each riddle all candidates, in the order of the ranking."""
    asked: tuple[Request[Any], ...]
    """Of the policy, in the order of the answers; lookups and embeddings left out."""
    lookups: int
    notes: tuple[Noted, ...]


@functools.lru_cache(maxsize=64)
def recalled(
    strategy: Solve[Any], world: RiddleWorld, count: int, corpus: str = "own", seed: int = 0
) -> Recalling:
    """Try a strategy on riddles, under one `gather`; known ones are not run again.

    Args:
        strategy: what is tried.
        world: whose riddles.
        count: of riddles.
        corpus: `own` kinds, `foreign` ones, or `empty`.
        seed: of riddles and samples.
    """
    problems = riddles(world, count, seed)
    held = EMPTY if corpus == "empty" else remembered(world, SOLVED, foreign=corpus == "foreign")
    asked: list[Request[Any]] = []
    notes: list[Noted] = []
    lookups = 0

    def listen(event: Event) -> None:
        nonlocal lookups
        if isinstance(event, Noted):
            notes.append(event)
        elif isinstance(event, Answered):
            lookups += isinstance(event.request, Retrieve)
            if isinstance(event.request, Generate) and event.request.role == "policy":
                asked.append(event.request)

    async def flow() -> Any:
        return await gather(
            *(strategy(p.task, Seed(seed).at("riddle", p.number)) for p in problems)
        )

    engines = Router(
        {
            "policy": (WorldModel(world),),
            "retriever": (Retriever({name: TfIdf(corpus) for name, corpus in held.items()}),),
        },
        [Grader(symbolic=False)],
    )
    done = run(flow(), engines, listen=listen)
    return Recalling(
        tuple(
            bool(r.items) and r.best.state.answer == p.gold(world)
            for r, p in zip(done.value, problems, strict=True)
        ),
        tuple(tuple(c.state.text for c in r.items) for r in done.value),
        tuple(asked),
        lookups,
        tuple(notes),
    )


def riddles_of(setting: Setting) -> RiddleWorld:
    """The preset of a setting, with its changes."""
    return replace(RIDDLES[setting.preset], **setting.changes)


def lead(first: Recalling, second: Recalling) -> Interval:
    """By how much the first is more often right, on the same riddles."""
    return paired_bootstrap(
        [float(x) for x in first.right], [float(x) for x in second.right], 0, draws=1000
    )


def share(found: Recalling) -> float:
    """Right answers."""
    return sum(found.right) / len(found.right)
