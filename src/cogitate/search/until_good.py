"""Draw samples until one is good enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from cogitate.core.candidates import Ranking, Score, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.flow import Pool, note
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from .rollout import Lost, Rollout, concluded, judged, rollout
from .schedules import check_count

S = TypeVar("S")

Judged = tuple[Rollout[S] | Lost, Score | Unscored]


@dataclass(frozen=True)
class SampleUntilGood:
    """Sample, score each sample as it ends, and stop at the first that is good enough.

    First means by number and not by arrival: a good sample waits for those before it, so the answer does
    not depend on who is faster. `together` samples are on their way at once; those after the winner are
    cancelled. With a chance p of a good sample and one at a time the expected number drawn is
    (1 - (1 - p)^n) / p. The scorer judges each sample by itself: votes mean nothing here.

    >>> SampleUntilGood(at_most=16, good_enough=0.9)
    SampleUntilGood(at_most=16, good_enough=0.9, together=4)
    """

    at_most: int = 16
    good_enough: float = 0.5
    """The least score at which sampling stops, in the scorer's own range."""
    together: int = 4
    """Samples on their way at once; more are faster, and waste more."""

    def __post_init__(self) -> None:
        check_count("at_most", self.at_most)
        check_count("together", self.together)
        if self.good_enough != self.good_enough:
            raise InvalidInput("good_enough is not a number; give the least score that will do")

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return self.at_most

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        arrived: dict[int, Judged[S]] = {}
        counted = launched = 0
        found = False
        async with Pool[Judged[S]]() as pool:
            while counted < self.at_most and not found:
                while launched < min(self.at_most, counted + self.together):
                    await pool.add(_one(process, scorer, task, seed, launched))
                    launched += 1
                index, sample = await pool.next()
                arrived[index] = sample
                while counted in arrived and not found:
                    found = self._is_good(arrived[counted][1])
                    counted += 1
        samples = [arrived[i] for i in range(counted)]
        finished = [(s, score) for s, score in samples if isinstance(s, Rollout) and s.cut is None]
        ranking = concluded(
            [s for s, _ in samples], [score for _, score in finished], asked=counted
        )
        if not found:
            return ranking
        await note("decided", after=counted, of=self.at_most, launched=launched, votes=[])
        told = f"sample {counted} of {self.at_most} was good enough; {ranking.note}"
        return replace(ranking, stopped="decided", note=told)

    def _is_good(self, score: Score | Unscored) -> bool:
        return isinstance(score, Score) and score.value >= self.good_enough


async def _one(
    process: Process[S], scorer: Scorer[S], task: Task, seed: Seed, index: int
) -> Judged[S]:
    """One sample with its score; one that was cut has none."""
    sample = await rollout(process, task, seed, index)
    if isinstance(sample, Lost) or sample.cut is not None:
        return sample, Unscored("it did not end", "abstained")
    [score] = await judged(scorer, task, [sample.state], [sample.id])
    return sample, score
