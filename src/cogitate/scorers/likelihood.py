"""The probability that a model gives to "this answer is true"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.flow import gather
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Likelihood, Loglikelihood
from cogitate.core.task import Message, Task
from cogitate.core.usage import Budget

from ._asking import each_once, mark_for, prompt_file, question_of, quoted

LABELS = ("A", "B")


@dataclass(frozen=True)
class PTrue:
    """P(true): the model is shown question and answer and chooses between True and False.

    `Score.value` = p(True) / (p(True) + p(False)), in [0, 1], from the probabilities of the label tokens
    A and B; with `swapped` the mean over both ways of labelling, since models prefer a letter.
    Needs `Loglikelihood`, or an engine that shows enough top log-probabilities. Equal texts are asked
    about once. Features: none.

    >>> flow = PTrue()(Task.of("2 + 2?"), [Artifact("4")])
    >>> flow.close()

    Reference:
        @article{kadavath2022language, title={Language Models (Mostly) Know What They Know},
          author={Kadavath, Saurav and others}, journal={arXiv:2207.05221}, year={2022}}
    Deviates: no sampled alternatives are shown beside the answer.
    """

    swapped: bool = False
    """Ask again with the labels exchanged: twice the calls, without the preference for a letter."""
    role: str = "judge"
    separable: ClassVar[bool] = True
    """Each candidate is judged by itself."""

    def reserve(self, states: int) -> Budget | None:
        """One call a candidate, or two."""
        return Budget(calls=states * (2 if self.swapped else 1))

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return await each_once(states, lambda a: a.said, lambda a: self._one(task, a.said))

    async def _one(self, task: Task, text: str) -> Score | Unscored:
        ways = (False, True) if self.swapped else (False,)
        found = await gather(*(self._ask(task, text, swapped) for swapped in ways))
        if any(math.isnan(p) for p in found):
            return Unscored("the model gave neither label a probability", "form")
        return Score(math.fsum(found) / len(found))

    async def _ask(self, task: Task, text: str, swapped: bool) -> float:
        question, answer = quoted(question_of(task)), quoted(text)
        first, second = ("False", "True") if swapped else ("True", "False")
        prompt = prompt_file("p_true").substitute(
            mark=mark_for(question, answer),
            question=question,
            answer=answer,
            first=first,
            second=second,
        )
        asked = Prompt.chat(Message("user", prompt))
        pair = await Loglikelihood(asked, LABELS, labels=True, role=self.role)
        return _share(*(pair[::-1] if swapped else pair))


def _share(true: Likelihood, false: Likelihood) -> float:
    """p(True) over both; NaN where neither has any."""
    high = max(true.logprob, false.logprob)
    if not math.isfinite(high) or math.isnan(true.logprob) or math.isnan(false.logprob):
        return math.nan
    yes, no = math.exp(true.logprob - high), math.exp(false.logprob - high)
    return yes / (yes + no)
