"""The chain world as an engine: policy, verifier, judge, critic and embedder in one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from cogitate.core.errors import Failed
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import (
    Completion,
    Embed,
    Generate,
    Loglikelihood,
    Reply,
    Request,
    ScoreSteps,
)
from cogitate.core.usage import Usage
from cogitate.engines.writing import PromptSizes, cut, estimated_tokens, wait_s

from .chain import WAYS, Chain, ChainWorld, draw, normal, read_chain
from .judging import criticised, judged
from .likelihoods import likelihoods
from .policy import Policy
from .solution import Place, read_on
from .verifiers import step_scores

CENTRES = len(WAYS) + 1
"""Coordinates of an embedding: one a way of solving, and one for texts that name none."""

_SPOKEN: dict[str, Callable[[ChainWorld, Chain, Generate], str]] = {
    "judge": judged,
    "critic": criticised,
}
"""Who writes where the policy does not, by role."""


class ChainModel:
    """Serves all roles of a chain world; every reply is a pure function of the request.

    >>> from .chain import ChainWorld, chains
    >>> from cogitate.core.prompt import Prompt
    >>> world = ChainWorld(skill=50.0)
    >>> (problem,) = chains(world, 1)
    >>> asked = Generate(Prompt.chat(*problem.task.messages), seed=0)
    >>> ChainModel(world).write(asked).text.endswith(f"#### {problem.gold}")
    True
    """

    # Mutable on purpose: it remembers prompts it has read, and their sizes.

    def __init__(self, world: ChainWorld, *, limits: Limits | None = None) -> None:
        self.world = world
        self._limits = limits or Limits(concurrency=1024, max_batch=1024, mixed=True)
        self._policy = Policy(world)
        self._sizes = PromptSizes()
        self._fingerprint = world.fingerprint

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """Generation by all roles, scores of steps, likelihoods and embeddings."""
        return frozenset((Generate, ScoreSteps, Loglikelihood, Embed))

    @property
    def limits(self) -> Limits:
        """The limits it was made with."""
        return self._limits

    @property
    def fingerprint(self) -> str:
        """Every parameter of the world."""
        return self._fingerprint

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most that serving this can cost."""
        return self._usage(request, request.max_tokens if isinstance(request, Generate) else 0)

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        """Answer each request, in order."""
        if self.world.latency_s > 0 and batch:
            from asyncio import sleep

            await sleep(max(wait_s(self.world.latency_s, request) for request in batch))
        return [self._one(index, request, emit) for index, request in enumerate(batch)]

    async def close(self) -> None:
        """Nothing is held."""

    def write(self, request: Generate) -> Completion:
        """What a `Generate` is answered with, by its role.

        Raises:
            Failed: where the prompt holds no problem of this world.
        """
        spoken = _SPOKEN.get(request.role)
        if spoken is None:
            return self._policy.write(request)
        return cut(request, spoken(self.world, self._chain(request), request))

    def _chain(self, request: Generate) -> Chain:
        for message in reversed(request.prompt.messages):
            chain = read_chain(message.content)
            if chain is not None:
                return chain
        return self._policy.situation(request.prompt).chain

    def _one(self, index: int, request: Request[Any], emit: Emit) -> Reply[Any] | Failed:
        world = self.world
        try:
            if world.failures and draw(f"fails|{world.seed}|{request.key()}") < world.failures:
                raise Failed("the simulated server is busy", "server", transient=True)
            match request:
                case Generate():
                    said = self.write(request)
                    emit(index, said.text)
                    return Reply(said, self._usage(request, said.tokens), engine=self.fingerprint)
                case ScoreSteps():
                    value: Any = self._scores(request)
                case Loglikelihood():
                    value = likelihoods(self.world, self._policy.situation(request.prompt), request)
                case Embed():
                    value = tuple(self._vector(text) for text in request.texts)
                case _:
                    kind = type(request).__name__
                    raise Failed(f"a simulated world does not serve {kind}", "unserved")
        except Failed as failure:
            failure.usage = self._usage(request, 0)
            return failure
        return Reply(value, self._usage(request, 0), engine=self.fingerprint)

    def _scores(self, request: ScoreSteps) -> tuple[float, ...]:
        at = self._policy.situation(request.prompt)
        boost = at.boost + self.world.thinking_gain(at.words)
        return step_scores(self.world, at.chain, request.prompt.prefill, request.steps, boost)

    def _vector(self, text: str) -> tuple[float, ...]:
        """The centre of the way that the text names, moved by noise, of length 1."""
        way = read_on(_NOWHERE, Place(), text).way
        at = CENTRES - 1 if way is None else way
        noise = self.world.embedding_noise
        raw = [
            (1.0 if i == at else 0.0) + noise * normal(f"embed|{self.world.seed}|{i}|{text}")
            for i in range(CENTRES)
        ]
        size = math.sqrt(math.fsum(x * x for x in raw)) or 1.0
        return tuple(x / size for x in raw)

    def _usage(self, request: Request[Any], tokens_out: int) -> Usage:
        match request:
            case Generate():
                tokens_in = self._sizes(request.prompt)
            case ScoreSteps():
                tokens_in = self._sizes(request.prompt) + sum(map(estimated_tokens, request.steps))
            case Embed():
                tokens_in = sum(map(estimated_tokens, request.texts))
            case Loglikelihood():
                told = sum(map(estimated_tokens, request.continuations))
                tokens_in = self._sizes(request.prompt) + told
            case _:
                tokens_in = 0
        return Usage(tokens_in=tokens_in, tokens_out=tokens_out, calls=1)


_NOWHERE = Chain(0, 0.0, 0, (("add", 0),))
