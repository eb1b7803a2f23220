from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.rules.stopping import further_votes, is_decided, posterior_lead
from cogitate.rules.votes import majority


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from([10, 20, 30]), max_size=5),
    st.integers(0, 3),
    st.sampled_from(["first", "canonical"]),
)
def test_the_exact_bound_is_exact(votes, left, tie):
    """Against every way in which the rest may fall, abstentions and unseen classes included."""
    winner = majority(votes, tie=tie).winner
    endings = itertools.product([None, 5, 10, 15, 20, 25, 30, 35], repeat=left)
    sure = all(majority([*votes, *rest], tie=tie).winner == winner for rest in endings)
    assert is_decided(majority(votes, tie=tie), left) == sure


def test_a_tie_by_score_is_never_called_early():
    assert not is_decided(majority([0, 0, 1], tie="score", scores=[1.0, 1.0, 0.0]), 1)
    assert is_decided(majority([0, 0, 0, 1], tie="score", scores=[1.0, 1.0, 1.0, 0.0]), 1)


@settings(max_examples=100)
@given(st.lists(st.sampled_from([0, 1, 2]), max_size=6), st.integers(0, 5))
def test_no_fewer_votes_can_decide(votes, left):
    """`further_votes` is the length of the shortest continuation that decides, by brute force."""
    standing = [c.votes for c in majority(votes).standing] + [0, 0]
    found = further_votes(standing[0], standing[1], left)

    def strictly_decided(counted, rest):
        counts = [*sorted((c.votes for c in majority(counted).standing), reverse=True), 0, 0]
        return rest == 0 or counts[0] > counts[1] + rest

    shortest = next(
        k
        for k in range(left + 1)
        if any(
            strictly_decided([*votes, *more], left - k)
            for more in itertools.product([None, 0, 1, 2, 3], repeat=k)
        )
    )
    assert found == shortest


def test_the_posterior_agrees_with_numerical_integration():
    for a, b in [(0, 0), (3, 0), (5, 2), (2, 5), (9, 9)]:
        cells = 20000
        grid = [(i + 0.5) / cells for i in range(cells)]
        density = [p**a * (1 - p) ** b for p in grid]
        upper = sum(d for p, d in zip(grid, density, strict=True) if p > 0.5)
        assert posterior_lead(a, b) == pytest.approx(upper / sum(density), abs=1e-6)


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_posterior_is_symmetric_and_grows_with_the_lead(a, b):
    assert posterior_lead(a, b) + posterior_lead(b, a) == pytest.approx(1)
    assert posterior_lead(a + 1, b) > posterior_lead(a, b)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 20))
def test_confidence_can_only_stop_earlier(leader, behind, left):
    runner_up = min(leader, behind)
    exact = further_votes(leader, runner_up, left)
    sure = further_votes(leader, runner_up, left, confidence=0.95)
    assert sure <= exact
    if sure < exact:
        assert posterior_lead(leader + sure, runner_up) >= 0.95
        assert sure == 0 or posterior_lead(leader + sure - 1, runner_up) < 0.95
