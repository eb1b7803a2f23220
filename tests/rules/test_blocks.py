from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.rules import blocks as module
from cogitate.rules.aggregate import normalised
from cogitate.rules.blocks import even_blocks, expected_weighted
from cogitate.rules.votes import weighted


def by_enumeration(classes, correct, scores, n):
    """What the scorer `weighted` does, for every subset; ties fall on the lowest class."""
    total, subsets = 0.0, list(itertools.combinations(range(len(classes)), n))
    for chosen in subsets:
        held = [scores[i] for i in chosen]
        values = [s for s in held if s is not None]
        if any(
            v < 0 for v in values
        ):  # ranks as whole numbers: their shares may sum unequally by rounding
            values = [round(2 * len(values) * r) for r in normalised(values, "rank")]
        scaled = iter(values)
        tally = weighted(
            [classes[i] for i in chosen], [None if s is None else next(scaled) for s in held]
        )
        if tally.winner is None:
            total += sum(correct[i] for i in chosen) / n
        else:
            members = [r for c, r in zip(classes, correct, strict=True) if c == tally.winner]
            total += sum(members) / len(members)
    return total / len(subsets)


pools = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 3)),
        st.booleans(),
        st.sampled_from([None, -2.0, -0.5, 0.0, 0.25, 0.5, 3.0]),
    ),
    min_size=1,
    max_size=7,
)


@pytest.mark.parametrize("with_numpy", [True, False])
@settings(max_examples=60, deadline=None)
@given(pools, st.integers(1, 5))
def test_equals_the_scorer_on_every_subset(with_numpy, pool, n):
    n = min(n, len(pool))
    columns = list(zip(*pool, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        if not with_numpy:
            patch.setattr(module, "numpy_or_none", lambda: None)
        found = expected_weighted(*columns, n, seed=0)
    assert found.error == 0
    assert found.value == pytest.approx(by_enumeration(*columns, n))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 9))
def test_blocks_use_every_sample_as_often(size, n, seed):
    n = min(n, size)
    for order in even_blocks(size, n, seed, 3):
        used = [i for block in order for i in block]
        assert len(used) == len(set(used)) == size // n * n
        assert set(used) <= set(range(size))


def test_sampling_is_unbiased_and_tells_its_error():
    draw = random.Random(1)
    classes = [draw.choice([0, 0, 1, 2, None]) for _ in range(14)]
    scores = [draw.random() for _ in classes]
    correct = [c == 0 for c in classes]
    exact = expected_weighted(classes, correct, scores, 3, 0, at_most=10_000)
    assert (exact.subsets, exact.error) == (364, 0.0)
    runs = [expected_weighted(classes, correct, scores, 3, seed, draws=80) for seed in range(60)]
    mean = sum(r.value for r in runs) / len(runs)
    spread = (sum((r.value - mean) ** 2 for r in runs) / (len(runs) - 1)) ** 0.5
    assert abs(mean - exact.value) < 4 * spread / 60**0.5
    told = sum(r.error for r in runs) / len(runs)
    assert 0.7 < told / spread < 1.4


@pytest.mark.parametrize("with_numpy", [True, False])
def test_ties_of_floating_sums_stay_ties(with_numpy, monkeypatch):
    if not with_numpy:
        monkeypatch.setattr(module, "numpy_or_none", lambda: None)
    classes, scores = [0, 0, 0, 1], [0.1, 0.1, 0.1, 0.3]  # 0.1 + 0.1 + 0.1 > 0.3 in floating point
    correct = [False, False, False, True]
    assert expected_weighted(classes, correct, scores, 4, 0, tie="first").value == 0.5


def test_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="ties by"):
        expected_weighted([0], [True], [1.0], 1, 0, tie="score")
    with pytest.raises(ValueError, match="subsets of 3"):
        expected_weighted([0], [True], [1.0], 3, 0)


def test_infinite_scores_win():
    inf = float("inf")
    assert expected_weighted([0, 1, 1], [True, False, False], [inf, 5.0, 5.0], 3, 0).value == 1.0
