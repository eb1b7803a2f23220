"""Lookahead: a partial answer is judged by where it leads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from cogitate.core.candidates import Ranking, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather
from cogitate.core.protocols import Process, Scorer, Search
from cogitate.core.requests import Sampling
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from .reserves import Planned

S = TypeVar("S")

GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True)
class Lookahead:
    """Run a search whose scorer looks ahead: a state is scored at the end of up to `steps` more steps.

    The steps ahead are taken without randomness where `greedy` holds and the process says how it
    samples, ended early where the answer ends, and thrown away: only their score is used. A search of N states
    costs N × (steps + 1) steps. A rollout that is refused or fails is judged as far as it came. With
    `steps` = 0 it is the search itself, request for request.

    >>> from cogitate.search import BeamSearch
    >>> Lookahead(BeamSearch(width=2, branch=2), steps=3)
    Lookahead(search=BeamSearch(width=2, branch=2, depth=16, select=TopK(), distinct=True), steps=3, greedy=True)

    Reference:
        @misc{snell2024scaling, title={Scaling {LLM} Test-Time Compute Optimally can be More Effective than
          Scaling Model Parameters}, author={Snell, Charlie and others}, year={2024}, eprint={2408.03314}}
    """

    search: Search
    steps: int = 1
    greedy: bool = True

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InvalidInput(f"steps={self.steps} was asked for; a lookahead has at least 0")

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return self.search.states() if isinstance(self.search, Planned) else 0

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        if self.steps == 0:
            return await self.search(process, scorer, task, seed)
        ahead = _greedy(process) if self.greedy else process
        led = _Ahead(ahead, scorer, self.steps, seed.at("ahead"), ahead is not process)
        return await self.search(process, led, task, seed)


@dataclass(frozen=True)
class _Ahead(Generic[S]):
    """Scores states at the end of a rollout."""

    process: Process[S]
    scorer: Scorer[S]
    steps: int
    seed: Seed
    greedy: bool

    async def __call__(self, task: Task, states: Sequence[S]) -> Sequence[Score | Unscored]:
        ends = await gather(*(self._end(s, i) for i, s in enumerate(states)))
        scores = await self.scorer(task, ends)
        if len(scores) != len(states):
            return scores  # the search refuses them
        return [
            score if state is end else _of_the_end(score)
            for state, end, score in zip(states, ends, scores, strict=True)
        ]

    async def _end(self, state: S, place: int) -> S:
        try:
            for step in range(self.steps):
                if self.process.done(state):
                    break
                # Without randomness the seed means nothing, and equal steps should be equal requests.
                seed = self.seed if self.greedy else self.seed.at(place, "step", step)
                state = await self.process.step(state, seed)
        except (OutOfBudget, Failed):
            pass  # judged as far as it came
        return state


def _of_the_end(score: Score | Unscored) -> Score | Unscored:
    """What a score of the end says of the state: not what it says of steps that were thrown away."""
    return score if isinstance(score, Unscored) else replace(score, steps=(), critique=None)


def _greedy(process: Any) -> Any:
    """The process without randomness, where it is one of ours that says how it samples."""
    if dataclasses.is_dataclass(process) and not isinstance(process, type):
        held = getattr(process, "sampling", None)
        if isinstance(held, Sampling):
            return replace(process, sampling=GREEDY)  # pyright: ignore[reportCallIssue]
    return process
