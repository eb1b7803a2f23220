from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules.confidence import (
    REDUCTIONS,
    cut_off,
    entropy,
    group_means,
    least_entropy,
    portion,
    text_confidence,
    token_confidence,
)

values = st.lists(st.floats(-50, 50), min_size=1, max_size=40)
probabilities = st.lists(st.floats(0.001, 1), min_size=1, max_size=8)


def slow_groups(found, window):
    """Every window summed anew."""
    if len(found) <= window:
        return [math.fsum(found) / len(found)]
    return [math.fsum(found[i : i + window]) / window for i in range(len(found) - window + 1)]


@given(values, st.integers(1, 45))
def test_sliding_sums_are_those_of_each_window(found, window):
    assert group_means(found, window) == pytest.approx(slow_groups(found, window), abs=1e-9)


def test_running_sums_do_not_drift():
    found = [1e9 if i % 7 == 0 else 1e-3 for i in range(20_000)]
    got, want = group_means(found, 50), slow_groups(found, 50)
    assert max(abs(a - b) / b for a, b in zip(got, want, strict=True)) < 1e-12
    found = [1e9 / 3] * 99 + [1e-3] * 900  # what large values left behind is gone a window later
    assert group_means(found, 50)[150:] == pytest.approx([1e-3] * 800, rel=1e-12)


@given(values, st.integers(1, 45), st.floats(0.01, 1))
def test_reductions_by_their_formulas(found, window, share):
    groups = sorted(slow_groups(found, window))
    least = groups[: max(1, math.ceil(share * len(groups) - 1e-9))]
    wanted = {
        "lowest": groups[0],
        "bottom": sum(least) / len(least),
        "tail": sum(found[-window:]) / min(window, len(found)),
        "mean": sum(found) / len(found),
    }
    for how in REDUCTIONS:
        got = text_confidence(found, how, window=window, share=share)
        assert got == pytest.approx(wanted[how], abs=1e-9)
    assert text_confidence([], "lowest") is None


@given(probabilities, st.integers(1, 8))
def test_token_statistics_by_their_formulas(raw, top):
    logs = [math.log(p) for p in raw]
    best = sorted(raw, reverse=True)[:top]
    assert token_confidence(logs, top) == pytest.approx(
        -sum(math.log(p) for p in best) / len(best), abs=1e-12
    )
    shares = [p / sum(best) for p in best]
    if len(best) < 2:
        assert entropy(logs, top) is None
        assert least_entropy(logs, top) is None
        return
    assert entropy(logs, top) == pytest.approx(-sum(q * math.log(q) for q in shares), abs=1e-9)
    assert least_entropy(logs, top) == pytest.approx(-math.log(max(shares)), abs=1e-9)
    assert (
        -1e-12
        <= least_entropy(logs, top)
        <= entropy(logs, top) + 1e-9
        <= math.log(len(best)) + 1e-8
    )


def test_what_is_no_number_is_left_out():
    assert token_confidence([-math.inf, -2.0, math.nan], 3) == 2.0
    assert token_confidence([-math.inf], 3) is None
    assert entropy([-1.0, -math.inf], 2) is None
    assert entropy([0.0, -2000.0], 2) == 0.0


@given(values, st.floats(0.01, 1))
def test_the_cut_off_keeps_the_share_and_ties(found, share):
    least = cut_off(found, share)
    kept = [v for v in found if v >= least]
    wanted = portion(len(found), share)
    assert least in found
    assert len(kept) >= wanted
    assert sum(v > least for v in found) < wanted


class Counted(list):
    """A list that counts how many of its values are read."""

    reads = 0

    def __getitem__(self, place):
        found = super().__getitem__(place)
        self.reads += len(found) if isinstance(place, slice) else 1
        return found

    def __iter__(self):
        self.reads += len(self)
        return super().__iter__()


@pytest.mark.parametrize("window", [1, 7, 400, 4000])
def test_it_is_linear_in_the_tokens(window):
    found = Counted([1.0, 2.0] * 2000)
    group_means(found, window)
    assert found.reads <= 3 * len(found)
