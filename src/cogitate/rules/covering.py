"""Which leaves of a tree to keep, so that much weight and many meanings survive on few nodes: a 0/1 programme."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

Line = tuple[Hashable, ...]
"""The strict ancestors of a leaf, the root first."""

TABLED: Final = 7
"""Clusters up to which a table over the tree is exact and quicker than the solver; it doubles with each."""
_QUANTA: Final = 2**40
"""Steps in one unit of worth; below them all is equal."""

SOLVER_NODES: Final = 10_000
"""Nodes of the solver's own tree after which the best found so far is taken."""
_SCALE: Final = 1e4
"""The solver stops at an absolute gap of 1e-6; scaled, ties are told apart far below that."""
_BY_WEIGHT: Final = 1e-6
"""Of equal objectives the one that keeps more weight…"""
_BY_NODES: Final = 1e-9
"""… and then the one with fewer nodes."""


@dataclass(frozen=True, slots=True)
class Cover:
    """Leaves that are kept, and what that is worth."""

    kept: tuple[int, ...]
    """Indices in ascending order; never empty unless there were no leaves."""
    objective: float
    nodes: int
    """Nodes of the tree that stay: the leaves kept and their ancestors."""
    covered: int
    """Clusters with a leaf that is kept."""
    exact: bool = True
    """False where the solver's bound on nodes ended it."""


def objective(
    kept: Sequence[int], weights: Sequence[float], lines: Sequence[Line],
    clusters: Sequence[int | None], *, cost: float, coverage: float,
) -> Cover:  # fmt: skip
    """What keeping these leaves is worth: weight kept − cost × share of nodes kept + coverage × share of clusters kept.

    >>> objective([0], [0.75, 0.25], [("root",), ("root",)], [0, 1], cost=1.0, coverage=1.0).objective
    0.5833333333333334
    """
    all_nodes = len({node for line in lines for node in line}) + len(lines)
    all_clusters = len({c for c in clusters if c is not None})
    nodes = len({node for i in kept for node in lines[i]}) + len(kept)
    covered = len({clusters[i] for i in kept} - {None})
    value = math.fsum(weights[i] for i in kept) - cost * nodes / max(1, all_nodes)
    if all_clusters:
        value += coverage * covered / all_clusters
    return Cover(tuple(sorted(kept)), value, nodes, covered)


def cover(
    weights: Sequence[float], lines: Sequence[Line], clusters: Sequence[int | None] = (),
    *, cost: float = 1.0, coverage: float = 1.0, solver_nodes: int = SOLVER_NODES, tabled: int = TABLED,
) -> Cover:  # fmt: skip
    """The leaves whose retention is worth most, at least one; see `objective`.

    Every ancestor and every leaf costs the same. A leaf whose cluster is `None` covers nothing. Of equal
    objectives the one that keeps more weight wins, then fewer nodes, then the earlier leaves. With few clusters
    this is a table over the tree; with more than `tabled` HiGHS solves it, where objectives within about 1e-6 are
    equal, and of what is equal in weight and nodes too only leaves that are alike are told apart by their place.

    >>> cover([0.5, 0.3, 0.2], [("r", "a"), ("r", "a"), ("r", "b")], cost=2.0, coverage=0.0).kept
    (0,)

    Raises:
        ValueError: for lists of different lengths, a negative weight, or a negative or infinite price.
        ImportError: with many clusters, where SciPy is not installed.

    Reference: ETS, arXiv:2502.13575.
    """
    told = tuple(clusters) or (None,) * len(weights)
    if not len(weights) == len(lines) == len(told):
        raise ValueError(
            f"{len(weights)} weights, {len(lines)} lines and {len(told)} clusters were given; one of each a leaf"
        )
    if any(not 0 <= w < math.inf for w in weights) or not (
        0 <= cost < math.inf and 0 <= coverage < math.inf
    ):
        raise ValueError(
            "weights, cost and coverage must be finite and at least 0; "
            f"cost={cost} and coverage={coverage} were given"
        )
    kept, exact = _kept(weights, lines, told, cost, coverage, solver_nodes, tabled)
    found = objective(kept, weights, lines, told, cost=cost, coverage=coverage)
    return Cover(found.kept, found.objective, found.nodes, found.covered, exact)


def _kept(
    weights: Sequence[float], lines: Sequence[Line], clusters: Sequence[int | None],
    cost: float, coverage: float, solver_nodes: int, tabled: int,
) -> tuple[list[int], bool]:  # fmt: skip
    if cost == 0 or len(weights) <= 1:
        return list(range(len(weights))), True
    price = cost / (len({node for line in lines for node in line}) + len(lines))
    told = clusters if coverage else [None] * len(weights)
    if len(set(told)) <= tabled:
        return _tabled(weights, lines, told, price, coverage), True
    return _solved(weights, lines, clusters, price, coverage, solver_nodes)


Worth = tuple[int, int, int, int]
"""Objective, weight, less nodes, and the leaves kept as bits, the first the highest: what sums, and how ties fall."""

_NOTHING: Final = -1
"""The set of covered clusters where no leaf is kept."""


def _tabled(
    weights: Sequence[float], lines: Sequence[Line], clusters: Sequence[int | None],
    price: float, coverage: float,
) -> list[int]:  # fmt: skip
    """For each node the best choice below it by the set of clusters covered there; whole numbers, so ties are ties."""
    places = {c: at for at, c in enumerate(dict.fromkeys(c for c in clusters if c is not None))}
    paid, leaves = round(price * _QUANTA), len(weights)
    tables: dict[Line, list[dict[int, Worth]]] = {(): []}
    for i, line in enumerate(lines):
        for n in range(len(line)):
            if line[: n + 1] not in tables:
                tables[line[: n + 1]] = []
        label = clusters[i]
        own = round(weights[i] * _QUANTA)
        covered = 0 if label is None else 1 << places[label]
        tables[line].append({covered: (own - paid, own, -1, 1 << (leaves - 1 - i))})
    for node in sorted(tables, key=len, reverse=True):
        found = _joined(tables[node])
        if not node:
            return _read(found, round(coverage * _QUANTA / len(places)) if places else 0, leaves)
        table = {m: (v - paid, w, n - 1, b) for m, (v, w, n, b) in found.items()}
        tables[node[:-1]].append(table)
    raise AssertionError("the root is a node")


def _joined(below: Sequence[dict[int, Worth]]) -> dict[int, Worth]:
    """The best by covered clusters of what several subtrees keep; at least one of them keeps something."""
    found: dict[int, Worth] = {_NOTHING: (0, 0, 0, 0)}
    for table in below:
        more = dict(found)
        for mask, (v, w, n, b) in found.items():
            for other, (v2, w2, n2, b2) in table.items():
                both = other if mask == _NOTHING else mask | other
                worth = (v + v2, w + w2, n + n2, b | b2)
                if both not in more or worth > more[both]:
                    more[both] = worth
        found = more
    del found[_NOTHING]
    return found


def _read(found: dict[int, Worth], each: int, leaves: int) -> list[int]:
    """The leaves of the best choice, each covered cluster counted."""
    best = max((v + each * mask.bit_count(), w, n, b) for mask, (v, w, n, b) in found.items())
    return [i for i in range(leaves) if best[3] >> (leaves - 1 - i) & 1]


def _solved(
    weights: Sequence[float], lines: Sequence[Line], clusters: Sequence[int | None],
    price: float, coverage: float, solver_nodes: int,
) -> tuple[list[int], bool]:  # fmt: skip
    """The programme: leaves that are kept, nodes that stay, and for each cluster the leaf that stands for it.

    Only the leaves are integral. Were a cluster merely covered by the sum of its leaves, the relaxation would
    keep a little of each and pay for a little of what they share, and the solver would search for long; so in
    each subtree the leaves that stand for one cluster sum to no more than the subtree's own share.
    """
    numpy: Any = importlib.import_module("numpy")
    optimize: Any = importlib.import_module("scipy.optimize")
    sparse: Any = importlib.import_module("scipy.sparse")
    leaves, stems = len(weights), _stems(lines)
    labels = len({c for c in clusters if c is not None})
    rows = _rows(weights, lines, clusters, stems)
    size = 2 * leaves + len(stems)
    gain = numpy.zeros(size)
    gain[:leaves] = [w * (1 + _BY_WEIGHT) - price - _BY_NODES for w in weights]
    gain[leaves : 2 * leaves] = [0.0 if c is None else coverage / labels for c in clusters]
    gain[2 * leaves :] = [-(price + _BY_NODES) * nodes for nodes in stems.values()]
    columns = [column for row in rows for column, _ in row]
    ends = numpy.cumsum([0, *(len(row) for row in rows)])
    matrix = sparse.csr_array(
        ([value for row in rows for _, value in row], columns, ends), shape=(len(rows), size)
    )
    # All rows say "at least 0" but the last: at least one leaf is kept.
    least = numpy.zeros(len(rows))
    least[-1] = 1.0
    most = numpy.ones(size)
    most[leaves : 2 * leaves] = [c is not None for c in clusters]
    found = optimize.milp(
        -gain * _SCALE,
        integrality=numpy.arange(size) < leaves,
        bounds=optimize.Bounds(0, most),
        constraints=optimize.LinearConstraint(matrix, least, numpy.inf),
        options={"node_limit": solver_nodes, "mip_rel_gap": 0.0},
    )
    if found.x is None:
        return list(range(leaves)), False  # nothing was found in time: what was paid for stays
    return [i for i in range(leaves) if found.x[i] > 0.5], bool(found.status == 0)


def _stems(lines: Sequence[Line]) -> dict[tuple[int, ...], int]:
    """Leaves below a node to how many nodes have just these below them: unbranched stretches count as one."""
    below: dict[Line, list[int]] = {}
    for i, line in enumerate(lines):
        for n in range(1, len(line) + 1):
            below.setdefault(line[:n], []).append(i)
    found: dict[tuple[int, ...], int] = {}
    for held in below.values():
        found[tuple(held)] = found.get(tuple(held), 0) + 1
    return found


Row = list[tuple[int, float]]


def _rows(
    weights: Sequence[float], lines: Sequence[Line], clusters: Sequence[int | None],
    stems: dict[tuple[int, ...], int],
) -> list[Row]:  # fmt: skip
    """Who needs whom: a leaf and a stem the stem above, who stands for a cluster to be kept."""
    leaves = len(weights)
    rows: list[Row] = [[(i, 1.0), (leaves + i, -1.0)] for i in range(leaves)]
    above: dict[int, int] = {}
    columns = {held: 2 * leaves + at for at, held in enumerate(stems)}
    for held in sorted(stems, key=len, reverse=True):
        parents = {above[i] for i in held if i in above}
        rows += [[(parent, 1.0), (columns[held], -1.0)] for parent in parents]
        above |= dict.fromkeys(held, columns[held])
        together: dict[int, list[int]] = {}
        for i in held:
            if (label := clusters[i]) is not None:
                together.setdefault(label, []).append(i)
        rows += [
            [(columns[held], 1.0), *((leaves + i, -1.0) for i in members)]
            for members in together.values()
        ]
    rows += [[(above[i], 1.0), (i, -1.0)] for i in range(leaves) if i in above]
    alike: dict[tuple[Line, int | None], list[int]] = {}
    for i in sorted(range(leaves), key=lambda i: (-weights[i], i)):
        alike.setdefault((lines[i], clusters[i]), []).append(i)
    for members in alike.values():
        rows += [[(a, 1.0), (b, -1.0)] for a, b in itertools.pairwise(members)]
    rows.append([(i, 1.0) for i in range(leaves)])
    return rows
