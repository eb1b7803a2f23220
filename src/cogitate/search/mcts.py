"""Monte Carlo tree search: grow where the visits so far say that it pays or is not yet known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from cogitate.core.candidates import Candidate, Ranking, Score, Unscored, ranked
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import Pool, gather
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from ._tree_growth import Sprout, concluded, finished_from, stepped, stops, tell_tree
from ._tree_node import Backup, Node, Tree, root_of
from ._tree_policy import UCT, TreePolicy, Widening
from .rollout import Lost, judged, lose
from .schedules import Schedule, at, check_count

S = TypeVar("S")


@dataclass
class _Grown(Generic[S]):
    """What one expansion gave. Mutable on purpose: it fills while the expansion runs."""

    made: list[tuple[Sprout[S], Score | Unscored]] = field(
        default_factory=list["tuple[Sprout[S], Score | Unscored]"]
    )
    ends: dict[str, Sprout[S]] = field(default_factory=dict[str, "Sprout[S]"])
    """Finished lines by the child that they go on from."""
    lost: list[Lost] = field(default_factory=list[Lost])
    siblings: int = 0
    """Those that were there when it began: equal ones among them were left out."""


@dataclass
class _Run(Generic[S]):
    """One search under way. Mutable on purpose: it lives for one run."""

    process: Process[S]
    scorer: Scorer[S]
    task: Task
    tree: Tree[S]
    distinct: bool
    ends: dict[str, Sprout[S]] = field(default_factory=dict[str, "Sprout[S]"])
    lost: list[Lost] = field(default_factory=list[Lost])
    stopped: bool = False

    def settle(self, node: Node[S], asked: int, grown: _Grown[S]) -> None:
        """Take in what an expansion gave."""
        later = [child.state for child in node.children[grown.siblings :]]
        made = grown.made
        if self.distinct and later:  # another expansion of this node came in between
            made = [(kid, score) for kid, score in made if all(kid.state != s for s in later)]
        self.tree.settle(node, asked, made)
        self.ends |= grown.ends
        self.lost += grown.lost
        self.stopped |= stops([score for _, score in grown.made], grown.lost)


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
    driver; otherwise a new one starts whenever one ends, in the order of arrival, and the journal
    replays it.

    The first child of a node continues its line of seeds: with branch 1 this is exactly one sample.
    Publishes `expanded`, `scored`, `lost`, and at the end `tree`.

    Reference:
        @article{browne2012survey, title={A Survey of Monte Carlo Tree Search Methods}, author={Browne,
        Cameron B. and others}, journal={IEEE Transactions on Computational Intelligence and AI in Games},
        volume={4}, year={2012}}
    Deviates: exhausted nodes are closed, as a finished state gives the same score again.

    >>> MonteCarloTreeSearch(iterations=32, branch=Widening())
    MonteCarloTreeSearch(iterations=32, branch=Widening(factor=1.0, power=0.5), depth=16, policy=UCT(exploration=1.4142135623730951), backup='mean', at_once=True, to_the_end=False, together=1, ordered=True, rank='value', distinct=True)
    """

    iterations: int = 32
    """Expansions; with `at_once` each of them makes `branch` children."""
    branch: int | Schedule | Widening = 4
    """Children of a node: a number, one by depth, or one that grows with the visits."""
    depth: int = 16
    policy: TreePolicy = UCT()  # noqa: RUF009  (frozen, so it may be shared)
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

    def __post_init__(self) -> None:
        check_count("iterations", self.iterations)
        check_count("depth", self.depth)
        check_count("together", self.together)
        if not isinstance(self.branch, Widening):
            check_count("branch", self.branch)

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        if isinstance(self.branch, Widening) or not self.at_once:
            return self.iterations
        level, whole, widest = 1, 0, 1
        for depth in range(self.depth):
            widest = max(widest, at(self.branch, depth))
            level *= at(self.branch, depth)
            whole += level
            if whole >= self.iterations * widest:
                break
        return min(whole, self.iterations * widest)

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
        run = _Run(process, scorer, task, tree, self.distinct)
        await (self._in_waves(run) if self.ordered else self._as_they_come(run))
        await tell_tree((n.id, n.visits, n.mean if n.scored else None) for n in tree.nodes)
        return self._ranking(run)

    async def _in_waves(self, run: _Run[S]) -> None:
        left = self.iterations
        while left and run.tree.is_open and not run.stopped:
            claims: list[tuple[Node[S], range]] = []
            while len(claims) < min(self.together, left) and run.tree.is_open:
                claims.append(run.tree.claim())
            left -= len(claims)
            found = await gather(*(self._expanded(run, *claim) for claim in claims))
            for (node, numbers), grown in zip(claims, found, strict=True):
                run.settle(node, len(numbers), grown)

    async def _as_they_come(self, run: _Run[S]) -> None:
        left, flying = self.iterations, dict[int, tuple[Node[S], range]]()
        async with Pool[_Grown[S]]() as pool:
            while True:
                while left and len(flying) < self.together and run.tree.is_open and not run.stopped:
                    claim = run.tree.claim()
                    flying[await pool.add(self._expanded(run, *claim))] = claim
                    left -= 1
                if not flying:
                    return
                number, grown = await pool.next()
                node, numbers = flying.pop(number)
                run.settle(node, len(numbers), grown)

    async def _expanded(self, run: _Run[S], node: Node[S], numbers: range) -> _Grown[S]:
        """Make the children of one claim and score them; changes nothing in the tree."""
        grown: _Grown[S] = _Grown(siblings=len(node.children))
        kids: list[Sprout[S]] = []
        known = [child.state for child in node.children]
        for kid in await gather(
            *(stepped(run.process, node.state, node.id, node.line, node.depth, j) for j in numbers)
        ):
            if isinstance(kid, Lost):
                grown.lost.append(kid)
            elif not self.distinct or all(kid.state != state for state in known):
                kids.append(kid)
                known.append(kid.state)
        seen = await self._ends(run, kids, grown) if self.to_the_end else kids
        asked = [sprout for sprout in seen if sprout is not None]
        scores = await judged(run.scorer, run.task, [s.state for s in asked], [s.id for s in asked])
        given = iter(scores)
        gone = Unscored("its line to the end was lost")
        grown.made = [
            (kid, gone if sprout is None else next(given))
            for kid, sprout in zip(kids, seen, strict=True)
        ]
        return grown

    async def _ends(
        self, run: _Run[S], kids: Sequence[Sprout[S]], grown: _Grown[S]
    ) -> list[Sprout[S] | None]:
        """What is scored in the place of each child: its line's end; `None` where that was lost."""
        found = await gather(*(_end(run.process, kid) for kid in kids))
        grown.lost += [end for end in found if isinstance(end, Lost)]
        seen = [None if isinstance(end, Lost) else end for end in found]
        grown.ends = {
            kid.id: end
            for kid, end in zip(kids, seen, strict=True)
            if end is not None and end is not kid
        }
        return seen

    def _ranking(self, run: _Run[S]) -> Ranking[S]:
        finished: list[tuple[Candidate[S], Node[S]]] = []
        partial: list[Candidate[S]] = []
        for node in run.tree.nodes:
            parent = node.parent.id or None if node.parent else None
            if node.done:
                finished.append((Candidate(node.state, node.score, node.id, parent), node))
            elif end := run.ends.get(node.id):
                finished.append((Candidate(end.state, node.score, end.id, node.id), node))
            elif not node.children:
                partial.append(Candidate(node.state, node.score, node.id, parent))
        ordered = ranked(c for c, _ in finished).items
        if self.rank == "visits":
            walks = {c.id: [-n.visits for n in node.path()] for c, node in finished}
            blind = float("-inf")
            ordered = tuple(sorted(ordered, key=lambda c: (c.value == blind, walks[c.id])))
        return concluded(ordered, partial, run.lost, len(run.tree.nodes))


async def _end(process: Process[S], kid: Sprout[S]) -> Sprout[S] | Lost:
    return kid if kid.done else await finished_from(process, kid)
