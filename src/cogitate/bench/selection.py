"""Selection methods compared offline: one pool of samples, every method, every N, by unbiased sub-sampling.

Every number is a mean over subsets of the samples, never the first N: in closed form for the random pick, the
majority, best-of and coverage; for weighted votes over evenly drawn subsets, with their standard error told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Final

from cogitate.assembly import read
from cogitate.core.errors import InvalidInput
from cogitate.core.protocols import Separable
from cogitate.core.seeds import Seed
from cogitate.core.usage import Usage
from cogitate.lab.curve import graded
from cogitate.lab.pools import Pool as Recorded
from cogitate.lab.pools import Question
from cogitate.rules.blocks import expected_weighted
from cogitate.rules.statistics import bootstrap, pass_at_k
from cogitate.rules.subsampling import Expected, expected_best_of, expected_majority
from cogitate.rules.votes import Tie
from cogitate.scorers import Checks

from .metrics.cells import bootstrapped
from .metrics.costs import COST_UNITS, DRAWS, NOTHING_KNOWN, Cost, Shape, amounts, cost_of
from .metrics.pairs import paired
from .metrics.selections import (
    BEST_OF,
    MAJORITY,
    ORACLE,
    RANDOM,
    WEIGHTED,
    Gain,
    SelectionLine,
    SelectionTable,
    Share,
)
from .metrics.values import Accuracy, Amount, Coverage, Point
from .results import Drawn, Pool

SUBSETS: Final = 200
"""Subsets of each question, for votes that have no closed form."""


_ANY_KIND: Final = "number"
"""Of answers; whether a scorer judges each sample by itself does not depend on it."""
_Rule = Callable[[Drawn, int, int], Expected]


def sizes_of(samples: int) -> tuple[int, ...]:
    """1, 2, 4, … as far as the samples reach, and all of them.

    >>> sizes_of(12)
    (1, 2, 4, 8, 12)
    """
    return tuple(sorted({*(1 << i for i in range(samples.bit_length())), samples}))


def selection_table(
    pool: Pool,
    *,
    sizes: Sequence[int] | None = None,
    scorers: Sequence[str] | None = None,
    shape: Shape = NOTHING_KNOWN,
    tie: Tie = "first",
    seed: int = 0,
    subsets: int = SUBSETS,
) -> SelectionTable:
    """Every way of choosing from a pool, at every N, with intervals over questions.

    Args:
        pool: the samples of each question, graded and scored.
        sizes: the N; by default 1, 2, 4, … and all samples that every question has.
        scorers: those whose weighted votes and best-of are wanted; by default all that the pool holds and that judge
            each sample by itself (see `is_relative`).
        shape: what is known of the model's size, for estimates of FLOPs and KV bytes.
        tie: how equal votes are decided, `first` or `canonical`.
        seed: of the bootstraps, and of the subsets where there is no closed form.
        subsets: of each question, for these.

    Raises:
        InvalidInput: for no questions, an N that the pool does not reach, or a scorer that it does not hold.
    """
    samples = _checked(pool)
    chosen = _sizes(pool, samples, sizes)
    held = _scorers(pool, scorers)
    study = _Study(pool, chosen, shape, seed)
    lines = [study.line(RANDOM, "", _random), study.line(MAJORITY, "", _majority(tie))]
    for scorer in held:
        lines.append(study.line(WEIGHTED, scorer, _weighted(scorer, tie, subsets)))
        lines.append(study.line(BEST_OF, scorer, _best_of(scorer)))
    every = [
        (c, cut) for q in pool.questions for c, cut in zip(q.classes, q.truncated, strict=True)
    ]
    return SelectionTable(
        pool.task,
        pool.model,
        pool.process,
        pool.seed,
        len(pool.questions),
        samples,
        chosen,
        tuple(lines),
        study.covered(),
        fmean(c is None for c, _ in every),
        fmean(cut for _, cut in every),
        {s: fmean(v is None for q in pool.questions for v in _known(q.scores[s])) for s in held},
        tie,
        tuple(s for s in pool.questions[0].scores if is_relative(s)) if scorers is None else (),
    )


def drawn_from(recording: Recorded, seed: int = 0) -> Pool:
    """A recorded pool as selection sees it: graded, with the mean log-probability as the score `mean_logprob()`.

    >>> from cogitate.lab import open_pool
    >>> held = selection_table(drawn_from(open_pool("smollm2-wordproblems")), sizes=[1, 8])
    >>> [line.name for line in held.lines]
    ['random', 'majority', 'weighted(mean_logprob())', 'best_of(mean_logprob())']
    >>> round(held.line("random").at(1).estimate, 4), round(held.coverage.at(8).estimate, 4)
    (0.2354, 0.631)
    """
    return Pool(
        recording.about.task or recording.about.name,
        recording.about.model,
        seed,
        tuple(_drawn(q, recording.about.kind) for q in recording.questions),
    )


def _drawn(question: Question, kind: str) -> Drawn:
    seen = graded(question, kind)
    logs = tuple(s.logprob_mean if s.tokens else None for s in question.samples)
    return Drawn(
        str(question.id),
        seen.classes,
        seen.correct,
        tuple(s.tokens for s in question.samples),
        tuple(not s.complete for s in question.samples),
        {"mean_logprob()": logs},
        max((s.prompt_tokens for s in question.samples), default=0),
        {"mean_logprob()": Usage()},
    )


def is_relative(scorer: str) -> bool:
    """Whether a scorer's scores depend on the other samples that are judged with it, by its printed spec.

    A score over the whole pool would then lend a subset what only the whole pool knows. A spec that cannot be read, such
    as a function's of the caller, is taken to judge each sample by itself.

    >>> is_relative("prm(aggregate='min')"), is_relative("weighted(prm())"), is_relative("my_own()")
    (False, True, False)
    """
    try:
        found = read(scorer, "scorer").for_kind(_ANY_KIND)
    except InvalidInput:
        return False
    alone = isinstance(found, Separable) and found.separable
    return not alone and not isinstance(found, Checks)


def _random(q: Drawn, n: int, seed: int) -> Expected:
    return Expected(fmean(_right(q)))


def _majority(tie: Tie) -> _Rule:
    return lambda q, n, seed: expected_majority(q.classes, _right(q), n, tie=tie)


def _weighted(scorer: str, tie: Tie, subsets: int) -> _Rule:
    return lambda q, n, seed: expected_weighted(
        q.classes, _right(q), q.scores[scorer], n, seed, tie=tie, draws=subsets
    )


def _best_of(scorer: str) -> _Rule:
    return lambda q, n, seed: expected_best_of(_right(q), _known(q.scores[scorer]), n)


def _covered(q: Drawn, n: int, seed: int) -> Expected:
    return Expected(pass_at_k(len(q.correct), sum(_right(q)), n))


def _right(q: Drawn) -> list[bool]:
    """A sample without an answer is wrong, whatever the record says."""
    return [r and c is not None for r, c in zip(q.correct, q.classes, strict=True)]


def _known(scores: Sequence[float | None]) -> list[float | None]:
    return [None if s is None or math.isnan(s) else s for s in scores]


class _Study:
    """One pool at several N: what every line is made of."""

    def __init__(self, pool: Pool, sizes: tuple[int, ...], shape: Shape, seed: int) -> None:
        self._pool, self._sizes, self._shape = pool, sizes, shape
        self._root = Seed(seed)
        # one seed for all lines and sizes: the same questions are drawn, so that lines can be compared
        self._seed = self._root.at("bootstrap").int()
        self._seeds = (pool.seed,)
        self._single, _ = self._values(_random, 1)
        self._best = {n: self._values(_covered, n)[0] for n in sizes}
        self._votes: list[float] = []

    def line(self, method: str, scorer: str, rule: _Rule) -> SelectionLine[Accuracy]:
        points: list[Point[Accuracy]] = []
        gains: list[Gain] = []
        last: list[float] = []
        for n in self._sizes:
            last, error = self._values(rule, n)
            points.append(Point(n, bootstrapped(Accuracy, last, self._seed, self._seeds, error)))
            gains.append(self._gain(n, last, error))
        if method == MAJORITY:
            self._votes = last
        return SelectionLine(
            method,
            scorer,
            tuple(points),
            self._costs(method, scorer),
            tuple(gains),
            None if method == RANDOM else paired(last, self._single, self._seed, self._seeds),
            paired(last, self._votes, self._seed, self._seeds) if scorer else None,
        )

    def covered(self) -> SelectionLine[Coverage]:
        points = [
            Point(n, bootstrapped(Coverage, v, self._seed, self._seeds))
            for n, v in self._best.items()
        ]
        return SelectionLine(ORACLE, "", tuple(points), self._costs(ORACLE, ""))

    def _values(self, rule: _Rule, n: int) -> tuple[list[float], float]:
        """One value a question, and the standard error of their mean that the subsets bring."""
        found = [
            rule(q, n, self._root.at("subsets", i, n).int())
            for i, q in enumerate(self._pool.questions)
        ]
        error = math.sqrt(math.fsum(e.error**2 for e in found)) / len(found)
        return [e.value for e in found], error

    def _gain(self, n: int, values: Sequence[float], error: float) -> Gain:
        best, single = self._best[n], self._single
        answering = [_answering(q, n) for q in self._pool.questions]
        return Gain(
            n,
            self._share(values, single, error),
            self._share(best, single),
            self._share(best, values, error),
            self._share(answering, single),
        )

    def _share(self, more: Sequence[float], less: Sequence[float], error: float = 0.0) -> Share:
        spread = [a - b for a, b in zip(more, less, strict=True)]
        found = bootstrap(spread, self._seed, draws=DRAWS, expanded=True)
        return Share.of(found, len(spread), "bootstrap", self._seeds, error)

    def _costs(self, method: str, scorer: str) -> tuple[dict[str, Amount | None], ...]:
        return tuple(
            amounts(
                [
                    [_cost(q, 1 if method == RANDOM else n, scorer, self._shape)]
                    for q in self._pool.questions
                ],
                self._seed,
                self._seeds,
            )
            for n in self._sizes
        )


def _answering(q: Drawn, n: int) -> float:
    """The chance that a random one of those of n samples that have an answer is right; exactly."""
    size, answered = len(q.classes), sum(c is not None for c in q.classes)
    if not answered:
        return 0.0
    return pass_at_k(size, answered, n) * sum(_right(q)) / answered


def _cost(q: Drawn, n: int, scorer: str, shape: Shape) -> Cost:
    """The expected cost of n of the samples and of judging so many: the same share of what all of them cost."""
    samples = len(q.tokens)
    drawn = Usage(
        tokens_in=samples * q.tokens_in,
        tokens_out=sum(q.tokens),
        calls=samples,
        flops=None,
        bytes_moved=None,
        usd=None,
    )
    if scorer and scorer not in q.scored:
        return Cost(dict.fromkeys(COST_UNITS), frozenset())
    judged = {"verifier": q.scored[scorer]} if scorer else {}
    whole = cost_of({"policy": drawn, **judged}, shape)
    share = n / samples
    units = {unit: None if v is None else v * share for unit, v in whole.units.items()}
    return Cost(units, whole.estimated)


def _checked(pool: Pool) -> int:
    where = f"the pool of {pool.task} by {pool.model}"
    if not pool.questions:
        raise InvalidInput(f"{where} has no questions; draw samples first")
    for q in pool.questions:
        fields = {
            "classes": q.classes,
            "tokens": q.tokens,
            "truncated": q.truncated,
            **{f"the scores of {name}": held for name, held in q.scores.items()},
        }
        for name, held in fields.items():
            if len(held) != len(q.correct):
                raise InvalidInput(
                    f"{where}, question {q.question}: {len(held)} {name} for {len(q.correct)} samples"
                )
        if not q.correct:
            raise InvalidInput(f"{where}, question {q.question}: it has no samples")
    ids = [q.question for q in pool.questions]
    if len(set(ids)) < len(ids):
        raise InvalidInput(f"{where} holds a question twice; ids must be unique in a task")
    return min(len(q.correct) for q in pool.questions)


def _sizes(pool: Pool, samples: int, wanted: Sequence[int] | None) -> tuple[int, ...]:
    chosen = sizes_of(samples) if wanted is None else tuple(sorted(set(wanted)))
    if not chosen or chosen[0] < 1 or chosen[-1] > samples:
        raise InvalidInput(
            f"N = {', '.join(map(str, chosen)) or '(none)'} was asked for; the pool of {pool.task} by {pool.model} "
            f"has {samples} samples of every question"
        )
    return chosen


def _scorers(pool: Pool, wanted: Sequence[str] | None) -> list[str]:
    """Scorers that every question has scores of."""
    held = [
        s
        for s in pool.questions[0].scores
        if not is_relative(s) and all(s in q.scores for q in pool.questions)
    ]
    for name in wanted or ():
        if is_relative(name):
            raise InvalidInput(
                f"the scorer {name!r} was asked for; its scores depend on the other samples, and those over the whole "
                "pool know more than a subset does: run it as a strategy at each N, or take the line `majority`"
            )
        if name not in held:
            raise InvalidInput(
                f"the scorer {name!r} was asked for; the pool of {pool.task} by {pool.model} holds scores of "
                f"{', '.join(held) or 'none'}"
            )
    return held if wanted is None else list(wanted)
