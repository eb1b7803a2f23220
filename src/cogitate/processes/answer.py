"""One shot: the whole answer in one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cogitate.core.candidates import Artifact, Critique
from cogitate.core.errors import InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import (
    DEFAULT_MAX_TOKENS,
    Completion,
    Constraint,
    Generate,
    JsonSchema,
    Sampling,
)
from cogitate.core.seeds import Seed
from cogitate.core.task import Manner, Task, with_calls
from cogitate.core.until import Until

from ._attempts import asked_again, remembering, shown, told
from ._calls import answered
from ._manner import enforced, in_manner, without_stop
from .asking import prompt_of, split_steps
from .presets import DEFAULT_SAMPLING, Examples


@dataclass(frozen=True)
class Draft:
    """The state of `Answer`: asked, and then answered."""

    question: Prompt
    """The task as it was first asked."""
    prompt: Prompt
    """What the completion continues: the question, or the question with earlier attempts."""
    kind: str
    options: tuple[str, ...] = ()
    schema: str = ""
    completion: Completion | None = None
    attempt: int = 0
    """How often it was revised."""
    manner: Manner | None = None
    """How the caller wants it said."""
    constraint: str = ""
    """The schema under which the caller wants it decoded."""

    @property
    def text(self) -> str:
        """What was written so far, a begun turn of the task's included."""
        return self.prompt.prefill + (self.completion.text if self.completion else "")

    @property
    def attempted(self) -> str:
        """The text, and the tools it calls as a reviser is shown them."""
        return with_calls(self.text, () if self.completion is None else self.completion.calls)


@dataclass(frozen=True)
class Answer:
    """Answers in one shot; can revise an answer and combine several.

    Where the task says how it wants to be answered, every field of its `Manner` is honoured; the tools it calls
    are the answer, and nothing is executed.

    >>> flow = Answer().step(Draft(Prompt.raw("2 + 2?"), Prompt.raw("2 + 2?"), "number"), Seed(0))
    >>> request = flow.send(None)
    >>> request.max_tokens, request.least_tokens, request.role
    (1024, 256, 'policy')
    >>> flow.close()
    """

    sampling: Sampling = DEFAULT_SAMPLING
    max_tokens: int = DEFAULT_MAX_TOKENS
    instruction: str | None = None
    """Takes the place of the prompt file of the task's kind; empty for none."""
    examples: Examples = ()
    """Worked examples, shown as turns before the question."""
    logprobs: int = -1
    """-1 none, 0 of the chosen tokens, k > 0 of the k likeliest too; for scorers that read them."""
    constrained: bool = False
    """Need: enforce the schema of a `json` task while decoding."""
    until: tuple[Until, ...] = ()
    separators: tuple[str, ...] = ("\n\n",)
    """Where the text is split into steps for scorers of steps."""
    final: bool = False
    """The text is the answer and may be streamed."""
    role: str = "policy"

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InvalidInput(f"max_tokens={self.max_tokens} was asked for; it must be at least 1")

    async def start(self, task: Task, seed: Seed) -> Draft:
        """Word the question."""
        question = prompt_of(task, "answer", self.instruction, self.examples)
        schema = task.schema if task.kind == "json" else ""
        return Draft(
            question,
            question,
            task.kind,
            task.options,
            schema,
            manner=task.manner,
            constraint=enforced(task),
        )

    async def step(self, state: Draft, seed: Seed) -> Draft:
        """Answer it; an answered draft stays as it is."""
        if state.completion is not None:
            return state
        return replace(state, completion=await self._ask(state, state.prompt, seed))

    def done(self, state: Draft) -> bool:
        """Whether it is answered."""
        return state.completion is not None

    async def render(self, state: Draft) -> Artifact:
        """The text and the answer in it; a text that was cut has none."""
        text, completion = state.text, state.completion
        complete = completion is not None and completion.finish != "limit"
        calls = () if completion is None else completion.calls
        return Artifact(
            text=text,
            answer=answered(text, calls, state.kind, complete, state.options),
            kind="json" if calls else state.kind,
            complete=complete,
            steps=split_steps(text, self.separators),
            completions=() if completion is None else (completion,),
            calls=calls,
        )

    async def preview(self, state: Draft) -> Artifact:
        """What `render` shows: there is nothing between asked and answered."""
        return await self.render(state)

    async def revise(self, state: Draft, critique: Critique, seed: Seed) -> Draft:
        """Answer again, told what is wrong; without a critique, told to look again."""
        done = state.completion
        said = [] if done is None else [(done.text, done.ids)]
        if done is not None and done.calls:
            said = [(state.attempted.removeprefix(state.prompt.prefill), ())]
        steps = len(split_steps(state.text, self.separators))
        prompt = asked_again(state.question, state.prompt, said, told(critique, steps))
        return await self._after(state, prompt, seed)

    async def mutate(self, parents: Sequence[Draft], seed: Seed) -> Draft:
        """Answer again, shown earlier attempts: the first as one's own, the others quoted."""
        if not parents:
            raise InvalidInput("mutate was asked for without parents; give at least one draft")
        first = parents[0]
        prompt = shown(first.question, [parent.attempted for parent in parents])
        return await self._after(first, prompt, seed)

    def remembering(self, state: Draft, attempts: int) -> Draft:
        """The draft as if only the last attempts, its own counted, had been made."""
        return replace(state, prompt=remembering(state.question, state.prompt, attempts - 1))

    def at_strength(self, strength: float) -> Answer:
        """The strength of mutation is the temperature, where the caller asks for none."""
        return replace(self, sampling=replace(self.sampling, temperature=strength))

    async def _after(self, state: Draft, prompt: Prompt, seed: Seed) -> Draft:
        completion = await self._ask(state, prompt, seed)
        return replace(state, prompt=prompt, completion=completion, attempt=state.attempt + 1)

    async def _ask(self, state: Draft, prompt: Prompt, seed: Seed) -> Completion:
        schema, manner = state.schema, state.manner
        constraint: Constraint | None = JsonSchema(schema) if self.constrained and schema else None
        cap = self.max_tokens if manner is None else manner.max_tokens or self.max_tokens
        request = Generate(
            prompt,
            seed=seed.int(),
            max_tokens=cap,
            least_tokens=cap // 4,
            sampling=self.sampling,
            logprobs=self.logprobs,
            constraint=constraint,
            until=self.until,
            final=self.final,
            role=self.role,
        )
        return without_stop(manner, await in_manner(request, manner, state.constraint))
