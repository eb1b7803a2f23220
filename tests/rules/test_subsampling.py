from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.rules.subsampling import expected, expected_best_of, expected_majority, expected_vote
from cogitate.rules.votes import majority

pools = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.booleans()), min_size=1, max_size=7
)


def by_enumeration(pool, n, tie):
    """Every ordered draw; a winning class is right in the share of its members in the pool that are."""
    total, count = 0.0, 0
    for chosen in itertools.permutations(range(len(pool)), n):
        winner = majority([pool[i][0] for i in chosen], tie=tie).winner
        members = [right for label, right in pool if label == winner]
        total += 0.0 if winner is None else sum(members) / len(members)
        count += 1
    return total / count


@settings(max_examples=60, deadline=None)
@given(pools, st.integers(1, 5), st.sampled_from(["canonical", "first"]))
def test_expected_majority_equals_enumeration(pool, n, tie):
    n = min(n, len(pool))
    closed = expected_majority([c for c, _ in pool], [r for _, r in pool], n, tie=tie)
    assert closed.value == pytest.approx(by_enumeration(pool, n, tie))
    assert closed.error == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.sampled_from([0.1, 0.5, 0.9])), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 6),
)
def test_expected_best_of_equals_enumeration(pool, n):
    n = min(n, len(pool))
    total = 0.0
    subsets = list(itertools.combinations(pool, n))
    for chosen in subsets:
        best = max(-1.0 if s is None else s for s, _ in chosen)
        tied = [right for s, right in pool if (-1.0 if s is None else s) == best]
        total += sum(tied) / len(tied)
    found = expected_best_of([r for _, r in pool], [s for s, _ in pool], n)
    assert found.value == pytest.approx(total / len(subsets))


def test_the_whole_pool_has_one_subset():
    assert expected_majority([0, 0, 1], [True, True, False], 3).value == 1.0
    assert expected_best_of([False, True], [0.1, 0.2], 2).value == 1.0


def test_not_the_first_n():
    """A pool that begins with its right answers is no better than the same pool reversed."""
    classes, correct = [0] * 4 + [1] * 6, [True] * 4 + [False] * 6
    one = expected_majority(classes, correct, 3).value
    other = expected_majority(classes[::-1], correct[::-1], 3).value
    assert one == pytest.approx(other)
    assert 0 < one < 0.5


def test_sampling_agrees_with_the_closed_form_within_its_error():
    draw = random.Random(0)
    classes = [draw.choice([0, 0, 1, 2, None]) for _ in range(32)]
    correct = [c == 0 for c in classes]
    closed = expected_majority(classes, correct, 8).value
    sampled = expected_vote(classes, correct, 8, seed=1, rule="majority", draws=2000)
    assert sampled.error > 0
    assert abs(sampled.value - closed) < 4 * sampled.error


def test_a_weighted_vote_with_an_oracle_equals_coverage():
    classes, correct = [0, 1, 1, 1], [True, False, False, False]
    scores = [1.0, 0.0, 0.0, 0.0]
    found = expected_vote(classes, correct, 2, seed=0, scores=scores, rule="weighted")
    assert found.value == pytest.approx(0.5)
    assert found.subsets == 6


def test_a_large_pool_is_exact_and_quick():
    classes = [i % 7 for i in range(128)]
    value = expected_majority(classes, [c == 0 for c in classes], 64).value
    assert 0 < value < 1


def test_refusals_say_what_was_asked():
    with pytest.raises(ValueError, match="subsets of 3"):
        expected(2, 3, lambda chosen: 1.0, seed=0)
    with pytest.raises(ValueError, match="'loudest'"):
        expected_vote([0], [True], 1, seed=0, rule="loudest")
    with pytest.raises(ValueError, match="ties by score"):
        expected_majority([0], [True], 1, tie="score")
