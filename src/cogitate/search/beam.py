"""Beam search: keep the best partial candidates at each depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cogitate.core.candidates import Candidate, Ranking, Unscored, ranked
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import gather, note
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from ._streaming import settle
from .rollout import Lost, ending, judged, lose
from .schedules import Schedule, at, check_count
from .select import Selection, TopK

S = TypeVar("S")


@dataclass(frozen=True)
class _Node(Generic[S]):
    """A place in the tree; the seed of its line continues a sample's for the first child."""

    state: S
    id: str
    line: Seed
    first: int = 0
    """Of the root: number of the sample that its first child begins."""


@dataclass
class _Harvest(Generic[S]):
    """What one run has so far. Mutable on purpose: it lives for one run."""

    finished: list[Candidate[S]] = field(default_factory=list["Candidate[S]"])
    spare: list[Candidate[S]] = field(default_factory=list["Candidate[S]"])
    """Finished candidates that were not kept."""
    partial: list[Candidate[S]] = field(default_factory=list["Candidate[S]"])
    lost: list[Lost] = field(default_factory=list[Lost])
    nodes: int = 0


@dataclass(frozen=True)
class BeamSearch:
    """Keep the best `width` partial candidates at each depth.

    The root gets width × branch children, every kept one `branch`. A finished candidate leaves the
    beam and narrows it by one; the search stops when `width` are finished, at `depth`, or when the
    budget is spent. Equal siblings count once. Then finished candidates rank by score, and unfinished ones
    after them; were all pruned or cut, finished ones that were not kept come first.

    The first child of a node continues its line of seeds, so that a beam of width and branch 1 is
    exactly one sample. The scorer sees partial candidates: votes cannot judge them.

    >>> BeamSearch(width=4, branch=4, depth=16)
    BeamSearch(width=4, branch=4, depth=16, select=TopK(), distinct=True)
    """

    width: int | Schedule = 4
    branch: int | Schedule = 4
    depth: int = 16
    select: Selection = TopK()  # noqa: RUF009  (frozen, so it may be shared)
    distinct: bool = True
    """Leave out siblings with equal states."""
    settle: bool = field(default=False, repr=False)
    """Publish the text of a lone partial candidate as settled, where nothing else can win any more: only for a
    search that stands alone."""

    def __post_init__(self) -> None:
        check_count("width", self.width)
        check_count("branch", self.branch)
        check_count("depth", self.depth)

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return sum(at(self.width, d) * at(self.branch, d) for d in range(self.depth))

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        return await self.from_root(process, scorer, task, seed)

    async def from_root(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed,
        *, tree: str = "", first: int = 0,
    ) -> Ranking[S]:  # fmt: skip
        """The search as one of several beside each other.

        Args:
            process: what is searched.
            scorer: of its states.
            task: the question.
            seed: of the whole.
            tree: id of this search's root, where it is not alone.
            first: number of the sample that its first child begins.
        """
        harvest: _Harvest[S] = _Harvest()
        try:
            root = await process.start(task, seed.at("sample", first, "start"))
        except (OutOfBudget, Failed) as error:
            harvest.lost.append(await lose(tree or "root", error))
            return self._ranking(harvest)
        if process.done(root):
            [score] = await judged(scorer, task, [root], [tree or "root"])
            harvest.finished.append(Candidate(root, score, tree or "root"))
            return self._ranking(harvest)
        if tree:
            await note("expanded", id=tree, parent=None, depth=0, done=False)
        live = [_Node(root, tree, seed, first)]
        for depth in range(self.depth):
            live = await self._level(process, scorer, task, seed, depth, live, harvest)
            if not live:
                break
        return self._ranking(harvest)

    async def _level(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed, depth: int,
        live: Sequence[_Node[S]], harvest: _Harvest[S],
    ) -> list[_Node[S]]:  # fmt: skip
        """Grow, score and select once; returns what goes on."""
        kids = await self._grown(process, depth, live, harvest)
        ids = [kid.id for _, kid in kids]
        scores = await judged(scorer, task, [kid.state for _, kid in kids], ids)
        found = [
            Candidate(kid.state, score, kid.id, parent.id or None)
            for (parent, kid), score in zip(kids, scores, strict=True)
        ]
        refused = [s for s in scores if isinstance(s, Unscored) and ending([s.cause], empty=False)]
        ended = bool(refused) and len(refused) == len(scores)
        slots = at(self.width, depth) - len(harvest.finished)
        # Where the money ended before any was scored, everything that was paid for is kept.
        kept = found if ended else list(self.select(found, slots, seed.at("select", depth)))
        chosen = {c.id for c in kept}
        if found:
            await note("kept", ids=[c.id for c in kept], depth=depth)
            await note("pruned", ids=[i for i in ids if i not in chosen], depth=depth)
        harvest.spare += [c for c in found if c.id not in chosen and process.done(c.state)]
        harvest.finished += [c for c in kept if process.done(c.state)]
        grown = {parent.id for parent, _ in kids}
        stuck = [
            c for c in harvest.partial if c.id not in grown
        ]  # its children were lost: it stays
        going = [c for c in kept if not process.done(c.state)]
        harvest.partial = [*stuck, *going]
        if refused:
            harvest.lost.append(Lost("", refused[0].cause, refused[0].reason))
        if self.settle and len(harvest.partial) == 1 and not (harvest.finished or harvest.spare):
            await settle(harvest.partial[0].state)
        full = len(harvest.finished) >= at(self.width, depth + 1)
        if full or ended:
            return []
        nodes = {kid.id: kid for _, kid in kids}
        return [nodes[c.id] for c in going]

    async def _grown(
        self, process: Process[S], depth: int, live: Sequence[_Node[S]], harvest: _Harvest[S]
    ) -> list[tuple[_Node[S], _Node[S]]]:
        """The children of all live nodes, with their parents."""
        count = at(self.branch, depth) * (at(self.width, depth) if depth == 0 else 1)
        found = await gather(
            *(_child(process, node, depth, j) for node in live for j in range(count)),
            drop=(OutOfBudget, Failed),
        )
        kids: list[tuple[_Node[S], _Node[S]]] = []
        alike: dict[tuple[str, int], list[S]] = {}
        for child in found:
            if isinstance(child, Lost):
                harvest.lost.append(child)
                continue
            parent, kid = child
            # Only the root has so many children that comparing each with each would take long, and
            # only its children are short enough to be hashed at no cost.
            same = alike.setdefault((parent.id, 0 if depth else _mark(kid.state)), [])
            if not self.distinct or kid.state not in same:
                same.append(kid.state)
                kids.append(child)
        harvest.nodes += len(found)
        return kids

    def _ranking(self, harvest: _Harvest[S]) -> Ranking[S]:
        finished = harvest.finished or harvest.spare
        items = (*ranked(finished).items, *ranked(harvest.partial).items)
        said = [
            f"{len(finished)} finished and {len(harvest.partial)} unfinished of {harvest.nodes} nodes"
        ]
        if harvest.lost:
            said.append(f"{len(harvest.lost)} lost ({harvest.lost[0].reason})")
        stopped = ending([lost.cause for lost in harvest.lost], empty=not items)
        return Ranking(items, stopped, "; ".join(said))


def _mark(state: object) -> int:
    """Equal for equal states; the same for all where they cannot be hashed."""
    try:
        return hash(state)
    except TypeError:
        return 0


async def _child(
    process: Process[S], parent: _Node[S], depth: int, index: int
) -> tuple[_Node[S], _Node[S]] | Lost:
    """One child; publishes `expanded` or `lost`."""
    id = f"{parent.id}.{index}" if parent.id else str(index)
    if depth == 0:
        line = parent.line.at("sample", parent.first + index)
    else:
        line = parent.line if index == 0 else parent.line.at("branch", depth, index)
    try:
        state = await process.step(parent.state, line.at("step", depth))
    except (OutOfBudget, Failed) as error:
        return await lose(id, error)
    await note(
        "expanded", id=id, parent=parent.id or None, depth=depth + 1, done=process.done(state)
    )
    return parent, _Node(state, id, line)
