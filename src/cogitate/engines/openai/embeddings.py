"""Texts as vectors: in calls that the server takes, from numbers or base64, all of one length."""

from __future__ import annotations

import asyncio
import base64
import binascii
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from cogitate.core.errors import Failed
from cogitate.core.requests import Embed, Reply
from cogitate.core.usage import ZERO, Usage

from . import faults, replies, tally
from .capabilities import Capabilities, Dialect
from .client import Client

Vector = tuple[float, ...]

MOST_TEXTS: Final[Mapping[Dialect, int]] = MappingProxyType({"openai": 2048})
"""Texts in one call where a server says its limit."""
USUAL_TEXTS = 256
"""Texts in one call elsewhere; a server that takes fewer is asked again with half of them."""
MOST_BYTES = 300_000
"""Bytes in one call: no tokeniser makes more tokens of it, and OpenAI takes so many."""
AT_ONCE = 4
"""Calls of one request in flight."""

_BASE64: Final[frozenset[Dialect]] = frozenset({"llamacpp", "openai", "vllm"})
"""Servers that send base64 when asked to: a quarter of the bytes, and the very same numbers."""


@dataclass(frozen=True, slots=True)
class Embedder:
    """Serves `Embed`."""

    client: Client
    caps: Capabilities
    model: str
    fingerprint: str
    price: tally.Price | None

    async def serve(self, request: Embed) -> Reply[tuple[Vector, ...]]:
        """One vector for each text.

        Raises:
            Failed: `malformed` where the vectors do not belong to the texts or differ in length; with what
                the calls that were answered had cost.
        """
        if self.caps.probed and not self.caps.embeddings:
            raise Failed(
                f"{self.client.url('embeddings')} serves no embeddings, the probe found; use another engine "
                "for this role",
                "unsupported",
            )
        spent: list[Usage] = []
        permits = asyncio.Semaphore(AT_ONCE)

        async def one(texts: Sequence[str]) -> list[Vector]:
            async with permits:
                return await self._halved(texts, spent)

        try:
            async with asyncio.TaskGroup() as tasks:
                calls = [tasks.create_task(one(part)) for part in self.parts(request.texts)]
        except BaseExceptionGroup as group:
            failed, others = group.split(Failed)
            if others is not None or failed is None:
                raise
            failure = faults.first(failed)
        else:
            vectors = tuple(vector for call in calls for vector in call.result())
            lengths = sorted({len(vector) for vector in vectors})
            if len(lengths) <= 1:
                return Reply(vectors, self._sum(spent), engine=self.fingerprint)
            failure = replies.malformed(
                self.client.url("embeddings"), f"answered vectors of the lengths {lengths}"
            )
        known = failure.usage is not None or spent
        own = [] if failure.usage is None else [failure.usage]
        raise faults.copied(failure, self._sum([*spent, *own]) if known else None)

    def parts(self, texts: Sequence[str]) -> list[Sequence[str]]:
        """The texts in calls of at most so many texts and bytes; a longer text goes alone."""
        most = MOST_TEXTS.get(self.caps.dialect, USUAL_TEXTS)
        found: list[list[str]] = []
        held = 0
        for text in texts:
            size = len(text.encode("utf-8", "surrogatepass"))
            if not found or len(found[-1]) >= most or held + size > MOST_BYTES:
                found.append([])
                held = 0
            found[-1].append(text)
            held += size
        return list(found)

    async def _halved(self, texts: Sequence[str], spent: list[Usage]) -> list[Vector]:
        """One call; two of half its size where it is too much for the server."""
        try:
            return await self._called(texts, spent)
        except Failed as failure:
            if failure.kind != "too_long" or len(texts) == 1:
                raise
        middle = len(texts) // 2
        first = await self._halved(texts[:middle], spent)
        return [*first, *await self._halved(texts[middle:], spent)]

    async def _called(self, texts: Sequence[str], spent: list[Usage]) -> list[Vector]:
        body: dict[str, Any] = {"model": self.model, "input": list(texts)}
        if self.caps.dialect in _BASE64:
            body["encoding_format"] = "base64"
        raw = await self.client.post("embeddings", body)
        where = self.client.url("embeddings")
        counts = replies.counted(raw)
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        guess = tally.Counted(-(-size // tally.BYTES_PER_TOKEN), 0)
        spent.append(tally.usage_of(counts or guess, self.price, estimated=counts is None))
        found = replies.items(raw, len(texts), where)
        return [read_vector(item.get("embedding"), where) for item in found]

    def _sum(self, spent: Sequence[Usage]) -> Usage:
        if not spent:
            return ZERO
        return replace(sum(spent, ZERO), calls=1)


def read_vector(raw: Any, where: str) -> Vector:
    """A vector from a list of numbers, or from base64 of 32-bit little-endian floats.

    >>> read_vector([1, 2.5], "x"), read_vector("AACAPwAAIEA=", "x")
    ((1.0, 2.5), (1.0, 2.5))

    Raises:
        Failed: `malformed` for anything else, and for numbers that are not finite.
    """
    if not isinstance(raw, str):
        return replies.numbers(raw, where)
    values = array("f")
    try:
        values.frombytes(base64.b64decode(raw, validate=True))
    except (binascii.Error, ValueError):
        raise replies.malformed(where, "answered base64 that holds no 32-bit floats") from None
    if sys.byteorder == "big":
        values.byteswap()
    return replies.numbers(values.tolist(), where)
