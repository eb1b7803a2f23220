"""Scorers of programs: given tests, the checks of the task, and checks that a model writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cogitate.core.candidates import Artifact, Critique, Score, Unscored
from cogitate.core.code_tests import CodeTests
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.execute import ExecutionLimits, Language
from cogitate.core.flow import gather
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate, Sampling
from cogitate.core.seeds import Seed
from cogitate.core.task import Message, Task
from cogitate.core.usage import Budget
from cogitate.rules.programs import assertions

from ._asking import mark_for, prompt_file, question_of, quoted
from .execution import LIMITS, Verdict, run_checks, run_tests

_NO_PROGRAM = Unscored("there is no program in it", "abstained")


@dataclass(frozen=True)
class Passes:
    """Scores programs by given tests: 1 where all pass, 0 otherwise, or the share that passes.

    A candidate without a program is `Unscored`; one that the sandbox could not run says why. Each program is run
    once, however often it occurs. `Score.critique` is the first failure, for a reviser. Features: `passed` (one bit a
    test).

    >>> from cogitate.core.code_tests import FunctionTests
    >>> Passes(FunctionTests("f", "assert f() == 1")).share
    False
    """

    tests: CodeTests
    share: bool = False
    """Tests of functions are one verdict, so this is for tests of output."""
    limits: ExecutionLimits = LIMITS
    language: Language = "python"

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        async def one(program: str) -> Verdict:
            return await run_tests(program, self.tests, limits=self.limits, language=self.language)

        found = await _each_once(states, one)
        return [_scored(verdict, share=self.share) for verdict in found]


@dataclass(frozen=True)
class Checks:
    """Scores programs by the checks that the task shows: the share that passes, or all or nothing.

    Where the task has none, nothing is scored. Costs no model call.

    >>> Checks()
    Checks(share=True, limits=ExecutionLimits(seconds=10.0, cpu_seconds=10.0, memory_bytes=536870912, processes=32, file_bytes=16777216, open_files=128, output_bytes=1048576, tmp_bytes=67108864))
    """

    share: bool = True
    limits: ExecutionLimits = LIMITS

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        if not task.checks:
            nothing = Unscored(
                "the task has no checks to run; give some, or another scorer", "form"
            )
            return [nothing] * len(states)
        found = await _each_once(states, lambda p: run_checks(p, task.checks, self.limits))
        return [_scored(verdict, share=self.share) for verdict in found]


@dataclass(frozen=True)
class GeneratedTests:
    """A model writes checks for the task, and programs are scored by those they pass.

    With `agreement`, programs that pass the same checks support each other: the score is the number of
    such programs times the number of checks they pass, over its largest possible value; without, the share
    of the checks that pass. Checks that no program passes say nothing about programs and are left out, unless none
    passes any. A check is one assert statement; others are dropped. Features: `passed`.

    >>> GeneratedTests(samples=2).reserve(8)
    Budget(tokens_out=1024, calls=2)

    Reference:
        @misc{chen2022codet, title={{CodeT}: Code Generation with Generated Tests}, author={Chen, Bei and
          others}, year={2022}, eprint={2207.10397}}
    """

    samples: int = 1
    """Lists of checks that are asked for."""
    at_most: int = 16
    """Checks that are kept."""
    agreement: bool = True
    max_tokens: int = 512
    sampling: Sampling = Sampling(temperature=0.7)  # noqa: RUF009  (frozen)
    limits: ExecutionLimits = LIMITS
    seed: int = 0
    role: str = "judge"

    def __post_init__(self) -> None:
        if min(self.samples, self.at_most, self.max_tokens) < 1:
            raise InvalidInput(
                "samples, at_most and max_tokens of generated tests must be at least 1"
            )

    def reserve(self, states: int) -> Budget | None:
        """One call a list of checks."""
        return Budget(calls=self.samples, tokens_out=self.samples * self.max_tokens)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        if not states:
            return []
        try:
            checks = await self._checks(task)
        except (Failed, OutOfBudget) as error:
            return [Unscored.because(error)] * len(states)
        if not checks:
            nothing = Unscored("the model wrote no check that can be read", "form")
            return [nothing] * len(states)
        found = await _each_once(states, lambda p: run_checks(p, checks, self.limits))
        verdicts = [v for v in found if isinstance(v, Verdict)]
        telling = [i for i in range(len(checks)) if any(v.passed[i] for v in verdicts)]
        kept = telling or list(range(len(checks)))
        alike = Counter(tuple(v.passed[i] for i in kept) for v in verdicts)
        most = len(kept) * (len(verdicts) if self.agreement else 1)

        def score(verdict: Verdict | Unscored) -> Score | Unscored:
            if isinstance(verdict, Unscored):
                return verdict
            bits = tuple(verdict.passed[i] for i in kept)
            value = sum(bits) * (alike[bits] if self.agreement else 1) / most
            return _score(value, verdict, bits)

        return [score(verdict) for verdict in found]

    async def _checks(self, task: Task) -> tuple[str, ...]:
        question = quoted(question_of(task))
        asked = prompt_file("write_checks").substitute(
            question=question, mark=mark_for(question), count=str(self.at_most)
        )
        prompt = Prompt.chat(Message("user", asked))

        async def one(number: int) -> str:
            reply = await Generate(
                prompt,
                Seed(self.seed).at("checks", number).int(),
                max_tokens=self.max_tokens,
                sampling=self.sampling,
                role=self.role,
            )
            return reply.text

        written = await gather(
            *(one(number) for number in range(self.samples)),
            drop=(Failed, OutOfBudget) if self.samples > 1 else (),
        )
        return assertions("\n".join(written), self.at_most)


async def _each_once(
    states: Sequence[Artifact], judge: Callable[[str], Awaitable[Verdict]]
) -> list[Verdict | Unscored]:
    """A verdict for each candidate's program; equal programs are run once."""
    programs = [
        a.answer if a.complete and a.answer is not None and a.answer.strip() else None
        for a in states
    ]

    async def one(program: str) -> Verdict | Unscored:
        try:
            return await judge(program)
        except (Failed, OutOfBudget) as error:
            return Unscored.because(error)

    once = list(dict.fromkeys(program for program in programs if program is not None))
    found = dict(zip(once, await gather(*(one(program) for program in once)), strict=True))
    return [_NO_PROGRAM if program is None else found[program] for program in programs]


def _scored(verdict: Verdict | Unscored, *, share: bool) -> Score | Unscored:
    if isinstance(verdict, Unscored):
        return verdict
    return _score(verdict.share if share else float(verdict.all), verdict, verdict.passed)


def _score(value: float, verdict: Verdict, bits: Sequence[bool]) -> Score:
    critique = Critique(f"A test failed: {verdict.reason}") if verdict.reason else None
    return Score(value, critique=critique, features={"passed": tuple(float(b) for b in bits)})
