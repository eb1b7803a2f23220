from __future__ import annotations

import json
import math
import os
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.bench.hlce import (
    FILE,
    Submission,
    attempts,
    by_length,
    ioi_row,
    length_slope,
    read_submissions,
    self_recognition,
)
from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.rules import pass_at_k

PUBLISHED = Path(os.environ.get("COGITATE_DATA", "none")) / FILE


def verdict(index: str, points: Any, record: int, **more: Any) -> dict[str, Any]:
    return {
        "date": "IOI 2030 day 1",
        "problem_index": index,
        "points": points,
        "verdict": "Partial result",
        "original_record_id": record,
    } | more


def submissions(folder: Path, rows: list[Any]) -> tuple[Submission, ...]:
    path = folder / "verdicts.json"
    path.write_text(json.dumps(rows))
    return read_submissions(path)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="set COGITATE_DATA to the folder of the data")
def test_the_published_row_comes_out_exactly() -> None:
    row = ioi_row(read_submissions(PUBLISHED))
    assert f"{row.pass_at[1]:.6f} {row.pass_at[5]:.6f} {row.mean_points:.5f}" == (
        "0.004494 0.011236 3.38876"
    )
    leaderboard = [0.004494382022471909, 0.011235955056179775, 3.38876404494382]
    assert [row.pass_at[1], row.pass_at[5], row.mean_points] == pytest.approx(
        leaderboard, rel=1e-14
    )
    assert row.problems == 89


def test_a_small_file_by_hand(tmp_path: Path) -> None:
    rows = [
        *(verdict("B", points, i) for i, points in enumerate([100.0, 40.0, 0.0, 0.0, 100.0])),
        *(verdict("C", points, 10 + i) for i, points in enumerate([None, 30.0, 30.0, 0.0])),
        # composite: parts sorted by part, as the published file has them
        *(verdict(f"A{part}", 20.0, 20 + 2 * part) for part in range(1, 6)),
        *(verdict(f"A{part}", 10.0, 21 + 2 * part) for part in range(1, 5)),
    ]
    row = ioi_row(submissions(tmp_path, rows))
    assert (row.problems, row.attempts, row.dropped) == (3, 5 + 4 + 1, 4)
    assert row.pass_at[1] == pytest.approx((2 / 5 + 0 + 1) / 3)
    assert row.pass_at[5] == pytest.approx((1 + 0 + 1) / 3)
    assert row.mean_points == pytest.approx((240 / 5 + 60 / 4 + 100) / 3)
    assert row.short == {1: 0, 5: 2}


def test_five_parts_make_one_attempt_and_an_incomplete_group_is_dropped() -> None:
    def part(number: int, record: int) -> Submission:
        return Submission("IOI", "A", number, record, 20.0)

    alternating = [part(number, 10 * turn + number) for turn in range(2) for number in range(1, 6)]
    by_problem, dropped = attempts(alternating)
    assert by_problem == {("IOI", "A"): [100.0, 100.0]}
    assert dropped == 0
    by_problem, dropped = attempts(alternating[:-1])
    assert by_problem == {("IOI", "A"): [100.0]}
    assert dropped == 4
    with pytest.raises(InvalidInput, match="no problem has a whole attempt"):
        ioi_row(alternating[:4])


def test_what_did_not_compile_has_no_points(tmp_path: Path) -> None:
    rows = [verdict("B", 100.0, 0, verdict="Compilation error"), verdict("B", 100.0, 1)]
    assert [s.points for s in submissions(tmp_path, rows)] == [0.0, 100.0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (verdict("B", 101.0, 0), "verdicts.json, row 0: points: a number from 0 to 100"),
        (verdict("B", "many", 0), "row 0: points"),
        (verdict("", 1.0, 0), "row 0: problem_index: text was expected"),
        (verdict("B", 1.0, 0, original_record_id=None), "row 0: original_record_id"),
    ],
)
def test_a_malformed_verdict_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        submissions(tmp_path, [row])
    with pytest.raises(InvalidInput, match="the file holds none"):
        submissions(tmp_path, [])


@pytest.mark.parametrize("samples", range(1, 11))
def test_pass_at_k_is_the_binomial_formula(samples: int) -> None:
    for correct in range(samples + 1):
        held = [i < correct for i in range(samples)]
        values = [pass_at_k(samples, correct, k) for k in range(1, samples + 1)]
        for k, value in enumerate(values, 1):
            closed = 1 - math.comb(samples - correct, k) / math.comb(samples, k)
            counted = [any(chosen) for chosen in combinations(held, k)]
            assert value == pytest.approx(closed, abs=1e-15)
            assert value == pytest.approx(sum(counted) / len(counted))
        assert values == sorted(values)
    with pytest.raises(ValueError, match=f"pass@{samples + 1} was asked for"):
        pass_at_k(samples, 0, samples + 1)


def test_pass_at_k_is_what_drawing_finds() -> None:
    rng = Seed(5).rng()
    held = [True] * 3 + [False] * 7
    found = sum(any(rng.sample(held, 4)) for _ in range(20_000)) / 20_000
    assert found == pytest.approx(pass_at_k(10, 3, 4), abs=4 * math.sqrt(0.14 / 20_000))


def test_self_recognition_of_hard_and_soft_verdicts() -> None:
    right = [True, True, False, False, False, True]
    hard = [True, False, False, True, False, None]
    found = self_recognition(hard, right)
    assert found.auc == found.balanced == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert (found.positives, found.negatives, found.unjudged) == (2, 3, 1)
    soft = self_recognition([0.9, 0.4, 0.1, 0.6, 0.2, None], right)
    assert soft.balanced is None
    assert soft.auc is not None
    assert soft.auc >= found.auc  # the hard verdicts are the soft ones, cut at one half
    assert self_recognition([True, True], [True, True]).auc is None


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.7, 0.9]), st.booleans()), min_size=2))
def test_calibrated_scores_lose_by_being_cut(scored: list[tuple[float, bool]]) -> None:
    """Where right is likelier at higher scores in both halves, the soft AUC is at least the hard one."""
    rates = {}
    for score in (0.1, 0.3, 0.7, 0.9):
        labels = [right for held, right in scored if held == score]
        rates[score] = sum(labels) / len(labels) if labels else None
    ordered = [rates[score] for score in (0.1, 0.3, 0.7, 0.9)]
    if None in ordered or ordered != sorted(ordered):
        return
    soft = self_recognition([s for s, _ in scored], [r for _, r in scored]).auc
    hard = self_recognition([s > 0.5 for s, _ in scored], [r for _, r in scored]).auc
    if soft is not None and hard is not None:
        assert soft >= hard - 1e-12


def solved(slope: float, seed: int, count: int = 8_000) -> tuple[list[float], list[bool]]:
    """A solver whose chance grows with the logarithm of its length, by `slope`."""
    rng = Seed(seed).at("length").rng()
    lengths = [math.exp(rng.uniform(4, 9)) for _ in range(count)]
    return lengths, [rng.random() < 0.5 + slope * (math.log(x) - 6.5) for x in lengths]


@pytest.mark.parametrize("seed", range(4))
def test_binned_accuracy_recovers_the_slope(seed: int) -> None:
    bins = by_length(*solved(0.12, seed), bins=8)
    found = length_slope(bins)
    assert found == pytest.approx(0.12, abs=0.015)
    assert sum(one.answers for one in bins) == 8_000
    line = [0.5 + 0.12 * (one.log_length - 6.5) for one in bins]
    assert sum(y in one.accuracy for y, one in zip(line, bins, strict=True)) >= 6


@pytest.mark.parametrize("seed", range(4))
def test_where_length_does_not_matter_the_curve_is_flat(seed: int) -> None:
    bins = by_length(*solved(0.0, seed), bins=8)
    assert sum(0.5 in one.accuracy for one in bins) >= 6
    assert length_slope(bins) == pytest.approx(0.0, abs=0.015)


def test_equal_lengths_share_a_bin() -> None:
    bins = by_length([5.0] * 6 + [9.0] * 2, [True] * 4 + [False] * 4, bins=4)
    assert [one.answers for one in bins] == [6, 2]
    assert length_slope(bins[:1]) is None
    with pytest.raises(InvalidInput, match="3 bins of 2 answers"):
        by_length([1.0, 2.0], [True, False], bins=3)
    with pytest.raises(InvalidInput, match="lengths above 0"):
        by_length([0.0, 2.0], [True, False], bins=1)
