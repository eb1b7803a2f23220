"""A vote that gives doubtful samples up while they are written, and stops once it agrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

from cogitate.core.candidates import Ranking, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import Pool, gather, note
from cogitate.core.protocols import Costly, Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.until import GIVEN_UP, ConfidenceBelow, Until
from cogitate.core.views import SeenAs
from cogitate.rules.confidence import cut_off, text_confidence, token_confidence

from .reserves import counts_votes
from .rollout import Lost, Rollout, concluded, judged, rollout, vote_counts
from .schedules import check_count

S = TypeVar("S")


@runtime_checkable
class Watchable(Protocol):
    """A process whose requests take predicates and ask for log-probabilities, by these fields."""

    @property
    def until(self) -> tuple[Until, ...]: ...
    @property
    def logprobs(self) -> int: ...


@dataclass(frozen=True)
class Drawn(Generic[S]):
    """A sample, and how sure the model was of it."""

    sample: Rollout[S] | Lost
    confidence: float | None = None
    """Of its least sure group of tokens; `None` where it is unfinished or unknown."""
    given_up: bool = False

    @property
    def finished(self) -> bool:
        """Whether it came to its end, or was given up."""
        return isinstance(self.sample, Rollout) and self.sample.cut is None


@dataclass(frozen=True)
class ConfidentVote:
    """Draw samples, and give up the later ones that the model is less sure of than of the first.

    The first `warmup` samples are written whole. The confidence of the least sure group of `window` tokens
    that the best `keep` of them reach is the threshold: later samples end, without an answer, once a group
    falls below it, and whatever lies below it has no vote. The scorer counts the votes; a natural one is
    `Weighted(Confidence("lowest"))`. Where its scores tell classes and totals and asking it costs nothing,
    sampling stops once one class holds `consensus` of the total; it is asked after every eighth more votes,
    so that the work grows as the samples do. Where nobody whose answer can be read
    reaches the threshold, all vote.

    Samples are counted in their order, never that of arrival. A process without the fields `until` and
    `logprobs` cannot be watched: its samples are written whole, and the note says so; one that writes in
    steps is watched within each step. Publishes `pruned` for what lies below the threshold, and a kind of its
    own, `threshold`.

    >>> ConfidentVote(32, warmup=8)
    ConfidentVote(n=32, warmup=8, keep=0.9, consensus=0.95, window=64, top=5, at_least=3, in_flight=None)

    Reference:
        @article{fu2025deep, title={Deep Think with Confidence}, author={Fu, Yichao and Wang, Xuewei and
          Tian, Yuandong and Zhao, Jiawei}, journal={arXiv:2508.15260}, year={2025}}
    Deviates: the threshold is the value of a sample, not one between two; at least three must vote before
    sampling stops; the paper's windows are 2,048 tokens long, and it starts with 16 of up to 512 samples.
    """

    n: int = 32
    """Samples at most, the first ones included."""
    warmup: int = 8
    keep: float = 0.9
    """The share of samples that is to reach the threshold: 0.9 is careful, 0.1 saves most."""
    consensus: float = 0.95
    window: int = 64
    top: int = 5
    """Likeliest tokens that count at each place."""
    at_least: int = 3
    """Votes before it may stop."""
    in_flight: int | None = None
    """Samples at once after the first ones; as many as those by default."""

    def __post_init__(self) -> None:
        for name in ("n", "warmup", "window", "top", "at_least"):
            check_count(name, getattr(self, name))
        check_count("in_flight", 1 if self.in_flight is None else self.in_flight)
        if not 0 < self.keep <= 1 or not 0.5 < self.consensus <= 1:
            raise InvalidInput(
                f"keep={self.keep} and consensus={self.consensus} were asked for; keep lies above 0 and up to "
                "1, consensus above 0.5 and up to 1"
            )

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return self.n

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        whole = self._watched(process)
        first = range(min(self.warmup, self.n))
        drawn = await gather(*(self._draw(whole, task, seed, i) for i in first))
        sure = [d.confidence for d in drawn if d.confidence is not None]
        threshold = cut_off(sure, self.keep) if sure else None
        if threshold is not None:
            await note("threshold", value=threshold, samples=len(sure))
        watched = self._watched(process, threshold)
        asked = voting = sum(_votes(d, threshold) for d in drawn)
        decided = len(drawn) < self.n and await self._agree(scorer, task, drawn, threshold)
        arrived = dict(enumerate(drawn))
        launched = len(drawn)
        async with Pool[Drawn[S]]() as pool:
            while len(drawn) < self.n and not decided:
                most = max(len(arrived), len(drawn)) + (self.in_flight or self.warmup)
                while launched < min(self.n, most):
                    await pool.add(self._draw(watched, task, seed, launched))
                    launched += 1
                index, found = await pool.next()
                arrived[len(first) + index] = found
                while len(drawn) in arrived and not decided:
                    drawn.append(arrived[len(drawn)])
                    voting += _votes(drawn[-1], threshold)
                    # A scorer reads all of them anew, so it is asked after every eighth more votes.
                    if len(drawn) < self.n and voting >= asked + max(1, asked // 8):
                        asked = voting
                        decided = await self._agree(scorer, task, drawn, threshold)
        of = len(drawn) if decided else self.n
        ranking = await self._concluded(scorer, task, drawn, threshold, of)
        if not _can_be_watched(process):
            told = f"{ranking.note}; its process cannot be stopped by confidence"
            ranking = replace(ranking, note=told)
        if not decided:
            return ranking
        votes = sorted(vote_counts([c.score for c in ranking.items]).values(), reverse=True)
        await note("decided", after=len(drawn), of=self.n, launched=launched, votes=votes)
        told = f"agreed after {len(drawn)} of {self.n} samples; {ranking.note}"
        return replace(ranking, stopped="decided", note=told)

    def _watched(self, process: Process[S], threshold: float | None = None) -> Process[S]:
        """The process asking for what is read, and given up below the threshold where there is one."""
        if not _can_be_watched(process):
            return process
        held = cast(Watchable, process)
        until = held.until
        if threshold is not None:
            until = (*until, ConfidenceBelow(threshold, self.window, self.top))
        asked: Any = process
        return replace(asked, until=until, logprobs=max(held.logprobs, self.top))

    async def _draw(self, process: Process[S], task: Task, seed: Seed, index: int) -> Drawn[S]:
        sample = await rollout(process, task, seed, index)
        if isinstance(sample, Lost) or sample.cut is not None:
            return Drawn(sample)
        try:
            pieces = (await process.render(sample.state)).completions
        except (OutOfBudget, Failed):
            return Drawn(sample)
        places = [[info.logprob for info in place] for piece in pieces for place in piece.top]
        sure = [v for place in places if (v := token_confidence(place, self.top)) is not None]
        least = text_confidence(sure, "lowest", window=self.window)
        return Drawn(sample, least, any(piece.stopped_by == GIVEN_UP for piece in pieces))

    async def _agree(
        self, scorer: Scorer[S], task: Task, drawn: Sequence[Drawn[S]], threshold: float | None
    ) -> bool:
        """Whether one class holds enough of the total."""
        voters = [d.sample for d in drawn if _votes(d, threshold)]
        if len(voters) < self.at_least or not _asks_nothing(scorer):
            return False
        states = [v.state for v in voters if isinstance(v, Rollout)]
        scores = [s for s in await judged(scorer, task, states) if isinstance(s, Score)]
        told = [s for s in scores if s.features.get("class") and s.features.get("total")]
        totals = {s.features["class"][0]: s.features["total"][0] for s in told}
        whole = math.fsum(totals.values())
        if len(told) < self.at_least or whole <= 0 or min(totals.values()) < 0:
            return False
        return max(totals.values()) >= self.consensus * whole

    async def _concluded(
        self,
        scorer: Scorer[S],
        task: Task,
        drawn: Sequence[Drawn[S]],
        threshold: float | None,
        asked: int,
    ) -> Ranking[S]:
        finished = [d for d in drawn if d.finished]
        voters = [d for d in finished if _votes(d, threshold)]
        scores = await _scored(scorer, task, voters)
        if not any(isinstance(s, Score) for s in scores):
            voters, scores = finished, await _scored(scorer, task, finished)
        of_voter = dict(zip((d.sample.id for d in voters), scores, strict=True))
        below = [d.sample.id for d in finished if d.sample.id not in of_voter]
        if below:
            await note("pruned", ids=below, depth=0)
        told = [of_voter.get(d.sample.id) or _below(d, threshold) for d in finished]
        ranking = concluded([d.sample for d in drawn], told, asked=asked)
        said = [ranking.note]
        if threshold is not None:
            given_up = sum(d.given_up for d in drawn)
            said.append(f"{given_up} given up at a confidence below {threshold:.3g}")
        return replace(ranking, note="; ".join(said))


def _can_be_watched(process: object) -> bool:
    return is_dataclass(process) and isinstance(process, Watchable)


def _asks_nothing(scorer: Any) -> bool:
    """Whether a scorer may be asked again and again at no cost."""
    if counts_votes(scorer):
        return True
    while isinstance(scorer, SeenAs):
        scorer = scorer.scorer  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return isinstance(scorer, Costly) and scorer.reserve(1) is None


def _votes(drawn: Drawn[S], threshold: float | None) -> bool:
    if not drawn.finished or drawn.given_up:
        return False
    return threshold is None or (drawn.confidence is not None and drawn.confidence >= threshold)


async def _scored(
    scorer: Scorer[S], task: Task, drawn: Sequence[Drawn[S]]
) -> list[Score | Unscored]:
    samples = [d.sample for d in drawn if isinstance(d.sample, Rollout)]
    return await judged(scorer, task, [s.state for s in samples], [s.id for s in samples])


def _below(drawn: Drawn[S], threshold: float | None) -> Unscored:
    if drawn.confidence is None or threshold is None:
        return Unscored("how sure the model was of it is not known", "abstained")
    how = "was given up" if drawn.given_up else "has no vote"
    return Unscored(
        f"it {how}: its least sure group of tokens has a confidence of {drawn.confidence:.3g}, below "
        f"{threshold:.3g}",
        "abstained",
    )
