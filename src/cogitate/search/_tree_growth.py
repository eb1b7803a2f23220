"""How trees grow and end: children with their seeds, and what a search tells of its tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from cogitate.core.candidates import Candidate, Ranking, Score, Unscored, ranked
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import note
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from .rollout import Lost, ending, judged, lose

S = TypeVar("S")

MOST_TOLD = 1000
"""Nodes in the event `tree`, at most."""


class Sprout(Generic[S]):
    """A new state with its place; the seed of its line continues its parent's for the first child."""

    # Slots and no dataclass: a search makes one a node, ten thousand times.
    __slots__ = ("depth", "done", "id", "line", "state")

    def __init__(self, state: S, id: str, line: Seed, depth: int, done: bool) -> None:
        self.state, self.id, self.line, self.depth, self.done = state, id, line, depth, done


def placed(parent_id: str, line: Seed, depth: int, index: int) -> tuple[str, Seed]:
    """The name and the seed of a child; those of the root's are the independent samples."""
    if depth == 0:
        return str(index), line.at("sample", index)
    return f"{parent_id}.{index}", line if index == 0 else line.at("branch", depth, index)


async def stepped(
    process: Process[S], state: S, parent_id: str, line: Seed, depth: int, index: int
) -> Sprout[S] | Lost:
    """One child, made by one step; publishes `expanded` or `lost`."""
    id, line = placed(parent_id, line, depth, index)
    try:
        grown = await process.step(state, line.at("step", depth))
    except (OutOfBudget, Failed) as error:
        return await lose(id, error)
    done = process.done(grown)
    await note("expanded", id=id, parent=parent_id or None, depth=depth + 1, done=done)
    return Sprout(grown, id, line, depth + 1, done)


async def finished_from(process: Process[S], sprout: Sprout[S]) -> Sprout[S] | Lost:
    """The line of a child to the end of its process; publishes `expanded` or `lost`."""
    id, state, depth = f"{sprout.id}.end", sprout.state, sprout.depth
    try:
        while not process.done(state):
            state = await process.step(state, sprout.line.at("step", depth))
            depth += 1
    except (OutOfBudget, Failed) as error:
        return await lose(id, error)
    await note("expanded", id=id, parent=sprout.id, depth=depth, done=True)
    return Sprout(state, id, sprout.line, depth, done=True)


async def completed(
    process: Process[S], scorer: Scorer[S], task: Task, leaves: Sequence[tuple[Sprout[S], float]]
) -> Candidate[S] | Lost:
    """The best of the unfinished lines, taken to its end and scored; the earlier where two are equal."""
    best, _ = max(leaves, key=lambda leaf: leaf[1])
    end = await finished_from(process, best)
    if isinstance(end, Lost):
        return end
    [score] = await judged(scorer, task, [end.state], [end.id])
    return Candidate(end.state, score, end.id, best.id)


def stops(scores: Sequence[Score | Unscored], losses: Sequence[Lost]) -> bool:
    """Whether the grant has ended: something was refused, and nothing was gained."""
    causes = [lost.cause for lost in losses]
    causes += [score.cause for score in scores if isinstance(score, Unscored)]
    gained = any(isinstance(score, Score) for score in scores)
    return not gained and bool(ending(causes, empty=False))


async def tell_tree(rows: Iterable[tuple[str, int, float | None]]) -> None:
    """Publish the most visited nodes as the event `tree`: ids, visits and mean values."""
    told = sorted(rows, key=lambda row: -row[1])[:MOST_TOLD]
    await note(
        "tree",
        ids=[id for id, _, _ in told],
        visits=[visits for _, visits, _ in told],
        values=[value for _, _, value in told],
    )


def concluded(
    finished: Sequence[Candidate[S]],
    partial: Sequence[Candidate[S]],
    lost: Sequence[Lost],
    nodes: int,
) -> Ranking[S]:
    """Finished candidates as they come, then unfinished ones by score."""
    items = (*finished, *ranked(partial).items)
    said = [f"{len(finished)} finished and {len(partial)} unfinished of {nodes} nodes"]
    if lost:
        said.append(f"{len(lost)} lost ({lost[0].reason})")
    unscored = [c.score for c in items if isinstance(c.score, Unscored)]
    if unscored:
        said.append(f"{len(unscored)} unscored ({unscored[0].reason})")
    causes = [*(gone.cause for gone in lost), *(score.cause for score in unscored)]
    return Ranking(items, ending(causes, empty=not items), "; ".join(said))
