from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules.votes import Tie, best_of, in_canonical_order, majority, weighted

finite = st.floats(-1e6, 1e6)
ballots = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 5)), st.one_of(st.none(), finite)), max_size=12
)


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=20))
def test_majority_agrees_with_a_counter(classes):
    counted = Counter(c for c in classes if c is not None)
    tally = majority(classes)
    assert {c.label: c.votes for c in tally.standing} == dict(counted)
    assert tally.abstained == classes.count(None)
    if counted:
        most = max(counted.values())
        assert tally.winner == min(c for c, n in counted.items() if n == most)
        assert tally.leaders == sum(n == most for n in counted.values())
    else:
        assert tally.winner is None


@given(ballots, st.randoms(use_true_random=False), st.sampled_from(["score", "canonical"]))
def test_votes_ignore_order(pairs, shuffler, tie: Tie):
    mixed = list(pairs)
    shuffler.shuffle(mixed)
    for vote in (
        lambda p: majority([c for c, _ in p], tie=tie, scores=[s for _, s in p]),
        lambda p: weighted([c for c, _ in p], [s for _, s in p], tie=tie),
        lambda p: best_of([c for c, _ in p], [s for _, s in p], tie=tie),
    ):
        one, two = vote(pairs), vote(mixed)
        assert [(c.label, c.votes, c.total, c.best) for c in one.standing] == [
            (c.label, c.votes, c.total, c.best) for c in two.standing
        ]
        assert one.abstained == two.abstained


def test_totals_are_exactly_rounded_whatever_the_order():
    scores = [1e16, 1.0, -1e16, 1.0]
    assert weighted([0] * 4, scores).standing[0].total == 2.0
    assert weighted([0] * 4, scores[::-1]).standing[0].total == 2.0


@pytest.mark.parametrize(("tie", "winner"), [("first", 2), ("score", 1), ("canonical", 0)])
def test_each_tie_rule_picks_its_class(tie, winner):
    assert majority([2, 1, 0], tie=tie, scores=[0.5, 0.9, 0.1]).winner == winner


def test_one_great_score_beats_two_fair_ones_only_as_best_of():
    classes, scores = [0, 1, 1], [0.9, 0.5, 0.6]
    assert best_of(classes, scores).winner == 0
    assert weighted(classes, scores).winner == 1


@given(st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=12))
def test_a_constant_score_votes_like_the_majority(classes):
    assert weighted(classes, [0.25] * len(classes)).winner == majority(classes).winner


def test_what_has_no_score_abstains_from_a_weighted_vote():
    tally = weighted([0, 0, 1], [None, None, 0.1])
    assert (tally.winner, tally.abstained, len(tally.standing)) == (1, 2, 1)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        weighted([0], [math.nan])


@given(
    st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=10),
    st.randoms(use_true_random=False),
)
def test_canonical_numbers_do_not_depend_on_order_or_on_how_classes_were_numbered(forms, shuffler):
    numbers = {"a": 9, "b": 3, "c": 5}
    classes = [None if f is None else numbers[f] for f in forms]
    places = list(range(len(forms)))
    shuffler.shuffle(places)
    straight = in_canonical_order(classes, forms)
    mixed = in_canonical_order([classes[i] for i in places], [forms[i] for i in places])
    assert [straight[i] for i in places] == list(mixed)
    present = sorted({f for f in forms if f})
    assert [None if f is None else present.index(f) for f in forms] == list(straight)
