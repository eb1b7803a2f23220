from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules import level, quantile_bins


@given(
    st.dictionaries(st.text(max_size=4), st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1),
    st.integers(1, 7),
)
def test_bins_are_even_ordered_and_blind_to_order(chances: dict[str, float], bins: int) -> None:
    found = quantile_bins(chances, bins)
    assert set(found) == set(chances)
    sizes = Counter(found.values())
    held = [sizes[number] for number in range(1, bins + 1)]
    assert max(held) - min(held) <= 1
    assert all(found[a] <= found[b] for a in chances for b in chances if chances[a] > chances[b])
    assert quantile_bins(dict(reversed(chances.items())), bins) == found


def test_levels_own_their_lower_bound() -> None:
    assert [level(c) for c in (0.0, 0.0999, 0.1, 0.4999, 0.5, 1.0)] == [
        "hard", "hard", "medium", "medium", "easy", "easy",
    ]  # fmt: skip


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        level(1.1)
    with pytest.raises(ValueError, match="at least 1"):
        quantile_bins({"a": 1.0}, 0)
