from __future__ import annotations

import pytest
from search_toys import TASK, ByTable, Letters, engine, match

from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.core.views import seen_as
from cogitate.drive import run
from cogitate.search import BeamSearch, DiverseTreeSearch, Solve

WORD = ByTable(match("dacb"))


def solved(search, *, length=4, seed=0, **options):
    strategy = Solve(Letters(length), WORD, search)
    return run(strategy(TASK, Seed(seed)), engine(), **options)


def finished(ranking):
    return sorted((c.state.text, c.value) for c in ranking.items)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_independent_greedy_beams_on_samples_of_their_own(seed):
    trees, branch = 3, 4
    whole = solved(DiverseTreeSearch(trees, branch, depth=4), seed=seed)
    process, scorer = Letters(4), seen_as(Letters(4).render, WORD)
    alone = [
        run(
            BeamSearch(1, branch, depth=4).from_root(
                process, scorer, TASK, Seed(seed), tree=f"t{i}", first=i * branch
            ),
            engine(),
        )
        for i in range(trees)
    ]
    assert len(whole.value.items) == trees
    values = [c.value for c in whole.value.items]
    assert values == sorted(values, reverse=True)
    assert finished(whole.value) == sorted(
        (c.state.letters, c.value) for one in alone for c in one.value.items
    )
    assert whole.usage.calls == sum(one.usage.calls for one in alone) == trees * branch * 4


def test_one_tree_is_a_beam_of_width_one():
    for seed in range(5):
        dvts = solved(DiverseTreeSearch(1, 4, depth=4), seed=seed)
        beam = solved(BeamSearch(1, 4, depth=4), seed=seed)
        assert dvts.value == beam.value
        assert dvts.usage == beam.usage


def test_first_steps_are_the_first_steps_of_samples():
    """With one child each, the trees are independent samples, request for request."""
    from cogitate.search import BestOf

    trees = solved(DiverseTreeSearch(5, 1, depth=4))
    samples = solved(BestOf(5))
    assert finished(trees.value) == finished(samples.value)


def test_lines_stay_apart_where_a_beam_would_not_keep_them():
    def firsts(search):
        return {c.state.text[0] for c in solved(search, seed=1).value.items}

    beams = [firsts(BeamSearch(4, 4, depth=4))]
    apart = [firsts(DiverseTreeSearch(4, 4, depth=4))]
    assert len(apart[0]) >= len(beams[0])


@pytest.mark.parametrize("calls", [0, 1, 5, 13, 30])
def test_a_spent_budget_leaves_what_it_bought(calls):
    done = solved(DiverseTreeSearch(3, 3, depth=4), budget=Budget(calls=calls))
    assert done.usage.calls <= calls
    assert done.idle
    assert done.value.stopped == ("budget" if calls < 36 else "")
    assert bool(done.value.items) == (calls >= 1)


def test_it_says_in_one_sentence_how_its_trees_went():
    assert solved(DiverseTreeSearch(5, 2, depth=4)).value.note == (
        "5 finished and 0 unfinished of 5 trees"
    )
    cut = solved(DiverseTreeSearch(3, 3, depth=4), budget=Budget(calls=13)).value.note
    assert "of 3 trees; tree 0: " in cut
    assert len(cut) < 200


def test_senseless_numbers_are_refused():
    for wrong in ({"trees": 0}, {"branch": 0}, {"depth": 0}):
        with pytest.raises(InvalidInput):
            DiverseTreeSearch(**wrong)
