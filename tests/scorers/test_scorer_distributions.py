"""Confidence, entropy, perplexity and the filter, against formulas written out here."""

from __future__ import annotations

import math
import random

import pytest

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.requests import Completion, TokenInfo
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.scorers import (
    BestAnswer,
    Confidence,
    Entropy,
    KeepTop,
    MeanLogprob,
    Perplexity,
    SelfCertainty,
    StepVote,
    Weighted,
)
from cogitate.testing import FakeEngine

TASK = Task.of("?", kind="number")


def scored(scorer, *artifacts):
    return run(scorer(TASK, artifacts), FakeEngine()).value


def written(seed, answer="1", tokens=40, sure=1.0):
    """A text of two pieces with five likeliest tokens at each place."""
    rng = random.Random(seed)
    places = []
    for _ in range(tokens):
        raw = sorted((rng.random() ** (3 * sure) for _ in range(5)), reverse=True)
        places.append(tuple(TokenInfo(str(i), math.log(p / sum(raw))) for i, p in enumerate(raw)))
    logs = tuple(place[0].logprob for place in places)
    cut = tokens // 3
    pieces = (
        Completion("a", top=tuple(places[:cut]), logprobs=logs[:cut]),
        Completion("b", top=tuple(places[cut:]), logprobs=logs[cut:]),
    )
    return Artifact("ab", answer, kind="number", completions=pieces)


def confidences(artifact, top):
    return [
        -sum(info.logprob for info in place[:top]) / top
        for piece in artifact.completions
        for place in piece.top
    ]


@pytest.mark.parametrize("top", [1, 3, 5])
def test_confidences_by_hand_over_all_pieces(top):
    seen = written(1)
    tokens = confidences(seen, top)
    groups = [sum(tokens[i : i + 8]) / 8 for i in range(33)]
    wanted = {
        "lowest": min(groups),
        "bottom": sum(sorted(groups)[:4]) / 4,  # a tenth of 33, rounded up
        "tail": sum(tokens[-8:]) / 8,
        "mean": sum(tokens) / 40,
    }
    for how, value in wanted.items():
        [score] = scored(Confidence(how, window=8, top=top), seen)
        assert score.value == pytest.approx(value)
        assert score.features == {"tokens": (40.0,)}
    assert len({round(v, 9) for v in wanted.values()}) == 4


def test_entropy_by_hand():
    seen = written(2)
    found = [
        [math.exp(info.logprob) for info in place] for p in seen.completions for place in p.top
    ]
    shannon = [-sum(q * math.log(q) for q in place) for place in found]
    least = [-math.log(max(place)) for place in found]
    for order, each in (("shannon", shannon), ("min", least)):
        for over, value in (
            ("mean", sum(each) / 40),
            ("highest", max(each)),
            ("lowest", min(each)),
        ):
            [score] = scored(Entropy(over=over, order=order), seen)
            assert score.value == pytest.approx(-value)


def test_perplexity_by_hand():
    seen = written(3)
    logs = [log for piece in seen.completions for log in piece.logprobs]
    [score] = scored(Perplexity(), seen)
    assert score.value == pytest.approx(math.prod(math.exp(x) for x in logs) ** (1 / 40))
    assert score.features["perplexity"][0] == pytest.approx(1 / score.value)
    [least] = scored(Perplexity(), Artifact("a", completions=(Completion("a", logprobs=(-5e3,)),)))
    assert least.value == 0.0


@pytest.mark.parametrize("scorer", [Confidence(), Entropy(), Perplexity()])
def test_a_piece_without_log_probabilities_is_unscored(scorer):
    whole = written(1)
    for pieces in ((), (Completion("a"),), (*whole.completions, Completion("c"))):
        [score] = scored(scorer, Artifact("x", "1", completions=pieces))
        assert isinstance(score, Unscored)
        assert score.cause == "form"
    empty = (*whole.completions, Completion(""))  # an empty piece has no tokens to lack them
    assert isinstance(scored(scorer, Artifact("x", completions=empty))[0], Score)


def test_the_filtered_weighted_vote_by_brute_force():
    """Offline: keep the top share by confidence, then sum confidences by answer."""
    overturned = 0
    for seed in range(40):
        rng = random.Random(seed)
        seen = [
            written(seed * 100 + i, rng.choice("123"), sure=rng.choice([0.3, 1, 2]))
            for i in range(10)
        ]
        own = [min(_means(confidences(a, 5), 8)) for a in seen]
        kept = sorted(range(10), key=lambda i: -own[i])[:3]
        totals = {}
        for i in kept:
            totals[seen[i].answer] = totals.get(seen[i].answer, 0) + own[i]
        best = max(totals, key=totals.get)
        scores = scored(Weighted(KeepTop(Confidence("lowest", window=8), 0.3)), *seen)
        values = [s.value if isinstance(s, Score) else -1 for s in scores]
        winner = seen[values.index(max(values))].answer
        assert winner == best
        for artifact, score in zip(seen, scores, strict=True):
            if artifact.answer in totals:
                assert score.value == pytest.approx(totals[artifact.answer])
            else:
                assert isinstance(score, Unscored)
        overturned += winner != max("123", key=lambda a: sum(x.answer == a for x in seen))
    assert overturned > 5


def _means(values, window):
    return [sum(values[i : i + window]) / window for i in range(len(values) - window + 1)]


def test_the_filter_keeps_ties_and_only_what_has_an_answer():
    class Given:
        async def __call__(self, task, states):
            return [Unscored("no") if a.text == "?" else Score(float(a.text)) for a in states]

    def kept(share, *texts, **how):
        found = scored(
            KeepTop(Given(), share, **how), *(Artifact(t, None if t == "9" else "1") for t in texts)
        )
        return [isinstance(s, Score) for s in found]

    assert kept(0.5, "1", "2", "3", "4") == [False, False, True, True]
    assert kept(0.25, "4", "2", "4", "4") == [True, False, True, True]
    assert kept(0.01, "1", "2") == [False, True]
    assert kept(0.5, "9", "1", "2") == [False, False, True]
    assert kept(0.5, "9", "1", "2", answered=False) == [True, False, True]
    assert kept(0.5, "?", "nan", "2", "1") == [False, True, True, False]
    assert kept(0.5) == []
    found = scored(KeepTop(Given(), 0.5), Artifact("1", "1"), Artifact("2", "1"))
    assert found[0].cause == "abstained"
    assert scored(KeepTop(Given(), 0.5), Artifact("3", "1", complete=False))[0].cause == "abstained"


def test_what_is_read_is_said_through_every_wrapper():
    assert Confidence(top=7).logprobs == Weighted(KeepTop(Confidence(top=7))).logprobs == 7
    assert BestAnswer(Perplexity()).logprobs == 0
    assert (Entropy(top=3).logprobs, SelfCertainty(4).logprobs) == (3, 4)
    assert KeepTop(MeanLogprob()).reserve(4) is None
    assert StepVote(MeanLogprob()).logprobs == 0
    assert StepVote(MeanLogprob(), vote="majority").logprobs == -1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Confidence("least"),
        lambda: Confidence(window=0),
        lambda: Confidence(top=0),
        lambda: Confidence(share=0.0),
        lambda: Entropy(top=1),
        lambda: Entropy(over="least"),
        lambda: Entropy(order="renyi"),
        lambda: KeepTop(MeanLogprob(), 0.0),
        lambda: KeepTop(MeanLogprob(), 1.1),
    ],
)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(InvalidInput):
        wrong()
