"""Reasoning in steps: a text that grows from boundary to boundary and can branch at each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cogitate.core.candidates import Artifact, Critique
from cogitate.core.errors import InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Completion, Generate, Sampling
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.until import Until
from cogitate.rules.extraction import extract

from ._attempts import asked_again, blamed, remembering, shown, told
from .asking import prompt_of
from .presets import DEFAULT_SAMPLING, Examples

Ending = Literal["", "eos", "answer", "until", "empty", "repeated", "steps", "limit"]
"""Why a chain ended; empty while it grows. `steps` and `limit` are cuts: they leave no answer."""

_ANSWERED = re.compile(
    r"^[ \t]*####[ \t]*(?=\S{0,40}\d)\S{1,40}[ \t]*$"  # one word with a digit: no heading
    r"|\\boxed\{"
    r"|^[*_ \t]*(?:the )?(?:final )?answer(?: is)?[*_]*:",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWERED_KINDS = ("math", "number", "choice")


Steps = tuple[Completion, ...]


@dataclass(frozen=True, slots=True)
class Boundaries:
    r"""What a step is: text up to one of the separators.

    >>> Boundaries(separators=("\n",), max_steps=8)
    Boundaries(separators=('\n',), max_steps=8, max_step_tokens=256)
    """

    separators: tuple[str, ...] = ("\n\n",)
    """Kept in the text that they end."""
    max_steps: int = 32
    max_step_tokens: int = 256

    def __post_init__(self) -> None:
        if not self.separators or not all(self.separators):
            raise InvalidInput(
                f"the separators {self.separators!r} were asked for; give at least one, none empty"
            )
        if self.max_steps < 1 or self.max_step_tokens < 1:
            raise InvalidInput(
                f"max_steps={self.max_steps} and max_step_tokens={self.max_step_tokens} were asked for; "
                "both must be at least 1"
            )


@dataclass(frozen=True)
class Chain:
    """The state of `Reasoning`: the question and the steps so far."""

    prompt: Prompt
    """The question with all steps as the begun turn."""
    kind: str
    options: tuple[str, ...] = ()
    steps: Steps = ()
    ending: Ending = ""
    question: Prompt | None = None
    """The task as it was first asked, where the chain is a later attempt."""
    attempt: int = 0
    """How often it was revised."""

    @property
    def origin(self) -> Prompt:
        """The task as it was first asked."""
        if self.question is not None:
            return self.question
        node = self.prompt
        for step in self.steps:
            if step.text and node.parent is not None:
                node = node.parent
        return node

    @property
    def text(self) -> str:
        """What was written so far, a begun turn of the task's included."""
        return self.prompt.prefill


@dataclass(frozen=True)
class Reasoning:
    r"""Writes step by step; ends with the model, at an answer, or at a cap.

    An empty step, or one that repeats the step before, ends the chain too (but for code, where both
    are ordinary): a model that writes either has nothing more to say.

    >>> flow = Reasoning().step(Chain(Prompt.raw("2 + 2?"), "number"), Seed(0))
    >>> request = flow.send(None)
    >>> request.stop, request.max_tokens
    (('\n\n',), 256)
    >>> flow.close()
    """

    boundaries: Boundaries = Boundaries()
    sampling: Sampling = DEFAULT_SAMPLING
    instruction: str | None = None
    """Takes the place of the prompt file of the task's kind; empty for none."""
    examples: Examples = ()
    """Worked examples, shown as turns before the question."""
    logprobs: int = -1
    """-1 none, 0 of the chosen tokens, k > 0 of the k likeliest too; for scorers that read them."""
    until: tuple[Until, ...] = ()
    """Predicates on a step's text that end the chain."""
    final: bool = False
    """The text is the answer and may be streamed."""
    role: str = "policy"

    async def start(self, task: Task, seed: Seed) -> Chain:
        """Word the question."""
        question = prompt_of(task, "steps", self.instruction, self.examples)
        return Chain(question, task.kind, task.options)

    async def step(self, state: Chain, seed: Seed) -> Chain:
        """Write one step more; a chain that ended stays as it is."""
        if state.ending:
            return state
        cap = self.boundaries.max_step_tokens
        step = await Generate(
            state.prompt,
            seed=seed.int(),
            max_tokens=cap,
            least_tokens=cap // 4,
            stop=self.boundaries.separators,
            sampling=self.sampling,
            logprobs=self.logprobs,
            until=self.until,
            final=self.final,
            role=self.role,
        )
        prompt = state.prompt.then(step.text, step.ids) if step.text else state.prompt
        ending = self._ending(state, step)
        return replace(state, prompt=prompt, steps=(*state.steps, step), ending=ending)

    def done(self, state: Chain) -> bool:
        """Whether the chain has ended."""
        return state.ending != ""

    async def render(self, state: Chain) -> Artifact:
        """The text and the answer in it; a chain that was cut, or still grows, has none."""
        text = state.text
        complete = state.ending not in ("", "steps", "limit")
        return Artifact(
            text=text,
            answer=extract(text, state.kind, complete=complete, options=state.options),
            kind=state.kind,
            complete=complete,
            steps=tuple(step.text for step in state.steps if step.text.strip()),
            completions=state.steps,
        )

    async def preview(self, state: Chain) -> Artifact:
        """The steps so far."""
        return await self.render(state)

    async def revise(self, state: Chain, critique: Critique, seed: Seed) -> Chain:
        """Begin again, told what is wrong; the steps before the first wrong one are kept as they are.

        The new chain has its first new step; go on with `step`.
        """
        written = [at for at, step in enumerate(state.steps) if step.text.strip()]
        wrong = blamed(critique, len(written))
        kept = state.steps[: written[wrong]] if wrong is not None else ()
        question = state.origin
        prompt = asked_again(question, state.prompt, (), told(critique, len(written)))
        for step in kept:
            prompt = prompt.then(step.text, step.ids) if step.text else prompt
        return await self._after(state, question, prompt, kept, seed)

    async def mutate(self, parents: Sequence[Chain], seed: Seed) -> Chain:
        """Begin again, shown earlier attempts: the first as one's own, the others quoted."""
        if not parents:
            raise InvalidInput("mutate was asked for without parents; give at least one chain")
        first = parents[0]
        prompt = shown(first.origin, [parent.text for parent in parents])
        return await self._after(first, first.origin, prompt, (), seed)

    def remembering(self, state: Chain, attempts: int) -> Chain:
        """The chain as if only the last attempts, its own counted, had been made."""
        prompt = remembering(state.origin, state.prompt, attempts - 1)
        return replace(state, prompt=prompt)

    def at_strength(self, strength: float) -> Reasoning:
        """The strength of mutation is the temperature."""
        return replace(self, sampling=replace(self.sampling, temperature=strength))

    async def _after(
        self, state: Chain, question: Prompt, prompt: Prompt, kept: Steps, seed: Seed
    ) -> Chain:
        begun = Chain(
            prompt, state.kind, state.options, kept, question=question, attempt=state.attempt + 1
        )
        return await self.step(begun, seed)

    def _ending(self, state: Chain, step: Completion) -> Ending:
        said = step.text.strip()
        if step.finish != "stop":
            return step.finish
        if state.kind in _ANSWERED_KINDS and _ANSWERED.search(said):
            return "answer"
        if state.kind != "code":  # blank and equal pieces are ordinary in code
            if not said:
                return "empty"
            if state.steps and state.steps[-1].text.strip() == said:
                return "repeated"
        return "steps" if len(state.steps) + 1 >= self.boundaries.max_steps else ""
