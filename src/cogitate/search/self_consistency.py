"""Self-consistency: sample until the vote is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from cogitate.core.candidates import Ranking
from cogitate.core.errors import InvalidInput
from cogitate.core.flow import Pool, note
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.rules.stopping import further_votes

from .reserves import counts_votes
from .rollout import Lost, Rollout, concluded, judged, rollout, vote_counts
from .schedules import check_count

S = TypeVar("S")
Sample = Rollout[S] | Lost


@dataclass(frozen=True)
class SelfConsistency:
    """Draw up to n samples and stop once the vote among them is decided.

    The bound is exact: with a votes for the leader, b for the next and r samples to come, the leader has
    won once a > b + r (`rules.stopping.further_votes`; ties are left open, whatever the tie rule). With
    `confidence` it stops also once the leader is more frequent than the next in the long run with that
    probability, by the Beta posterior; the vote of n could then still have fallen otherwise.

    Votes are counted in the order of the samples, never of their arrival, so the answer is the same under
    every driver; samples beyond the deciding one are left out, and cancelled where they still run.
    It stops early only with a scorer that counts votes, such as `Majority`; others are asked once, at the
    end. A sample that the budget refuses, or that fails, counts as an abstention.

    >>> SelfConsistency(16)
    SelfConsistency(n=16, at_least=3, stop_early=True, confidence=None, in_flight=None)
    """

    n: int = 16
    at_least: int = 3
    """Samples before it may stop."""
    stop_early: bool = True
    confidence: float | None = None
    """Above 1/2 and below 1; `None` for the exact bound only."""
    in_flight: int | None = None
    """Samples that run at once while it may stop early. By default the fewest that can decide the vote, so that
    nothing is wasted; more end sooner and waste some."""

    def __post_init__(self) -> None:
        check_count("n", self.n)
        check_count("at_least", self.at_least)
        check_count("in_flight", 1 if self.in_flight is None else self.in_flight)
        if self.confidence is not None and not 0.5 < self.confidence < 1:
            raise InvalidInput(
                f"a confidence of {self.confidence} was asked for; it lies above 0.5 and below 1"
            )

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return self.n

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        stopping = self.stop_early and counts_votes(scorer)
        arrived: dict[int, Sample[S]] = {}
        counted = launched = 0
        check_at = (
            min(self.n, max(self.at_least, self._further({}, self.n))) if stopping else self.n
        )
        decided = False
        async with Pool[Sample[S]]() as pool:
            while counted < self.n and not decided:
                while launched < self._target(stopping, check_at, counted, len(arrived)):
                    await pool.add(rollout(process, task, seed, launched))
                    launched += 1
                index, sample = await pool.next()
                arrived[index] = sample
                while counted in arrived and not decided:
                    counted += 1
                    if stopping and counted >= check_at and counted < self.n:
                        votes = await self._count(
                            scorer, task, [arrived[i] for i in range(counted)]
                        )
                        further = self._further(votes, self.n - counted)
                        check_at, decided = counted + further, further == 0
        samples = [arrived[i] for i in range(counted)]
        finished = _finished(samples)
        scores = await judged(scorer, task, [s.state for s in finished], [s.id for s in finished])
        ranking = concluded(samples, scores, asked=counted if decided else self.n)
        if not decided:
            return ranking
        votes = sorted(vote_counts(scores).values(), reverse=True)
        await note("decided", after=counted, of=self.n, launched=launched, votes=votes)
        told = f"decided after {counted} of {self.n} samples; {ranking.note}"
        return replace(ranking, stopped="decided", note=told)

    def _target(self, stopping: bool, check_at: int, counted: int, arrived: int) -> int:
        """How many samples should have been launched by now."""
        if not stopping:
            return self.n
        if self.in_flight is None:
            return min(self.n, check_at)
        return min(self.n, max(arrived, counted) + self.in_flight)

    def _further(self, votes: dict[float, int], left: int) -> int:
        first, second, *_ = (*sorted(votes.values(), reverse=True), 0, 0)
        return further_votes(first, second, left, confidence=self.confidence)

    async def _count(
        self, scorer: Scorer[S], task: Task, samples: Sequence[Sample[S]]
    ) -> dict[float, int]:
        return vote_counts(await judged(scorer, task, [s.state for s in _finished(samples)]))


def _finished(samples: Sequence[Sample[S]]) -> list[Rollout[S]]:
    return [s for s in samples if isinstance(s, Rollout) and s.cut is None]
