from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules import length_deviation, scaling_slope, share_within, underthinking


@given(
    st.lists(st.integers(0, 1000), min_size=2, max_size=8, unique=True),
    st.floats(-2, 2),
    st.floats(-1, 1),
)
def test_a_line_has_its_slope(xs: list[int], slope: float, start: float) -> None:
    ys = [start + slope * x for x in xs]
    assert scaling_slope(xs, ys) == pytest.approx(slope, abs=1e-9)


def test_pairs_weigh_alike_by_hand() -> None:
    # (0.1, 1), (0.3, 3), (0.2, 2) give 0.1/1, 0.3/3 and 0.2/2; a flat end pulls the mean down
    assert scaling_slope([0, 1, 3], [0.0, 0.1, 0.1]) == pytest.approx((0.1 + 0.1 / 3 + 0.0) / 3)
    assert scaling_slope([3, 0, 1], [0.1, 0.0, 0.1]) == scaling_slope([0, 1, 3], [0.0, 0.1, 0.1])


def test_senseless_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        scaling_slope([1], [0.5])
    with pytest.raises(ValueError, match="same compute"):
        scaling_slope([1, 1], [0.5, 0.6])
    with pytest.raises(ValueError, match="no runs"):
        share_within([], 0, 1)


def test_control_counts_both_ends() -> None:
    assert share_within([1, 2, 3, 4], 2, 3) == 0.5


def test_length_deviation_by_hand():
    found = length_deviation([50, 200, 100], [100, 100, 100])
    assert found.relative == pytest.approx(0.5)
    assert found.rmse == pytest.approx(((50**2 + 100**2) / 3) ** 0.5)
    with pytest.raises(ValueError, match="above 0"):
        length_deviation([1], [0])
    with pytest.raises(ValueError, match="above 0"):
        length_deviation([], [])


def test_underthinking_by_hand():
    assert underthinking([0, 100], [100, 100]) == 0.5
    assert underthinking([None], [10]) == 0.0
    for first, total in (([], []), ([11], [10]), ([0], [0])):
        with pytest.raises(ValueError, match="wrong answers"):
            underthinking(first, total)
