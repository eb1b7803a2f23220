from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules import efficiency_factor, inference_multiplier, lifetime_flops

tokens = st.floats(1e-3, 1e6)


@given(st.floats(1, 100), tokens, tokens)
def test_both_models_cost_the_same(times: float, pretraining: float, inference: float) -> None:
    more = inference_multiplier(times, pretraining, inference)
    small = lifetime_flops(1.0, pretraining, more * inference)
    assert math.isclose(small, lifetime_flops(times, pretraining, inference), rel_tol=1e-9)


def test_the_published_points() -> None:
    found = [inference_multiplier(14, 1.0, ratio) for ratio in (0.16, 0.79, 22)]
    assert [round(x, 1) for x in found] == [257.8, 63.4, 15.8]


@given(st.floats(1, 16))
def test_a_curve_moved_by_a_factor_is_that_much_better(factor: float) -> None:
    base = [(2.0**k, 0.1 * k) for k in range(9)]
    moved = [(n / factor, a) for n, a in base]
    found = efficiency_factor(64.0, 0.6, moved)
    assert found is not None
    assert math.isclose(found, factor, rel_tol=1e-9)


def test_what_is_never_reached_has_no_factor() -> None:
    assert efficiency_factor(64, 0.9, [(4, 0.3), (64, 0.6)]) is None
    assert efficiency_factor(64, 0.2, [(4, 0.3), (64, 0.6)]) == 16.0
    assert efficiency_factor(16, 0.5, []) is None


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least as large"):
        inference_multiplier(0.5, 1.0, 1.0)
    with pytest.raises(ValueError, match="positive"):
        efficiency_factor(0, 0.5, [(1, 0.5)])
