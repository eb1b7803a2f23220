import importlib.util
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.rules.balancing import balanced
from cogitate.rules.covering import cover, objective

needs_solver = pytest.mark.skipif(
    importlib.util.find_spec("scipy") is None, reason="the solver comes with the extra `fit`"
)


def tree(rng, leaves, depth, fan):
    """Random leaves of one tree, all at one depth."""
    lines = []
    for _ in range(leaves):
        line = ("root",)
        for _ in range(depth):
            line = (*line, (line[-1], rng.randrange(fan)))
        lines.append(line)
    return lines


def problem(seed, clusters=True):
    rng = random.Random(seed)
    leaves = rng.randint(1, 10)
    lines = tree(rng, leaves, rng.randint(0, 3), 2)
    raw = [rng.choice([rng.random(), 0.25]) for _ in range(leaves)]
    weights = [w / sum(raw) for w in raw]
    labels = [rng.choice([None, 0, 1, 2]) for _ in range(leaves)] if clusters else [None] * leaves
    return weights, lines, labels, rng.choice([0, 0.3, 1, 3]), rng.choice([0, 0.5, 1.5, 10])


def best_by_enumeration(weights, lines, labels, cost, coverage):
    return max(
        objective(kept, weights, lines, labels, cost=cost, coverage=coverage).objective
        for size in range(1, len(weights) + 1)
        for kept in itertools.combinations(range(len(weights)), size)
    )


@pytest.mark.parametrize("by", [pytest.param("solver", marks=needs_solver), "table"])
@pytest.mark.parametrize("seed", range(60))
def test_solves_the_programme_exactly(seed, by):
    weights, lines, labels, cost, coverage = problem(seed)
    tabled = 0 if by == "solver" else 9
    found = cover(weights, lines, labels, cost=cost, coverage=coverage, tabled=tabled)
    best = best_by_enumeration(weights, lines, labels, cost, coverage)
    assert found.exact
    assert found.objective == pytest.approx(best, abs=2e-6)


@pytest.mark.parametrize("seed", range(60))
def test_needs_no_solver_without_clusters(seed, monkeypatch):
    monkeypatch.setattr("importlib.import_module", None)
    weights, lines, labels, cost, _ = problem(seed, clusters=False)
    found = cover(weights, lines, labels, cost=cost, coverage=0.0)
    assert found.objective == pytest.approx(
        best_by_enumeration(weights, lines, labels, cost, 0.0), abs=1e-12
    )


@needs_solver
@pytest.mark.parametrize("seed", range(30))
def test_table_and_solver_agree_on_larger_trees(seed):
    rng = random.Random(seed)
    lines = tree(rng, 32, 4, 3)
    weights = [rng.random() for _ in lines]
    labels = [rng.randrange(6) for _ in lines]
    told = {"cost": 3.0 * sum(weights), "coverage": rng.choice([0.5, 4.0, 20.0])}
    by_table = cover(weights, lines, labels, **told)
    by_solver = cover(weights, lines, labels, **told, tabled=0)
    assert by_table.objective == pytest.approx(by_solver.objective, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_ties_go_to_more_weight_then_fewer_nodes_then_the_earlier(seed):
    """Weights and prices are eighths, so that ties are many and sums are exact."""
    rng = random.Random(seed)
    lines = tree(rng, rng.randint(2, 6), 1, 2)
    weights = [rng.choice([0.25, 0.5]) for _ in lines]
    nodes = len({node for line in lines for node in line}) + len(lines)
    told = {"cost": nodes / 8, "coverage": 0.25}
    labels = [rng.choice([0, 1]) for _ in lines]

    def rank(kept):
        found = objective(kept, weights, lines, labels, **told)
        bits = [int(i in kept) for i in range(len(lines))]
        return round(found.objective, 9), sum(weights[i] for i in kept), -found.nodes, bits

    subsets = [
        kept
        for size in range(1, len(lines) + 1)
        for kept in itertools.combinations(range(len(lines)), size)
    ]
    assert cover(weights, lines, labels, **told).kept == max(subsets, key=rank)


@needs_solver
def test_of_alike_leaves_the_earlier_stays():
    lines = [("r", "a")] * 3 + [("r", "b")] * 3
    found = cover([1 / 6] * 6, lines, [0, 0, 0, 1, 1, 1], cost=4.0, coverage=4.0)
    assert found.kept == (0, 3)


@needs_solver
def test_does_not_depend_on_the_names_of_nodes():
    weights, lines, labels, _, _ = problem(7)
    renamed = [tuple(f"n{hash(n) % 997}" for n in line) for line in lines]
    told = {"cost": 1.0, "coverage": 1.5}
    assert cover(weights, lines, labels, **told) == cover(weights, renamed, labels, **told)


@needs_solver
def test_a_bound_on_the_solver_still_gives_a_set_of_leaves():
    rng = random.Random(0)
    lines = tree(rng, 40, 4, 3)
    labels = [rng.randrange(9) for _ in lines]
    found = cover([1 / 40] * 40, lines, labels, cost=2.0, coverage=1.5, solver_nodes=0)
    assert found.kept


@pytest.mark.parametrize(
    "told",
    [
        {"weights": [0.5], "lines": [("r",), ("r",)]},
        {"weights": [-0.1], "lines": [("r",)]},
        {"weights": [0.1], "lines": [("r",)], "cost": -1.0},
        {"weights": [float("nan")], "lines": [("r",)]},
        {"weights": [0.1], "lines": [("r",)], "coverage": float("inf")},
    ],
)
def test_refuses_what_is_no_tree(told):
    with pytest.raises(ValueError, match="were given"):
        cover(**told)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20),
    st.integers(0, 300),
    st.sampled_from([0.01, 0.2, 1.0, 50.0]),
)
def test_the_width_is_shared_out_without_a_rest(scores, width, temperature):
    counts = balanced(scores, width, temperature)
    assert sum(counts) == width
    assert min(counts) >= 0


def test_shares_follow_the_published_rule():
    # by hand: exp(s/0.2) of 0.9, 0.8, 0.1 is 90.02, 54.60, 1.65; ceil(16·90.02/146.27) = 10, ceil(6·54.6/56.25) = 6
    assert balanced([0.1, 0.9, 0.8], 16, 0.2) == (0, 10, 6)
    assert balanced([0.5, 0.5], 3) == (1, 2)


@pytest.mark.parametrize(
    ("width", "temperature", "scores"), [(-1, 1, [0.1]), (1, 0, [0.1]), (1, 1, [])]
)
def test_refuses_a_width_nobody_takes(width, temperature, scores):
    with pytest.raises(ValueError, match="width"):
        balanced(scores, width, temperature)
