"""A simulated policy and verifier for arithmetic word problems: no weights, tunable skill."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import Completion, Generate, Reply, Request, ScoreSteps
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Usage

from .writing import CERTAIN, PromptSizes, cut, estimated_tokens, wait_s

_STEPS_OF_SKILL = 3
_NAMES = ("Ann", "Ben", "Cleo", "Dan", "Eva")
_THINGS = ("apples", "books", "coins", "pens", "shells")
_DEEDS = {"+": "gets {} more", "-": "gives away {}", "*": "trades each of them for {}"}
_OPENING = re.compile(r"\b\w{1,40} has (\d{1,12}) \w{1,40}\. ")
_DEED = re.compile(
    r"Then \w{1,40} (?:gets (\d{1,6}) more|gives away (\d{1,6})|trades each of them for (\d{1,6}))\."
)
_CLAIM = re.compile(r"= (-?\d{1,40})")
_FINAL = re.compile(r"#### (-?\d{1,40})")


def simulated_tasks(n: int, seed: int = 0, difficulty: int = 3) -> tuple[tuple[Task, str], ...]:
    """Word problems of `difficulty` steps with their answers; the first 8 of 64 are the 8 of 8.

    >>> ((task, answer),) = simulated_tasks(1, seed=1, difficulty=2)
    >>> task.question
    'Ben has 37 pens. Then Ben gives away 19. Then Ben gives away 7. How many pens does Ben have now?'
    >>> answer
    '11'
    """
    if n < 0 or not 1 <= difficulty <= 40:
        raise InvalidInput(
            f"{n} problems of {difficulty} steps were asked for; steps lie between 1 and 40"
        )
    return tuple(
        _task(Seed(seed, ("simulated", difficulty, number)), difficulty) for number in range(n)
    )


def _task(seed: Seed, difficulty: int) -> tuple[Task, str]:
    rng = seed.rng()
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    value = start = rng.randint(5, 40)
    told: list[str] = []
    for _ in range(difficulty):
        deed = rng.choice("+-*" if value < 400 else "+-")
        by = rng.randint(2, 3) if deed == "*" else rng.randint(2, max(2, min(40, value - 1)))
        told.append(f"Then {name} {_DEEDS[deed].format(by)}.")
        value = _after(value, deed, by)
    question = (
        f"{name} has {start} {thing}. {' '.join(told)} How many {thing} does {name} have now?"
    )
    return Task.of(question, kind="number"), str(value)


def _after(value: int, deed: str, by: int) -> int:
    return value + by if deed == "+" else value - by if deed == "-" else value * by


class _Problem:
    """A question of this world, read back: the deeds, and the true value after each."""

    def __init__(self, start: int, deeds: list[tuple[str, int]]) -> None:
        self.deeds, self.values = deeds, [start]
        for deed, by in deeds:
            self.values.append(_after(self.values[-1], deed, by))

    @classmethod
    def read(cls, prompt: Prompt) -> _Problem:
        """The last question in the prompt that belongs to this world."""
        texts = [prompt.text, *(message.content for message in prompt.messages)]
        for text in reversed(texts):
            openings = list(_OPENING.finditer(text))
            if openings:
                opening = openings[-1]
                found = _DEED.findall(text, opening.end())
                deeds = [(d, int(v)) for row in found for d, v in zip("+-*", row, strict=True) if v]
                return cls(int(opening[1]), deeds)
        raise Failed(
            "the simulated world knows only its own word problems; ask one of simulated_tasks(n)",
            "unserved",
        )


class Simulated:
    """Answers the problems of `simulated_tasks` rightly with a known probability, and scores steps.

    A mistake is either the problem's own attractor, which many samples share, or scattered; later steps
    go on from it. The verifier tells a right step from a wrong one with the given AUC. All is a pure
    function of the request.

    >>> ((task, answer),) = simulated_tasks(1)
    >>> asked = Generate(Prompt.chat(*task.messages), seed=0)
    >>> Simulated(skill=1.0).write(asked).text.endswith(f"#### {answer}")
    True
    """

    # Mutable on purpose: it remembers the sizes of prompts.

    def __init__(
        self,
        *,
        skill: float = 0.6,
        attractor: float = 0.4,
        auc: float = 0.85,
        doubt: float = 0.0,
        latency_s: float = 0.0,
        limits: Limits | None = None,
    ) -> None:
        """Tune the world.

        Args:
            skill: probability that a whole solution of three steps is right; k steps: `skill ** (k / 3)`.
            attractor: share of mistakes that fall on the same wrong value.
            auc: probability that a right step scores above a wrong one, 0.5 to 1.
            doubt: share of its certainty that the policy loses from its first mistake on, 0 to 1; it
                shows in the log-probabilities of its tokens.
            latency_s: median of heavy-tailed waits; at 0 `serve` needs no event loop.
            limits: concurrency and batches; by default generous and mixed.
        """
        shares = 0 < skill <= 1 and 0 <= attractor <= 1 and 0 <= doubt <= 1
        if not (shares and 0.5 <= auc <= 1 and latency_s >= 0):
            raise InvalidInput(
                f"skill={skill}, attractor={attractor}, auc={auc}, doubt={doubt}, latency_s={latency_s} were "
                "asked for; skill lies above 0 and up to 1, attractor and doubt from 0 to 1, auc from 0.5 to "
                "1, latency_s from 0"
            )
        self._skill, self._attractor, self._auc, self._latency_s = skill, attractor, auc, latency_s
        self._doubt = doubt
        self._limits = limits or Limits(concurrency=256, max_batch=256, mixed=True)
        self._sizes = PromptSizes()

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """Generation and scores of steps."""
        return frozenset((Generate, ScoreSteps))

    @property
    def limits(self) -> Limits:
        """The limits it was made with."""
        return self._limits

    @property
    def fingerprint(self) -> str:
        """The parameters that change its answers."""
        doubt = f", doubt={self._doubt}" if self._doubt else ""
        return f"sim:arithmetic(skill={self._skill}, attractor={self._attractor}, auc={self._auc}{doubt})"

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most that serving this can cost."""
        return self._usage(request, request.max_tokens if isinstance(request, Generate) else 0)

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        """Answer each request, in order."""
        if self._latency_s > 0 and batch:
            from asyncio import sleep

            await sleep(max(wait_s(self._latency_s, request) for request in batch))
        return [self._one(index, request, emit) for index, request in enumerate(batch)]

    async def close(self) -> None:
        """Nothing is held."""

    def write(self, request: Generate) -> Completion:
        """What `Generate` is answered with: the steps that are missing, then the final line."""
        if request.constraint is not None:
            raise Failed("the simulated policy cannot enforce a constraint", "unsupported")
        problem, begun = _Problem.read(request.prompt), request.prompt.prefill
        if _FINAL.search(begun):
            return cut(request, "")
        claims = _CLAIM.findall(begun)
        value = int(claims[-1]) if claims else problem.values[0]
        drawn = request.seed if request.sampling.temperature > 0 else 0
        seed = Seed(drawn, ("simulated", request.prompt.digest, repr(request.sampling)))
        lines: list[str] = []
        mistakes = [0] if value != problem.values[min(len(claims), len(problem.deeds))] else []
        for number, (deed, by) in list(enumerate(problem.deeds))[len(claims) :]:
            said = self._claim(
                _after(value, deed, by), seed.at(number), request.prompt.base.digest, number
            )
            if said != problem.values[number + 1]:
                mistakes.append(sum(map(len, lines)))
            lines.append(f"Step {number + 1}: {value} {deed} {by} = {said}.\n\n")
            value = said
        text = "".join([*lines, f"#### {value}"])
        return cut(request, text, doubt=(mistakes[0], self._doubt) if mistakes else CERTAIN)

    def scores(self, request: ScoreSteps) -> tuple[float, ...]:
        """Logistic scores of each step, right and wrong ones apart by as much as the AUC says."""
        problem, told, found = _Problem.read(request.prompt), 0, list[float]()
        prompt = request.prompt
        for step in request.steps:
            prompt = prompt.then(step)
            claims, final = _CLAIM.findall(step), _FINAL.search(step)
            told += len(claims)
            right = told < len(problem.values) and (
                not claims or int(claims[-1]) == problem.values[told]
            )
            if final:
                right = int(final[1]) == problem.values[-1]
            found.append(self._score(right, Seed(0, ("verifier", prompt.digest))))
        return tuple(found)

    def _one(self, index: int, request: Request[Any], emit: Emit) -> Reply[Any] | Failed:
        try:
            match request:
                case Generate():
                    value = self.write(request)
                    emit(index, value.text)
                    return Reply(value, self._usage(request, value.tokens), engine=self.fingerprint)
                case ScoreSteps():
                    return Reply(
                        self.scores(request), self._usage(request, 0), engine=self.fingerprint
                    )
                case _:
                    kind = type(request).__name__
                    return Failed(
                        f"the simulated world serves Generate and ScoreSteps, not {kind}",
                        "unserved",
                    )
        except Failed as failure:
            failure.usage = self._usage(request, 0)
            return failure

    def _claim(self, right: int, seed: Seed, question: str, number: int) -> int:
        rng = seed.rng()
        if rng.random() < self._skill ** (1 / _STEPS_OF_SKILL):
            return right
        if rng.random() < self._attractor:
            return right + Seed(0, ("attractor", question, number)).rng().choice((-10, -1, 1, 10))
        return right + rng.choice((-1, 1)) * rng.randint(2, 30)

    def _score(self, right: bool, seed: Seed) -> float:
        from statistics import NormalDist

        if self._auc == 1:
            return 0.95 if right else 0.05
        apart = math.sqrt(2) * NormalDist().inv_cdf(self._auc)
        return 1 / (1 + math.exp(-seed.rng().gauss(apart / 2 if right else -apart / 2, 1)))

    def _usage(self, request: Request[Any], tokens_out: int) -> Usage:
        match request:
            case Generate():
                tokens_in = self._sizes(request.prompt)
            case ScoreSteps():
                tokens_in = self._sizes(request.prompt) + sum(map(estimated_tokens, request.steps))
            case _:
                tokens_in = 0
        return Usage(tokens_in=tokens_in, tokens_out=tokens_out, calls=1)
