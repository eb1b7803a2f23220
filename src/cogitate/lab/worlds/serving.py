"""The engine of the small worlds: one that writes and scores what a world says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from cogitate.core.errors import Failed
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import Completion, Embed, Generate, Reply, Request, ScoreSteps
from cogitate.core.usage import Usage
from cogitate.engines.writing import PromptSizes, cut, estimated_tokens


class SmallWorld(Protocol):
    """What the engine needs of a world; both answers are pure functions of the request."""

    @property
    def fingerprint(self) -> str: ...

    def says(self, request: Generate) -> str:
        """What would be written without any limit."""
        ...

    def scores(self, request: ScoreSteps) -> tuple[float, ...]:
        """One score a step."""
        ...


@runtime_checkable
class Placed(Protocol):
    """A world whose texts have places."""

    def vector(self, text: str) -> tuple[float, ...]:
        """The embedding of a text."""
        ...


class WorldModel:
    """Serves `Generate` and `ScoreSteps` for a small world, and `Embed` where its texts have places.

    >>> from .tree import TreeWorld, trees
    >>> world = TreeWorld(branching=1)
    >>> (problem,) = trees(world, 1)
    >>> WorldModel(world).write(Generate(Prompt.chat(*problem.task.messages), seed=0)).text[-6:]
    '#### 0'
    """

    # Mutable on purpose: it remembers the sizes of prompts.

    def __init__(self, world: SmallWorld, *, limits: Limits | None = None) -> None:
        self.world = world
        self._limits = limits or Limits(concurrency=1024, max_batch=1024, mixed=True)
        self._sizes = PromptSizes()

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """Generation and scores of steps; embeddings where texts have places."""
        both = frozenset[type[Request[Any]]]((Generate, ScoreSteps))
        return both | {Embed} if isinstance(self.world, Placed) else both

    @property
    def limits(self) -> Limits:
        """The limits it was made with."""
        return self._limits

    @property
    def fingerprint(self) -> str:
        """Every parameter of the world."""
        return self.world.fingerprint

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most that serving this can cost."""
        return self._usage(request, request.max_tokens if isinstance(request, Generate) else 0)

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        """Answer each request, in order."""
        return [self._one(index, request, emit) for index, request in enumerate(batch)]

    async def close(self) -> None:
        """Nothing is held."""

    def write(self, request: Generate) -> Completion:
        """What a `Generate` is answered with.

        Raises:
            Failed: where the prompt holds no problem of the world, or a constraint is asked for.
        """
        if request.constraint is not None:
            raise Failed("the simulated policy cannot enforce a constraint", "unsupported")
        return cut(request, self.world.says(request))

    def _one(self, index: int, request: Request[Any], emit: Emit) -> Reply[Any] | Failed:
        try:
            match request:
                case Generate():
                    said = self.write(request)
                    emit(index, said.text)
                    return Reply(said, self._usage(request, said.tokens), engine=self.fingerprint)
                case ScoreSteps():
                    found = self.world.scores(request)
                    return Reply(found, self._usage(request, 0), engine=self.fingerprint)
                case Embed() if isinstance(self.world, Placed):
                    placed = tuple(self.world.vector(text) for text in request.texts)
                    return Reply(placed, self._usage(request, 0), engine=self.fingerprint)
                case _:
                    kind = type(request).__name__
                    raise Failed(f"a simulated world does not serve {kind}", "unserved")
        except Failed as failure:
            failure.usage = self._usage(request, 0)
            return failure

    def _usage(self, request: Request[Any], tokens_out: int) -> Usage:
        match request:
            case Generate():
                tokens_in = self._sizes(request.prompt)
            case ScoreSteps():
                tokens_in = self._sizes(request.prompt) + sum(map(estimated_tokens, request.steps))
            case Embed():
                tokens_in = sum(map(estimated_tokens, request.texts))
            case _:
                tokens_in = 0
        return Usage(tokens_in=tokens_in, tokens_out=tokens_out, calls=1)


def found_in(prompt: Prompt, question: re.Pattern[str], example: str) -> re.Match[str]:
    """The last question of a world in a prompt.

    Raises:
        Failed: where there is none; shows one.
    """
    texts = [prompt.text, *(message.content for message in prompt.messages)]
    for text in reversed(texts):
        found = list(question.finditer(text))
        if found:
            return found[-1]
    raise Failed(
        f"the simulated world knows only its own problems, such as {example!r}; ask one of them",
        "unserved",
    )


def address_of(request: Generate) -> str:
    """Where the randomness of a request lies: a greedy one has the same at every seed."""
    seed = request.seed if request.sampling.temperature > 0 else 0
    return f"{seed}|{request.prompt.digest}|{request.sampling.temperature}"
