"""Paper 35: the programme, its limits, and how the cache is counted."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec

from cogitate.core.candidates import Artifact, Score
from cogitate.core.requests import Request
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.lab.worlds import ChainModel, chains, preset
from cogitate.rules.balancing import balanced
from cogitate.rules.covering import TABLED, Cover, Line, cover, objective
from cogitate.rules.prefixes import Nodes, prefix_tokens
from cogitate.scorers import Clustered

from .claim import Observed, Setting, exact
from .tree_strategies import PRM, SMALL, ets, grown, prune, rebase
from .trials import tried

Frontier = tuple[list[float], list[Line], list[int | None]]


def _frontier(seed: int, most: int = 12, depth: int | None = None) -> Frontier:
    """A random tree's leaves at one depth, with weights that sum to one and up to four clusters."""
    draw = Seed(seed).rng()
    leaves = draw.randint(2, most)
    deep = draw.randint(0, 3) if depth is None else depth
    lines: list[Line] = []
    for _ in range(leaves):
        line: Line = ("root",)
        for _ in range(deep):
            line = (*line, (line[-1], draw.randrange(3)))
        lines.append(line)
    raw = [draw.choice([draw.random(), 0.25]) for _ in range(leaves)]
    labels = [draw.choice([None, 0, 1, 2, 3]) for _ in range(leaves)]
    return [w / sum(raw) for w in raw], lines, labels


def _best(found: Frontier, cost: float, coverage: float) -> float:
    return max(
        objective(kept, *found, cost=cost, coverage=coverage).objective
        for size in range(1, len(found[0]) + 1)
        for kept in itertools.combinations(range(len(found[0])), size)
    )


@exact(
    "the programme is solved exactly",
    "ILP exactness: for N ≤ 12 random trees the solver's objective equals brute-force enumeration",
    items=(1,),
)
def programme(setting: Setting) -> Observed:
    worst, count = 0.0, setting.size(300, 40)
    ways = (TABLED, 0) if find_spec("scipy") is not None else (TABLED,)
    for seed in range(count):
        found = _frontier(seed, 12 if seed % 4 == 0 else 9)
        draw = Seed(seed).rng()
        cost, coverage = draw.choice([0.0, 0.3, 1.0, 3.0]), draw.choice([0.0, 0.5, 1.5, 9.0])
        best = _best(found, cost, coverage)
        for tabled in ways:
            solved = cover(*found, cost=cost, coverage=coverage, tabled=tabled)
            worst = max(worst, abs(solved.objective - best))
    by = "table and HiGHS" if len(ways) == 2 else "table alone; SciPy is not installed"
    return Observed(
        worst < 2e-6,
        f"largest difference to enumeration over {count} trees, by {by}: {worst:.1e}",
        n=count,
    )


@exact(
    "without weights it is REBASE, call for call",
    "λ_c = λ_s = 0 ⇒ all candidates kept ⇒ identical to REBASE, call for call",
    items=(2,),
)
def plain(setting: Setting) -> Observed:
    world, count = preset("blind_alleys"), setting.size(20, 6)
    asked: list[list[Request[object]]] = [[], []]
    for strategy, heard in zip((rebase(), ets(cost=0.0, coverage=0.0)), asked, strict=True):
        tried(strategy, world, chains(world, count), asked=heard)
    first, second = (Counter(request.key() for request in heard) for heard in asked)
    return Observed(
        first == second and len(asked[0]) > SMALL * count,
        f"{sum((first - second).values())} of {len(asked[0])} requests differ on {count} problems",
        n=count,
    )


@exact(
    "at any price for nodes one leaf is left, the best for its line",
    "λ_s = 0 and λ_c → large ⇒ exactly one candidate kept, argmax O_i − λ_c·(1+#ancestors)/(M+N)",
    items=(3,),
)
def alone(setting: Setting) -> Observed:
    wrong, count = 0, setting.size(400, 100)
    for seed in range(count):
        weights, lines, _ = _frontier(seed)
        cost = 1e3
        kept = cover(weights, lines, cost=cost, coverage=0.0).kept
        nodes = len({node for line in lines for node in line}) + len(lines)
        worth = [w - cost * (1 + len(line)) / nodes for w, line in zip(weights, lines, strict=True)]
        wrong += len(kept) != 1 or worth[kept[0]] < max(worth)
    return Observed(not wrong, f"{wrong} of {count} trees keep another leaf, or more", n=count)


@exact(
    "at any worth of meanings every cluster keeps a leaf",
    "λ_c > 0, λ_s → large ⇒ at least one candidate in every cluster",
    items=(4,),
)
def covered(setting: Setting) -> Observed:
    lacking, count = 0, setting.size(300, 60)
    for seed in range(count):
        weights, lines, labels = _frontier(seed)
        kept = cover(weights, lines, labels, cost=1.0, coverage=1e3).kept
        lacking += {labels[i] for i in kept} - {None} != set(labels) - {None}
    return Observed(not lacking, f"{lacking} of {count} trees lose a cluster", n=count)


@exact(
    "where all leaves say the same, meanings count for nothing",
    "All candidates identical in text ⇒ coverage term switched off",
    items=(5,),
)
def alike(setting: Setting) -> Observed:
    """The texts are one, so the scorer's clusters are; what is kept is then what pruning keeps."""
    world = preset("blind_alleys")
    task = chains(world, 1)[0].task
    same = [Artifact("By counting.", steps=("By counting.",))] * 5
    seen = run(_scores(task, same), ChainModel(world)).value
    labels = {s.features.get("cluster") for s in seen if isinstance(s, Score)}
    differ, count = 0, setting.size(300, 60)
    for seed in range(count):
        weights, lines, _ = _frontier(seed)
        told = cover(weights, lines, [0] * len(weights), cost=1.0, coverage=9.0)
        differ += told.kept != cover(weights, lines, cost=1.0, coverage=0.0).kept
    return Observed(
        len(labels) == 1 and not differ,
        f"equal texts have {len(labels)} cluster; {differ} of {count} trees are kept otherwise",
        n=count,
    )


async def _scores(task: Task, states: Sequence[Artifact]) -> Sequence[object]:
    return await Clustered(PRM)(task, states)


@exact(
    "the width is spent whole at every depth",
    "Allocation conservation: Σ n_i = remaining in every level, for every λ",
    items=(6,),
)
def conserved(setting: Setting) -> Observed:
    """Children grown at a depth against the width less what was finished before; and the rule by itself."""
    world, count = preset("blind_alleys"), setting.size(10, 3)
    wrong = levels = 0
    for strategy in (rebase(), prune(), ets(), ets(cost=1.0, coverage=1.5)):
        notes = grown(strategy, world, count).notes
        trees: dict[str, Counter[tuple[int, bool]]] = {}
        for told in notes:
            if told.kind == "expanded":
                tree = told.at.partition("#")[0].rpartition("/")[0].rpartition("/")[0]
                held = trees.setdefault(tree, Counter())
                held[told.data["depth"], told.data["done"]] += 1
        for held in trees.values():
            finished = 0
            for depth in sorted({depth for depth, _ in held}):
                levels += 1
                wrong += held[depth, True] + held[depth, False] != SMALL - finished
                finished += held[depth, True]
    for seed in range(200):
        weights, _, _ = _frontier(seed)
        wrong += sum(balanced(weights, 7 + seed, 0.2)) != 7 + seed
    return Observed(
        not wrong and levels > 10 * count, f"{wrong} of {levels} levels do not add up", n=count
    )


@exact(
    "a higher price keeps fewer nodes, a higher worth more meanings",
    "retained node count is non-increasing in λ_c; number of covered clusters is non-decreasing in λ_s",
    items=(7,),
)
def monotone(setting: Setting) -> Observed:
    wrong, count = 0, setting.size(150, 30)
    ladder = (0.1, 0.5, 1.0, 2.0, 4.0)
    for seed in range(count):
        found = _frontier(seed, 10)
        by_cost = [cover(*found, cost=x, coverage=1.5) for x in ladder]
        by_worth = [cover(*found, cost=1.0, coverage=x) for x in ladder]
        wrong += _rises([c.nodes for c in by_cost]) or _rises([-c.covered for c in by_worth])
    return Observed(not wrong, f"{wrong} of {count} trees go the other way", n=count)


def _rises(values: Sequence[int]) -> bool:
    return any(a < b for a, b in itertools.pairwise(values))


@exact(
    "siblings stay before cousins",
    "of two equal-weight pairs, siblings are preferred to cousins when λ_c > 0 and λ_s = 0",
    items=(8,),
)
def sharing(setting: Setting) -> Observed:
    """Two siblings and two lone cousins of one weight; at the price at which just two can stay."""
    lines: list[Line] = [("r", "a"), ("r", "b"), ("r", "c"), ("r", "c")]
    kept: list[Cover] = [
        cover([0.25] * 4, lines, cost=cost, coverage=0.0) for cost in (1.05, 1.1, 1.2)
    ]
    return Observed(
        all(c.kept == (2, 3) for c in kept),
        f"of two cousins and two siblings stay {[c.kept for c in kept]}",
        n=len(kept),
    )


@exact(
    "the cache of a tree made by hand",
    "KV accounting on a hand-made tree reproduces the formula",
    items=(9,),
)
def accounting(setting: Setting) -> Observed:
    """The sheet's sum: newest steps of all candidates, pruned ones too, and each distinct ancestor once."""
    nodes: Nodes = {
        "a": (None, 1, 7), "b": (None, 1, 5),
        "aa": ("a", 2, 3), "ab": ("a", 2, 2), "ba": ("b", 2, 4), "aaa": ("aa", 3, 1),
    }  # fmt: skip
    found = prefix_tokens(nodes), prefix_tokens(nodes, prompt=10)
    expected = (12, 21, 11), (22, 31, 21)
    return Observed(found == expected, f"{found}, expected {expected}", n=1)
