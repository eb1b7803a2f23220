from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed
from cogitate.core.requests import Grade
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.scorers import BestAnswer, Indifferent, Majority, Weighted, default_scorer
from cogitate.testing import FakeEngine, Scripted

TASK = Task.of("2 + 2?", kind="number")
answers = st.lists(st.sampled_from(["a", "b", "c", None]), max_size=9)


def arts(found):
    return [Artifact(f"so {a}", a) for a in found]


def scored(scorer, found, engine=None):
    return list(run(scorer(TASK, found), engine or FakeEngine()).value)


class Table:
    def __init__(self, *scores):
        self.scores = scores

    async def __call__(self, task, states):
        return [
            s if isinstance(s, Unscored) else Score(s, (s,)) for s in self.scores[: len(states)]
        ]


@given(answers)
def test_majority_is_the_share_of_a_counter(found):
    counted = Counter(a for a in found if a)
    for answer, score in zip(found, scored(Majority(), arts(found)), strict=True):
        if answer is None:
            assert isinstance(score, Unscored)
            assert score.cause == "abstained"
        else:
            assert abs(score.value - counted[answer] / len(found)) < 1e-9
            assert score.features["votes"] == (counted[answer],)


@settings(max_examples=60)
@given(answers, st.randoms(use_true_random=False))
def test_the_ranking_of_classes_does_not_depend_on_order(found, shuffler):
    places = list(range(len(found)))
    shuffler.shuffle(places)
    for scorer in (Majority(), Weighted(Indifferent(0.5))):
        straight = scored(scorer, arts(found))
        mixed = scored(scorer, arts([found[i] for i in places]))
        assert [straight[i] for i in places] == mixed
    values = {a: s.value for a, s in zip(found, straight, strict=True) if isinstance(s, Score)}
    assert len(set(values.values())) == len(values), "every tie is broken"


def test_a_cut_text_never_votes():
    found = [
        Artifact("4", "4"),
        Artifact("5", "5", complete=False),
        Artifact("5", "5", complete=False),
    ]
    assert [type(s) for s in scored(Majority(), found)] == [Score, Unscored, Unscored]


def test_one_grade_for_a_whole_vote_and_none_for_one_answer():
    engine = FakeEngine()
    scored(Majority(), arts(["1", "2", "1"]), engine)
    assert engine.calls["Grade"] == 1
    scored(Majority(), arts(["1", None]), engine)
    assert scored(Majority(), [], engine) == []
    assert engine.calls["Grade"] == 1


def test_a_dead_grader_leaves_all_unscored():
    engine = Scripted({"Grade": lambda r: Failed("grader died")})
    for scorer in (Majority(), Weighted(Indifferent())):
        found = scored(scorer, arts(["1", "2"]), engine)
        assert [(type(s), s.reason) for s in found] == [(Unscored, "grader died")] * 2
    assert [s.value for s in scored(BestAnswer(Table(0.1, 0.2)), arts(["1", "2"]), engine)] == [
        0.1,
        0.2,
    ]


def test_first_ties_follow_the_order():
    found = scored(Majority(tie="first"), arts(["b", "a"]))
    assert found[0].value > found[1].value
    found = scored(Majority(), arts(["b", "a"]))
    assert found[0].value < found[1].value


def test_weighted_sums_and_keeps_what_the_inner_scorer_said():
    found = scored(Weighted(Table(0.9, 0.5, 0.6)), arts(["a", "b", "b"]))
    assert [round(s.value, 9) for s in found] == [0.9, 1.1, 1.1]
    assert [s.features["own"] for s in found] == [(0.9,), (0.5,), (0.6,)]
    assert found[0].steps == (0.9,)


def test_negative_scores_are_ranked_and_do_not_turn_the_vote_upside_down():
    agree = arts(["a", "b", "b"])
    found = scored(Weighted(Table(-0.5, -0.4, -0.6)), agree)
    assert found[1].value > found[0].value
    raw = scored(Weighted(Table(-0.5, -0.4, -0.6), normalise="none"), agree)
    assert raw[1].value < raw[0].value


def test_an_unjudged_candidate_stands_with_its_class():
    dead = Unscored("judge died")
    found = scored(Weighted(Table(0.4, dead, dead)), arts(["a", "a", "b"]))
    assert found[1].value == found[0].value == 0.4
    assert found[2] == dead


def test_best_answer_leaves_out_what_has_no_answer():
    found = scored(BestAnswer(Table(0.2, 0.9, 0.5)), arts(["a", None, "b"]))
    assert found[0].value == 0.2
    assert isinstance(found[1], Unscored)
    assert found[2].value == 0.5


def test_a_grade_request_carries_the_kind_and_every_answer():
    engine = Scripted({"judge": "x"})
    scored(Majority(), arts(["1", None, "2"]), engine)
    [asked] = [r for r in engine.requests if isinstance(r, Grade)]
    assert (asked.answers, asked.kind) == (("1", None, "2"), "number")


def test_open_ended_text_goes_to_the_judge():
    assert type(default_scorer("text")).__name__ == "Judge"
    assert default_scorer("math") == default_scorer("choice") == Majority()
