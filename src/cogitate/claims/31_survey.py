"""Paper 31, the survey: its vocabulary tags every paper and method here, and its metrics are computed right."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, Final

from cogitate.assembly.names import TABLE
from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.recipes import axis, cards, methods, methods_tagged, query, taxonomy, tree_markdown
from cogitate.rules import expected_majority, majority, pass_at_k, scaling_slope

from .claim import Fault, Observed, Setting, exact
from .page import papers_markdown

LEAVES: Final = {
    "what": 4,
    "how": 22,
    "where": 15,
    "how_well": 15,
    "allocation": 5,
    "acceleration": 3,
}
"""The golden count; a change of the vocabulary is deliberate."""

QUERIES: Final[tuple[tuple[dict[str, str], str], ...]] = (
    ({"what": "hybrid", "how": "verification/process"}, "03 12 23 25 35"),
    ({"how": "inference/search", "where": "generation"}, "08 25 26"),
    ({"how": "tuning/rl"}, "02 04 05 14 21 28 29"),
    ({"allocation": "per_difficulty"}, "01 12"),
    ({"acceleration": "speculative"}, "24"),
)


@exact(
    "the vocabulary loads whole",
    "the taxonomy file loads; its leaf count is fixed by a golden file",
    items=(1,),
)
def loads(setting: Setting) -> Observed:
    found = {name: len(known.leaves) for name, known in taxonomy().items()}
    return Observed(found == LEAVES, f"leaves by axis: {found}", n=sum(found.values()))


@exact("the tables survive Markdown", "round-trip to a Markdown table", items=(2,))
def round_trip(setting: Setting) -> Observed:
    """Read the generated page back: one row a paper, and every path of every axis in its tree."""
    page = papers_markdown()
    rows = [
        line.split(" | ") for line in page.splitlines() if line[:2] == "| " and line[2:4].isdigit()
    ]
    ids = [row[0].strip("| ") for row in rows]
    wanted = [
        ", ".join(path.rpartition("/")[2].replace("_", " ") for path in c.tags.get("what", ()))
        for c in cards()
    ]
    trees = {name: _paths(tree_markdown(known)) for name, known in taxonomy().items()}
    whole = {name: list(known.paths) for name, known in taxonomy().items()}
    right = ids == [c.id for c in cards()] and [row[3] for row in rows] == wanted
    return Observed(right and trees == whole, f"{len(ids)} rows and {len(trees)} trees read back")


def _paths(tree: str) -> list[str]:
    """The paths of a tree written as an indented list."""
    found: list[str] = []
    open_: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        open_[depth:] = [line.split("`")[1]]
        found.append("/".join(open_))
    return found


@exact(
    "everything is tagged by it",
    "all 38 papers and all registered strategies carry valid tags",
    items=(3,),
)
def tagged(setting: Setting) -> Observed:
    for found in (*cards(), *methods()):
        for name, paths in found.tags.items():
            for path in paths:
                axis(name).check(path)
    spoken = {name for name, made in TABLE.items() if made.family in ("strategy", "scorer")}
    carded = {found.name for found in methods()}
    untagged = sorted((spoken - {"function"}) ^ carded)
    bare = [m.name for m in methods() if not m.tags.get("what") or not m.tags.get("how")]
    return Observed(
        not untagged and not bare and len(cards()) == 38,
        f"38 papers and {len(carded)} methods with valid tags; without a card or a name: {untagged + bare}",
        n=len(carded) + 38,
    )


@exact(
    "every leaf can be asked for, and nothing else",
    "every leaf of the tree is reachable by a query; unknown tags are an error",
    items=(3,),
)
def reachable(setting: Setting) -> Observed:
    """Each leaf by its path and by its last segment finds just what carries it; a misspelt one is refused."""
    wrong: list[str] = []
    asked = 0
    for name, known in taxonomy().items():
        for leaf in known.leaves:
            asked += 1
            carriers = [c.id for c in cards() if leaf in c.tags.get(name, ())]
            spellings = (leaf, leaf.rpartition("/")[2].replace("_", "-"))
            wrong += [s for s in spellings if [c.id for c in query(**{name: s})] != carriers]
            if not _refused(lambda n=name, t=leaf: query(**{n: t + "x"})):
                wrong.append(f"{name}={leaf}x")
    empty = [leaf for leaf in _OURS if not methods_tagged(how=leaf)]
    return Observed(
        not wrong and not empty,
        f"{asked} leaves asked for in two spellings, {len(wrong)} wrong; "
        f"leaves of search, verification and aggregation without a method: {empty}",
        n=asked,
    )


_OURS: Final = tuple(
    leaf
    for leaf in axis("how").leaves
    if leaf.startswith(("inference/search/", "inference/verification/", "inference/aggregation/"))
    and leaf != "inference/search/graph"
)
"""The leaves that the searches and scorers cover; graphs of solutions are the survey's alone."""


def _refused(ask: Callable[[], Any]) -> bool:
    try:
        ask()
    except InvalidInput:
        return True
    return False


@exact(
    "queries return the expected sets",
    'query(what="hybrid", how="verification/process") and others return the expected golden sets',
    items=(4,),
)
def queries(setting: Setting) -> Observed:
    found = [" ".join(c.id for c in query(**asked)) for asked, _ in QUERIES]
    right = sum(seen == wanted for seen, (_, wanted) in zip(found, QUERIES, strict=True))
    return Observed(
        right == len(QUERIES), f"{right} of {len(QUERIES)} queries as expected; first: {found[0]}"
    )


@exact("pass@k is the share of subsets", "pass@k checked by enumeration", items=(5,))
def coverage(setting: Setting) -> Observed:
    worst, cases = 0.0, 0
    for samples in range(1, setting.size(9, 7)):
        for correct, k in itertools.product(range(samples + 1), range(1, samples + 1)):
            subsets = list(itertools.combinations(range(samples), k))
            hit = sum(any(i < correct for i in chosen) for chosen in subsets) / len(subsets)
            worst = max(worst, abs(hit - pass_at_k(samples, correct, k)))
            cases += 1
    return Observed(worst < 1e-12, f"largest difference {worst:.1e} in {cases} cases", n=cases)


@exact(
    "cons@k is the majority's correctness, with its tie rule",
    "cons@k with ties checked by enumeration",
    items=(5,),
)
def consensus(setting: Setting) -> Observed:
    worst, cases = 0.0, setting.size(60, 20)
    for case in range(cases):
        rng = Seed(31).at("consensus", case).rng()
        classes = [rng.choice([0, 0, 1, 2, None]) for _ in range(7)]
        correct = [label == 1 for label in classes]
        k = rng.randint(1, 7)
        votes = [
            majority([classes[i] for i in chosen]).winner
            for chosen in itertools.combinations(range(7), k)
        ]
        slow = sum(winner == 1 for winner in votes) / len(votes)
        worst = max(worst, abs(slow - expected_majority(classes, correct, k).value))
    return Observed(worst < 1e-12, f"largest difference {worst:.1e} in {cases} pools of 7", n=cases)


@exact("the scaling slope of a line is its slope", "scaling slope of a line", items=(5,))
def slope(setting: Setting) -> Observed:
    compute = [math.log2(n) for n in (1, 2, 4, 8, 64)]
    found = [scaling_slope(compute, [0.1 + s * x for x in compute]) for s in (-0.02, 0.0, 0.05)]
    right = all(abs(a - b) < 1e-12 for a, b in zip(found, (-0.02, 0.0, 0.05), strict=True))
    return Observed(right, f"slopes {', '.join(f'{value:.3f}' for value in found)}")


CHECKS: Final = (
    loads,
    round_trip,
    tagged,
    reachable,
    queries,
    coverage,
    consensus,
    slope,
)

FAULT: Final = Fault(
    file="recipes/taxonomy.py",
    was='    return path == prefix or path.startswith(prefix + "/")\n',
    now="    return path == prefix\n",
    breaks=("queries return the expected sets",),
)
