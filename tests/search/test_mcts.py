from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_toys import TASK, ByTable, Letters, engine, match
from tree_toys import ALPHABET, ByWord, Counted, hashed, letters, told

from cogitate.apps.render import grown
from cogitate.core.candidates import Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.events import Noted
from cogitate.core.journal import Tape
from cogitate.core.protocols import Limits
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import replay, run, run_async
from cogitate.scorers import Indifferent
from cogitate.search import (
    PUCT,
    UCT,
    AdaptiveBranching,
    BeamSearch,
    BestOf,
    MonteCarloTreeSearch,
    Solve,
    Table,
    Widening,
    _tree_node,
)
from cogitate.search._tree_growth import MOST_TOLD, Sprout
from cogitate.search._tree_node import Node, Tree, root_of
from cogitate.testing import FakeEngine

# ------------------------------------------------- an independent, naive reference of UCT


def by_hand(
    iterations, branch, depth, value, *, exploration, at_once=True, backup="mean", together=1
):
    """Words of the tree with their visits: everything counted anew from all words at every step."""
    words: list[str] = []
    flying: list[str] = []  # words on their way: visits that paid nothing

    def below(word, of=words):
        return [w for w in of if w.startswith(word)]

    def children(word, of=words):
        return [w for w in of if len(w) == len(word) + 1 and w.startswith(word)]

    def asked(word):
        return len(children(word)) + len(children(word, flying))

    def is_open(word):
        if len(word) == depth:
            return False
        return asked(word) < branch or any(is_open(kid) for kid in children(word))

    def bound(word, total):
        seen = [value(w) for w in words]
        low, high = min(seen), max(seen)
        paid, missing = [value(w) for w in below(word)], len(below(word, flying))
        worth = max(paid) if backup == "max" else sum(paid) / len(paid)
        share = (worth - low) / (high - low) if high > low else 0.5
        count = len(paid) + missing
        return share * len(paid) / count + exploration * math.sqrt(math.log(total) / count)

    while iterations and is_open(""):
        wave = min(together, iterations)
        while wave and is_open(""):
            wave, iterations = wave - 1, iterations - 1
            word = ""
            while asked(word) == branch:
                ways = [kid for kid in children(word) if is_open(kid)]
                total = len(below(word)) + len(below(word, flying))
                word = max(ways, key=lambda kid, total=total: bound(kid, total))
            first = asked(word)
            flying += [word + ALPHABET[j] for j in range(first, branch if at_once else first + 1)]
        words += flying
        flying.clear()
    return {word: len(below(word)) for word in words}


def by_hand_total(word, words):
    return len([w for w in words if w.startswith(word)])


@pytest.mark.parametrize("together", [1, 3], ids=["alone", "in waves of 3"])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
@pytest.mark.parametrize(
    ("branch", "depth", "iterations", "exploration", "backup"),
    [
        (2, 3, 5, 1.4, "mean"),
        (3, 4, 17, 1.4, "mean"),
        (3, 4, 17, 0.3, "max"),
        (2, 6, 30, 0.7, "mean"),
        (4, 2, 99, 1.0, "mean"),
    ],
)
def test_visits_are_those_of_a_naive_uct(
    branch, depth, iterations, exploration, backup, at_once, together
):
    for salt in range(4):
        value = hashed(salt, low=-3.0)
        search = MonteCarloTreeSearch(
            iterations,
            branch,
            depth,
            UCT(exploration),
            backup,
            at_once,
            together=together,
        )
        found = told(search, ByWord(value), depth)
        want = by_hand(
            iterations,
            branch,
            depth,
            value,
            exploration=exploration,
            at_once=at_once,
            backup=backup,
            together=together,
        )
        assert found.visits == want
        means = {
            word: sum(value(w) for w in want if w.startswith(word)) / visits
            for word, visits in want.items()
        }
        assert found.values == pytest.approx(means)


# ------------------------------------------------------------------- what the search finds


def test_a_planted_word_is_found_with_enough_simulations():
    def best(iterations, seed):
        search = MonteCarloTreeSearch(iterations, 4, 4, UCT(0.5))
        return told(search, ByWord(match("cbda")), 4, seed=seed).ranking.best.state.letters

    every = ["".join(w) for w in itertools.product("abcd", repeat=4)]
    assert max(every, key=match("cbda")) == best(24, 0) == "cbda"


def test_a_deceptive_tree_needs_exploration():
    """What begins best leads nowhere; what begins second gets better at each letter."""

    def value(word):
        if word.startswith("a"):
            return 0.8 if word == "a" else 0.6
        return (0.5, 0.7, 0.9, 1.0)[len(word) - 1] if word.startswith("b") else 0.1

    def best(exploration):
        search = MonteCarloTreeSearch(12, 4, 4, UCT(exploration))
        return told(search, ByWord(value), 4).ranking.best.state.letters

    assert best(0.0)[0] == "a"
    assert best(math.sqrt(2))[0] == "b"


def test_the_whole_tree_is_found_and_no_iteration_is_spent_on_what_is_known():
    """A 3-ary tree of depth 3 has 13 inner nodes: 13 expansions make all of it, whatever is asked for."""
    value = hashed(3)
    for iterations in (13, 1000):
        found = told(MonteCarloTreeSearch(iterations, 3, 3), ByWord(value))
        assert len(found.made) == 3 + 9 + 27
        want = sorted(("".join(w) for w in itertools.product("abc", repeat=3)), key=value)
        assert [c.state.letters for c in found.ranking.items] == want[::-1]
        assert not found.ranking.stopped


def test_without_exploration_and_with_the_best_backed_up_it_is_best_first():
    """Where scores only grow with depth, the best below a node is at its rim."""

    def value(word):
        return sum((1 + ALPHABET.index(x)) / 4**k * hashed(k)(word[:k]) for k, x in enumerate(word))

    search = MonteCarloTreeSearch(12, 3, 30, UCT(0.0), "max")
    found = told(search, ByWord(value), 30)
    heap, order = [(0.0, "")], []
    for _ in range(12):
        _, word = heapq.heappop(heap)
        for x in ALPHABET[:3]:
            order.append(word + x)
            heapq.heappush(heap, (-value(word + x), word + x))
    assert found.made == order


def test_one_branch_is_one_sample_of_best_of():
    chain, best = engine(), engine()
    for search, serve in ((MonteCarloTreeSearch(9, 1), chain), (BestOf(1), best)):
        run(Solve(Letters(4), Indifferent(), search)(TASK, Seed(5)), serve)
    assert [r.key() for r in chain.requests] == [r.key() for r in best.requests]


def test_a_depth_of_one_is_a_beam_of_one_level():
    tree, beam = engine(), engine()
    for search, serve in (
        (MonteCarloTreeSearch(9, 6, 1, finish=False), tree),
        (BeamSearch(1, 6, 1), beam),
    ):
        run(Solve(Letters(4), Indifferent(), search)(TASK, Seed(5)), serve)
    assert [r.key() for r in tree.requests] == [r.key() for r in beam.requests]


@given(st.integers(0, 99), st.sampled_from([0.125, 0.5, 4.0, 256.0]), st.integers(-64, 64))
@settings(max_examples=25, deadline=None)
def test_the_range_of_the_scores_does_not_matter(salt, scale, shift):
    value = hashed(salt, steps=256)
    search = MonteCarloTreeSearch(10, 3, 4, UCT(0.8))
    plain = told(search, ByWord(value), 4)
    moved = told(search, ByWord(lambda word: scale * value(word) + shift), 4)
    assert moved.visits == plain.visits


def test_the_prior_leads_and_equal_shares_do_not():
    """After one expansion values, visits and thus bounds differ by the prior alone."""
    values = {"a": 0.5, "b": 0.6}
    policy = PUCT(exploration=1.0, temperature=0.1)
    firsts = [0.0, 1.0]
    led = policy([0.5, 0.5], [1, 1], 4, firsts)
    assert led[0] == pytest.approx(0.5 + 1 / (1 + math.exp(10)))
    assert led[1] == pytest.approx(0.5 + 1 / (1 + math.exp(-10)))
    assert PUCT(1.0, None)([0.5, 0.5], [1, 1], 4, firsts) == [1.0, 1.0]
    told_led = told(MonteCarloTreeSearch(3, 2, 3, policy), ByWord(lambda w: values.get(w[0], 0)))
    assert told_led.visits["b"] > told_led.visits["a"]


def test_a_schedule_gives_the_branch_of_each_depth():
    found = told(MonteCarloTreeSearch(99, Table((3, 2, 1)), 4), ByWord(len), 4)
    assert Counter(len(word) for word in found.made) == {1: 3, 2: 6, 3: 6, 4: 6}
    assert MonteCarloTreeSearch(99, Table((3, 2, 1)), 4).states() == 21 + 1
    assert MonteCarloTreeSearch(3, Table((3, 2, 1)), 4).states() == 9 + 1
    assert MonteCarloTreeSearch(3, at_once=False).states() == 3 + 1
    assert MonteCarloTreeSearch(10**6, 10**6, 10**6, finish=False).states() == 10**12


def test_widening_lets_the_visited_grow_wide():
    found = told(MonteCarloTreeSearch(60, Widening(1.0, 0.5), 3, UCT(0.7)), ByWord(match("abc")))
    below = Counter(len(w) and w[:-1] for w in found.made)
    for word, visits in found.visits.items():
        spent = all(len(w) == 3 for w in found.made if w.startswith(word) and w != word)
        assert below[word] <= math.ceil(math.sqrt(visits)) + spent * 60
    assert len(found.made) == 60 > 1 + below[""] > 4
    narrow = told(MonteCarloTreeSearch(20, Widening(1.0, 0.0), 3), ByWord(len))
    assert len(narrow.made) == 20  # what is exhausted below grows wider all the same


@pytest.mark.parametrize("ordered", [True, False], ids=["waves", "as they come"])
def test_lines_to_the_end_are_scored_in_the_place_of_partial_states(ordered):
    seen = []

    def value(word):
        seen.append(word)
        return match("abc")(word)

    search = MonteCarloTreeSearch(3, 2, 3, to_the_end=True, ordered=ordered)
    found = told(search, ByWord(value))
    assert all(len(word) == 3 for word in seen)
    assert len(seen) == 6
    assert all(c.state.ended for c in found.ranking.items)
    parents = {c.id: c.parent for c in found.ranking.items}
    assert parents["0.end"] == "0"
    assert sorted(found.scored) == sorted(parents)
    assert set(parents) | set(filter(None, parents.values())) <= set(found.words)


def test_most_visited_lines_come_first_where_that_is_asked():
    value = {"aa": 0.5, "ab": 0.5, "ba": 0.9, "bb": 0.0}
    scorer = ByWord(lambda w: value.get(w, 0.6 if w == "a" else 0.4))

    def first(rank):
        search = MonteCarloTreeSearch(3, 2, 2, UCT(0.2), rank=rank, at_once=False)
        return told(search, scorer, 2)

    # Three states: a, b, then a child of the better one: only lines through it are finished.
    assert first("visits").ranking.best.state.letters.startswith("a")
    both = MonteCarloTreeSearch(5, 2, 2, UCT(0.2), rank="visits", at_once=False)
    by_visits = told(both, scorer, 2)
    assert by_visits.visits["a"] > by_visits.visits["b"]
    assert [c.state.letters[0] for c in by_visits.ranking.items if c.state.ended] == ["a", "a", "b"]
    by_value = told(
        MonteCarloTreeSearch(5, 2, 2, UCT(0.2), at_once=False), scorer, 2
    ).ranking.best.state.letters
    assert by_value == "ba"


@pytest.mark.parametrize(
    "search",
    [MonteCarloTreeSearch(3, 2, 9), AdaptiveBranching(6, "step", 2), MonteCarloTreeSearch(1, 2, 1)],
)
def test_where_nothing_has_ended_the_best_is_taken_to_its_end(search):
    """The best of the rim goes on in its own line of seeds, is scored, and comes first."""
    scorer = ByWord(hashed(4))
    before = told(search, scorer, 9).ranking
    assert not any(c.state.ended for c in before.items)
    after = told(search, scorer, 9, finish=True)
    first, *rest = after.ranking.items
    assert (first.state.ended, first.id, first.parent) == (
        True,
        f"{before.best.id}.end",
        before.best.id,
    )
    assert first.state.letters.startswith(before.best.state.letters)
    assert [c.id for c in rest] == [c.id for c in before.items[1:]]
    assert len(after.scored) <= search.states()
    assert after.scored[-1] == first.id


def test_what_is_not_needed_or_not_paid_for_is_not_taken_to_its_end():
    enough = told(MonteCarloTreeSearch(9, 2, 3), ByWord(len), finish=True)
    assert not any("end" in id for id in enough.words)
    search = MonteCarloTreeSearch(9, 2, 9)
    flow = search(Counted(9), ByWord(len), TASK, Seed(0))
    cut = run(flow, letters(), budget=Budget(calls=5)).value
    assert (cut.stopped, len(cut.items) > 0) == ("budget", True)
    flow = MonteCarloTreeSearch(2, 2, 9)(Counted(9), ByWord(len), TASK, Seed(0))
    cut = run(flow, letters(), budget=Budget(calls=6)).value
    assert (cut.stopped, cut.best.state.ended) == ("budget", False)


# ------------------------------------------------------------------------ what goes wrong


def test_equal_siblings_count_once():
    serve = engine(lambda r: "a")
    solved = Solve(Letters(2), ByTable(len), MonteCarloTreeSearch(9, 4, 2))
    assert [c.state.text for c in run(solved(TASK, Seed(0)), serve).value.items] == ["aa"]
    search = MonteCarloTreeSearch(9, 4, 2, distinct=False)
    apart = run(Solve(Letters(2), ByTable(len), search)(TASK, Seed(0)), engine(lambda r: "a"))
    assert len(apart.value.items) == 16


def test_equal_siblings_of_two_expansions_at_once_count_once():
    search = MonteCarloTreeSearch(4, 4, 1, at_once=False, together=4)
    solved = Solve(Letters(1), ByTable(len), search)
    assert len(run(solved(TASK, Seed(0)), engine(lambda r: "a")).value.items) == 1


def test_lost_children_use_up_their_places():
    serve = engine(lambda r: Failed("no") if r.seed % 2 else "a")
    solved = Solve(Letters(9), ByTable(len), MonteCarloTreeSearch(50, 2, 9, distinct=False))
    done = run(solved(TASK, Seed(0)), serve)
    assert "lost" in done.value.note
    assert not done.value.stopped
    none = run(solved(TASK, Seed(0)), engine(lambda r: Failed("no")))
    assert (none.value.stopped, none.value.items) == ("failed", ())
    assert len(none.value.note) < 200


def test_what_could_not_be_scored_is_ranked_last_and_explored_evenly():
    found = told(MonteCarloTreeSearch(5, 2, 3), ByWord(len, blind=lambda word: True))
    assert all(isinstance(c.score, Unscored) for c in found.ranking.items)
    assert set(found.values.values()) == {None}
    assert {found.visits["a"], found.visits["b"]} == {5}
    half = told(MonteCarloTreeSearch(9, 2, 2), ByWord(len, blind=lambda word: word[-1] == "a"))
    assert [c.state.letters[-1] for c in half.ranking.items] == ["b", "b", "a", "a"]


def test_the_search_ends_with_the_grant_and_keeps_what_was_paid():
    whole = run(MonteCarloTreeSearch(8, 2, 3)(Counted(3), ByWord(len), TASK, Seed(0)), letters())
    for calls in range(whole.usage.calls + 1):
        search = MonteCarloTreeSearch(80, 2, 3, together=2, at_once=False)
        events = []
        done = run(
            search(Counted(3), ByWord(len), TASK, Seed(0)),
            letters(),
            budget=Budget(calls=calls),
            listen=events.append,
        )
        refused = [e for e in events if isinstance(e, Noted) and e.kind == "lost"]
        assert len(refused) <= 2 * 4, "it went on asking when nothing was left"
        assert done.usage.calls == calls
        assert (done.value.stopped == "budget") == (calls < whole.usage.calls)
        assert bool(done.value.items) == (calls > 0)


def test_a_widening_tree_stops_asking_when_nothing_is_left():
    events = []
    search = MonteCarloTreeSearch(80, Widening(2.0), 3)
    flow = search(Counted(3), ByWord(len), TASK, Seed(0))
    done = run(flow, letters(), budget=Budget(calls=3), listen=events.append)
    assert len([e for e in events if isinstance(e, Noted) and e.kind == "lost"]) == 1
    assert done.value.stopped == "budget"


def test_senseless_options_are_refused():
    for options in (
        {"iterations": 0},
        {"branch": 0},
        {"depth": 0},
        {"together": 0},
    ):
        with pytest.raises(InvalidInput):
            MonteCarloTreeSearch(**options)
    for make in (
        lambda: UCT(-1.0),
        lambda: UCT(math.inf),
        lambda: PUCT(1.0, math.nan),
        lambda: Widening(0.0),
        lambda: Widening(1.0, 2.0),
    ):
        with pytest.raises(InvalidInput):
            make()


# ------------------------------------------------------------------- several at once


def test_expansions_on_their_way_send_the_next_elsewhere():
    """With equal values one wave of four goes to four different nodes."""
    search = MonteCarloTreeSearch(5, 4, 3, together=4)
    found = told(search, ByWord(lambda word: 0.0))
    assert sorted(w[0] for w in found.made if len(w) == 2) == sorted("aaaabbbbccccdddd")


def test_waves_give_one_answer_and_arrivals_replay():
    def flow(ordered):
        search = MonteCarloTreeSearch(12, 3, 5, together=4, ordered=ordered, finish=False)
        return Solve(Letters(400), ByTable(hashed(1)), search)(TASK, Seed(0))

    def engine_of(number):  # one request a call, so that they arrive one by one
        limits = Limits(concurrency=16)
        return FakeEngine(latency_s=0.0005, latency_seed=number, limits=limits)

    want = run(flow(True), FakeEngine()).value
    seen = set()
    for number in range(4):
        slow = engine_of(number)
        assert asyncio.run(run_async(flow(True), slow)).value == want
        tape = Tape()
        slow = engine_of(number)
        got = asyncio.run(run_async(flow(False), slow, journal=tape)).value
        assert replay(flow(False), Tape(tape.records)).value == got
        expanded = [r for _, r in tape.records if r["kind"] == "note" and r["ask"] == "expanded"]
        assert len(expanded) == 12 * 3
        seen.add(tuple(c.id for c in got.items))
    assert len(seen) > 1, "arrival order was never tried"


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
def test_one_arrival_at_a_time_is_a_wave_of_one(at_once):
    for salt in range(3):
        scorer = ByWord(hashed(salt))
        one, other = (
            told(MonteCarloTreeSearch(15, 3, 4, at_once=at_once, ordered=ordered), scorer, 4)
            for ordered in (True, False)
        )
        assert one.visits == other.visits
        assert one.ranking == other.ranking
    fake = FakeEngine(latency_s=0.0005, limits=Limits(concurrency=16))
    search = MonteCarloTreeSearch(9, 3, 5, at_once=False, together=3, ordered=False)
    asyncio.run(run_async(search(Letters(400), Indifferent(), TASK, Seed(0)), fake))
    assert fake.peak["Generate"] == 3


@pytest.mark.parametrize(("together", "scored"), [(1, 1), (4, 4)])
def test_equal_siblings_count_once_as_they_come(together, scored):
    """One that comes after its equal is not scored; those on their way together are, and dropped."""
    events = []
    search = MonteCarloTreeSearch(4, 4, 1, at_once=False, together=together, ordered=False)
    solved = Solve(Letters(1), ByTable(len), search)
    done = run(solved(TASK, Seed(0)), engine(lambda r: "a"), listen=events.append)
    assert len(done.value.items) == 1
    told = [e for e in events if isinstance(e, Noted) and e.kind == "scored"]
    assert len(told) == scored


# ------------------------------------------------------------------------- what it costs


def test_an_expansion_touches_its_path_and_copies_nothing(monkeypatch):
    """Operations, not seconds: nodes made, statistics written, children weighed."""
    made: Counter[str] = Counter()
    first, take = Node.__init__, Node.take

    def counted_init(self, *args):
        made["nodes"] += 1
        first(self, *args)

    def counted_take(self, *args):
        made["taken"] += 1
        take(self, *args)

    class Weighing(UCT):
        def __call__(self, values, visits, total, firsts):
            made["weighed"] += len(values)
            return super().__call__(values, visits, total, firsts)

    monkeypatch.setattr(_tree_node.Node, "__init__", counted_init)
    monkeypatch.setattr(_tree_node.Node, "take", counted_take)
    for iterations in (50, 400):
        made.clear()
        search = MonteCarloTreeSearch(iterations, 3, 40, Weighing())
        found = told(search, ByWord(hashed(1)), 40)
        depths = [len(word) for word in found.made]
        assert made["nodes"] == len(found.made) + 1 == 3 * iterations + 1
        # Every child once, and once an expansion the nodes from its place to the root.
        assert made["taken"] == len(depths) + sum(depths) / 3
        assert made["weighed"] <= iterations * max(depths) * 3


def test_the_note_of_the_tree_is_bounded_and_its_parents_are_in_it():
    found = told(MonteCarloTreeSearch(600, 2, 40), ByWord(hashed(1)), 40)
    assert len(found.visits) == MOST_TOLD < len(found.made)
    assert all(word[:-1] in found.visits for word in found.visits if len(word) > 1)
    rest = [by_hand_total(w, found.made) for w in found.made if w not in found.visits]
    assert max(rest) <= min(found.visits.values())


@pytest.mark.parametrize(
    "search",
    [
        MonteCarloTreeSearch(6, 2, 3, together=2),
        MonteCarloTreeSearch(6, 2, 3, together=2, ordered=False),
        MonteCarloTreeSearch(6, 2, 3, to_the_end=True),
        AdaptiveBranching(9, "step", depth=3, together=2),
    ],
    ids=["waves", "as they come", "to the end", "adaptive branching"],
)
def test_a_viewer_rebuilds_one_tree_from_the_notes(search):
    events = []
    found = told(search, ByWord(hashed(2)), 3, listen=events.append)
    [(_, roots)] = grown(e for e in events if isinstance(e, Noted)).roots()
    stack, seen = list(roots), {}
    while stack:
        branch = stack.pop()
        seen[branch.id] = branch.value
        stack += branch.children
    assert seen.keys() == set(found.words)
    assert {c.id: c.value for c in found.ranking.items}.items() <= seen.items()


# --------------------------------------------------------------------- the tree by itself


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_open_is_known_after_any_claims_and_settlements(data):
    branch = data.draw(st.sampled_from([1, 2, Widening(1.0, 0.5), Table((3, 1))]), "branch")
    depth = data.draw(st.integers(1, 4), "depth")
    tree = Tree(root_of("", Seed(0)), UCT(), branch, depth, "mean", data.draw(st.booleans()))
    flying = []

    def check(node):
        here = tree._grows(node)
        ways = [check(child) for child in node.children]
        assert node.ways == sum(ways)
        assert node.open == (here or any(ways))
        assert node.flying == sum(len(n) for at, n in flying if at.id.startswith(node.id))
        assert node.visits == (node is not tree.root) + sum(c.visits for c in node.children)
        assert node.children == [] or node.tried >= len(node.children)
        return node.open

    for _ in range(data.draw(st.integers(1, 14), "turns")):
        if tree.is_open and (not flying or data.draw(st.booleans())):
            flying.append(tree.claim())
        elif flying:
            node, numbers = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
            scores = st.one_of(st.none(), st.just(Unscored("blind")), st.floats(-9, 9).map(Score))
            made = []
            for j in numbers:
                score = data.draw(scores)
                if score is not None:
                    done = data.draw(st.booleans())
                    id = f"{node.id}{ALPHABET[j]}" if j < 8 else f"{node.id}({j})"
                    made.append((Sprout(id, id, Seed(0), node.depth + 1, done), score))
            tree.settle(node, len(numbers), made)
        check(tree.root)
