"""Reasoning in steps: a text that grows from boundary to boundary and can branch at each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cogitate.core.candidates import Artifact, Critique
from cogitate.core.errors import InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import DEFAULT_MAX_TOKENS, Completion, Generate, Sampling
from cogitate.core.seeds import Seed
from cogitate.core.task import Manner, Task, ToolCall, with_calls
from cogitate.core.until import Until

from ._attempts import asked_again, blamed, remembering, shown, told, with_hint
from ._calls import answered
from ._manner import ended, enforced, in_manner, without_stop
from .asking import prompt_of
from .presets import DEFAULT_SAMPLING, Examples

Ending = Literal["", "eos", "answer", "until", "stop", "empty", "repeated", "steps", "limit"]
"""Why a chain ended; empty while it grows. `steps` and `limit` are cuts: they leave no answer. `stop` is a stop
string of the caller's."""

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
    manner: Manner | None = None
    """How the caller wants it said."""
    constraint: str = ""
    """The schema under which the caller wants it decoded."""

    @property
    def whole(self) -> bool:
        """Whether it is one step: neither a call of a tool nor constrained JSON can be cut and continued."""
        return self.manner is not None and bool(self.manner.tools or self.constraint)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tools that it calls."""
        return tuple(call for step in self.steps for call in step.calls)

    @property
    def attempted(self) -> str:
        """The text, and the tools it calls as a reviser is shown them."""
        return with_calls(self.text, self.calls)

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

    Where the task says how it wants to be answered, its `Manner` is honoured: `max_tokens` bounds the chain, a
    stop string of the caller's ends it, and with tools or constrained decoding it is one step. Penalties are
    refused, because they count the tokens of the whole answer and every step is asked for apart.

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
        _refuse_penalties(task.manner)
        question = prompt_of(task, "steps", self.instruction, self.examples)
        return Chain(
            question, task.kind, task.options, manner=task.manner, constraint=enforced(task)
        )

    async def step(self, state: Chain, seed: Seed) -> Chain:
        """Write one step more; a chain that ended stays as it is."""
        if state.ending:
            return state
        cap = self._cap(state)
        request = Generate(
            state.prompt,
            seed=seed.int(),
            max_tokens=cap,
            least_tokens=cap // 4,
            stop=() if state.whole else self.boundaries.separators,
            sampling=self.sampling,
            logprobs=self.logprobs,
            until=self.until,
            final=self.final,
            role=self.role,
        )
        said = await in_manner(request, state.manner, state.constraint)
        step = without_stop(state.manner, said)
        prompt = state.prompt.then(step.text, step.ids) if step.text else state.prompt
        ending = self._ending(state, step)
        return replace(state, prompt=prompt, steps=(*state.steps, step), ending=ending)

    async def hinted(self, state: Chain, shown: str, seed: Seed) -> Chain:
        """One step with this after the last question; the chain goes on as if it had not been shown."""
        told = replace(state, prompt=with_hint(state.prompt, shown))
        after = await self.step(told, seed)
        step = after.steps[-1]
        prompt = state.prompt.then(step.text, step.ids) if step.text else state.prompt
        return replace(after, prompt=prompt)

    def done(self, state: Chain) -> bool:
        """Whether the chain has ended."""
        return state.ending != ""

    async def render(self, state: Chain) -> Artifact:
        """The text and the answer in it; a chain that was cut, or still grows, has none."""
        text = state.text
        complete = state.ending not in ("", "steps", "limit")
        calls = state.calls
        return Artifact(
            text=text,
            answer=answered(text, calls, state.kind, complete, state.options),
            kind="json" if calls else state.kind,
            complete=complete,
            steps=tuple(step.text for step in state.steps if step.text.strip()),
            completions=state.steps,
            calls=calls,
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
        said = [(with_calls("", calls), ())] if (calls := state.calls) else []
        prompt = asked_again(question, state.prompt, said, told(critique, len(written)))
        for step in kept:
            prompt = prompt.then(step.text, step.ids) if step.text else prompt
        return await self._after(state, question, prompt, kept, seed)

    async def mutate(self, parents: Sequence[Chain], seed: Seed) -> Chain:
        """Begin again, shown earlier attempts: the first as one's own, the others quoted."""
        if not parents:
            raise InvalidInput("mutate was asked for without parents; give at least one chain")
        first = parents[0]
        prompt = shown(first.origin, [parent.attempted for parent in parents])
        return await self._after(first, first.origin, prompt, (), seed)

    def remembering(self, state: Chain, attempts: int) -> Chain:
        """The chain as if only the last attempts, its own counted, had been made."""
        prompt = remembering(state.origin, state.prompt, attempts - 1)
        return replace(state, prompt=prompt)

    def at_strength(self, strength: float) -> Reasoning:
        """The strength of mutation is the temperature, where the caller asks for none."""
        return replace(self, sampling=replace(self.sampling, temperature=strength))

    async def _after(
        self, state: Chain, question: Prompt, prompt: Prompt, kept: Steps, seed: Seed
    ) -> Chain:
        begun = replace(
            state,
            prompt=prompt,
            steps=kept,
            ending="",
            question=question,
            attempt=state.attempt + 1,
        )
        return await self.step(begun, seed)

    def _cap(self, state: Chain) -> int:
        """Tokens of the next step: never more than the caller leaves of the whole chain."""
        cap, manner = self.boundaries.max_step_tokens, state.manner
        if state.whole:
            cap = max(cap, DEFAULT_MAX_TOKENS)
        if manner is None or manner.max_tokens is None:
            return cap
        left = manner.max_tokens - _written(state.steps)
        return max(1, left if state.whole else min(cap, left))

    def _ending(self, state: Chain, step: Completion) -> Ending:
        said = step.text.strip()
        if step.finish != "stop":
            return step.finish
        if ended(state.manner, step):
            return "stop"
        if state.kind in _ANSWERED_KINDS and _ANSWERED.search(said):
            return "answer"
        if state.kind != "code":  # blank and equal pieces are ordinary in code
            if not said:
                return "empty"
            if state.steps and state.steps[-1].text.strip() == said:
                return "repeated"
        most = None if state.manner is None else state.manner.max_tokens
        if most is not None and _written((*state.steps, step)) >= most:
            return "limit"
        return "steps" if len(state.steps) + 1 >= self.boundaries.max_steps else ""


def _written(steps: Steps) -> int:
    return sum(step.tokens for step in steps)


def _refuse_penalties(manner: Manner | None) -> None:
    for name in ("presence_penalty", "frequency_penalty"):
        if manner is not None and getattr(manner, name):
            raise InvalidInput(
                f"{name}={getattr(manner, name)} was asked for, but it counts the tokens of the whole answer, and "
                "reasoning asks for each step apart; leave it out, or answer in one go (process=answer())"
            )
