"""From outcomes to rows, curves and frontiers."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from cogitate.bench.metrics import (
    METRICS,
    Shape,
    at_equal_cost,
    cost_of,
    coverage_curves,
    curves,
    frontier,
    how_well,
    metrics_of,
    paired,
    slope,
    table,
)
from cogitate.bench.results import Cell, Found, Key, Outcome, Timing
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Budget, Usage
from cogitate.recipes import axis

NO_BOUND = Budget()


def outcome(i, right, *, answer="4", tokens=10, n=1, **more):
    usage = {"policy": Usage(tokens_in=5 * n, tokens_out=tokens * n, calls=n, flops=None, usd=None)}
    return Outcome(f"q{i}", answer, right, usage=usage, candidates=n, **more)


def cell(rights, *, strategy="majority", n=1, model="small", seed=0, budget=NO_BOUND, tokens=10):
    outcomes = [outcome(i, r, n=n, tokens=tokens) for i, r in enumerate(rights)]
    return Cell(Key("sums", model, f"{strategy}(n={n})", budget, seed), outcomes, strategy, n)


def found(*cells, card=None, timing=None):
    return Found(card or {}, cells, timing=timing)


def share(k, of=20):
    return [True] * k + [False] * (of - k)


def test_abstentions_are_wrong_and_never_dropped():
    held = [outcome(0, True), outcome(1, True, answer=None), outcome(2, False, answer=None)]
    row = table(found(Cell(Key("t", "m", "s"), held))).rows[0]
    assert (row.questions, row.abstained, row.correct) == (3, 2, 1)
    assert row.accuracy.n == 3
    assert row.accuracy.estimate == pytest.approx(1 / 3)


def test_counts_and_roles():
    held = [
        Outcome(
            f"q{i}",
            "4",
            i % 2 == 0,
            truncated=i == 1,
            stopped="budget" if i < 3 else "",
            usage={
                "policy": Usage(tokens_in=5, tokens_out=7, calls=1, seconds=9.0),
                "judge": Usage(tokens_in=20, tokens_out=1, calls=1),
            },
            candidates=4,
            candidates_correct=int(i < 8),
        )
        for i in range(10)
    ]
    row = table(found(Cell(Key("t", "m", "s"), held))).rows[0]
    assert (row.truncated, row.stopped) == (1, {"budget": 3})
    assert row.roles["policy"] == Usage(tokens_in=50, tokens_out=70, calls=10)  # no seconds
    assert row.roles["judge"].tokens_in == 200
    assert row.costs["tokens"].estimate == 33
    assert row.costs["tokens"].total == 330
    assert row.costs["calls"].estimate == 2
    assert (row.accuracy.estimate, row.any_right.estimate) == (0.5, 0.9)


def test_a_right_answer_is_covered_though_nobody_counted_its_candidates():
    row = table(found(cell(share(5)))).rows[0]
    assert row.any_right.estimate == row.accuracy.estimate


def test_unknown_is_none_and_not_zero():
    row = table(found(cell(share(10)))).rows[0]
    assert [row.costs[u] for u in ("flops", "usd", "kv_bytes", "bytes_moved")] == [None] * 4
    assert row.seconds is row.throughput is None


def test_a_zero_of_flops_beside_tokens_is_unknown():
    assert cost_of({"policy": Usage(tokens_out=3)}).units["flops"] is None
    assert cost_of({"policy": Usage(tokens_out=3, flops=9.0)}).units["flops"] == 9.0
    assert cost_of({"grader": Usage(calls=1)}).units["flops"] == 0.0


def test_estimates_are_labelled_and_need_every_role():
    usage = {"policy": Usage(tokens_in=10, tokens_cached=4, tokens_out=6, flops=None)}
    shape = Shape({"policy": 100.0}, {"policy": 8.0})
    known = cost_of(usage, shape)
    assert (known.units["flops"], known.units["kv_bytes"]) == (2 * 100 * 12, 8 * 16)
    assert known.estimated == {"flops", "kv_bytes"}
    both = {**usage, "judge": Usage(tokens_out=2, flops=None)}
    assert cost_of(both, shape).units["flops"] is None
    measured = cost_of({"policy": Usage(tokens_out=2, flops=7.0)}, shape)
    assert (measured.units["flops"], measured.estimated) == (7.0, {"kv_bytes"})


def test_the_card_gives_the_parameters():
    card = {"models": {"small": {"parameters": 10}, "other": "a spec"}}
    listed = {"models": [{"label": "small", "parameters": {"policy": 10}}, {"label": "other"}, 7]}
    for said in (card, listed):
        row = table(found(cell(share(10)), card=said)).rows[0]
        assert row.costs["flops"].estimate == 2 * 10 * 15
        assert row.costs["flops"].estimated


def test_one_seed_has_wilson_and_several_a_bootstrap_over_questions():
    one = table(found(cell(share(10)))).rows[0]
    assert (one.accuracy.method, one.bootstrapped.method) == ("wilson", "bootstrap")
    many = table(found(cell(share(10)), cell(share(14), seed=1), cell(share(10), seed=2))).rows
    assert len(many) == 1
    assert (many[0].seeds, many[0].questions, many[0].outcomes) == ((0, 1, 2), 20, 60)
    assert many[0].accuracy.n == 20  # the question is the unit, however often it was asked
    assert many[0].accuracy.method == "bootstrap"
    assert many[0].accuracy.estimate == pytest.approx(34 / 60)


def test_an_interval_is_never_empty_of_doubt():
    for rights in (share(20), share(0)):
        row = table(found(cell(rights))).rows[0]
        for value in (row.accuracy, row.bootstrapped):
            assert value.high - value.low > 0.1
            assert value.method == "wilson"


def test_what_cannot_be_is_refused():
    twice = Cell(Key("t", "m", "s"), [outcome(0, True), outcome(0, False)])
    with pytest.raises(InvalidInput, match="'q0' twice"):
        table(found(twice))
    with pytest.raises(InvalidInput, match="there twice"):
        table(found(cell(share(3)), cell(share(4))))


def test_a_cell_without_outcomes_is_named_and_has_no_row():
    held = table(found(cell([]), cell(share(3), n=2)))
    assert len(held.rows) == 1
    assert held.empty == ("sums / small / majority(n=1) / seed 0",)


def test_wall_clock_is_of_the_timing_alone():
    one = cell(share(10))
    timing = Timing({}, {one.key.name: 5.0})
    row = table(found(one, timing=timing)).rows[0]
    assert (row.seconds, row.throughput) == (5.0, 4.0)


# --------------------------------------------------------------------------------- curves, frontiers


def grown(model="small", rights=(6, 9, 12), tokens=10, budget=NO_BOUND):
    return [
        cell(share(r), n=1 << i, model=model, tokens=tokens, budget=budget)
        for i, r in enumerate(rights)
    ]


def test_curves_against_n_and_cost():
    held = table(found(*reversed(grown())))
    (by_n,) = curves(held)
    assert [p.x for p in by_n.points] == [1, 2, 4]
    assert [p.value.estimate for p in by_n.points] == [0.3, 0.45, 0.6]
    assert by_n.kind == "accuracy"
    (by_tokens,) = curves(held, "tokens")
    assert [p.x for p in by_tokens.points] == [15, 30, 60]
    assert curves(held, "flops") == ()
    (covered,) = coverage_curves(held)
    assert covered.kind == "coverage"
    with pytest.raises(InvalidInput, match="against 'seconds'"):
        curves(held, "seconds")


def test_lines_whose_n_varies_have_a_curve_for_each_budget():
    small, large = Budget(tokens_out=50), Budget(tokens_out=500)
    held = table(found(*grown(budget=small), *grown(budget=large)))
    assert sorted(c.budget for c in curves(held)) == sorted([repr(small), repr(large)])
    one = [cell(share(k), budget=b) for k, b in ((5, small), (9, large))]
    fixed = [replace(c, n=None, key=replace(c.key, strategy="ets()")) for c in one]
    assert curves(table(found(*fixed))) == ()
    spent = [
        replace(fixed[0], outcomes=[outcome(i, i < 5) for i in range(20)]),
        replace(fixed[1], outcomes=[outcome(i, i < 9, tokens=30) for i in range(20)]),
    ]
    (by_cost,) = curves(table(found(*spent)), "tokens_out")
    assert [p.x for p in by_cost.points] == [10, 30]


def test_the_frontier_keeps_what_nothing_beats():
    held = table(found(*grown(), cell(share(8), strategy="dear", n=3)))
    best = frontier(held, "sums", "tokens")
    assert [p.cost for p in best.points] == [15, 30, 60]
    assert (best.beaten, best.unknown) == (1, 0)
    assert frontier(held, "sums", "flops").unknown == 4
    with pytest.raises(InvalidInput, match="no rows of task 'other'"):
        frontier(held, "other", "tokens")


def test_a_larger_model_at_equal_cost_lies_between_two_of_its_points():
    small = grown(rights=(6, 9, 12))
    big = [cell(share(r), n=n, model="big") for n, r in ((1, 10), (4, 16))]
    held = table(found(*small, *big))
    row = next(r for r in held.of("sums", "small") if r.n == 2)
    equal = at_equal_cost(held, row, "big", "tokens")
    assert equal.weight == pytest.approx(
        0.5
    )  # 30 tokens lie in the middle of 15 and 60 on a logarithmic axis
    assert equal.baseline.estimate == pytest.approx((10 + 16) / 40)
    assert equal.difference.estimate == pytest.approx(0.45 - 0.65)
    assert equal.difference.low <= equal.difference.estimate <= equal.difference.high
    assert equal.baseline.low < equal.baseline.estimate < equal.baseline.high


def test_a_curve_is_not_drawn_out():
    held = table(found(*grown(), *[cell(share(12), n=2, model="big")]))
    for n in (1, 4):
        row = next(r for r in held.of("sums", "small") if r.n == n)
        equal = at_equal_cost(held, row, "big", "tokens")
        assert equal.baseline is None
        assert "not drawn out" in equal.note
    cheap = next(r for r in held.of("sums", "small") if r.n == 2)
    assert at_equal_cost(held, cheap, "big", "tokens").baseline.estimate == 0.6


def test_past_its_best_point_a_model_is_as_good_as_there():
    big = [cell(share(r), n=n, model="big") for n, r in ((1, 14), (8, 11))]
    held = table(found(*grown(), *big))
    row = next(r for r in held.of("sums", "small") if r.n == 4)
    assert at_equal_cost(held, row, "big", "tokens").baseline.estimate == 0.7


# ---------------------------------------------------------------------------------------- how well


def test_every_metric_of_the_survey_is_in_the_registry():
    assert {m.path for m in METRICS} == set(axis("how_well").leaves)
    assert len({m.name for m in METRICS}) == len(METRICS)
    with pytest.raises(InvalidInput, match="there is no dimension"):
        metrics_of("beauty")


def test_the_slope_of_a_line_is_its_slope():
    rows = table(found(*grown(rights=(6, 9, 12)))).rows
    assert slope(rows).estimate == pytest.approx(0.15)
    assert slope(rows[:1]) is None
    held = slope(rows)
    assert held.low < 0.15 < held.high


def test_how_well_measures_what_was_asked_for():
    asked = Budget(tokens_out=25)
    cells = [*grown(), *grown(model="big", budget=asked)]
    run = found(*cells)
    said = {(f.metric, f.model, f.subject): f for f in how_well(run, table(run))}
    control = said["control", "big", "majority(n=4)"]  # 40 tokens of 25
    assert control.value.estimate == 0.0
    assert said["control", "big", "majority(n=2)"].value.estimate == 1.0
    assert said["length deviation", "big", "majority(n=4)"].value.estimate == pytest.approx(0.6)
    assert ("control", "small", "majority(n=4)") not in said
    assert said["slope", "small", "majority"].value.estimate == pytest.approx(0.15)


def test_paired_differences_need_questions_and_doubt():
    with pytest.raises(InvalidInput, match="no question in common"):
        paired([], [])
    same = paired([1, 0, 1], [1, 0, 1])
    assert (same.p, same.estimate) == (1.0, 0.0)
    assert same.low < -0.2
    assert same.high > 0.2
    shares = paired([0.5, 1.0, 0.25], [0.25, 0.5, 0.0])
    assert (shares.test, shares.wins, shares.p) == ("permutation", 3, 0.25)


@pytest.mark.slow
def test_a_hundred_thousand_outcomes_take_seconds():
    cells = [cell([i % 3 == 0 for i in range(2500)], n=n, seed=0) for n in range(1, 41)]
    began = time.perf_counter()
    held = table(found(*cells))
    assert sum(r.outcomes for r in held.rows) == 100_000
    assert time.perf_counter() - began < 30  # about 4 s alone; a bound and no measurement
