from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_toys import TASK, ByTable, Letters, engine, match
from tree_toys import ALPHABET, ByWord, Counted, hashed, letters, told

from cogitate.core.candidates import Critique, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.events import Noted
from cogitate.core.protocols import Limits
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run, run_async
from cogitate.processes import Answer
from cogitate.rules import BetaBelief, Moments, NormalBelief, Span, wider_or_deeper
from cogitate.scorers import Indifferent
from cogitate.search import PUCT, AdaptiveBranching, BestOf, MonteCarloTreeSearch, Solve
from cogitate.search._tree_growth import Sprout
from cogitate.search.adaptive_branching import _Place
from cogitate.testing import FakeEngine


def seen(*payments) -> Moments:
    moments = Moments()
    for payment in payments:
        moments = moments.and_one(payment)
    return moments


# ----------------------------------------------------------------------- which arm is told


def test_every_payment_reaches_the_arms_that_treequest_tells():
    """The tree root(x=.2(x1=.5(x11=.4), x2=.9), y=.8(y1=.7)), told in the order x y x1 x2 x11 y1.

    What each arm saw is read off `NodeProbState` of treequest 0.3.3 (`ABMCTSA()`, one action): GEN and CONT
    of `gen_vs_cont_probas["shared"]` and `node_probas["shared"]`, their `all_obs` and `params`.
    """
    root = _Place(None, None, Unscored("root"))
    here = {"": root}

    def add(parent, name, value):
        place = _Place(Sprout(name, name, Seed(0), 1, False), here[parent], Score(value))
        place.below = place.below.and_one(value)
        here[parent].children.append(place)
        here[name] = place
        here[parent].paid(value)

    for parent, name, value in [
        ("", "x", 0.2), ("", "y", 0.8), ("x", "x1", 0.5), ("x", "x2", 0.9), ("x1", "x11", 0.4),
        ("y", "y1", 0.7),
    ]:  # fmt: skip
        add(parent, name, value)
    assert root.wider == pytest.approx(seen(0.2, 0.8))
    assert root.deeper == pytest.approx(seen(0.5, 0.9, 0.4, 0.7))
    assert here["x"].below == pytest.approx(seen(0.2, 0.5, 0.9, 0.4))
    assert here["y"].below == pytest.approx(seen(0.8, 0.7))
    assert here["x"].wider == pytest.approx(seen(0.5, 0.9))
    assert here["x"].deeper == pytest.approx(seen(0.4))
    assert here["x1"].below == pytest.approx(seen(0.5, 0.4))
    assert here["x2"].below == pytest.approx(seen(0.9))
    assert (here["x1"].wider.times, here["x1"].deeper.times) == (1, 0)
    after = NormalBelief().after(root.wider)
    assert (after.center, after.scale) == pytest.approx((0.3333333333333333, 0.14888888888888888))
    after = NormalBelief().after(root.deeper)
    assert (after.center, after.scale) == pytest.approx((0.5, 0.11200000000000002))
    after = NormalBelief().after(here["x"].deeper)
    assert (after.center, after.scale) == pytest.approx((0.2, 0.09000000000000001))
    after = NormalBelief().after(here["y"].wider)
    assert (after.center, after.scale) == pytest.approx((0.35, 0.1725))


def by_hand(iterations, depth, value, prior, *, ends, seed=0, bounds=None):
    """The words of the tree, with every posterior made anew from lists of payments at each step."""
    words: list[str] = []
    low, high = bounds or (None, None)

    def belief(payments):
        known = [value(w) for w in words]
        span = Span(low, high) if bounds else Span(min(known), max(known))
        shares = [span.share(p) for p in payments]
        return prior.after(seen(*shares))

    def below(word):
        return [value(w) for w in words if w.startswith(word)]

    def kids(word):
        return [w for w in words if len(w) == len(word) + 1 and w.startswith(word)]

    for i in range(iterations):
        word = ""
        for level in count():
            old = [w for w in kids(word) if len(w) < depth and not (ends and len(w) == ends)]
            if not old:
                break
            into = [value(w) for w in words if w.startswith(word) and len(w) > len(word) + 1]
            choice = wider_or_deeper(
                belief([value(w) for w in kids(word)]),
                belief(into),
                [belief(below(w)) for w in old],
                Seed(seed).at("choose", i, level).int(),
            )
            if choice is None:
                break
            word = old[choice]
        words.append(word + ALPHABET[len(kids(word))])
    return words


@pytest.mark.parametrize("prior", [NormalBelief(), BetaBelief()], ids=["normal", "beta"])
@pytest.mark.parametrize("bounds", [None, (-2.0, 1.0)], ids=["seen", "given"])
def test_the_tree_is_that_of_a_naive_reference(prior, bounds):
    for seed in range(4):
        value = hashed(seed, low=-1.0)
        step = AdaptiveBranching(25, "step", 4, prior, bounds)
        found = told(step, ByWord(value), 3, seed=seed)
        assert found.made == by_hand(25, 4, value, prior, ends=3, seed=seed, bounds=bounds)
        revise = AdaptiveBranching(25, "revise", 4, prior, bounds)
        found = told(revise, ByWord(value), 1, seed=seed)
        assert found.made == by_hand(25, 4, value, prior, ends=0, seed=seed, bounds=bounds)
        assert all(found.visits[w] == sum(v.startswith(w) for v in found.made) for w in found.made)


# ------------------------------------------------------------------------ what it comes to


def depths(value, seed, **options):
    found = told(AdaptiveBranching(48, "revise", 30, **options), ByWord(value), 1, seed=seed)
    return max(len(word) for word in found.made), sum(len(word) == 1 for word in found.made)


def test_it_goes_deeper_where_revisions_pay_and_wider_where_they_do_not():
    for seed in range(5):
        deep, narrow = depths(lambda word: float(len(word)), seed)
        shallow, wide = depths(lambda word: 1.0 if len(word) == 1 else 0.0, seed)
        assert deep >= 2 * shallow
        assert wide > 3 * narrow


def test_a_planted_word_is_found_more_often_than_by_chance():
    def found(seed):
        solved = Solve(Letters(4), ByTable(match("dacb")), AdaptiveBranching(100, "step"))
        return run(solved(TASK, Seed(seed)), engine()).value.best.state.text == "dacb"

    # A hundred letters are 25 words: by chance one of them is the planted one of 256 in a run of ten.
    assert sum(found(seed) for seed in range(6)) >= 4


def test_a_depth_of_one_is_best_of():
    """Nothing may be revised: every child is a fresh answer, the samples of best-of-N."""
    process = Answer(max_tokens=40)
    one, other = FakeEngine(record=True), FakeEngine(record=True)
    search = AdaptiveBranching(5, "revise", depth=1, together=5)
    tree = run(Solve(process, Indifferent(), search)(TASK, Seed(3)), one).value
    best = run(Solve(process, Indifferent(), BestOf(5))(TASK, Seed(3)), other).value
    assert one.served == other.served
    assert {c.state for c in tree.items} <= {c.state for c in best.items}


@given(st.integers(0, 99), st.sampled_from([0.25, 4.0, 64.0]), st.integers(-64, 64))
@settings(max_examples=20, deadline=None)
def test_the_range_of_the_scores_does_not_matter(salt, scale, shift):
    value = hashed(salt, steps=256)
    search = AdaptiveBranching(20, "revise", 6)
    plain = told(search, ByWord(value), 1, seed=salt)
    moved = told(search, ByWord(lambda word: scale * value(word) + shift), 1, seed=salt)
    assert moved.made == plain.made


def test_a_revision_is_told_the_critique_of_its_parent_or_that_there_may_be_mistakes():
    def asked(critique):
        serve = letters()
        search = AdaptiveBranching(20, "revise", 6)
        told(search, ByWord(len, critique=critique), 1, serve=serve)
        return {r.args[1] for r in serve.requests if len(r.args) > 1}

    assert asked(Critique("the sign is wrong")) == {"the sign is wrong"}
    [general] = asked(None)
    assert "mistakes" in general


def test_a_finished_chain_is_not_stepped_again():
    found = told(AdaptiveBranching(60, "step", depth=9), ByWord(len), 2)
    assert max(len(word) for word in found.made) == 2
    assert all(len(c.state.letters) == 2 for c in found.ranking.items if c.state.ended)


# -------------------------------------------------------------------------- what goes wrong


def test_a_process_that_cannot_revise_is_refused_before_anything_is_spent():
    serve = engine()
    search = AdaptiveBranching(4, "revise")
    with pytest.raises(InvalidInput, match="Letters cannot revise"):
        run(Solve(Letters(2), Indifferent(), search)(TASK, Seed(0)), serve)
    assert not serve.requests


def test_an_equal_sibling_is_no_new_node_but_its_score_counts():
    serve = engine(lambda r: "a")
    for together in (1, 4):
        solved = Solve(Letters(1), ByTable(len), AdaptiveBranching(8, "step", together=together))
        assert len(run(solved(TASK, Seed(0)), serve).value.items) == 1
    apart = Solve(Letters(1), ByTable(len), AdaptiveBranching(8, "step", distinct=False))
    assert len(run(apart(TASK, Seed(0)), serve).value.items) == 8

    @dataclass(frozen=True)
    class Counting:
        asked: list[int]

        async def __call__(self, task, states):
            self.asked.append(len(states))
            return [Score(1.0) for _ in states]

    asked: list[int] = []
    solved = Solve(Letters(1), Counting(asked), AdaptiveBranching(8, "step", together=2))
    run(solved(TASK, Seed(0)), serve)
    assert sum(asked) == 1


@pytest.mark.parametrize("grow", ["step", "revise"])
def test_the_search_ends_with_the_grant_and_keeps_what_was_paid(grow):
    def flow(together=1):
        search = AdaptiveBranching(15, grow, 4, together=together)
        return search(Counted(1 if grow == "revise" else 3), ByWord(len), TASK, Seed(0))

    whole = run(flow(), letters()).usage.calls
    for calls in range(whole + 1):
        events = []
        done = run(flow(2), letters(), budget=Budget(calls=calls), listen=events.append)
        refused = [e for e in events if isinstance(e, Noted) and e.kind == "lost"]
        assert len(refused) <= 2 * 2, "it went on asking when nothing was left"
        assert done.usage.calls == calls
        assert (done.value.stopped == "budget") == (calls < whole)
        assert bool(done.value.items) == (calls > 0)


def test_no_line_is_taken_to_its_end_when_nothing_is_left():
    events = []
    flow = AdaptiveBranching(9, "step")(Counted(9), ByWord(len), TASK, Seed(0))
    done = run(flow, letters(), budget=Budget(calls=3), listen=events.append)
    assert len([e for e in events if isinstance(e, Noted) and e.kind == "lost"]) == 1
    assert (done.value.stopped, done.value.best.state.ended) == ("budget", False)


def test_a_sample_that_was_cut_is_kept_and_not_revised():
    """Whole answers of three letters, money for four: the second is cut and ranks last."""
    search = AdaptiveBranching(9, "revise", depth=1)
    flow = search(Counted(3), ByWord(len), TASK, Seed(0))
    done = run(flow, letters(), budget=Budget(calls=4)).value
    assert [c.state.ended for c in done.items] == [True, False]
    assert done.items[1].score.cause == "budget"
    assert done.stopped == "budget"


def test_what_fails_or_is_not_scored_is_not_told():
    lost = Solve(Letters(2), ByTable(len), AdaptiveBranching(6, "step"))
    none = run(lost(TASK, Seed(0)), engine(lambda r: Failed("no"))).value
    assert (none.stopped, none.items) == ("failed", ())
    found = told(AdaptiveBranching(12, "revise"), ByWord(len, blind=lambda word: True), 1)
    assert len(found.ranking.items) == 12
    assert set(found.visits.values()) == {0}


def test_waves_give_one_answer():
    def flow():
        search = AdaptiveBranching(16, "revise", 4, together=4)
        return Solve(Answer(max_tokens=24), ByTable(hashed(1)), search)(TASK, Seed(0))

    want = run(flow(), FakeEngine()).value
    for number in range(3):
        slow = FakeEngine(latency_s=0.0005, latency_seed=number, limits=Limits(concurrency=16))
        assert asyncio.run(run_async(flow(), slow)).value == want


EXTREMES = st.sampled_from([0.0, 5e-324, -1e-200, 1e-200, 1.0, 1e200, -1.7e308, 1.7e308])


@given(st.lists(EXTREMES, min_size=1, max_size=4), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_no_finite_score_breaks_a_tree_search(scores, seed):
    scorer = ByWord(lambda word: scores[len(word + word[-1]) * ord(word[-1]) % len(scores)])
    for search in (
        AdaptiveBranching(12, "revise"),
        AdaptiveBranching(12, "revise", prior=BetaBelief()),
        MonteCarloTreeSearch(6, 2, 4),
        MonteCarloTreeSearch(6, 2, 4, PUCT(), "max"),
    ):
        found = told(search, scorer, 1 if isinstance(search, AdaptiveBranching) else 4, seed=seed)
        assert len(found.made) == 12


def test_senseless_options_are_refused():
    for options in (
        {"iterations": 0},
        {"depth": 0},
        {"together": 0},
        {"bounds": (1.0, 1.0)},
        {"bounds": (0.0, math.inf)},
        {"prior": BetaBelief(0.0, 1.0)},
        {"prior": NormalBelief(scale=0.0)},
        {"prior": NormalBelief(center=math.nan)},
    ):
        with pytest.raises(InvalidInput):
            AdaptiveBranching(**options)
