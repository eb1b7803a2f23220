from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules import auc, balanced_accuracy

SCORED = st.lists(
    st.tuples(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 3.0]), st.booleans()), max_size=12
)
HARD = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=14)


def by_pairs(scored: list[tuple[float, bool]]) -> float | None:
    """The definition: over all pairs of a right and a wrong one."""
    good = [score for score, right in scored if right]
    bad = [score for score, right in scored if not right]
    pairs = [(g > b) + 0.5 * (g == b) for g, b in itertools.product(good, bad)]
    return sum(pairs) / len(pairs) if pairs else None


@given(SCORED)
def test_it_is_the_mean_over_pairs(scored: list[tuple[float, bool]]) -> None:
    assert auc([s for s, _ in scored], [r for _, r in scored]) == by_pairs(scored)


@given(HARD)
def test_of_hard_verdicts_it_is_the_balanced_accuracy(judged: list[tuple[bool, bool]]) -> None:
    verdicts, right = [v for v, _ in judged], [r for _, r in judged]
    assert auc(verdicts, right) == balanced_accuracy(verdicts, right)


def test_perfect_constant_and_inverted() -> None:
    right = [True, True, False, False, False]
    assert auc([2, 2, 1, 1, 0], right) == 1.0
    assert auc([7, 7, 7, 7, 7], right) == 0.5
    assert auc([0, 0, 1, 1, 2], right) == 0.0


@pytest.mark.parametrize("right", [[], [True, True], [False]])
def test_of_a_single_class_there_is_none(right: list[bool]) -> None:
    assert auc([0.5] * len(right), right) is None
    assert balanced_accuracy([True] * len(right), right) is None


def test_what_was_not_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="no number"):
        auc([float("nan"), 1.0], [True, False])
