from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules import RESAMPLINGS, effective_size, normalised_weights, resample

WEIGHTS = st.lists(st.floats(0, 100), min_size=1, max_size=12)


@pytest.mark.parametrize("method", RESAMPLINGS)
def test_the_expected_copies_are_the_shares(method: str) -> None:
    weights, count, rounds = [0.1, 0.0, 2.5, 1.0, 0.4], 7, 4000
    counts: Counter[int] = Counter()
    for seed in range(rounds):
        counts.update(resample(weights, count, seed, method))  # pyright: ignore[reportArgumentType]
    assert counts[1] == 0
    for i, share in enumerate(normalised_weights(weights)):
        # four deviations of independent draws, which the other methods stay within
        deviation = math.sqrt(share * (1 - share) / (count * rounds))
        assert abs(counts[i] / (count * rounds) - share) <= 4 * deviation + 1e-12


@given(WEIGHTS, st.integers(0, 30), st.integers(0, 1000), st.sampled_from(RESAMPLINGS))
def test_as_many_as_asked_for_and_none_of_no_weight(
    weights: list[float], count: int, seed: int, method: str
) -> None:
    drawn = resample(weights, count, seed, method)  # pyright: ignore[reportArgumentType]
    assert len(drawn) == count
    assert drawn == sorted(drawn)
    if any(weights):
        assert all(weights[i] > 0 for i in drawn)
    assert drawn == resample(weights, count, seed, method)  # pyright: ignore[reportArgumentType]


@given(WEIGHTS, st.integers(1, 30), st.integers(0, 1000))
def test_systematic_counts_are_floor_or_ceiling(
    weights: list[float], count: int, seed: int
) -> None:
    counts = Counter(resample(weights, count, seed, "systematic"))
    for i, share in enumerate(normalised_weights(weights)):
        assert math.floor(share * count - 1e-6) <= counts[i] <= math.ceil(share * count + 1e-6)


@given(WEIGHTS, st.integers(1, 30), st.integers(0, 1000))
def test_residual_counts_are_at_least_the_floor(
    weights: list[float], count: int, seed: int
) -> None:
    counts = Counter(resample(weights, count, seed, "residual"))
    for i, share in enumerate(normalised_weights(weights)):
        assert counts[i] >= math.floor(share * count - 1e-6)


def test_equal_weights_keep_everyone() -> None:
    for method in ("systematic", "stratified", "residual"):
        for size in (1, 3, 7, 10):
            assert resample([1 / 3] * size, size, 5, method) == list(range(size))  # pyright: ignore[reportArgumentType]


def test_methods_differ_in_how_far_counts_stray() -> None:
    """Variance of the first count: multinomial is the binomial's, systematic's the least possible."""
    weights, count = [0.35, 0.65], 10
    spread: dict[str, float] = {}
    for method in RESAMPLINGS:
        firsts = [resample(weights, count, s, method).count(0) for s in range(3000)]
        mean = sum(firsts) / len(firsts)
        spread[method] = sum((x - mean) ** 2 for x in firsts) / len(firsts)
    assert spread["multinomial"] == pytest.approx(count * 0.35 * 0.65, rel=0.1)
    assert spread["systematic"] == pytest.approx(0.25, rel=0.1)
    assert spread["stratified"] < spread["multinomial"] / 2
    assert spread["residual"] < spread["multinomial"] / 2


def test_effective_size_by_hand() -> None:
    assert effective_size([3, 3, 3]) == pytest.approx(3)
    assert effective_size([1, 0, 0]) == 1
    assert effective_size([2, 1]) == pytest.approx(9 / 5)
    assert effective_size([1e308, 1e308]) == pytest.approx(2)


@pytest.mark.parametrize("weights", [[], [-1.0], [math.nan], [math.inf]])
def test_senseless_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        resample(weights, 1, 0)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 draws"):
        resample([1.0], -1, 0)
