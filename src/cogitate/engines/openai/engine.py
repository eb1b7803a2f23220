"""An engine for servers that speak OpenAI's protocol, and for what each of them adds to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import Embed, Generate, Loglikelihood, Reply, Request
from cogitate.core.until import tokens_read
from cogitate.core.usage import ZERO, Usage

from . import faults, tally
from .capabilities import Capabilities, Dialect, assumed
from .client import Client, Timeouts
from .embeddings import Embedder
from .generate import Generator
from .likelihoods import Scorer
from .probe import probe
from .prompts import Prompts, Template
from .secret import Secret

Outcome = Reply[Any] | Failed


class OpenAICompatible:
    """Serves requests by a server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama, OpenAI.

    What the server lacks is emulated where that changes nothing (siblings by repeated calls, stop
    strings by streaming and cutting) and refused by name where it would. It never retries: that is the
    driver's business.

    >>> engine = OpenAICompatible("http://localhost:8000/v1", "qwen", dialect="vllm")
    >>> engine.fingerprint
    'vllm http://localhost:8000 qwen'

    Raises:
        InvalidInput: for a base URL that is not plain http(s) or holds credentials, or no model.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: Secret | None = None,
        dialect: Dialect | None = None,
        capabilities: Capabilities | None = None,
        price: tally.Price | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        template: Template | None = None,
    ) -> None:
        """Describe the endpoint; nothing is sent yet.

        Args:
            base_url: `http://HOST:PORT/v1` or the same without its version.
            model: the name the server knows it by.
            key: sent as a bearer token; never shown.
            dialect: the kind of server; by default that of the capabilities, else `generic`.
            capabilities: what a probe found; by default what servers of this kind are known to do.
            price: for money; without one it is unknown.
            limits: by default as many siblings a call as the server takes.
            timeouts: how long to wait for what.
            template: renders messages for a server that continues raw prompts but no messages.
        """
        if not model:
            raise InvalidInput("no model was named; give the name that the server lists")
        found = capabilities or assumed(dialect or "generic")
        if dialect is not None and found.dialect != dialect:
            found = replace(found, dialect=dialect)
        self.capabilities = found
        """What the server can do, assumed or probed."""
        self._model, self._price, self._limits = model, price, limits
        self._key, self._timeouts, self._template = key, timeouts or Timeouts(), template
        self._base_url = base_url
        self._client = Client(base_url, model, key, self._timeouts)
        prompts = Prompts(self._client, model, found, template)
        parts = (self._client, prompts, found, model, self.fingerprint, price)
        self._generator, self._scorer = Generator(*parts), Scorer(*parts)
        self._embedder = Embedder(self._client, found, model, self.fingerprint, price)

    def __repr__(self) -> str:
        return f"OpenAICompatible({self._client.address.api!r}, {self._model!r}, key={self._key!r})"

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """Generate, Loglikelihood and Embed; what this server lacks of them is refused by name."""
        return frozenset({Generate, Loglikelihood, Embed})

    @property
    def limits(self) -> Limits:
        if self._limits is not None:
            return self._limits
        return Limits(
            concurrency=16, max_batch=self.capabilities.max_n if self.capabilities.n else 1
        )

    @property
    def fingerprint(self) -> str:
        """Kind and version of the server, its address and the model; never a key."""
        kind = f"{self.capabilities.dialect} {self.capabilities.version}".strip()
        return f"{kind} {self._client.address.root} {self._model}"

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most it can cost: every byte a token, the template's allowance, every token generated."""
        match request:
            case Generate():
                size = tally.most_in(request.prompt, request.tools)
                most = tally.Counted(size, request.max_tokens)
            case Loglikelihood():
                size = tally.most_in(request.prompt)
                texts = [
                    len(text.encode("utf-8", "surrogatepass")) for text in request.continuations
                ]
                calls = 1 if request.labels else len(texts)
                most = tally.Counted(size * calls + (0 if request.labels else sum(texts)), calls)
            case Embed():
                most = tally.Counted(
                    sum(len(t.encode("utf-8", "surrogatepass")) + 8 for t in request.texts), 0
                )
            case _:
                return Usage(calls=1, flops=None, bytes_moved=None, usd=None)
        return tally.usage_of(most, self._price)

    async def serve(self, batch: Sequence[Request[Any]], emit: Emit = silent) -> Sequence[Outcome]:
        """Answer each request, in order; equal prompts by one call where the server takes `n`."""
        outcomes: list[Outcome | None] = [None] * len(batch)

        async def one(places: list[int]) -> None:
            for place, outcome in zip(places, await self._served(batch, places, emit), strict=True):
                outcomes[place] = outcome

        groups = self._groups(batch)
        if len(groups) == 1:
            await one(groups[0])
        else:
            async with asyncio.TaskGroup() as tasks:
                for places in groups:
                    tasks.create_task(one(places))
        return cast(list[Outcome], outcomes)

    async def close(self) -> None:
        """Close the connections; the engine may still be used and opens new ones then."""
        await self._client.close()

    async def probe(self) -> Capabilities:
        """Ask the server what it can do, by about a dozen calls of a few tokens.

        Raises:
            Failed: where the server cannot be reached or does not let us in.
        """
        return await probe(self._client, self._model, self.capabilities.dialect)

    def with_capabilities(self, capabilities: Capabilities) -> OpenAICompatible:
        """The same endpoint with other capabilities, such as those of its probe."""
        return OpenAICompatible(
            self._base_url,
            self._model,
            key=self._key,
            capabilities=capabilities,
            price=self._price,
            limits=self._limits,
            timeouts=self._timeouts,
            template=self._template,
        )

    # ------------------------------------------------------------------------------- inside

    def _groups(self, batch: Sequence[Request[Any]]) -> list[list[int]]:
        """Places in the batch that one call may answer."""
        most = self.capabilities.max_n if self.capabilities.n else 1
        by_key: dict[str, list[int]] = {}
        for place, request in enumerate(batch):
            # One that may be given up has a call of its own: a server ends siblings all together.
            shared = isinstance(request, Generate) and not tokens_read(request.until)
            own = request.sibling_key() if shared else f"#{place}"
            by_key.setdefault(own, []).append(place)
        return [
            places[start : start + most]
            for places in by_key.values()
            for start in range(0, len(places), most)
        ]

    async def _served(
        self, batch: Sequence[Request[Any]], places: list[int], emit: Emit
    ) -> Sequence[Outcome]:
        call: Callable[[], Awaitable[Sequence[Outcome]]]
        match batch[places[0]]:
            case Generate():
                group = [cast(Generate, batch[place]) for place in places]
                call = lambda: self._generator.serve(  # noqa: E731
                    group, lambda index, text: emit(places[index], text)
                )
            case Loglikelihood() as request:
                call = lambda: _listed(self._scorer.serve(request))  # noqa: E731
            case Embed() as request:
                call = lambda: _listed(self._embedder.serve(request))  # noqa: E731
            case other:
                return [
                    Failed(
                        f"an OpenAI-compatible server serves no {type(other).__name__}", "unserved"
                    )
                ]
        return await _caught(call, len(places))


async def _listed(one: Awaitable[Reply[Any]]) -> list[Outcome]:
    return [await one]


async def _caught(
    call: Callable[[], Awaitable[Sequence[Outcome]]], count: int
) -> Sequence[Outcome]:
    """The outcomes of a call, or its failure for each of them, without frames that hold a key."""
    try:
        return await call()
    except Failed as error:
        failure = error
    except BaseExceptionGroup as group:
        failed, others = group.split(Failed)
        if others is not None or failed is None:
            raise
        failure = faults.first(failed)
    # The whole call's cost is told once; a copy has no traceback and so no frame that holds a key.
    others = None if failure.usage is None else ZERO
    return [
        faults.copied(failure, failure.usage if place == 0 else others) for place in range(count)
    ]
