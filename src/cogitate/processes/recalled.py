"""A process that remembers: like problems at the root, like steps at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, Protocol, TypeVar

from cogitate.core.candidates import Artifact
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.flow import note
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Process
from cogitate.core.requests import Embed, Generate, Sampling
from cogitate.core.retrieve import Passage, Retrieve
from cogitate.core.seeds import Seed
from cogitate.core.task import Message, Task
from cogitate.rules.clustering import direction

from ._files import fill

S = TypeVar("S")

Query = Literal["first_try", "state"]
"""What like steps are looked up by: a step written without help, or the last step, whose successor is wanted."""


class Hintable(Process[S], Protocol[S]):
    """A process that can be shown something for one step alone."""

    async def hinted(self, state: S, shown: str, seed: Seed) -> S:
        """One step, with this before its eyes; the state after it does not hold it."""
        ...

    async def preview(self, state: S) -> Artifact: ...


@dataclass(frozen=True)
class Memory(Generic[S]):
    """The state of `Recalled`."""

    state: S
    """Of the process that writes."""
    template: str = ""
    """What kind of problem it is, in the model's words."""


@dataclass(frozen=True)
class Recalled(Generic[S]):
    """Writes with the help of an index: worked problems of the same kind first, like steps at each step.

    At the start the model says what kind of problem it is; of the `candidates` that fit the question by words
    those whose own description is nearest to that, by embeddings, become material before the question, the most
    alike last. Before each step a like step is looked up and shown for that step alone. A query by `first_try`
    writes the step without help first and looks up what it wrote; where nothing is alike enough, that is the step.
    By `state` the last step is looked up, and the index gives what follows it.

    The index `problems` holds problems with their solutions, with the bare problem as key and its description as
    context; the index `steps` holds steps, with what stands before them as context, and as key the step itself for
    `first_try` and what stands before it for `state`. With 0 of both it is the process itself.

    >>> from cogitate.processes import Reasoning
    >>> Recalled(Reasoning(), problems=0, steps=0).at_least_alike
    0.7

    Reference:
        @article{dou2025r2llms, title={Enhancing Test-Time Scaling of Large Language Models with Hierarchical
          Retrieval-Augmented MCTS}, author={Dou, Alex ZH and others}, journal={arXiv:2507.05557}, year={2025}}
    Deviates: sizes, thresholds, prompts and the two queries are ours, since neither text nor code of the paper
        could be read; call what uses it "R2-style".
    """

    process: Hintable[S]
    problems: int = 3
    """Worked problems shown; 0: none are looked up."""
    steps: int = 1
    """Like steps shown at each step; 0: none are looked up."""
    at_least: float = 0.5
    """Cosine of the descriptions below which a problem is left out; above 1: always."""
    at_least_alike: float = 0.7
    """Score in the index of steps below which a step is left out; above 1: always, where scores are cosines."""
    candidates: int = 50
    """Problems that are looked at by words."""
    query: Query = "first_try"
    problem_index: str = "problems"
    step_index: str = "steps"
    role: str = "sketcher"
    """Says what kind of problem it is; without a model of its own the policy does."""

    def __post_init__(self) -> None:
        if self.problems < 0 or self.steps < 0 or self.candidates < 1:
            raise InvalidInput(
                f"problems={self.problems}, steps={self.steps} and candidates={self.candidates} were asked for; "
                "the first two are at least 0, the last at least 1"
            )
        if self.query not in ("first_try", "state"):
            raise InvalidInput(f"query is first_try or state, not {self.query!r}")

    async def start(self, task: Task, seed: Seed) -> Memory[S]:
        """Say what kind of problem it is, look up like ones, and word the question."""
        template = ""
        if self.problems:
            template = await self._template(task, seed)
            found = await self._like(task, template)
            if found:
                told = "\n".join(fill("recall_problem", worked=p.text) for p in reversed(found))
                task = replace(task, context="\n\n".join(t for t in (task.context, told) if t))
        return Memory(await self.process.start(task, seed), template)

    async def step(self, state: Memory[S], seed: Seed) -> Memory[S]:
        """Write one step more, with a like one before the model's eyes where there is one."""
        if not self.steps or self.process.done(state.state):
            return replace(state, state=await self.process.step(state.state, seed))
        tried: S | None = None
        if self.query == "first_try":
            tried = await self.process.step(state.state, seed)
            asked = await self._newest(tried)
        else:
            asked = "\n".join(t for t in (state.template, await self._newest(state.state)) if t)
        found = [p for p in await self._steps(asked, seed) if p.score >= self.at_least_alike]
        if not found:
            plain = tried if tried is not None else await self.process.step(state.state, seed)
            return replace(state, state=plain)
        shown = "\n\n".join(fill("recall_step", context=p.context, step=p.text) for p in found)
        again = await self.process.hinted(state.state, shown, seed.at("recalled"))
        return replace(state, state=again)

    def done(self, state: Memory[S]) -> bool:
        """Whether the process is."""
        return self.process.done(state.state)

    async def render(self, state: Memory[S]) -> Artifact:
        """What the process wrote."""
        return await self.process.render(state.state)

    async def preview(self, state: Memory[S]) -> Artifact:
        """What the process wrote so far."""
        return await self.process.preview(state.state)

    async def _template(self, task: Task, seed: Seed) -> str:
        prompt = Prompt.chat(Message("user", fill("recall_template", question=task.question)))
        said = await Generate(
            prompt,
            seed=seed.at("template").int(),
            max_tokens=128,
            sampling=Sampling(temperature=0.0),
            role=self.role,
        )
        return said.text.strip()

    async def _like(self, task: Task, template: str) -> list[Passage]:
        """Worked problems whose descriptions are nearest; best first."""
        found = await Retrieve(task.question, self.candidates, self.problem_index)
        known = [p for p in found if p.context.strip()]
        if not known or not template:
            return []
        texts = tuple(dict.fromkeys((template, *(p.context for p in known))))
        vectors = await Embed(texts)
        if len(vectors) != len(texts):
            raise Failed(
                f"the embedder gave {len(vectors)} vectors for {len(texts)} texts", "malformed"
            )
        near = dict(zip(texts, _cosines(vectors), strict=True))
        ranked = sorted(known, key=lambda p: -near[p.context])
        kept = [p for p in ranked if near[p.context] >= self.at_least][: self.problems]
        await note("recalled", what="problems", ids=[p.id for p in kept])
        return kept

    async def _steps(self, asked: str, seed: Seed) -> Sequence[Passage]:
        if not asked:
            return ()
        found = await Retrieve(asked, self.steps, self.step_index)
        await note("recalled", what="steps", ids=[p.id for p in found])
        return found

    async def _newest(self, state: S) -> str:
        steps = (await self.process.preview(state)).steps
        return steps[-1].strip() if steps else ""


def _cosines(vectors: Sequence[Sequence[float]]) -> list[float]:
    """Of each vector with the first; -1 where one has no direction."""
    units = [direction(vector) for vector in vectors]
    first = units[0]
    return [
        -1.0
        if unit is None or first is None
        else math.fsum(a * b for a, b in zip(unit, first, strict=True))
        for unit in units
    ]
