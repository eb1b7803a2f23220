"""Monte Carlo tree search: grow where the visits so far say that it pays or is not yet known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar

from cogitate.core.candidates import Candidate, Ranking, Score, Unscored, ranked
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import Pool, gather
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from ._tree_growth import Sprout, completed, concluded, finished_from, stepped, stops, tell_tree
from ._tree_node import Backup, Node, Tree, root_of
from ._tree_policy import UCT, TreePolicy, Widening
from .rollout import Lost, judged, lose
from .schedules import Schedule, at, check_count

S = TypeVar("S")


@dataclass(frozen=True)
class _Grown(Generic[S]):
    """What came of one child that was asked for; without a kid it was lost, or equal to a sibling."""

    kid: Sprout[S] | None = None
    score: Score | Unscored = Unscored("it was never scored")  # noqa: RUF009  (frozen)
    end: Sprout[S] | None = None
    """What was scored: the kid itself, or the end of a line from it."""
    lost: Lost | None = None


@dataclass
class _Run(Generic[S]):
    """One search under way. Mutable on purpose: it lives for one run."""

    process: Process[S]
    scorer: Scorer[S]
    task: Task
    tree: Tree[S]
    ends: dict[str, Candidate[S]] = field(default_factory=dict[str, "Candidate[S]"])
    """Finished lines by the child that they go on from."""
    lost: list[Lost] = field(default_factory=list[Lost])
    stopped: bool = False

    def settle(self, node: Node[S], asked: int, grown: Sequence[_Grown[S]]) -> None:
        """Take in what came of so many children of a node."""
        made: list[tuple[Sprout[S], Score | Unscored]] = []
        for one in grown:
            if one.lost is not None:
                self.lost.append(one.lost)
            if one.kid is None:
                continue
            kid, end = one.kid, one.end
            made.append((kid, one.score))
            if end is not None and end is not kid:
                self.ends[kid.id] = Candidate(end.state, one.score, end.id, kid.id)
        self.tree.settle(node, asked, made)

    def news(self, grown: Sequence[_Grown[S]]) -> None:
        """Stop once the grant has ended."""
        scores = [one.score for one in grown if one.kid is not None]
        self.stopped |= stops(scores, [one.lost for one in grown if one.lost is not None])


@dataclass(frozen=True)
class MonteCarloTreeSearch:
    """Grow the tree where its visits and values say, and rank what was finished.

    Each iteration goes from the root to a node that may still grow, by `policy`; makes its children,
    scores them, and backs each score up to the root. What is finished, at `depth`, or exhausted below
    is never gone into again: no iteration is spent on what is known. Equal siblings count once.

    Values are brought between 0 and 1 by the range seen in the tree, so that exploration means the same
    whatever the scorer's range. A child that could not be scored weighs as the worst.

    With `together` above 1 so many expansions run at once; those on their way count as visits that paid
    nothing, so that the next one goes elsewhere. In waves (`ordered`) the answer is the same under every
    driver, and the scorer sees a wave at a time; otherwise a new one starts whenever one ends, every
    child is scored by itself, and the journal replays the order of arrival.

    The first child of a node continues its line of seeds: with branch 1 this is exactly one sample.
    Publishes `expanded`, `scored`, `lost`, and at the end `tree`.

    Reference:
        @article{browne2012survey, title={A Survey of Monte Carlo Tree Search Methods}, author={Browne,
        Cameron B. and others}, journal={IEEE Transactions on Computational Intelligence and AI in Games},
        volume={4}, year={2012}}
    Deviates: exhausted nodes are closed, as a finished state gives the same score again.

    >>> MonteCarloTreeSearch(iterations=32, branch=Widening())
    MonteCarloTreeSearch(iterations=32, branch=Widening(factor=1.0, power=0.5), depth=16, policy=UCT(exploration=0.5), backup='mean', at_once=True, to_the_end=False, together=1, ordered=True, rank='value', distinct=True, finish=True)
    """

    iterations: int = 32
    """Expansions; with `at_once` each of them makes `branch` children."""
    branch: int | Schedule | Widening = 4
    """Children of a node: a number, one by depth, or one that grows with the visits."""
    depth: int = 16
    policy: TreePolicy = UCT(0.5)  # noqa: RUF009  (frozen, so it may be shared)
    """Explores less than the sqrt 2 of theory: where iterations are few, they must reach the end."""
    backup: Backup = "mean"
    """What a node is worth: the mean of what was scored below it, or the best."""
    at_once: bool = True
    """All children of a node in one expansion; else one by one. A widening goes one by one."""
    to_the_end: bool = False
    """Value a new state by the score of a line from it to the end, which is kept, instead of its own."""
    together: int = 1
    ordered: bool = True
    rank: Literal["value", "visits"] = "value"
    """Finished candidates by their scores, or by the visits of their lines from the root down."""
    distinct: bool = True
    """Leave out siblings with equal states."""
    finish: bool = True
    """Where no line has ended after all iterations, take the best to its end: there is an answer."""

    def __post_init__(self) -> None:
        check_count("iterations", self.iterations)
        check_count("depth", self.depth)
        check_count("together", self.together)
        if not isinstance(self.branch, Widening):
            check_count("branch", self.branch)

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        if isinstance(self.branch, Widening) or not self.at_once:
            return self.iterations + self.finish
        level, whole, widest = 1, 0, 1
        for depth in range(self.depth):
            widest = max(widest, at(self.branch, depth))
            level *= at(self.branch, depth)
            whole += level
            if whole >= self.iterations * widest:
                break
        return min(whole, self.iterations * widest) + self.finish

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        try:
            state = await process.start(task, seed.at("sample", 0, "start"))
        except (OutOfBudget, Failed) as error:
            return concluded([], [], [await lose("root", error)], 0)
        if process.done(state):
            [score] = await judged(scorer, task, [state], ["root"])
            return concluded([Candidate(state, score, "root")], [], [], 0)
        root = root_of(state, seed)
        tree = Tree(root, self.policy, self.branch, self.depth, self.backup, self.at_once)
        run = _Run(process, scorer, task, tree)
        await (self._in_waves(run) if self.ordered else self._as_they_come(run))
        if self.finish and not run.stopped:
            await self._finish(run)
        await tell_tree((n.id, n.visits, n.mean if n.scored else None) for n in tree.nodes)
        return self._ranking(run)

    async def _in_waves(self, run: _Run[S]) -> None:
        left = self.iterations
        while left and run.tree.is_open and not run.stopped:
            claims: list[tuple[Node[S], range]] = []
            while len(claims) < min(self.together, left) and run.tree.is_open:
                claims.append(run.tree.claim())
            left -= len(claims)
            asked = [(node, number) for node, numbers in claims for number in numbers]
            grown = await self._wave(run, asked)
            of_node: dict[str, list[_Grown[S]]] = {}
            for (node, _), one in zip(asked, grown, strict=True):
                of_node.setdefault(node.id, []).append(one)
            for node, numbers in claims:
                run.settle(node, len(numbers), of_node.pop(node.id, []))
            run.news(grown)

    async def _wave(self, run: _Run[S], asked: Sequence[tuple[Node[S], int]]) -> list[_Grown[S]]:
        """Make children all at once and score them together; changes nothing in the tree."""
        found = await gather(*(_stepped(run, node, number) for node, number in asked))
        grown: list[_Grown[S]] = []
        known: dict[str, list[S]] = {}
        for (node, _), kid in zip(asked, found, strict=True):
            states = known.setdefault(node.id, [child.state for child in node.children])
            if isinstance(kid, Lost):
                grown.append(_Grown(lost=kid))
            elif self.distinct and any(kid.state == state for state in states):
                grown.append(_Grown())
            else:
                grown.append(_Grown(kid, end=kid))
                states.append(kid.state)
        if self.to_the_end:
            grown = await gather(*(_to_the_end(run, one) for one in grown))
        ends = [one.end for one in grown if one.end is not None]
        scores = iter(
            await judged(run.scorer, run.task, [e.state for e in ends], [e.id for e in ends])
        )
        return [one if one.end is None else replace(one, score=next(scores)) for one in grown]

    async def _as_they_come(self, run: _Run[S]) -> None:
        left, expansions = self.iterations, 0
        flying: dict[int, tuple[Node[S], list[int]]] = {}
        async with Pool[_Grown[S]]() as pool:
            while True:
                while left and expansions < self.together and run.tree.is_open and not run.stopped:
                    node, numbers = run.tree.claim()
                    left, expansions = left - 1, expansions + 1
                    missing = [len(numbers)]
                    known = [child.state for child in node.children]
                    for number in numbers:
                        added = await pool.add(self._alone(run, node, number, known))
                        flying[added] = (node, missing)
                if not flying:
                    return
                arrived, one = await pool.next()
                node, missing = flying.pop(arrived)
                missing[0] -= 1
                expansions -= not missing[0]
                if self.distinct and one.kid is not None:
                    state = one.kid.state
                    if any(child.state == state for child in node.children):
                        one = _Grown[S]()
                run.settle(node, 1, [one])
                run.news([one])

    async def _alone(
        self, run: _Run[S], node: Node[S], number: int, known: Sequence[S]
    ) -> _Grown[S]:
        """Make one child and score it by itself."""
        kid = await _stepped(run, node, number)
        if isinstance(kid, Lost):
            return _Grown(lost=kid)
        if self.distinct and any(kid.state == state for state in known):
            return _Grown()
        one = _Grown(kid, end=kid)
        if self.to_the_end:
            one = await _to_the_end(run, one)
        if one.end is None:
            return one
        [score] = await judged(run.scorer, run.task, [one.end.state], [one.end.id])
        return replace(one, score=score)

    async def _finish(self, run: _Run[S]) -> None:
        nodes = run.tree.nodes
        if run.ends or any(node.done for node in nodes):
            return
        leaves = [
            (Sprout(n.state, n.id, n.line, n.depth, False), n.best) for n in nodes if not n.children
        ]
        if leaves:
            end = await completed(run.process, run.scorer, run.task, leaves)
            if isinstance(end, Lost):
                run.lost.append(end)
            else:
                run.ends[end.parent or ""] = end

    def _ranking(self, run: _Run[S]) -> Ranking[S]:
        finished: list[tuple[Candidate[S], Node[S]]] = []
        partial: list[Candidate[S]] = []
        for node in run.tree.nodes:
            parent = node.parent.id or None if node.parent else None
            if node.done:
                finished.append((Candidate(node.state, node.score, node.id, parent), node))
            elif end := run.ends.get(node.id):
                finished.append((end, node))
            elif not node.children:
                partial.append(Candidate(node.state, node.score, node.id, parent))
        ordered = ranked(c for c, _ in finished).items
        if self.rank == "visits":
            walks = {c.id: [-n.visits for n in node.path()] for c, node in finished}
            blind = float("-inf")
            ordered = tuple(sorted(ordered, key=lambda c: (c.value == blind, walks[c.id])))
        return concluded(ordered, partial, run.lost, len(run.tree.nodes))


async def _stepped(run: _Run[S], node: Node[S], number: int) -> Sprout[S] | Lost:
    return await stepped(run.process, node.state, node.id, node.line, node.depth, number)


async def _to_the_end(run: _Run[S], one: _Grown[S]) -> _Grown[S]:
    if one.kid is None or one.kid.done:
        return one
    end = await finished_from(run.process, one.kid)
    if isinstance(end, Lost):
        gone = Unscored(f"its line to the end was lost: {end.reason}", end.cause)
        return _Grown(one.kid, gone, None, end)
    return replace(one, end=end)
