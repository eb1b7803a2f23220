from __future__ import annotations

from dataclasses import dataclass

import pytest
from search_toys import LETTERS, TASK, Asked, ByTable, Letters, Word, engine, letter, match

from cogitate.core.candidates import Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.requests import Generate
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.scorers import Indifferent, Majority
from cogitate.search import BeamSearch, BestOf, Linear, Solve, TopKSpread


def solved(search, scorer, *, length=3, serve=None, budget=None, seed=0, listen=None, final=None):
    strategy = Solve(Letters(length), scorer, search, final)
    return run(strategy(TASK, Seed(seed)), serve or engine(), budget=budget, listen=listen)


def test_a_planted_word_is_found():
    found = [
        solved(
            BeamSearch(3, 24, depth=6), ByTable(match("dacbab")), length=6, seed=s
        ).value.best.state.text
        for s in range(5)
    ]
    assert found == ["dacbab"] * 5
    greedy = [
        solved(
            BeamSearch(1, 1, depth=6), ByTable(match("dacbab")), length=6, seed=s
        ).value.best.state.text
        for s in range(5)
    ]
    assert "dacbab" not in greedy


def all_letters(request: Generate) -> str:
    """Siblings in turn get every letter, so that a level holds the whole alphabet."""
    all_letters.turn += 1
    return LETTERS[(all_letters.turn - 1) % 4]


def test_a_deceptive_tree_needs_width_and_matches_brute_force():
    values = {"a": 0.9, "b": 0.8, "ab": 0.2, "bc": 0.3, "bca": 1.0, "aba": 0.4}
    table = ByTable(lambda text: values.get(text, 0.1))

    def beam(width):
        all_letters.turn = 0
        search = BeamSearch(width, 4, depth=3)
        return solved(search, table, serve=engine(all_letters)).value.best

    def by_hand(width):
        live = [""]
        for _ in range(3):
            grown = [prefix + x for prefix in live for x in LETTERS]
            live = sorted(grown, key=lambda w: -values.get(w, 0.1))[:width]
        return live[0]

    assert by_hand(1) != by_hand(2) == "bca"
    for width in (1, 2, 4):
        assert beam(width).state.text == by_hand(width)


def test_width_and_branch_one_is_one_sample_of_best_of():
    beam, best = engine(), engine()
    one = solved(BeamSearch(1, 1, depth=3), Indifferent(), serve=beam).value
    other = solved(BestOf(1), Indifferent(), serve=best).value
    assert [r.key() for r in beam.requests] == [r.key() for r in best.requests]
    assert one.best.state == other.best.state


def test_the_tree_is_published_and_holds_together():
    events = []
    ranking = solved(BeamSearch(2, 3, depth=3), ByTable(match("abc")), listen=events.append).value
    notes = [e for e in events if type(e).__name__ == "Noted"]
    nodes = {e.data["id"]: e.data["parent"] for e in notes if e.kind == "expanded"}
    assert len(nodes) == sum(e.kind == "expanded" for e in notes)
    assert all(parent is None or parent in nodes for parent in nodes.values())
    assert all(c.id in nodes and nodes[c.id] == c.parent for c in ranking.items)
    for kept, pruned in zip(
        [e for e in notes if e.kind == "kept"],
        [e for e in notes if e.kind == "pruned"],
        strict=True,
    ):
        assert len(kept.data["ids"]) <= 2
        assert not set(kept.data["ids"]) & set(pruned.data["ids"])
    assert {e.data["depth"] for e in notes if e.kind == "expanded"} == {1, 2, 3}


def test_a_level_is_asked_at_once():
    from cogitate.testing import FakeEngine

    fake = FakeEngine()
    solved(BeamSearch(3, 4, depth=3, distinct=False), ByTable(len), serve=fake, length=400)
    assert fake.peak["Generate"] == 12


def test_finished_candidates_narrow_the_beam():
    """Every node has one child that ends at once and is liked best: one place fewer a level."""
    serve = engine(lambda r: "aaa" if letter(r) == "a" else letter(r))
    events = []
    scorer = ByTable(lambda text: 10.0 * text.endswith("aaa") - len(text))
    done = solved(BeamSearch(4, 24, depth=3), scorer, serve=serve, listen=events.append)
    notes = [e for e in events if type(e).__name__ == "Noted"]
    ended = {e.data["id"] for e in notes if e.kind == "expanded" and e.data["done"]}
    levels = [e.data["ids"] for e in notes if e.kind == "kept"]
    assert [len(kept) for kept in levels] == [4, 3]
    assert [sum(i in ended for i in kept) for kept in levels] == [1, 3]
    assert sum(c.state.complete for c in done.value.items) == len(done.value.items) == 4


def test_no_more_than_width_ever_finish():
    """With branches to spare every level could finish more than there are places."""
    serve = engine(lambda r: "aaa" if letter(r) == "a" else letter(r))
    for seed in range(6):
        search = BeamSearch(3, 6, depth=3, distinct=False)
        ranking = solved(search, ByTable(lambda t: -float(len(t))), serve=serve, seed=seed).value
        assert sum(c.state.complete for c in ranking.items) <= 3


def test_equal_siblings_count_once():
    serve = engine(lambda r: "a")
    ranking = solved(BeamSearch(3, 4, depth=2), ByTable(len), serve=serve, length=2).value
    assert [c.state.text for c in ranking.items] == ["aa"]
    apart = solved(
        BeamSearch(3, 4, depth=2, distinct=False),
        ByTable(len),
        serve=engine(lambda r: "a"),
        length=2,
    )
    assert len(apart.value.items) == 3


@pytest.mark.parametrize("hashed", [True, False])
def test_equal_siblings_count_once_whether_or_not_they_can_be_hashed(hashed):
    """At the root and below it; equal states of different parents stay apart."""

    class Marked(Word):
        __hash__ = Word.__hash__ if hashed else None

    class Process(Letters):
        async def step(self, state, seed):
            word = await super().step(state, seed)
            return Marked(word.letters[-1], len(word.letters) >= self.length)

        def done(self, state):
            return False

    strategy = Solve(Process(9), Indifferent(), BeamSearch(8, 8, depth=2))
    ranking = run(strategy(TASK, Seed(0)), engine()).value
    parents = {c.id.split(".")[0] for c in ranking.items}
    kids = [(c.parent, c.state.text) for c in ranking.items]
    assert len(kids) == len(set(kids)) == 8
    assert 1 < len(parents) <= 4
    assert len({text for _, text in kids}) < 8


def test_a_wide_beam_compares_siblings_only():
    """Comparisons of states, which were quadratic in the width."""
    compared = 0

    @dataclass(frozen=True, eq=False)
    class Counted(Word):
        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return self.letters == other.letters

        def __hash__(self):
            return hash(self.letters)

    class Process(Letters):
        async def step(self, state, seed):
            word = await super().step(state, seed)
            return Counted(word.letters, word.ended)

    width, branch, depth = 100, 3, 3
    write = lambda r: f"{r.seed:013x}"  # noqa: E731
    strategy = Solve(Process(10**6), Indifferent(), BeamSearch(width, branch, depth))
    found = run(strategy(TASK, Seed(0)), engine(write)).value
    assert len(found.items) == width
    assert compared <= (depth - 1) * width * branch * (branch - 1) // 2


def test_schedules_narrow_the_beam():
    counts = []

    async def counting(task, states):
        counts.append(len(states))
        return await Indifferent()(task, states)

    search = BeamSearch(Linear(4, 1, over=3), 2, depth=4, distinct=False)
    solved(search, counting, length=4)
    assert counts == [8, 8, 6, 4]
    assert search.states() == 8 + 6 + 4 + 2


def test_a_spread_selection_keeps_lines_apart():
    events = []
    search = BeamSearch(2, 4, depth=2, select=TopKSpread(1), distinct=False)
    solved(search, ByTable(match("ab")), length=2, listen=events.append)
    kept = [e.data["ids"] for e in events if type(e).__name__ == "Noted" and e.kind == "kept"]
    assert len({i.split(".")[0] for i in kept[1]}) == 2


def test_every_cut_of_the_budget_gives_a_ranking():
    serve = lambda: engine(verifier=lambda r: float(len(r.args[0])))  # noqa: E731
    whole = solved(BeamSearch(2, 2, depth=3), Asked(), serve=serve()).usage.calls
    for calls in range(whole):
        done = solved(BeamSearch(2, 2, depth=3), Asked(), serve=serve(), budget=Budget(calls=calls))
        assert done.usage.calls <= calls
        assert done.idle
        generated = done.roles.get("policy")
        assert bool(done.value.items) == bool(generated and generated.calls)
        assert done.value.stopped == "budget"
        assert len({c.id for c in done.value.items}) == len(done.value.items)
        complete = [c.state.complete for c in done.value.items]
        assert complete == sorted(complete, reverse=True)


def test_unscored_levels_are_kept_when_the_money_ends():
    class Late(Asked):
        def reserve(self, states):
            return None

    done = solved(
        BeamSearch(2, 2, depth=3, distinct=False),
        Late(),
        serve=engine(verifier=lambda r: 1.0),
        budget=Budget(calls=4),
    )
    assert len(done.value.items) == 4
    assert all(isinstance(c.score, Unscored) for c in done.value.items)


def test_a_dead_line_keeps_its_parent():
    write = lambda r: letter(r) if r.prompt.text == "so far: " else Failed("down")  # noqa: E731
    ranking = solved(BeamSearch(2, 2, depth=3), ByTable(len), serve=engine(write)).value
    assert ranking.items
    assert all(len(c.state.text) == 1 for c in ranking.items)
    assert "down" in ranking.note


def test_a_final_scorer_ranks_the_survivors():
    search = BeamSearch(4, 4, depth=2, distinct=False)
    ranking = solved(search, Indifferent(), length=2, final=Majority()).value
    assert "votes" in ranking.best.score.features
    assert ranking.best.value == max(c.value for c in ranking.items)


def test_a_process_that_is_done_at_once_and_refusals():
    assert len(solved(BeamSearch(2, 2, depth=2), ByTable(len), length=0).value.items) == 1
    with pytest.raises(InvalidInput, match="width=0"):
        BeamSearch(width=0)
