from __future__ import annotations

import math

import pytest
from search_toys import TASK, ByTable, Letters, engine, match

from cogitate.core.errors import InvalidInput
from cogitate.core.events import Noted
from cogitate.core.journal import Tape
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.search import BestOf, Rungs, SampleUntilGood, Solve, SuccessiveHalving

WORD = ByTable(match("dacb"))


def solved(search, *, scorer=WORD, length=4, seed=0, **options):
    strategy = Solve(Letters(length), scorer, search)
    return run(strategy(TASK, Seed(seed)), engine(), **options)


# ------------------------------------------------------------------------- sample until good


def first_letter_is_a(text):
    return float(text[:1] == "a")


@pytest.mark.parametrize("together", [1, 3, 8])
def test_the_first_good_sample_wins_however_many_are_on_their_way(together):
    """By hand: the samples of best-of-N in order, up to the first good one."""
    for seed in range(8):
        every = solved(BestOf(12), scorer=ByTable(first_letter_is_a), seed=seed, length=2).value
        by_number = sorted(every.items, key=lambda c: int(c.id))
        good = next((i for i, c in enumerate(by_number) if c.value >= 1), None)
        search = SampleUntilGood(12, 1.0, together)
        found = solved(search, scorer=ByTable(first_letter_is_a), seed=seed, length=2).value
        drawn = 12 if good is None else good + 1
        assert sorted(int(c.id) for c in found.items) == list(range(drawn))
        assert found.stopped == ("" if good is None else "decided")
        if good is not None:
            assert found.best.id == str(good)


def test_what_is_drawn_is_geometric():
    """One at a time: (1 - (1 - p)^n) / p samples on average, with p = 1/4."""
    n, p, seeds = 6, 0.25, 400
    drawn = [
        len(solved(SampleUntilGood(n, 1.0, 1), scorer=ByTable(first_letter_is_a), seed=s, length=1).value.items)
        for s in range(seeds)
    ]  # fmt: skip
    expected = (1 - (1 - p) ** n) / p
    second = sum(k * k * p * (1 - p) ** (k - 1) for k in range(1, n)) + n * n * (1 - p) ** (n - 1)
    deviation = math.sqrt((second - expected**2) / seeds)
    assert abs(sum(drawn) / seeds - expected) < 4 * deviation


def test_waste_is_bounded_by_what_is_together():
    for together in (1, 2, 5):
        done = solved(SampleUntilGood(20, 0.0, together), length=3)
        assert done.usage.calls <= 3 * together
        assert len(done.value.items) == 1


def test_a_resumed_run_finds_the_same_and_wastes_no_more_than_what_is_together():
    search = SampleUntilGood(12, 1.0, 3)
    strategy = Solve(Letters(2), ByTable(first_letter_is_a), search)
    tape = Tape()
    whole = run(strategy(TASK, Seed(2)), engine(), journal=tape)
    drawn = len(whole.value.items)
    assert 1 < drawn < 12
    for cut in range(len(tape.records)):
        again = run(strategy(TASK, Seed(2)), engine(), journal=Tape(tape.records[:cut]))
        assert again.value == whole.value
        assert 2 * drawn <= again.usage.calls <= 2 * (drawn + 2)


def test_nothing_good_is_best_of_n():
    found = solved(SampleUntilGood(6, 2.0, 2)).value
    assert found.items == solved(BestOf(6)).value.items


def test_a_budget_ends_it():
    done = solved(SampleUntilGood(6, 2.0, 2), budget=Budget(calls=9))
    assert done.usage.calls <= 9
    assert done.value.stopped == "budget"
    assert done.idle


# ------------------------------------------------------------------------------------ halving


def test_keeping_all_is_best_of_n():
    found = solved(SuccessiveHalving(6, keep=1.0))
    plain = solved(BestOf(6))
    assert [c.state for c in found.value.items] == [c.state for c in plain.value.items]
    assert found.usage.calls == plain.usage.calls


def test_the_lines_that_go_on_are_the_best_by_hand():
    search = SuccessiveHalving(8, 0.5)
    kept = []
    done = solved(search, listen=lambda e: kept.append(e.data["ids"]) if isinstance(e, Noted) and e.kind == "kept" else None)  # fmt: skip
    assert [len(ids) for ids in kept] == [4, 2, 1, 1]
    assert done.usage.calls == 8 + 4 + 2 + 1
    everyone = solved(BestOf(8)).value
    live = {c.id: c.state.text for c in everyone.items}
    for depth, ids in enumerate(kept[:3], start=1):
        scores = {i: match("dacb")(text[:depth]) for i, text in live.items()}
        best = sorted(live, key=lambda i: (-scores[i], int(i)))[: len(ids)]
        assert sorted(i.split(".")[0] for i in ids) == sorted(best)
        live = {i: live[i] for i in best}


@pytest.mark.parametrize(
    ("rungs", "populations"),
    [
        (Rungs(9, 1 / 3), [9, 3, 1, 1]),
        (Rungs(8, 0.5, steps=2), [8, 8, 4, 4, 2, 2, 1]),
        (Rungs(8, 0.5, equal_cost=True), [8, 4, 4, 2, 2, 2, 2, 1, 1]),
        (Rungs(5, 0.9), [5, 4, 3, 2, 1]),
        (Rungs(4, 1.0), [4] * 6),
    ],
)
def test_rungs(rungs, populations):
    assert [rungs(d) for d in range(len(populations))] == populations


def test_equal_cost_rungs_cost_alike():
    rungs = Rungs(16, 0.5, equal_cost=True)
    sizes = [rungs(d) for d in range(31)]
    assert {size: sizes.count(size) * size for size in set(sizes) if size > 1} == {
        16: 16,
        8: 16,
        4: 16,
        2: 16,
    }


def test_senseless_settings_are_refused():
    for wrong in ({"keep": 0}, {"keep": 1.5}, {"n": 0}, {"steps": 0}, {"depth": 0}):
        with pytest.raises(InvalidInput):
            SuccessiveHalving(**wrong)
    with pytest.raises(InvalidInput, match="not a number"):
        SampleUntilGood(good_enough=math.nan)
