"""One sample from the question to its end, and what all searches say about samples and scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cogitate.core.candidates import Candidate, Ranking, Score, Unscored, cause_of, ranked
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import note
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

S = TypeVar("S")

_QUIET = frozenset({"", "failed", "form", "abstained"})
"""Causes that do not end a search."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Something that was asked for and bought nothing."""

    id: str
    cause: str
    reason: str


@dataclass(frozen=True)
class Rollout(Generic[S]):
    """A sample as far as it came."""

    id: str
    state: S
    depth: int
    """Steps taken."""
    cut: Lost | None = None
    """Why it ended before the process was done."""


async def lose(id: str, error: OutOfBudget | Failed) -> Lost:
    """Publish a loss as the event `lost`."""
    lost = Lost(id, cause_of(error), str(error))
    await note("lost", id=id, cause=lost.cause, reason=lost.reason)
    return lost


async def rollout(process: Process[S], task: Task, seed: Seed, index: int) -> Rollout[S] | Lost:
    """Sample `index`: start, then step until the process is done; what was paid for is kept.

    The seeds are `seed.at("sample", index)` and below it `.at("step", k)`, whatever the search, so that
    64 samples re-use 8, and a vote those of best-of-N. Publishes `expanded` or `lost`.
    """
    id, line, depth = str(index), seed.at("sample", index), 0
    try:
        state = await process.start(task, line.at("start"))
    except (OutOfBudget, Failed) as error:
        return await lose(id, error)
    cut: Lost | None = None
    try:
        while not process.done(state):
            state = await process.step(state, line.at("step", depth))
            depth += 1
    except (OutOfBudget, Failed) as error:
        cut = await lose(id, error)
        if depth == 0:
            return cut
    await note("expanded", id=id, parent=None, depth=depth, done=cut is None)
    return Rollout(id, state, depth, cut)


async def judged(
    scorer: Scorer[S], task: Task, states: Sequence[S], ids: Sequence[str] = ()
) -> list[Score | Unscored]:
    """One score per state whatever happens, published as the event `scored`.

    A scorer that is refused or fails, returns another number of scores than there are states, or a
    value that is not finite, leaves `Unscored`: what was paid for is still ranked.
    """
    if not states:
        return []
    scores: list[Score | Unscored]
    try:
        scores = [_checked(score) for score in await scorer(task, states)]
    except (OutOfBudget, Failed) as error:
        scores = [Unscored.because(error) for _ in states]
    if len(scores) != len(states):
        reason = f"the scorer gave {len(scores)} scores for {len(states)} candidates"
        scores = [Unscored(reason, "form") for _ in states]
    if ids:
        await note(
            "scored",
            ids=list(ids),
            values=[s.value if isinstance(s, Score) else None for s in scores],
            reasons=[s.reason if isinstance(s, Unscored) else "" for s in scores],
        )
    return scores


def _checked(score: Score | Unscored) -> Score | Unscored:
    if isinstance(score, Score) and not math.isfinite(score.value):
        return Unscored(f"the scorer gave the value {score.value}", "form")
    return score


def ending(causes: Iterable[str], *, empty: bool) -> str:
    """Why a search ended early: the first refusal; `failed` where failures left nothing."""
    found = [cause for cause in causes if cause]
    refusal = next((cause for cause in found if cause not in _QUIET), "")
    return refusal or ("failed" if empty and found else "")


def concluded(
    rollouts: Sequence[Rollout[S] | Lost], scores: Sequence[Score | Unscored], *, asked: int
) -> Ranking[S]:
    """The ranking of a set of samples: finished ones by score, then what was cut, unscored.

    `scores` are those of the finished samples, in order.
    """
    given = iter(scores)
    finished: list[Candidate[S]] = []
    partial: list[Candidate[S]] = []
    causes: list[Lost] = []
    for sample in rollouts:
        if isinstance(sample, Lost):
            causes.append(sample)
        elif sample.cut is not None:
            causes.append(sample.cut)
            unscored = Unscored(f"it is unfinished: {sample.cut.reason}", sample.cut.cause)
            partial.append(Candidate(sample.state, unscored, sample.id))
        else:
            finished.append(Candidate(sample.state, next(given), sample.id))
    items = (*ranked(finished).items, *partial)
    unscored = [c.score for c in finished if isinstance(c.score, Unscored)]
    stopped = ending(
        [*(lost.cause for lost in causes), *(u.cause for u in unscored)], empty=not items
    )
    return Ranking(items, stopped, _told(finished, partial, causes, asked))


def _told(
    finished: Sequence[Candidate[S]],
    partial: Sequence[Candidate[S]],
    lost: Sequence[Lost],
    asked: int,
) -> str:
    """One sentence on how it went."""
    said = [f"{len(finished)} of {asked} samples finished"]
    if lost:
        gone = len(lost) - len(partial)
        cut = f"{len(partial)} cut short and {gone} lost" if partial else f"{gone} lost"
        said.append(f"{cut} ({lost[0].reason})")
    if votes := vote_counts([c.score for c in finished]):
        said.append("votes " + " : ".join(str(n) for n in sorted(votes.values(), reverse=True)))
    unscored = [c.score for c in finished if isinstance(c.score, Unscored)]
    silent = sum(score.cause == "abstained" for score in unscored)
    if silent:
        said.append(f"{silent} without an answer")
    if len(unscored) > silent:
        first = next(score.reason for score in unscored if score.cause != "abstained")
        said.append(f"{len(unscored) - silent} unscored ({first})")
    return "; ".join(said)


def vote_counts(scores: Sequence[Score | Unscored]) -> dict[float, int]:
    """Votes of each class, read from the features of a vote's scores; empty where there are none."""
    counts: dict[float, int] = {}
    for score in scores:
        if isinstance(score, Score) and score.features.get("class") and score.features.get("votes"):
            counts[score.features["class"][0]] = round(score.features["votes"][0])
    return counts
