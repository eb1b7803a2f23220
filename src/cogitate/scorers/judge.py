"""A language model grades each candidate by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import ClassVar

from cogitate.core.candidates import Artifact, Critique, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Completion, Generate, Sampling
from cogitate.core.seeds import Seed
from cogitate.core.task import Message, Task
from cogitate.core.usage import Budget

from ._asking import each_once, last_match, mark_for, prompt_file, question_of, quoted

CRITERIA = "Judge whether the answer is correct, complete and to the point."
GREEDY = Sampling(temperature=0.0)
UNFINISHED = "The answer is not finished yet: judge how promising it is so far. "
_FORM = re.compile(
    r"[*_#\s]*score[*_\s]*[:=][*_\s]*(-?\d+(?:\.\d+)?)(?:\s*/\s*(\d+))?[*_.\s]*", re.IGNORECASE
)


@dataclass(frozen=True)
class Judge:
    r"""A judge model's mark for each candidate, by a form that is checked and asked for again.

    `Score.value` is the mean of its marks, brought onto [0, 1]; `Score.critique` what the judge said.
    A reply without the form is asked for again at most `attempts` - 1 times; a candidate without
    a valid mark is `Unscored`, never 0. The candidate's text stands between marker lines that it cannot
    foresee, with control tokens split. Equal texts are judged once. Features: `marks` (as given),
    `attempts` (calls made).

    >>> Judge()._read(Completion("Right, but the unit is missing.\nScore: 7"))
    7.0
    >>> Judge(criteria="Prefer short answers.", scale=(1, 5)).reserve(4)
    Budget(tokens_out=768, calls=4)
    """

    criteria: str = CRITERIA
    scale: tuple[int, int] = (1, 10)
    samples: int = 1
    """Marks a candidate; above 1 the sampling must be warm."""
    attempts: int = 2
    """Calls for one mark at most."""
    max_tokens: int = 256
    sampling: Sampling = GREEDY
    seed: int = 0
    role: str = "judge"
    separable: ClassVar[bool] = True
    """Each candidate is judged by itself."""

    def __post_init__(self) -> None:
        if self.scale[0] >= self.scale[1]:
            raise InvalidInput(
                f"a scale of {self.scale} was asked for; it goes from a lower to a higher number"
            )
        if self.samples < 1 or self.attempts < 1 or self.max_tokens < 1:
            raise InvalidInput("samples, attempts and max_tokens of a judge must be at least 1")
        if self.samples > 1 and self.sampling.temperature <= 0:
            raise InvalidInput(
                f"{self.samples} samples of a judge were asked for at temperature 0, where all are equal; "
                "give sampling with a temperature"
            )

    def reserve(self, states: int) -> Budget | None:
        """A call a mark, each half as long as it may be, and room for the last one's ceiling."""
        calls = states * self.samples
        return Budget(calls=calls, tokens_out=(calls * self.max_tokens) // 2 + self.max_tokens)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return await each_once(states, lambda a: (a.said, a.complete), lambda a: self._one(task, a))

    async def _one(self, task: Task, artifact: Artifact) -> Score | Unscored:
        prompt = self._prompt(task, artifact)
        marks = await gather(*(self._mark(prompt, i) for i in range(self.samples)))
        valid = [m for m in marks if not isinstance(m, Unscored)]
        if not valid:
            return next(m for m in marks if isinstance(m, Unscored))
        low, high = self.scale
        value = fsum((mark - low) / (high - low) for mark, _, _ in valid) / len(valid)
        features = {
            "marks": tuple(mark for mark, _, _ in valid),
            "attempts": (float(sum(calls for _, calls, _ in valid)),),
        }
        return Score(value, critique=Critique(valid[0][2]), features=features)

    async def _mark(self, prompt: Prompt, sample: int) -> tuple[float, int, str] | Unscored:
        low, high = self.scale
        again = prompt_file("judge_again").substitute(least=low, most=high)
        try:
            for attempt in range(self.attempts):
                seed = Seed(self.seed).at("judge", sample, attempt).int()
                reply = await Generate(
                    prompt, seed, max_tokens=self.max_tokens, sampling=self.sampling, role=self.role
                )
                mark = self._read(reply)
                if mark is not None:
                    return mark, attempt + 1, reply.text.strip()
                if reply.text.strip():
                    prompt = prompt.turn(Message("assistant", reply.text)).turn(
                        Message("user", again)
                    )
        except (Failed, OutOfBudget) as error:
            return Unscored.because(error)
        return Unscored(
            f"the judge gave no mark in the form asked for, in {self.attempts} replies", "form"
        )

    def _read(self, reply: Completion) -> float | None:
        found = last_match(reply, _FORM)
        if found is None or (found[2] and int(found[2][:9]) != self.scale[1]):
            return None
        mark = float(found[1])
        return mark if self.scale[0] <= mark <= self.scale[1] else None

    def _prompt(self, task: Task, artifact: Artifact) -> Prompt:
        question, answer = quoted(question_of(task)), quoted(artifact.said)
        text = prompt_file("judge").substitute(
            mark=mark_for(question, answer),
            question=question,
            answer=answer,
            unfinished="" if artifact.complete else UNFINISHED,
            criteria=self.criteria,
            least=self.scale[0],
            most=self.scale[1],
        )
        return Prompt.chat(Message("user", text))
