"""Accuracy against N from a recorded pool: what each way of choosing makes of the same samples.

Every number is a mean over subsets of the recorded samples, never the first N of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.rules.blocks import expected_weighted
from cogitate.rules.canonical import canonical, classes, matches
from cogitate.rules.extraction import extract
from cogitate.rules.statistics import Interval, bootstrap, paired_bootstrap, pass_at_k, wilson
from cogitate.rules.subsampling import expected_best_of, expected_majority

from .pools import Pool, Question

SIZES = (1, 2, 4, 8, 16, 32)
"""The N of a curve, as far as the pool reaches."""
_SUBSETS = 200
"""Random subsets a question where a vote has no closed form."""
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class GradedQuestion:
    """The samples of a question as the selection rules see them; one entry a sample."""

    classes: tuple[int | None, ...]
    """Class of equal answers; `None` where there is no answer or the text was cut."""
    correct: tuple[bool, ...]
    logprob_mean: tuple[float | None, ...]
    """`None` where the sample has no answer: it cannot be chosen."""
    logprob_sum: tuple[float | None, ...]
    tokens: float
    """Mean generated tokens a sample."""


Grader = Callable[[Question, str], GradedQuestion]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Accuracy with N samples a question."""

    n: int
    value: float
    low: float
    high: float
    tokens: float
    """Mean generated tokens a question."""


@dataclass(frozen=True, slots=True)
class Line:
    """One way of choosing."""

    method: str
    label: str
    points: tuple[CurvePoint, ...]
    gain: Interval
    """At the largest N: accuracy less that of one sample, over the same questions."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy against N for several ways of choosing."""

    lines: tuple[Line, ...]
    questions: int
    samples: int
    """Recorded samples a question."""
    answered: float
    """Share of samples with an answer that counts."""
    note: str = ""

    def line(self, method: str) -> Line:
        """The line of this method.

        Raises:
            KeyError: for a method that was not asked for.
        """
        for found in self.lines:
            if found.method == method:
                return found
        raise KeyError(method)

    def as_json(self) -> dict[str, Any]:
        """The curve as JSON values."""
        return asdict(self)


def graded(question: Question, kind: str) -> GradedQuestion:
    """Extract and grade every sample of a question; what was cut or gives no answer abstains."""
    answers = [extract(s.text, kind, complete=s.complete) for s in question.samples]
    forms = [canonical(a, kind) for a in answers]
    held = classes(answers, forms)
    return GradedQuestion(
        classes=held,
        correct=tuple(matches(a, question.gold, kind) is True for a in answers),
        logprob_mean=tuple(
            None if c is None else s.logprob_mean
            for c, s in zip(held, question.samples, strict=True)
        ),
        logprob_sum=tuple(
            None if c is None else s.logprob_sum
            for c, s in zip(held, question.samples, strict=True)
        ),
        tokens=fmean(s.tokens for s in question.samples),
    )


def _single(q: GradedQuestion, n: int, seed: int) -> float:
    return fmean(q.correct)


def _majority(q: GradedQuestion, n: int, seed: int) -> float:
    return expected_majority(q.classes, q.correct, n, tie="first").value


def _weighted(q: GradedQuestion, n: int, seed: int) -> float:
    # a vote weighs what a token of its text was worth on average: a probability, so never negative
    weights = [None if m is None else math.exp(m) for m in q.logprob_mean]
    return expected_weighted(
        q.classes, q.correct, weights, n, seed, tie="first", at_most=_SUBSETS, draws=_SUBSETS
    ).value


def _best_mean(q: GradedQuestion, n: int, seed: int) -> float:
    return expected_best_of(q.correct, q.logprob_mean, n).value


def _best_sum(q: GradedQuestion, n: int, seed: int) -> float:
    return expected_best_of(q.correct, q.logprob_sum, n).value


def _coverage(q: GradedQuestion, n: int, seed: int) -> float:
    return pass_at_k(len(q.correct), sum(q.correct), n)


METHODS: dict[str, tuple[str, Callable[[GradedQuestion, int, int], float]]] = {
    "single": ("one sample", _single),
    "majority": ("majority vote", _majority),
    "weighted": ("vote weighted by probability", _weighted),
    "best_mean": ("best mean log-probability", _best_mean),
    "best_sum": ("best total log-probability", _best_sum),
    "coverage": ("any of them right (oracle)", _coverage),
}
"""Ways of choosing among N samples: name to label and expected accuracy."""


def accuracy_curve(
    pool: Pool,
    *,
    sizes: Sequence[int] | None = None,
    methods: Sequence[str] = tuple(METHODS),
    seed: Seed | None = None,
    confidence: float = 0.95,
    grader: Grader = graded,
) -> Curve:
    """Accuracy against N, with intervals over questions.

    Args:
        pool: the recorded samples.
        sizes: the N to look at; by default 1, 2, 4, … as far as every question has samples.
        methods: names of `METHODS`.
        seed: of the bootstrap and of the subsets where no closed form exists.
        confidence: of the intervals: percentile bootstrap over questions, and Wilson's where every
            question gives the same 0 or 1.
        grader: turns recorded samples into answers and verdicts.

    Raises:
        InvalidInput: for an unknown method, or more samples than were recorded.
    """
    unknown = [m for m in methods if m not in METHODS]
    if unknown or not methods:
        raise InvalidInput(
            f"the methods {', '.join(unknown) or '(none)'} were asked for; known are {', '.join(METHODS)}"
        )
    most = pool.samples_each
    chosen = tuple(n for n in SIZES if n <= most) if sizes is None else tuple(sizes)
    if not chosen or min(chosen) < 1 or max(chosen) > most:
        raise InvalidInput(
            f"N = {', '.join(map(str, chosen)) or '(none)'} was asked for; the pool {pool.about.name!r}"
            f" has {most} samples for every question"
        )
    questions = [grader(q, pool.about.kind) for q in pool.questions]
    root = Seed(0) if seed is None else seed
    single = [fmean(q.correct) for q in questions]
    lines = tuple(_line(m, questions, chosen, single, root, confidence) for m in methods)
    votes = [c is not None for q in questions for c in q.classes]
    note = (
        f"{len(questions)} questions, {most} samples each, {100 * confidence:g} % intervals over questions;"
        " means over subsets of the samples"
    )
    return Curve(lines, len(questions), most, fmean(votes), note)


def _line(
    method: str,
    questions: Sequence[GradedQuestion],
    sizes: Sequence[int],
    single: Sequence[float],
    root: Seed,
    confidence: float,
) -> Line:
    label, rule = METHODS[method]
    tokens = fmean(q.tokens for q in questions)
    points: list[CurvePoint] = []
    values: list[float] = []
    for n in sizes:
        values = [rule(q, n, root.at("subsets", i, n).int()) for i, q in enumerate(questions)]
        # one seed for all methods and sizes: the same questions are drawn, so lines can be compared
        spread = _interval(values, root.at("bootstrap").int(), confidence)
        points.append(CurvePoint(n, spread.value, spread.low, spread.high, tokens * n))
    gain = paired_bootstrap(
        values, single, root.at("bootstrap").int(), draws=_RESAMPLES, confidence=confidence
    )
    return Line(method, label, tuple(points), gain)


def _interval(values: Sequence[float], seed: int, confidence: float) -> Interval:
    if set(values) <= {0.0} or set(values) <= {1.0}:
        return wilson(sum(values), len(values), confidence)  # a bootstrap would claim certainty
    return bootstrap(values, seed, draws=_RESAMPLES, confidence=confidence)
