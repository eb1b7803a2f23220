"""An engine for every provider that the library LiteLLM knows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from types import MappingProxyType
from typing import Any, cast

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import Generate, Reply, Request
from cogitate.core.usage import ZERO, Usage
from cogitate.engines.openai import tally
from cogitate.engines.openai.client import Timeouts
from cogitate.engines.openai.secret import Secret

from .call import Call, Way
from .known import Known
from .library import library
from .wire import arguments

Outcome = Reply[Any] | Failed


class LiteLLM:
    """Serves `Generate` by any provider that LiteLLM knows: Anthropic, Gemini, Bedrock, Azure and their like.

    What a provider lacks is refused by name. Stop strings and predicates are looked for here, in the stream,
    because providers do not say which one fired. It never retries: that is the driver's business.

    >>> LiteLLM("anthropic/claude-haiku").serves == frozenset({Generate})
    True

    Raises:
        InvalidInput: for no model.
    """

    def __init__(
        self,
        model: str,
        *,
        secrets: Sequence[Secret] = (),
        price: tally.Price | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Describe the model; nothing is loaded or sent yet.

        Args:
            model: as LiteLLM names it, such as `anthropic/claude-haiku-4-5`.
            secrets: keys that no error may show; the provider's own is read from the environment.
            price: for money; by default what LiteLLM knows of the model, else it is unknown.
            limits: by default 16 calls at once.
            timeouts: how long to wait for what.
            options: further arguments of each call, such as `api_base`.
        """
        if not model.strip():
            raise InvalidInput("litellm: names no model; write litellm:PROVIDER/MODEL")
        self._model, self._price, self._limits = model, price, limits
        self._secrets, self._timeouts = tuple(secrets), timeouts or Timeouts()
        self._options = dict(options)
        self._known: Known | None = None

    def __repr__(self) -> str:
        return f"LiteLLM({self._model!r})"

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """Generate."""
        return frozenset({Generate})

    @property
    def limits(self) -> Limits:
        return self._limits or Limits(concurrency=16)

    @property
    def fingerprint(self) -> str:
        """The library's version, the model and where it is; never a key."""
        try:
            version = metadata.version("litellm")
        except metadata.PackageNotFoundError:
            version = "absent"
        where = str(self._options.get("api_base", ""))
        return f"litellm {version} {self._model} {where}".strip()

    async def prepare(self) -> None:
        """Load the library, which takes seconds, and see what the provider can do and whether it has a key.

        Raises:
            InvalidInput: where the extra is not installed, the provider unknown, or its key not set.
        """
        known = await asyncio.to_thread(self._learn)
        if known.missing and not {"api_key", "api_base"} & self._options.keys():
            raise InvalidInput(
                f"the model {self._model} needs a key, but {' and '.join(known.missing)} is not set in the "
                "environment; set it and try again"
            )

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most it can cost: every byte a token, every token generated."""
        if not isinstance(request, Generate):
            return Usage(calls=1, flops=None, bytes_moved=None, usd=None)
        counts = tally.Counted(tally.most_in(request.prompt, request.tools), request.max_tokens)
        return self._learn().usage(counts, estimated=False)

    async def serve(self, batch: Sequence[Request[Any]], emit: Emit = silent) -> Sequence[Outcome]:
        """Answer each request, in order, each by a call of its own."""
        outcomes: list[Outcome | None] = [None] * len(batch)

        async def one(place: int) -> None:
            outcomes[place] = await self._served(batch[place], place, emit)

        async with asyncio.TaskGroup() as tasks:
            for place in range(len(batch)):
                tasks.create_task(one(place))
        return cast(list[Outcome], outcomes)

    async def close(self) -> None:
        """Close the library's connections, which all its callers share and which open again on use."""
        if self._known is not None:
            with suppress(Exception):
                await self._known.library.close_litellm_async_clients()

    # ------------------------------------------------------------------------------- inside

    def _learn(self) -> Known:
        if self._known is None:
            self._known = Known(self._model, library(), self._price)
        return self._known

    async def _served(self, request: Request[Any], place: int, emit: Emit) -> Outcome:
        if not isinstance(request, Generate):
            return Failed(f"LiteLLM serves no {type(request).__name__}", "unserved", usage=ZERO)
        try:
            known = self._known or await asyncio.to_thread(self._learn)
            sent = arguments(
                request, self._model, known.parameters, prefill=known.prefill, schema=known.schema
            )
        except InvalidInput as error:
            return Failed(str(error), "missing", usage=ZERO)
        except Failed as refusal:
            return refusal.with_traceback(None)
        way = Way(self._model, self.fingerprint, self._secrets, self._timeouts, self._options)

        def told(text: str) -> None:
            emit(place, text)

        return await Call(request, way, known, told).outcome(sent)
