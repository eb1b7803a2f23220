"""What a server says a call cost, under all its names; what it must have cost where it does not say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cogitate.core.prompt import Prompt
from cogitate.core.usage import Usage

BYTES_PER_TOKEN = 4
"""Of English text in common tokenisers; used only where a server does not count."""
TEMPLATE_PER_MESSAGE = 32
"""Tokens that a chat template adds to one message at most."""
TEMPLATE_ONCE = 256
"""Tokens that a chat template adds once at most: a default system message, dates, tool preambles."""

IMAGE_TOKENS = 16_384
"""Tokens that an image is at most, in models that look closely; what a file is, nobody knows ahead."""

MOST_TOKENS = 10**12
"""A count from here on is no count."""

_IN = ("prompt_tokens", "input_tokens", "prompt_eval_count", "tokens_evaluated")
_OUT = ("completion_tokens", "output_tokens", "eval_count", "tokens_predicted")
_IN_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in US dollars."""

    usd_per_million_in: float
    usd_per_million_out: float
    usd_per_million_cached: float | None = None
    """Of prompt tokens found in the cache; `None`: as other prompt tokens."""

    def of(self, tokens_in: int, tokens_cached: int, tokens_out: int) -> float:
        """The money for so many tokens.

        >>> Price(1.0, 4.0, 0.5).of(1_000_000, 500_000, 1_000_000)
        4.75
        """
        cached = (
            self.usd_per_million_in
            if self.usd_per_million_cached is None
            else self.usd_per_million_cached
        )
        return (
            (tokens_in - tokens_cached) * self.usd_per_million_in
            + tokens_cached * cached
            + tokens_out * self.usd_per_million_out
        ) / 1e6


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of one call of the server."""

    tokens_in: int
    tokens_out: int
    cached: int = 0
    reasoning: int = 0
    cached_said: bool = False
    """Whether the server reports cached tokens at all."""


def counted(raw: Any) -> Counted | None:
    """The usage in a reply, whatever its names; `None` where there is none that makes sense.

    >>> counted({"usage": {"input_tokens": 7, "output_tokens": 2}})
    Counted(tokens_in=7, tokens_out=2, cached=0, reasoning=0, cached_said=False)
    """
    reply = _mapping(raw)
    usage = _mapping(reply.get("usage")) or reply
    tokens_in, tokens_out = _first(usage, _IN), _first(usage, _OUT)
    if tokens_in is None or (tokens_out is None and "usage" not in reply):
        return None
    details = _details(usage, _IN_DETAILS)
    cached = _first(details, _CACHED)
    if cached is None:
        cached = _first(usage, _CACHED)
    if cached is None:
        cached = _first(_mapping(reply.get("timings")), ("cache_n",))
    made = _details(usage, _OUT_DETAILS)
    reasoning = _first(made, ("reasoning_tokens",)) or _first(usage, ("reasoning_tokens",)) or 0
    out = tokens_out or 0
    return Counted(
        tokens_in, out, min(cached or 0, tokens_in), min(reasoning, out), cached is not None
    )


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Split a count in proportion to weights; the parts sum to the count exactly.

    >>> split(10, [1, 1, 1]), split(5, [0, 0])
    ([4, 3, 3], [3, 2])
    """
    if not weights:
        return []
    shares = list(weights) if sum(weights) > 0 else [1] * len(weights)
    whole = sum(shares)
    parts = [total * share // whole for share in shares]
    order = sorted(range(len(shares)), key=lambda i: (-(total * shares[i] % whole), i))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


def usage_of(counts: Counted, price: Price | None, *, estimated: bool = False) -> Usage:
    """One request's usage; FLOPs and bytes moved are unknown over HTTP."""
    return Usage(
        tokens_in=counts.tokens_in,
        tokens_cached=counts.cached,
        tokens_out=counts.tokens_out,
        tokens_reasoning=counts.reasoning,
        calls=1,
        flops=None,
        bytes_moved=None,
        usd=None if price is None else price.of(counts.tokens_in, counts.cached, counts.tokens_out),
        estimated=estimated,
    )


def most_in(prompt: Prompt, tools: Sequence[str] = ()) -> int:
    """No tokeniser and template make more prompt tokens of this; of images and files it is an allowance."""
    # A token may have no text of its own, so known ids can outnumber the bytes of their text.
    ids = sum(len(piece.ids) for piece in prompt.continuations)
    said = sum(len(tool.encode("utf-8", "surrogatepass")) + TEMPLATE_PER_MESSAGE for tool in tools)
    return (
        prompt.size + ids + TEMPLATE_ONCE + TEMPLATE_PER_MESSAGE * prompt.depth + said
    ) + _attached(prompt)


def _attached(prompt: Prompt) -> int:
    if prompt.plain:
        return 0
    attached = [a for message in prompt.messages for a in message.attachments]
    return sum(
        IMAGE_TOKENS if a.media_type.startswith("image/") else max(IMAGE_TOKENS, len(a.url))
        for a in attached
    )


def about_in(prompt: Prompt, tools: Sequence[str] = ()) -> int:
    """Prompt tokens, estimated from bytes; never above `most_in`."""
    known = len(prompt.ids) + sum(len(piece.ids) for piece in prompt.continuations)
    size = prompt.size - len(prompt.ids)
    size -= sum(len(p.text.encode("utf-8", "replace")) for p in prompt.continuations if p.ids)
    size = max(size, 0) + sum(map(len, tools))
    return known + math.ceil(size / BYTES_PER_TOKEN) + 4 * len(prompt.messages)


def about_out(text: str, pieces: int, cap: int) -> int:
    """Generated tokens, estimated from streamed pieces and bytes; at most the cap."""
    size = math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)
    return min(cap, max(pieces, size, 1 if text else 0))


def _details(usage: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    return next((found for name in names if (found := _mapping(usage.get(name)))), _mapping(None))


def _mapping(raw: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], raw) if isinstance(raw, dict) else {}


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> int | None:
    for name in names:
        value = fields.get(name)
        # An endless number would overflow whoever sums it; no call has so many tokens.
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS:
            return value
        if isinstance(value, float) and 0 <= value < MOST_TOKENS and value.is_integer():
            return int(value)
    return None
