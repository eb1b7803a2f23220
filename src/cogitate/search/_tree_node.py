"""A tree with its visits and values: selection and backup touch one path, and nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from cogitate.core.candidates import Score, Unscored
from cogitate.core.seeds import Seed

from ._tree_growth import Sprout
from ._tree_policy import TreePolicy, Widening
from .schedules import Schedule, at

S = TypeVar("S")

Backup = Literal["mean", "max"]

_NARROW = 1e-300
"""Below this the reciprocal of a range is no number: all values count as equal."""


class Node(Generic[S]):
    """A place in the tree with all that is known of it."""

    # Mutable on purpose: statistics grow in place. Slots: there are as many as the search has states.
    __slots__ = (
        "best",
        "children",
        "depth",
        "done",
        "first",
        "flying",
        "id",
        "line",
        "mean",
        "open",
        "parent",
        "score",
        "scored",
        "state",
        "total",
        "tried",
        "visits",
        "ways",
    )

    def __init__(self, sprout: Sprout[S], parent: Node[S] | None, score: Score | Unscored) -> None:
        self.state, self.id, self.line = sprout.state, sprout.id, sprout.line
        self.depth, self.done = sprout.depth, sprout.done
        self.parent, self.score = parent, score
        self.first = score.value if isinstance(score, Score) else None
        self.children: list[Node[S]] = []
        self.tried = 0
        """Children asked for, the lost ones and those on their way included."""
        self.flying = 0
        """Children on their way somewhere below: visits that are taken to have paid nothing."""
        self.visits = self.scored = 0
        self.total, self.mean, self.best = 0.0, 0.0, float("-inf")
        self.open = False
        """Whether something below can be grown now."""
        self.ways = 0
        """Children that are open."""

    def take(self, visits: int, values: Sequence[float]) -> None:
        """Back up evaluations; what could not be scored is a visit without a value."""
        self.visits += visits
        if values:
            self.scored += len(values)
            self.total += sum(values)
            self.mean = self.total / self.scored
            self.best = max(self.best, *values)

    def path(self) -> list[Node[S]]:
        """The nodes from below the root to here."""
        found: list[Node[S]] = []
        node: Node[S] = self
        while node.parent is not None:
            found.append(node)
            node = node.parent
        found.reverse()
        return found


@dataclass
class Tree(Generic[S]):
    """One run's tree. Every word of it costs as much as the path it touches is long and wide."""

    # Mutable on purpose: it lives for one run.
    root: Node[S]
    policy: TreePolicy
    branch: int | Schedule | Widening
    depth: int
    backup: Backup
    at_once: bool
    nodes: list[Node[S]] = field(default_factory=list["Node[S]"])
    """All but the root, in the order in which they were made."""
    low: float = float("inf")
    high: float = float("-inf")

    def __post_init__(self) -> None:
        self.root.open = self._grows(self.root)

    @property
    def is_open(self) -> bool:
        """Whether anything can be grown now."""
        return self.root.open

    def claim(self) -> tuple[Node[S], range]:
        """Where to grow next, and the numbers of the children to make; counts them as on their way."""
        node = self.root
        while not self._grows(node):
            node = self._heaviest(node)
        first = node.tried
        more = 1
        if self.at_once and not isinstance(self.branch, Widening):
            more = at(self.branch, node.depth) - first
        node.tried += more
        self._walk(node, more)
        return node, range(first, first + more)

    def settle(
        self, node: Node[S], asked: int, made: Sequence[tuple[Sprout[S], Score | Unscored]]
    ) -> list[Node[S]]:
        """Add the children that came of a claim and back their evaluations up."""
        added: list[Node[S]] = []
        for sprout, score in made:
            child = Node(sprout, node, score)
            child.take(1, (score.value,) if isinstance(score, Score) else ())
            child.open = self._grows(child)
            node.children.append(child)
            node.ways += child.open
            added.append(child)
        self.nodes += added
        values = [score.value for _, score in made if isinstance(score, Score)]
        if values:
            self.low, self.high = min(self.low, *values), max(self.high, *values)
        self._walk(node, -asked, len(made), values)
        return added

    def _walk(
        self, node: Node[S] | None, flying: int, visits: int = 0, values: Sequence[float] = ()
    ) -> None:
        """From a node to the root: count, back up, and say what is open."""
        while node is not None:
            node.flying += flying
            if visits:
                node.take(visits, values)
            is_open = node.ways > 0 or self._grows(node)
            if is_open != node.open:
                node.open = is_open
                if node.parent is not None:
                    node.parent.ways += 1 if is_open else -1
            node = node.parent

    def _grows(self, node: Node[S]) -> bool:
        """Whether this node itself may have another child now."""
        if node.done or node.depth >= self.depth:
            return False
        if not isinstance(self.branch, Widening):
            return node.tried < at(self.branch, node.depth)
        spent = node.ways == 0 and node.flying == 0
        return spent or node.tried < self.branch.limit(node.visits)

    def _heaviest(self, node: Node[S]) -> Node[S]:
        children = node.children
        if node.ways < len(children):
            children = [child for child in children if child.open]
        if len(children) == 1:
            return children[0]
        low, width, mean = self.low, self.high - self.low, self.backup == "mean"
        scale, start = (1 / width, 0.0) if width > _NARROW else (0.0, 0.5)
        values: list[float] = []
        for child in children:
            if child.scored:
                worth = start + ((child.mean if mean else child.best) - low) * scale
                flying = child.flying
                values.append(worth * child.scored / (child.scored + flying) if flying else worth)
            else:
                values.append(0.0)
        firsts = [start + (c.first - low) * scale if c.first is not None else 0.0 for c in children]
        visits = [child.visits + child.flying for child in children]
        weights = self.policy(values, visits, node.visits + node.flying, firsts)
        return children[weights.index(max(weights))]


def root_of(state: S, seed: Seed) -> Node[S]:
    """The root: the question with nothing done, never scored."""
    return Node(Sprout(state, "", seed, 0, done=False), None, Unscored("it is the root"))
