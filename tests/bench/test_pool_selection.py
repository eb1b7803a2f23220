"""Selection from pools: unbiased over subsets, indifferent to order, honest about what is unknown."""

from __future__ import annotations

import asyncio
import itertools
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.assembly import TABLE, solve_many
from cogitate.bench.metrics import Accuracy, Coverage, Shape
from cogitate.bench.results import Drawn, Pool
from cogitate.bench.selection import drawn_from, is_relative, selection_table, sizes_of
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Usage
from cogitate.lab import open_pool, pool_tasks
from cogitate.rules import chance


def drawn(i, classes, scores=None, *, gold=0, scored=None, tokens=None):
    n = len(classes)
    return Drawn(
        f"q{i}",
        tuple(classes),
        tuple(c == gold for c in classes),
        tuple(tokens or [10] * n),
        tuple(c is None for c in classes),
        {name: tuple(held) for name, held in (scores or {}).items()},
        7,
        scored or {},
    )


def pool(questions):
    return Pool("sums", "small", 3, questions, "answer()")


def world(questions=60, samples=16, seed=0, quality=1.0):
    """Questions of every difficulty; one scorer that knows something, and one that throws dice."""
    draw = random.Random(seed)
    made = []
    for i in range(questions):
        skill = draw.betavariate(1, 1)
        classes = [
            0 if draw.random() < skill else draw.choice([None, 1, 2, 3]) for _ in range(samples)
        ]
        scores = {
            "knows()": [quality * (c == 0) + draw.gauss(0, 1) for c in classes],
            "dice()": [draw.random() for _ in classes],
        }
        spent = {"knows()": Usage(tokens_in=20 * samples, calls=samples), "dice()": Usage()}
        made.append(drawn(i, classes, scores, scored=spent))
    return pool(made)


def test_sizes_are_powers_of_two_and_all():
    assert sizes_of(1) == (1,)
    assert sizes_of(64) == (1, 2, 4, 8, 16, 32, 64)
    assert sizes_of(20) == (1, 2, 4, 8, 16, 20)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=4, max_size=6), min_size=1, max_size=4),
    st.integers(1, 4),
)
def test_coverage_equals_enumeration(rights, k):
    questions = [drawn(i, [0 if r else 1 for r in row]) for i, row in enumerate(rights)]
    shares = []
    for row in rights:
        subsets = list(itertools.combinations(row, k))
        shares.append(sum(any(s) for s in subsets) / len(subsets))
    found = selection_table(pool(questions), sizes=[k]).coverage.at(k)
    assert isinstance(found, Coverage)
    assert found.estimate == pytest.approx(sum(shares) / len(shares))


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["first", "canonical"]))
def test_order_of_the_samples_changes_nothing_where_the_form_is_closed(draw, tie):
    classes = [draw.choice([0, 0, 1, 2, None]) for _ in range(8)]
    scores = [draw.choice([0.1, 0.5, 0.9, None]) for _ in range(8)]
    order = draw.sample(range(8), 8)
    one = pool([drawn(0, classes, {"s()": scores})])
    other = pool([drawn(0, [classes[i] for i in order], {"s()": [scores[i] for i in order]})])
    tables = [selection_table(p, tie=tie, sizes=[1, 3, 8]) for p in (one, other)]
    for name in ("random", "majority", "best_of(s())"):
        a, b = ([p.value.estimate for p in t.line(name).points] for t in tables)
        assert a == pytest.approx(b)
    # 56 subsets of 3: enumerated, so that weighted votes are exact too
    a, b = ([p.value.estimate for p in t.line("weighted(s())").points] for t in tables)
    assert a == pytest.approx(b)
    assert tables[0].line("weighted(s())").at(3).error == 0


def test_never_the_first_n():
    """A pool sorted with its right samples first is no better than the same pool reversed."""
    classes = [0] * 8 + [1] * 24
    tables = [
        selection_table(pool([drawn(0, held, {"s()": [0.5] * 32})]))
        for held in (classes, classes[::-1])
    ]
    for name in ("random", "majority", "best_of(s())", "weighted(s())"):
        one, other = (t.line(name).at(4) for t in tables)
        assert one.estimate == pytest.approx(
            other.estimate, abs=4 * (one.error + other.error) + 1e-9
        )
        assert 0.1 < one.estimate < 0.6


def test_a_scorer_that_throws_dice_is_a_random_pick():
    """Averaged over the dice of many pools, best-of-N by dice equals pass@1 within its interval, at every N."""
    held = selection_table(world(questions=200), sizes=[1, 4, 16])
    dice, single = held.line("best_of(dice())"), held.line("random")
    for point in dice.points:
        assert single.at(1).estimate in point.value
    assert dice.against_random.low <= 0 <= dice.against_random.high
    assert dice.against_random.p > 0.01
    knows = held.line("best_of(knows())")
    assert knows.against_random.low > 0
    assert single.at(1).estimate not in knows.at(16)


def test_a_scorer_that_judges_nothing_is_a_random_pick_too():
    base = world(questions=20)
    blank = pool(
        [drawn(i, q.classes, {"none()": [None] * 16}) for i, q in enumerate(base.questions)]
    )
    held = selection_table(blank)
    single = held.line("random").at(1).estimate
    for name in ("best_of(none())", "weighted(none())"):
        assert [p.value.estimate for p in held.line(name).points] == pytest.approx([single] * 5)
    assert held.unscored == {"none()": 1.0}


def test_unjudged_samples_are_chosen_only_where_none_is_judged():
    held = selection_table(pool([drawn(0, [0, 0, 0, 1], {"s()": [None, None, None, -5.0]})]))
    assert held.line("best_of(s())").at(4).estimate == 0.0
    assert held.line("weighted(s())").at(4).estimate == 0.0
    assert held.line("best_of(s())").at(1).estimate == 0.75


def test_scores_that_are_no_number_count_as_unjudged():
    nan = float("nan")
    held = selection_table(pool([drawn(0, [0, 1], {"s()": [0.1, nan]})]))
    assert held.line("best_of(s())").at(2).estimate == 1.0
    assert held.line("weighted(s())").at(2).estimate == 1.0


def test_abstentions_are_wrong_and_never_dropped():
    held = selection_table(pool([drawn(0, [0, None, None, None]), drawn(1, [None] * 4)]))
    assert held.line("random").at(1).estimate == pytest.approx(1 / 8)
    assert held.abstained == pytest.approx(7 / 8)
    assert held.line("majority").at(4).estimate == pytest.approx(0.5)
    wrongly = Drawn("q", (None, 0), (True, True), (1, 1), (True, False))
    assert selection_table(pool([wrongly])).line("random").at(1).estimate == 0.5


def test_a_tie_falls_alike_on_both_or_by_number():
    one = pool([drawn(0, [0, 1])])
    assert selection_table(one, tie="first").line("majority").at(2).estimate == 0.5
    assert selection_table(one, tie="canonical").line("majority").at(2).estimate == 1.0


def test_the_gain_is_what_is_covered_less_what_is_lost():
    held = selection_table(world())
    for line in held.lines:
        for gain, point in zip(line.gains, line.points, strict=True):
            assert gain.total.estimate == pytest.approx(gain.covered.estimate - gain.lost.estimate)
            assert gain.lost.estimate >= -1e-12
            single = held.line("random").at(1)
            assert gain.total.estimate == pytest.approx(point.value - single)
    last = held.line("random").gains[-1]
    assert last.total.estimate == pytest.approx(0.0)
    assert held.line("majority").gains[-1].answering.estimate > 0


def test_answering_equals_enumeration():
    classes = [0, 1, None, None, 0]
    gain = selection_table(pool([drawn(0, classes)]), sizes=[2]).line("majority").gains[0]
    picks = []
    for chosen in itertools.combinations(classes, 2):
        answered = [c for c in chosen if c is not None]
        picks.append(sum(c == 0 for c in answered) / len(answered) if answered else 0.0)
    assert gain.answering.estimate == pytest.approx(sum(picks) / len(picks) - 2 / 5)


def test_costs_hold_the_scorer_and_do_not_invent_what_is_unknown():
    held = selection_table(world(questions=5), shape=Shape({"policy": 1.0, "verifier": 10.0}))
    best = held.line("best_of(knows())").costs[-1]
    assert best["tokens_out"].estimate == 160
    assert best["tokens_in"].estimate == 16 * 7 + 16 * 20
    assert best["calls"].estimate == 32
    assert best["flops"].estimate == 2 * (16 * 17 * 1 + 16 * 20 * 10)
    assert best["flops"].estimated
    assert best["usd"] is None
    assert held.line("majority").costs[1]["tokens"].estimate == 2 * 17
    assert held.line("random").costs[-1]["tokens"].estimate == 17
    unpriced = pool([drawn(0, [0, 1], {"s()": [1.0, 2.0]})])
    assert set(selection_table(unpriced).line("best_of(s())").costs[0].values()) == {None}


def test_curves_are_of_one_kind():
    held = selection_table(world(questions=10))
    assert {c.kind for c in held.curves()} == {"accuracy"}
    assert held.coverage_curve("tokens_out").kind == "coverage"
    assert [p.x for p in held.coverage_curve("tokens_out").points] == [10, 20, 40, 80, 160]
    assert isinstance(held.line("majority").at(2), Accuracy)
    with pytest.raises(KeyError):
        held.line("majority").at(3)
    with pytest.raises(KeyError):
        held.line("coverage")
    assert {f.metric for f in held.findings()} == {"pass@1", "pass@k", "cons@k"}


def test_scores_that_know_the_whole_pool_are_left_out():
    """A majority over all 16 samples, taken for subsets of 2, would be as good as the oracle."""
    draw = random.Random(0)
    classes = [[draw.choice([0, 0, 1, 2]) for _ in range(16)] for _ in range(20)]
    votes = [[float(row.count(c)) for c in row] for row in classes]
    leaky = pool(
        [
            drawn(i, row, {"majority()": v, "prm()": v})
            for i, (row, v) in enumerate(zip(classes, votes, strict=True))
        ]
    )
    held = selection_table(leaky)
    assert held.left_out == ("majority()",)
    assert [line.scorer for line in held.lines] == ["", "", "prm()", "prm()"]
    with pytest.raises(InvalidInput, match="depend on the other samples"):
        selection_table(leaky, scorers=["majority()"])
    alone = {n for n, m in TABLE.items() if m.family == "scorer" and not is_relative(f"{n}()")}
    assert alone >= {"prm", "orm", "judge", "mean_logprob", "checks", "p_true"}
    assert not alone & {"majority", "weighted", "listwise_judge", "clusters", "medoid", "ensemble"}


def test_what_cannot_be_is_refused():
    held = world(questions=2)
    for sizes in ([], [0], [17]):
        with pytest.raises(InvalidInput, match="has 16 samples"):
            selection_table(held, sizes=sizes)
    with pytest.raises(InvalidInput, match=r"the scorer 'prm\(\)' was asked for"):
        selection_table(held, scorers=["prm()"])
    with pytest.raises(InvalidInput, match="no questions"):
        selection_table(pool([]))
    with pytest.raises(InvalidInput, match="a question twice"):
        selection_table(pool([drawn(0, [0]), drawn(0, [0])]))
    with pytest.raises(InvalidInput, match=r"1 the scores of s\(\) for 2 samples"):
        selection_table(pool([drawn(0, [0, 1], {"s()": [1.0]})]))


def test_numpy_changes_nothing(monkeypatch):
    held, chosen = (
        world(questions=3, samples=12),
        {"sizes": [1, 5, 12], "scorers": ["knows()"], "subsets": 40},
    )
    fast = selection_table(held, **chosen)
    monkeypatch.setattr(chance, "numpy_or_none", lambda: None)
    monkeypatch.setattr("cogitate.rules.blocks.numpy_or_none", lambda: None)
    slow = selection_table(held, **chosen)
    for one, other in zip(fast.lines, slow.lines, strict=True):
        for p, q in zip(one.points, other.points, strict=True):
            assert p.value.estimate == pytest.approx(q.value.estimate, abs=1e-12)
            assert p.value.error == pytest.approx(q.value.error, abs=1e-12)
            assert p.value.low == pytest.approx(q.value.low, abs=1e-9)


def online(strategy):
    """How many of the packaged pool's questions a strategy gets right when it runs."""
    questions = pool_tasks(open_pool("smollm2-wordproblems"))

    async def right():
        tasks = [task for task, _ in questions]
        results = solve_many(tasks, model="pool:smollm2-wordproblems", strategy=strategy)
        answers = [result.answer async for result in results]
        return sum(answer == gold for answer, (_, gold) in zip(answers, questions, strict=True))

    return asyncio.run(right())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "line"),
    [
        ("best_of(n=32, scorer=weighted(mean_logprob()))", "weighted(mean_logprob())"),
        ("best_of(n=32, scorer=mean_logprob())", "best_of(mean_logprob())"),
        ("best_of(n=32, scorer=majority())", "majority"),
    ],
)
def test_all_samples_offline_are_all_samples_online(strategy, line):
    """At N = the whole pool there is one subset, and selection must be what the strategy does; but for ties."""
    held = selection_table(drawn_from(open_pool("smollm2-wordproblems")), sizes=[32])
    offline = 60 * held.line(line).at(32).estimate
    assert abs(online(strategy) - offline) <= (2 if line == "majority" else 0.01)


@pytest.mark.slow
def test_sixty_questions_of_sixty_four_samples_take_seconds():
    began = time.perf_counter()
    held = selection_table(world(samples=64))
    assert len(held.lines) == 6
    assert time.perf_counter() - began < 20  # about 1.5 s alone; a bound and no measurement
