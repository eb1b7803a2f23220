from __future__ import annotations

import itertools
import json
import math
from statistics import fmean

import pytest

from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.lab import (
    METHODS,
    About,
    GradedQuestion,
    Pool,
    Question,
    Sample,
    accuracy_curve,
    graded,
    open_pool,
    packaged_pools,
)

GOLD = "15"


def sample(k: int, answer: str | None, mean: float, tokens: int = 10, stop: str = "eos") -> Sample:
    text = "no idea" if answer is None else f"so it is\n#### {answer}"
    return Sample(k, text, tokens, stop, mean * tokens, 2 * mean)


def question(number: int, *drawn: tuple[str | None, float, int]) -> Question:
    return Question(number, "?", GOLD, tuple(sample(k, *d) for k, d in enumerate(drawn)))


SMALL = Pool(
    About("small"),
    (
        question(0, ("15", -0.5, 10), ("15.0", -0.1, 40), ("7", -0.2, 10), (None, -0.01, 5)),
        question(1, ("3", -0.1, 10), ("4", -0.2, 10), ("15", -0.3, 10), ("4", -0.4, 10)),
        question(2, (None, -0.1, 10), (None, -0.2, 10), ("15", -0.9, 10), ("9", -0.9, 30)),
    ),
)


def chosen_by(method: str, q: GradedQuestion, members: tuple[int, ...]) -> float:
    """What a method makes of one subset, in the plainest words; ties fall at random."""
    if method == "coverage":
        return float(any(q.correct[i] for i in members))
    if method == "single":
        return fmean(q.correct[i] for i in members)
    if method in ("best_mean", "best_sum"):
        scores = q.logprob_mean if method == "best_mean" else q.logprob_sum
        known = [i for i in members if scores[i] is not None]
        top = max((scores[i] or 0.0 for i in known), default=0.0)
        tied = [i for i in known if scores[i] == top] or list(members)
        return fmean(q.correct[i] for i in tied)
    totals: dict[int, float] = {}
    for i in members:
        label, mean = q.classes[i], q.logprob_mean[i]
        if label is not None and mean is not None:
            totals[label] = totals.get(label, 0.0) + (
                math.exp(mean) if method == "weighted" else 1.0
            )
    if not totals:
        return 0.0
    tied = [c for c, t in totals.items() if t == max(totals.values())]
    return fmean(any(q.correct[i] for i in members if q.classes[i] == c) for c in tied)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_the_mean_over_all_subsets(method: str) -> None:
    line = accuracy_curve(SMALL, sizes=(1, 2, 3, 4), methods=(method,)).lines[0]
    questions = [graded(q, "number") for q in SMALL.questions]
    for point in line.points:
        subsets = list(itertools.combinations(range(4), point.n))
        plain = fmean(fmean(chosen_by(method, q, s) for s in subsets) for q in questions)
        assert point.value == pytest.approx(plain, abs=1e-9)


def test_grading_reads_answers_and_abstains() -> None:
    cut = Question(
        0,
        "?",
        GOLD,
        (sample(0, "15", -0.1, stop="limit"), sample(1, "15", -0.2), sample(2, None, -0.3)),
    )
    found = graded(cut, "number")
    assert found.classes == (None, 1, None)
    assert found.correct == (False, True, False)
    assert found.logprob_mean == (None, pytest.approx(-0.2), None)
    equal = graded(SMALL.questions[0], "number")
    assert equal.classes[0] == equal.classes[1] != equal.classes[2]


def test_the_order_of_the_recording_does_not_matter() -> None:
    turned = Pool(
        SMALL.about,
        tuple(Question(q.id, q.text, q.gold, tuple(reversed(q.samples))) for q in SMALL.questions),
    )
    exact = [m for m in METHODS if m != "weighted"]  # small enough to enumerate, all the same
    for method in [*exact, "weighted"]:
        a = accuracy_curve(SMALL, methods=(method,)).lines[0]
        b = accuracy_curve(turned, methods=(method,)).lines[0]
        assert [p.value for p in a.points] == pytest.approx([p.value for p in b.points])


def test_with_one_sample_every_choice_is_the_same() -> None:
    curve = accuracy_curve(SMALL, sizes=(1,))
    assert len({round(line.points[0].value, 12) for line in curve.lines}) == 1
    assert all(line.gain.value == pytest.approx(0.0) for line in curve.lines)


def test_intervals_hold_the_value_and_never_claim_certainty() -> None:
    curve = accuracy_curve(SMALL)
    for line in curve.lines:
        for point in line.points:
            assert 0 <= point.low <= point.value <= point.high <= 1
    hopeless = Pool(
        About("h"), tuple(question(i, ("1", -0.1, 9), ("2", -0.2, 9)) for i in range(20))
    )
    (point,) = accuracy_curve(hopeless, sizes=(2,), methods=("coverage",)).lines[0].points
    assert point.value == 0
    assert point.low == 0
    assert 0.1 < point.high < 0.2  # Wilson: none of 20


def test_more_questions_give_a_narrower_interval() -> None:
    def width(copies: int) -> float:
        many = Pool(
            About("m"),
            tuple(
                Question(i, "?", GOLD, q.samples)
                for i, q in enumerate(q for _ in range(copies) for q in SMALL.questions)
            ),
        )
        (point,) = accuracy_curve(many, sizes=(2,), methods=("majority",)).lines[0].points
        return point.high - point.low

    assert width(40) < 0.4 * width(4)


def test_tokens_grow_with_n() -> None:
    line = accuracy_curve(SMALL, methods=("single",)).line("single")
    assert [p.n for p in line.points] == [1, 2, 4]
    assert [p.tokens / p.n for p in line.points] == pytest.approx([SMALL.tokens_each] * 3)


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'small' has 4 samples"):
        accuracy_curve(SMALL, sizes=(8,))
    with pytest.raises(InvalidInput, match="N = 0"):
        accuracy_curve(SMALL, sizes=(0, 1))
    with pytest.raises(InvalidInput, match="the methods luck were asked for; known are single"):
        accuracy_curve(SMALL, methods=("luck",))
    with pytest.raises(KeyError):
        accuracy_curve(SMALL, methods=("single",)).line("majority")


def test_equal_seeds_give_equal_curves_in_json_too() -> None:
    a, b = (accuracy_curve(SMALL, seed=Seed(4)).as_json() for _ in range(2))
    assert json.dumps(a) == json.dumps(b)
    assert [line["method"] for line in a["lines"]] == list(METHODS)


@pytest.mark.parametrize("name", packaged_pools())
def test_the_packaged_pool_shows_what_the_demo_says(name: str) -> None:
    curve = accuracy_curve(open_pool(name))
    first = {m: curve.line(m).points[0] for m in METHODS}
    last = {m: curve.line(m).points[-1] for m in METHODS}
    assert curve.answered > 0.8  # otherwise the extraction is at fault, not the model
    assert 0.05 < first["single"].value < 0.7
    assert last["single"].value == pytest.approx(first["single"].value)
    coverage = [p.value for p in curve.line("coverage").points]
    assert coverage == sorted(coverage)
    assert coverage[-1] > coverage[0] + 0.2
    for method in METHODS:
        for point, best in zip(
            curve.line(method).points, curve.line("coverage").points, strict=True
        ):
            assert point.value <= best.value + 1e-9  # nothing beats the oracle
    assert curve.line("majority").gain.low > 0  # voting helps, beyond chance
