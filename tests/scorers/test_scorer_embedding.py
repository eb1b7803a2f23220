"""The medoid and the clusters of embeddings, against all pairs; hostile vectors."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.requests import Embed
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.scorers import Clustered, Clusters, MeanLogprob, Medoid, OutcomeReward, ProcessReward
from cogitate.testing import FakeEngine, Scripted

TASK = Task.of("Why?")
PLANE = {
    "up": (0.0, 1.0),
    "up!": (0.1, 1.0),
    "right": (1.0, 0.0),
    "down": (0.0, -1.0),
    "zero": (0.0, 0.0),
}


def seen(*texts):
    return [Artifact(text) for text in texts]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def scored(scorer, artifacts, vectors=PLANE, **known):
    def reply(request):
        return vectors(request) if callable(vectors) else tuple(vectors[t] for t in request.texts)

    engine = Scripted({"Embed": reply})
    found = run(scorer(TASK, artifacts), engine, **known).value
    asked = [r for r in engine.requests if isinstance(r, Embed)]
    return found, asked


def test_the_medoid_is_the_mean_of_all_pairs():
    for seed in range(20):
        rng = random.Random(seed)
        texts = [rng.choice("abcdefgh") for _ in range(rng.randint(2, 9))]
        vectors = {
            t: tuple(random.Random(ord(t) + 99 * seed).gauss(0, 1) for _ in range(4)) for t in texts
        }
        found, asked = scored(Medoid(), seen(*texts), vectors)
        for i, score in enumerate(found):
            mine = vectors[texts[i]]
            cosines = [cosine(mine, vectors[t]) for j, t in enumerate(texts) if j != i]
            assert score.value == pytest.approx(sum(cosines) / len(cosines), abs=1e-9)
        assert [r.texts for r in asked] == [tuple(sorted(set(texts)))]
        assert asked[0].role == "embedder"


@pytest.mark.parametrize("scorer", [Medoid(), Clusters(0.1)])
def test_the_order_of_candidates_changes_nothing(scorer):
    texts = ("up", "right", "up!", "zero", "up", "down")
    want, asked = scored(scorer, seen(*texts))
    of = dict(zip(texts, want, strict=True))
    for order in itertools.islice(itertools.permutations(texts), 0, 720, 37):
        got, again = scored(scorer, seen(*order))
        assert got == [of[t] for t in order]
        assert [r.key() for r in again] == [r.key() for r in asked]


def test_clusters_vote_by_hand():
    found, _ = scored(Clusters(0.1), seen("up", "right", "up!", "down", "zero", ""))
    assert [s.value if isinstance(s, Score) else s.cause for s in found] == [
        pytest.approx(2 / 6),
        pytest.approx(math.nextafter(1 / 6, 0)),  # the tie goes to the lesser direction
        pytest.approx(2 / 6),
        pytest.approx(1 / 6),
        "abstained",
        "abstained",
    ]
    assert found[3].value > found[1].value
    assert found[0].features == found[2].features
    assert found[0].features["cluster"] == found[0].features["class"]
    assert found[0].features["votes"] == (2.0,)
    wide, _ = scored(Clusters(2.0), seen("up", "right", "down"))
    assert [s.value for s in wide] == [pytest.approx(1.0)] * 3
    apart, _ = scored(Clusters(0.0), seen("up", "up!", "up"))
    assert [s.features["votes"] for s in apart] == [(2.0,), (1.0,), (2.0,)]


def test_the_most_central_of_the_largest_cluster_wins_in_any_order():
    """Planted: one text lies in the middle of its cluster, and a tie between clusters stays one."""
    vectors = {
        "left": (1.0, -0.2),
        "middle": (1.0, 0.0),
        "right": (1.0, 0.2),
        "far": (-1.0, 0.1),
        "farther": (-1.0, -0.1),
        "farthest": (-1.0, 0.0),
    }
    for order in itertools.islice(itertools.permutations(vectors), 0, 720, 13):
        found, _ = scored(Clusters(0.1), seen(*order), vectors)
        ranking = sorted(zip(order, found, strict=True), key=lambda pair: -pair[1].value)
        assert ranking[0][0] == "farthest"  # the tie goes to the lesser direction
        assert [text for text, _ in ranking][3] == "middle"
        assert {text for text, _ in ranking[:3]} == {"far", "farther", "farthest"}
        assert all(s.value == pytest.approx(0.5) for s in found)
    alike, _ = scored(Clusters(0.1), seen("left", "left"), vectors)
    assert [s.value for s in alike] == [1.0, 1.0]


def test_equal_meaning_beats_equal_words():
    """Planted: no two of the majority's texts are the same, so a vote of texts would tie."""
    rng = random.Random(0)
    texts = [f"way {i}" for i in range(6)] + ["wrong", "wrong"]
    vectors = {t: (1.0, rng.gauss(0, 0.1), rng.gauss(0, 0.1)) for t in texts} | {
        "wrong": (0.0, 1.0, 0.0)
    }
    found, _ = scored(Clusters(0.15), seen(*texts), vectors)
    assert [round(s.value, 3) for s in found] == [0.75] * 6 + [0.25] * 2
    central, _ = scored(Medoid(), seen(*texts), vectors)
    assert max(central, key=lambda s: s.value) in central[:6]


def test_what_is_embedded():
    steps = Artifact("a\n\nb", "42", steps=("a", "b "), complete=True)
    for of, text in (("text", "a\n\nb"), ("answer", "42"), ("step", "b")):
        _, asked = scored(Medoid(of), [steps], lambda r: ((1.0,),))
        assert asked[0].texts == (text,)
    cut = Artifact("a\n\nb", "42", steps=("a", "b"), complete=False)
    for of, silent in (("text", True), ("answer", True), ("step", False)):
        [score], asked = scored(Medoid(of), [cut], lambda r: ((1.0,),))
        assert isinstance(score, Unscored) == silent == (not asked)
    assert scored(Medoid(), [])[0] == []
    assert scored(Medoid(), seen("up"))[0] == [Score(1.0)]


@pytest.mark.parametrize(
    "vectors",
    [
        lambda r: ((1.0, 0.0),),
        lambda r: ((1.0, 0.0), (1.0,)),
        lambda r: Failed("down"),
    ],
)
def test_an_embedder_that_fails_leaves_all_unscored(vectors):
    for scorer in (Medoid(), Clusters()):
        found, _ = scored(scorer, seen("up", "down"), vectors)
        assert [s.cause for s in found] == ["failed", "failed"]
    inner, _ = scored(Clustered(OutcomeReward()), seen("up", "down"), vectors)
    assert all(isinstance(s, Score) and "cluster" not in s.features for s in inner)


def test_vectors_without_direction_abstain():
    for bad in ((0.0, 0.0), (math.nan, 1.0), (math.inf, 1.0)):
        vectors = {"a": (1.0, 0.0), "b": bad, "c": (1.0, 0.1)}
        found, _ = scored(Medoid(), seen("a", "b", "c"), vectors)
        assert [isinstance(s, Score) for s in found] == [True, False, True]
        assert found[0].value == pytest.approx(1 / math.hypot(1, 0.1))
        assert found[1].cause == "abstained"


def test_a_refused_embedding_is_unscored():
    found, _ = scored(Medoid(), seen("up", "down"), budget=Budget(calls=0))
    assert [s.cause for s in found] == ["budget", "budget"]


def test_a_cluster_stands_beside_the_score_of_the_newest_step():
    partial = [
        Artifact("", steps=("start", text), complete=False)
        for text in ("up", "right", "up!", "zero")
    ]
    found, asked = scored(Clustered(ProcessReward("min"), 0.1), partial)
    plain, _ = scored(ProcessReward("min"), partial)
    assert [r.texts for r in asked] == [("right", "up", "up!", "zero")]
    for score, bare in zip(found, plain, strict=True):
        assert (score.value, score.steps) == (bare.value, bare.steps)
    assert [s.features.get("cluster") for s in found] == [(0.0,), (1.0,), (0.0,), None]
    assert Clustered(MeanLogprob()).logprobs == 0
    assert Clustered(ProcessReward()).reserve(3) == Budget(calls=4)
    assert Clustered(MeanLogprob()).reserve(3) == Medoid().reserve(3) == Clusters().reserve(3)


def test_the_fake_engine_brings_texts_that_share_words_together():
    texts = ["the fox runs home now", "the fox runs home", "stock prices fell again"]
    found = run(Clusters(0.4)(TASK, seen(*texts)), FakeEngine()).value
    assert [round(s.value, 2) for s in found] == [0.67, 0.67, 0.33]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Medoid("words"),
        lambda: Clusters(-0.1),
        lambda: Clusters(2.1),
        lambda: Clusters(0.1, "ward"),
        lambda: Clustered(MeanLogprob(), of="words"),
    ],
)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(InvalidInput, match="cosine distance"):
        wrong()
