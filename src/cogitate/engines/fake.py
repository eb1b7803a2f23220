"""The fake engine: every kind of request answered by arithmetic on its key; no weights, no clock."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.execute import Execute, Execution, Run
from cogitate.core.kinds import REQUESTS
from cogitate.core.needs import Need, lacking
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import (
    Call,
    Choice,
    Completion,
    Embed,
    Generate,
    Grade,
    Grades,
    JsonSchema,
    Likelihood,
    Loglikelihood,
    Reply,
    Request,
    ScoreSteps,
)
from cogitate.core.retrieve import Passage, Retrieve
from cogitate.core.seeds import Seed
from cogitate.core.usage import ZERO, Usage

from ._calling import called, calls
from ._judging import judgement
from ._schemas import instance
from .writing import PromptSizes, cut, estimated_tokens, pieces, wait_s

_SERVED: Final[frozenset[Need]] = frozenset(("names", "tools"))

Texts = Literal["plain", "malformed", "empty", "truncated", "mixed"]
Fail = float | Callable[[Request[Any]], bool]

STEP_BREAK = "\n\n"
_VERBS = ("add", "count", "take", "share", "compare", "check")


@dataclass(frozen=True, slots=True)
class Rates:
    """What a token costs on a fake engine; `None` is unknown."""

    flops: float | None = 0.0
    bytes_moved: float | None = 0.0
    usd: float | None = 0.0


class FakeEngine:
    """Answers every kind of request with plausible, reproducible replies.

    A reply is a pure function of the request, so it is the same under any schedule. Text depends on
    prompt, seed, sampling and constraint but not on `max_tokens`: a cut text is a prefix of the full one.
    In the role of a judge it fills in the form that the prompt asks for. Given tools, it calls some of them with
    arguments of their schemas, or answers; images and penalties it refuses.

    >>> from cogitate.core.prompt import Prompt
    >>> engine = FakeEngine(answers=("4", "5"))
    >>> asked = Generate(Prompt.raw("2 + 2?"), seed=1)
    >>> engine.write(asked).text.endswith(("#### 4", "#### 5"))
    True
    """

    # Mutable on purpose: it counts what it serves.

    calls: Counter[str]
    """Requests served, by kind."""
    peak: Counter[str]
    """The most requests of a kind that were in flight together, by kind."""
    served: list[str]
    """Keys of the requests in the order in which they came, where `record` is set."""

    def __init__(
        self,
        *,
        answers: tuple[str, ...] = (),
        texts: Texts = "plain",
        fail: Fail = 0.0,
        fail_at: int | None = None,
        transient: bool = False,
        latency_s: float = 0.0,
        latency_seed: int = 0,
        limits: Limits | None = None,
        rates: Rates | None = None,
        dimensions: int = 16,
        record: bool = False,
    ) -> None:
        """Configure the fake.

        Args:
            answers: final answers to draw from; by default a few numbers that depend on the question.
            texts: what `Generate` writes: `plain` steps, `malformed` or `empty` text, text `truncated`
                in its middle, or `mixed` by request.
            fail: share of requests (by key), or predicate of a request, answered by `Failed`.
            fail_at: the one request, counted from 0 as they come, that is answered by `Failed`.
            transient: whether those failures invite a retry.
            latency_s: median of heavy-tailed waits that depend on the request; at 0 `serve` never
                waits and needs no event loop.
            latency_seed: another seed gives other waits, so another order of arrival.
            limits: concurrency and batches; by default generous and mixed.
            rates: FLOPs, bytes and money of a token, prompt and output alike.
            dimensions: length of the vectors of `Embed`.
            record: keep the keys of all requests in `served`.
        """
        if isinstance(fail, float | int) and not 0 <= fail <= 1:
            raise InvalidInput(f"a failure rate of {fail} was asked for; it lies between 0 and 1")
        if latency_s < 0 or dimensions < 1:
            raise InvalidInput("latency_s must be at least 0 and dimensions at least 1")
        self._answers, self._texts, self._fail, self._fail_at = answers, texts, fail, fail_at
        self._transient, self._latency_s = transient, latency_s
        self._latency_seed = latency_seed
        self._limits = limits or Limits(concurrency=256, max_batch=256, mixed=True)
        self._rates, self._dimensions, self._record = rates or Rates(), dimensions, record
        self._sizes = PromptSizes()
        self._in_flight: Counter[str] = Counter()
        self.calls, self.peak, self.served = Counter(), Counter(), []

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """Every kind a journal can name."""
        return frozenset(REQUESTS.values())

    @property
    def limits(self) -> Limits:
        """The limits it was made with."""
        return self._limits

    @property
    def fingerprint(self) -> str:
        """What would change its answers."""
        return f"fake:{self._texts}:{','.join(self._answers)}:{self._dimensions}"

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most that serving this can cost; grading and running programs ask no model."""
        if isinstance(request, Grade | Execute):
            return ZERO
        out = request.max_tokens if isinstance(request, Generate) else 0
        return self._usage(self._tokens_in(request), out)

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        """Answer each request, in order."""
        kinds = Counter(type(request).__name__ for request in batch)
        self._in_flight.update(kinds)
        for kind in kinds:
            self.peak[kind] = max(self.peak[kind], self._in_flight[kind])
        try:
            if self._latency_s > 0 and batch:
                from asyncio import sleep

                await sleep(max(self.wait_s(request) for request in batch))
            return [self._one(index, request, emit) for index, request in enumerate(batch)]
        finally:
            self._in_flight.subtract(kinds)

    async def close(self) -> None:
        """Nothing is held."""

    def wait_s(self, request: Request[Any]) -> float:
        """How long this request takes; the same at every call."""
        return wait_s(self._latency_s, request, self._latency_seed)

    def write(self, request: Generate) -> Completion:
        """What `Generate` is answered with."""
        seed = _text_seed(request)
        texts = self._texts
        if texts == "mixed":
            choices: tuple[Texts, ...] = ("plain", "malformed", "empty", "truncated")
            texts = choices[seed.at("texts").int() % 4]
        if texts == "empty":
            return Completion("", "eos")
        if request.tools and (made := calls(request, seed, self._draw_answer(request, seed))):
            if refusal := lacking(request, _SERVED):
                raise Failed(refusal, "unsupported")
            return called(request, made)
        text = _malformed(seed) if texts == "malformed" else self._plain(request, seed)
        if texts != "truncated":
            return cut(request, text, served=_SERVED)
        parts = pieces(text)
        half = "".join(parts[: max(1, len(parts) // 2)])
        return cut(request, half, finish="limit", served=_SERVED)

    def _one(self, index: int, request: Request[Any], emit: Emit) -> Reply[Any] | Failed:
        kind = type(request).__name__
        turn = self.calls.total()
        self.calls[kind] += 1
        if self._record:
            self.served.append(request.key())
        if turn == self._fail_at or self._fails(request):
            reason = f"the fake engine was told to fail this {kind}"
            free = isinstance(request, Grade | Execute)
            usage = ZERO if free else self._usage(self._tokens_in(request), 0)
            return Failed(reason, "crashed", transient=self._transient, usage=usage)
        try:
            value = self._answer(request)
        except Failed as failure:
            return failure
        out = 0
        if isinstance(value, Completion):
            out = value.tokens
            for piece in pieces(value.text):
                emit(index, piece)
        free = isinstance(request, Grade | Execute)
        usage = ZERO if free else self._usage(self._tokens_in(request), out)
        return Reply(value, usage, engine=self.fingerprint)

    def _fails(self, request: Request[Any]) -> bool:
        if callable(self._fail):
            return self._fail(request)
        return self._fail > 0 and Seed(0, ("fail", request.key())).rng().random() < self._fail

    def _answer(self, request: Request[Any]) -> Any:
        match request:
            case Generate():
                return self.write(request)
            case Loglikelihood():
                return _likelihoods(request)
            case ScoreSteps():
                return _step_scores(request)
            case Embed():
                return tuple(_embedding(text, self._dimensions) for text in request.texts)
            case Grade():
                return grades(request)
            case Execute():
                return _execution(request)
            case Retrieve():
                return _passages(request)
            case Call():
                return request.args[0] if len(request.args) == 1 else request.args
            case _:
                raise Failed(
                    f"the fake engine has no answer to a {type(request).__name__}", "unserved"
                )

    def _plain(self, request: Generate, seed: Seed) -> str:
        constraint = request.constraint
        if isinstance(constraint, Choice):
            return constraint.options[seed.at("choice").int() % len(constraint.options)]
        if isinstance(constraint, JsonSchema):
            return json.dumps(instance(constraint.schema, seed, self._draw_answer(request, seed)))
        if constraint is not None:
            name = type(constraint).__name__
            raise Failed(
                f"the fake engine cannot enforce a {name}; use Choice or JsonSchema", "unsupported"
            )
        if request.role == "judge":
            return judgement(request.prompt, seed)
        return _solution(request, seed, self._draw_answer(request, seed))

    def _draw_answer(self, request: Generate, seed: Seed) -> str:
        """Half the samples agree, the others scatter, so that votes have something to decide."""
        rng = seed.at("answer").rng()
        if self._answers:
            return self._answers[0] if rng.random() < 0.5 else rng.choice(self._answers)
        favourite = int(request.prompt.base.digest[:4], 16) % 90 + 4
        return str(favourite if rng.random() < 0.5 else favourite + rng.randint(-3, 3))

    def _tokens_in(self, request: Request[Any]) -> int:
        match request:
            case Generate():
                return self._sizes(request.prompt)
            case Loglikelihood():
                return self._sizes(request.prompt) + sum(
                    map(estimated_tokens, request.continuations)
                )
            case ScoreSteps():
                return self._sizes(request.prompt) + sum(map(estimated_tokens, request.steps))
            case Embed():
                return sum(map(estimated_tokens, request.texts))
            case _:
                return 0

    def _usage(self, tokens_in: int, tokens_out: int) -> Usage:
        both, rates = tokens_in + tokens_out, self._rates
        return Usage(
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            calls=1,
            flops=None if rates.flops is None else rates.flops * both,
            bytes_moved=None if rates.bytes_moved is None else rates.bytes_moved * both,
            usd=None if rates.usd is None else rates.usd * both,
        )


def _passages(request: Retrieve) -> tuple[Passage, ...]:
    """Up to three made-up passages on the query, ever less fitting."""
    words = " ".join(request.query.split()[:8])
    return tuple(
        Passage(f"passage-{i}", f"Passage {i} on {words}", round(0.9 - 0.2 * i, 1))
        for i in range(min(request.k, 3))
    )


def grades(request: Grade) -> Grades:
    """Partition by the stripped and case-folded string; an empty answer abstains."""
    canonical = tuple(_canonical(answer) for answer in request.answers)
    first: dict[str, int] = {}
    for index, form in enumerate(canonical):
        if form is not None:
            first.setdefault(form, index)
    classes = tuple(None if form is None else first[form] for form in canonical)
    if request.reference is None:
        return Grades(classes, canonical)
    right = _canonical(request.reference)
    return Grades(
        classes, canonical, tuple(None if form is None else form == right for form in canonical)
    )


def _canonical(answer: str | None) -> str | None:
    return (answer.strip().casefold() or None) if answer is not None else None


def _text_seed(request: Generate) -> Seed:
    constraint = "" if request.constraint is None else repr(request.constraint)
    return Seed(request.seed, ("text", request.prompt.digest, repr(request.sampling), constraint))


def _solution(request: Generate, seed: Seed, answer: str) -> str:
    """Two to four steps in all, those already in the prefill counted."""
    prompt = request.prompt
    written = sum(piece.text.count(STEP_BREAK) for piece in prompt.continuations)
    total = 2 + int(prompt.base.digest[4:8], 16) % 3
    rng = seed.at("steps").rng()
    lines: list[str] = []
    for number in range(written + 1, total):
        left, right = rng.randint(2, 60), rng.randint(2, 60)
        lines.append(
            f"Step {number}: {rng.choice(_VERBS)}, {left} + {right} = {left + right}.{STEP_BREAK}"
        )
    return "".join([*lines, f"So the answer is {answer}.\n#### {answer}"])


def _execution(request: Execute) -> Execution:
    """Half the runs end well; nothing is run."""
    seeds = [Seed(0, ("run", request.key(), stdin)) for stdin in request.inputs or (request.stdin,)]
    runs = tuple(_fake_run(seed) for seed in seeds)
    return Execution(runs, _fake_run(seeds[0].at("harness")) if request.harness else None)


def _fake_run(seed: Seed) -> Run:
    if seed.int() % 2:
        return Run("", "AssertionError\n", 1, "error")
    return Run(f"{seed.int() % 10}\n", "", 0, "ok", finished=True)


_MALFORMED = (
    "#### ",
    "\\boxed{{{12",
    '{"answer": [1, ',
    "#### not 5 ####",
    "\x00\x1b[31m\u202e\ufffd",
    "cut emoji \ud83d",
    "Answer: ",
    STEP_BREAK,
    STEP_BREAK + STEP_BREAK,
    "```python\ndef f(",
    "9" * 400,
    "\\frac{1}{",
)


def _malformed(seed: Seed) -> str:
    rng = seed.at("malformed").rng()
    return "".join(rng.choice(_MALFORMED) for _ in range(rng.randint(1, 6)))


def _likelihoods(request: Loglikelihood) -> tuple[Likelihood, ...]:
    """Labels share a probability of 0.98 by softmax; other continuations are priced by the token."""
    seeds = [Seed(0, ("likelihood", request.prompt.digest, text)) for text in request.continuations]
    if request.labels:
        weights = [math.exp(seed.rng().gauss(0, 1.5)) for seed in seeds]
        return tuple(Likelihood(math.log(0.98 * w / sum(weights)), 1) for w in weights)
    found: list[Likelihood] = []
    for seed, text in zip(seeds, request.continuations, strict=True):
        tokens = len(pieces(text))
        found.append(Likelihood(-tokens * (0.1 + 2 * seed.rng().random()), tokens))
    return tuple(found)


def _step_scores(request: ScoreSteps) -> tuple[float, ...]:
    """A step's score depends on the steps up to it, as a process reward model's does."""
    prompt, found = request.prompt, list[float]()
    for step in request.steps:
        prompt = prompt.then(step)
        found.append(0.02 + 0.96 * Seed(0, ("steps", prompt.digest)).rng().random())
    return tuple(found)


def _embedding(text: str, dimensions: int) -> tuple[float, ...]:
    """A unit vector summed over words, so that texts that share words lie close."""
    total = [0.0] * dimensions
    for word in text.casefold().split() or [""]:
        rng = Seed(0, ("word", word)).rng()
        total = [held + rng.gauss(0, 1) for held in total]
    length = math.sqrt(sum(value * value for value in total))
    return tuple(value / length for value in total)
