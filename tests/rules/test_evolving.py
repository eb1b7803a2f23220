from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules.evolving import elite, tournament, truncation

VALUES = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=9)
DRAWS = 12_000


@pytest.mark.parametrize(("n", "size"), [(5, 1), (6, 2), (6, 3), (5, 5), (4, 9)])
def test_the_first_winner_follows_the_closed_form(n, size):
    values = [float((7 * i) % n) if math.gcd(7, n) == 1 else float(i) for i in range(n)]
    better = {i: sum(v > values[i] for v in values) for i in range(n)}
    won = Counter(tournament(values, 1, size, seed)[0] for seed in range(DRAWS))
    entered = min(size, n)
    for i in range(n):
        chance = math.comb(n - 1 - better[i], entered - 1) / math.comb(n, entered)
        spread = math.sqrt(chance * (1 - chance) / DRAWS)
        assert abs(won[i] / DRAWS - chance) <= 4.5 * spread + 1e-12, (i, chance)


def test_the_second_winner_is_the_first_among_the_others():
    n, size = 5, 2
    values = [0.3, 0.1, 0.5, 0.2, 0.4]
    pairs = Counter(tuple(tournament(values, 2, size, seed)) for seed in range(DRAWS))

    def chance(i, left):
        worse = sum(values[j] < values[i] for j in left)
        return math.comb(worse, size - 1) / math.comb(len(left), size)

    for i in range(n):
        for j in set(range(n)) - {i}:
            want = chance(i, range(n)) * chance(j, [x for x in range(n) if x != i])
            spread = math.sqrt(want * (1 - want) / DRAWS)
            assert abs(pairs[i, j] / DRAWS - want) <= 4.5 * spread + 1e-12


def test_equals_have_equal_chances():
    won = Counter(tournament([1.0] * 4, 1, 3, seed)[0] for seed in range(DRAWS))
    assert all(abs(won[i] / DRAWS - 0.25) < 0.02 for i in range(4))


def test_truncation_draws_evenly_from_the_best():
    values = [0.1, 0.9, 0.5, 0.7]
    drawn = Counter(i for seed in range(DRAWS) for i in truncation(values, 1, 3, seed))
    assert set(drawn) == {1, 2, 3}
    assert all(abs(count / DRAWS - 1 / 3) < 0.02 for count in drawn.values())
    assert truncation(values, 3, 3, 0) == [1, 3, 2]
    assert {tuple(sorted(truncation(values, 2, 4, s))) for s in range(200)} == {
        (a, b) for a in range(4) for b in range(a + 1, 4)
    }


def test_elites_have_scores():
    assert elite([0.2, -math.inf, 0.9, math.nan, -5.0], 9) == [2, 0, 4]
    assert elite([0.2, 0.9, 0.9], 1) == [1]
    assert elite([], 3) == elite([1.0], 0) == []


@given(VALUES, st.integers(0, 12), st.integers(0, 12), st.integers(0, 99))
def test_every_rule_returns_different_indices(values, k, size, seed):
    for rule in (tournament, truncation):
        found = rule(values, k, size, seed)
        assert len(set(found)) == len(found) <= k
        assert set(found) <= set(range(len(values)))
        assert found == rule(values, k, size, seed)
    assert len(tournament(values, k, size, seed)) == min(k, len(values))
    assert len(truncation(values, k, size, seed)) == min(k, max(1, size), len(values))
