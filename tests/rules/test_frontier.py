from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules.frontier import between, pareto

points = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=9)


@given(points)
def test_the_set_is_what_nothing_beats(held):
    costs, values = [c for c, _ in held], [v for _, v in held]
    kept = pareto(costs, values)
    for i, (cost, value) in enumerate(held):
        beaten = any((c <= cost and v > value) or (c < cost and v >= value) for c, v in held)
        if beaten:
            assert i not in kept
        else:
            assert any(held[k] == (cost, value) for k in kept)
    assert [costs[i] for i in kept] == sorted({costs[i] for i in kept})
    assert [values[i] for i in kept] == sorted({values[i] for i in kept})


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=6, unique=True), st.floats(0.01, 1e7))
def test_between_never_leaves_the_points(costs, at):
    costs = sorted(costs)
    found = between(costs, at)
    assert (found is None) == (not costs[0] <= at <= costs[-1])
    if found is not None:
        assert 0 <= found.weight <= 1
        assert costs[found.left] <= at <= costs[found.right]


def test_a_cost_of_nothing_is_read_off_linearly():
    assert between([0, 10], 5).weight == 0.5
    assert between([], 1) is None
