"""Tree search whose width is shared out anew at each depth, in proportion to how good the leaves look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Generic, Protocol, TypeVar

from cogitate.core.candidates import Candidate, Ranking, Score, Unscored, ranked
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather, note
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.rules.balancing import balanced
from cogitate.rules.covering import SOLVER_NODES, TABLED, cover

from .rollout import Lost, ending, judged, lose
from .schedules import Schedule, at, check_count

S = TypeVar("S")


class Retention(Protocol):
    """Which leaves of a tree live on, by their place in the frontier.

    `weights` are the leaves' shares of the width, and sum to one; `lines` are their strict ancestors, the
    root first.
    """

    def __call__(
        self,
        leaves: Sequence[Candidate[S]],
        weights: Sequence[float],
        lines: Sequence[tuple[str, ...]],
    ) -> Sequence[int]: ...


@dataclass(frozen=True)
class KeepAll:
    """Every leaf lives on: the shares alone decide.

    >>> KeepAll()([], [], [])
    ()
    """

    def __call__(
        self,
        leaves: Sequence[Candidate[S]],
        weights: Sequence[float],
        lines: Sequence[tuple[str, ...]],
    ) -> Sequence[int]:
        return tuple(range(len(leaves)))


@dataclass(frozen=True)
class KvAwareCover:
    """Keep much weight and many meanings on few nodes, so that siblings share their key-value cache.

    Maximises the weight kept, less `cost` times the share of the tree's nodes that stay, plus `coverage` times the
    share of clusters with a leaf that is kept (`rules.covering`). Clusters are the feature `cluster` of the
    scores; where the leaves have none, or the same text, or `coverage` is 0, only weight and nodes count.

    >>> KvAwareCover(cost=0.0)([], [], [])
    ()

    Reference:
        @article{hooper2025ets, title={ETS: Efficient Tree Search for Inference-Time Scaling},
          author={Hooper, Coleman and others}, journal={arXiv:2502.13575}, year={2025}}
    Deviates: ties go to more weight, then fewer nodes, then the earlier leaf, where the official solver's own
        order decides; the solver is bounded by its nodes; at no cost everything is kept without asking it.
    """

    cost: float = 1.0
    """Worth of all nodes of the tree, in units of all the weight."""
    coverage: float = 1.5
    """Worth of all clusters, in the same units."""
    solver_nodes: int = SOLVER_NODES

    def __post_init__(self) -> None:
        for name in ("cost", "coverage"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InvalidInput(
                    f"{name}={getattr(self, name)} was asked for; it is a number of at least 0"
                )
        check_count("solver_nodes", self.solver_nodes)

    def __call__(
        self,
        leaves: Sequence[Candidate[S]],
        weights: Sequence[float],
        lines: Sequence[tuple[str, ...]],
    ) -> Sequence[int]:
        clusters = [_cluster(leaf) for leaf in leaves] if self.coverage else [None] * len(leaves)
        if len(set(clusters)) > TABLED and find_spec("scipy") is None:
            raise InvalidInput(
                f"{len(set(clusters))} clusters of meanings were to be covered; for more than {TABLED} SciPy is "
                "needed: pip install 'cogitate[fit]', or set coverage=0 to prune by weight and nodes alone"
            )
        return cover(
            weights,
            lines,
            clusters,
            cost=self.cost,
            coverage=self.coverage,
            solver_nodes=self.solver_nodes,
        ).kept


def _cluster(leaf: Candidate[S]) -> int | None:
    if not isinstance(leaf.score, Score) or not leaf.score.features.get("cluster"):
        return None
    return round(leaf.score.features["cluster"][0])


@dataclass(frozen=True)
class _Leaf(Generic[S]):
    """A place in the tree; the seed of its line continues a sample's for the first child."""

    found: Candidate[S]
    line: tuple[str, ...]
    """Its strict ancestors, the root first."""
    seed: Seed


@dataclass
class _Harvest(Generic[S]):
    """What one run has so far. Mutable on purpose: it lives for one run."""

    finished: list[Candidate[S]] = field(default_factory=list["Candidate[S]"])
    partial: list[Candidate[S]] = field(default_factory=list["Candidate[S]"])
    """Leaves that got no child."""
    lost: list[Lost] = field(default_factory=list[Lost])
    nodes: int = 0


@dataclass(frozen=True)
class BalancedTreeSearch:
    """Share `width` children among the leaves at each depth, by the softmax of their scores.

    The root gets `width` children. At each further depth a leaf gets its share of the width, rounded up from the
    highest score down, so that exactly `width` less the number of finished candidates are grown; `retain` may
    drop leaves before, whose share the others get. Stops when as many are finished as the width, at `depth`, or
    when the budget is spent. Finished candidates rank by score, unfinished ones after them.

    The first child of a node continues its line of seeds, so that width 1 is exactly one sample. The scorer
    sees partial candidates: votes cannot judge them.

    >>> BalancedTreeSearch(width=16)
    BalancedTreeSearch(width=16, temperature=0.2, depth=25, retain=KeepAll())

    Reference:
        @article{wu2024rebase, title={Inference Scaling Laws: An Empirical Analysis of Compute-Optimal Inference
          for Problem-Solving with Language Models}, author={Wu, Yangzhen and others},
          journal={arXiv:2408.00724}, year={2024}}
    Deviates: a leaf without a score keeps its place among the unfinished, where the official code discards it; a
        candidate cut by a cap is ranked as unfinished and still narrows the width by one.
    """

    width: int | Schedule = 16
    temperature: float = 0.2
    """Of the softmax over scores; near 0 the best leaf gets all."""
    depth: int = 25
    retain: Retention = KeepAll()

    def __post_init__(self) -> None:
        check_count("width", self.width)
        check_count("depth", self.depth)
        if not 0 < self.temperature < float("inf"):
            raise InvalidInput(
                f"temperature={self.temperature} was asked for; it is a positive number"
            )

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return sum(at(self.width, d) for d in range(self.depth))

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        harvest: _Harvest[S] = _Harvest()
        try:
            root = await process.start(task, seed.at("sample", 0, "start"))
        except (OutOfBudget, Failed) as error:
            harvest.lost.append(await lose("root", error))
            return self._ranking(harvest)
        if process.done(root):
            [score] = await judged(scorer, task, [root], ["root"])
            harvest.finished.append(Candidate(root, score, "root"))
            return self._ranking(harvest)
        live = [_Leaf(Candidate(root, Unscored("it is the question"), ""), (), seed)]
        for depth in range(self.depth):
            children = await self._shares(live, depth, harvest)
            live = await self._level(process, scorer, task, depth, live, children, harvest)
            if not live:
                break
        harvest.partial += [leaf.found for leaf in live]
        return self._ranking(harvest)

    async def _shares(
        self, live: Sequence[_Leaf[S]], depth: int, harvest: _Harvest[S]
    ) -> Sequence[int]:
        """How many children each leaf gets."""
        width = max(0, at(self.width, depth) - len(harvest.finished))
        values = [leaf.found.value for leaf in live]
        if depth == 0 or not width:
            return balanced(values, width, self.temperature)
        shares = balanced(values, width, self.temperature)
        leaves = [leaf.found for leaf in live]
        kept = self.retain(leaves, [n / width for n in shares], [leaf.line for leaf in live])
        going = {leaves[i].id for i in kept}
        await note("kept", ids=[leaf.id for leaf in leaves if leaf.id in going], depth=depth - 1)
        await note(
            "pruned", ids=[leaf.id for leaf in leaves if leaf.id not in going], depth=depth - 1
        )
        if len(going) == len(leaves):
            return shares
        again = balanced([values[i] for i in kept], width, self.temperature)
        held = dict(zip(kept, again, strict=True))
        return [held.get(i, 0) for i in range(len(live))]

    async def _level(
        self, process: Process[S], scorer: Scorer[S], task: Task, depth: int,
        live: Sequence[_Leaf[S]], children: Sequence[int], harvest: _Harvest[S],
    ) -> list[_Leaf[S]]:  # fmt: skip
        """Grow and score once; returns the new leaves."""
        grown = await gather(
            *(
                _child(process, leaf, depth, index)
                for leaf, count in zip(live, children, strict=True)
                for index in range(count)
            ),
            drop=(OutOfBudget, Failed),
        )
        harvest.lost += [kid for kid in grown if isinstance(kid, Lost)]
        kids = [kid for kid in grown if not isinstance(kid, Lost)]
        harvest.nodes += len(kids)
        parents = {kid.found.parent for kid in kids}
        if depth:
            harvest.partial += [leaf.found for leaf in live if leaf.found.id not in parents]
        states = [kid.found.state for kid in kids]
        scores = await judged(scorer, task, states, [kid.found.id for kid in kids])
        going: list[_Leaf[S]] = []
        for kid, score in zip(kids, scores, strict=True):
            scored = Candidate(kid.found.state, score, kid.found.id, kid.found.parent)
            if process.done(kid.found.state):
                harvest.finished.append(scored)
            else:
                going.append(_Leaf(scored, kid.line, kid.seed))
        refused = [s for s in scores if isinstance(s, Unscored) and ending([s.cause], empty=False)]
        if refused:
            harvest.lost.append(Lost("", refused[0].cause, refused[0].reason))
        full = len(harvest.finished) >= at(self.width, depth + 1)
        if full or (refused and len(refused) == len(scores)):
            harvest.partial += [leaf.found for leaf in going]
            return []
        return going

    def _ranking(self, harvest: _Harvest[S]) -> Ranking[S]:
        items = (*ranked(harvest.finished).items, *ranked(harvest.partial).items)
        said = [
            f"{len(harvest.finished)} finished and {len(harvest.partial)} unfinished of {harvest.nodes} nodes"
        ]
        if harvest.lost:
            said.append(f"{len(harvest.lost)} lost ({harvest.lost[0].reason})")
        stopped = ending([lost.cause for lost in harvest.lost], empty=not items)
        return Ranking(items, stopped, "; ".join(said))


async def _child(process: Process[S], parent: _Leaf[S], depth: int, index: int) -> _Leaf[S] | Lost:
    """One child; publishes `expanded` or `lost`."""
    above = parent.found
    id = f"{above.id}.{index}" if above.id else str(index)
    if depth == 0:
        line = parent.seed.at("sample", index)
    else:
        line = parent.seed if index == 0 else parent.seed.at("branch", depth, index)
    try:
        state = await process.step(above.state, line.at("step", depth))
    except (OutOfBudget, Failed) as error:
        return await lose(id, error)
    await note(
        "expanded", id=id, parent=above.id or None, depth=depth + 1, done=process.done(state)
    )
    unscored = Unscored("it is not judged yet")
    return _Leaf(Candidate(state, unscored, id, above.id or None), (*parent.line, above.id), line)
