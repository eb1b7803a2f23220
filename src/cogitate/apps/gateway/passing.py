"""Requests that name a model alone: sent to its server, and their replies sent back as they come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from .accounts import Ceiling
from .addresses import check_parts
from .bodies import whole
from .refusals import Refused, invalid
from .relay import UNSENT, Answer, Relay, Upstream, guessed, money, upstreams_of, usage_in
from .replying import comment
from .sending import Sender

if TYPE_CHECKING:
    from cogitate.assembly import Configuration
    from cogitate.core.usage import Usage

    from .turning import Turn

_TAIL = 16 * 1024
_BYTES = 4
"""Of a token, as `guessed` counts them."""


class Passing:
    """Passes requests through."""

    def __init__(
        self,
        configuration: Configuration,
        relay: Relay,
        *,
        own: frozenset[str] = frozenset(),
        counts: bool = True,
    ) -> None:
        """Nothing is connected yet.

        Args:
            configuration: says which servers there are.
            relay: the pool of connections.
            own: names that stand for engines of the caller's.
            counts: whether anybody asks what a request may cost.
        """
        self._configuration, self._relay = configuration, relay
        self._own, self._counts = own, counts
        self._known: dict[str, tuple[Upstream, ...]] = {}
        self._rate = 0.0

    def upstreams(self, model: str) -> tuple[Upstream, ...]:
        """The servers of a model; none where it runs in this process.

        Raises:
            CogitateError: where its key is not set.
        """
        known = self._known.get(model)
        if known is None:
            known = () if model in self._own else upstreams_of(model, self._configuration)
            if len(self._known) < 1024:
                self._known[model] = known
        return known

    def ceiling(
        self, turn: Turn, body: dict[str, Any], size: int, upstreams: tuple[Upstream, ...]
    ) -> Ceiling:
        """What a request may cost at most; where it does not say, what one request may have at most."""
        if not self._counts:
            return Ceiling(model=turn.answerer.name)
        count = whole(body, "n", 1, self._configuration.gateway.max_candidates) or 1
        each = body.get("max_completion_tokens") or body.get("max_tokens")
        most = self._configuration.gateway.most
        out = each * count if isinstance(each, int) and each > 0 else most.tokens_out
        price = upstreams[0].price
        usd = None if out is None else money(price, size, out, 0)
        return Ceiling(tokens_in=size, tokens_out=out, usd=usd, model=turn.answerer.name)

    async def serve(
        self,
        turn: Turn,
        body: dict[str, Any],
        size: int,
        upstreams: tuple[Upstream, ...],
        sender: Sender,
    ) -> None:
        """Send it on and its reply back.

        Raises:
            Refused: where the server cannot be reached, or breaks off.
        """
        own = body.pop("cogitate", None)
        if own is not None:
            refuse_unfelt(own)
        if not self._configuration.gateway.allow_private_images:
            check_parts(body.get("messages"))
        hides_usage = self._asks_usage(body)
        path = "chat/completions" if turn.chat else "completions"
        worked = True  # unless it is known that it did not
        began = time.perf_counter()
        try:
            async with self._relay.sent(upstreams, path, body, turn.headers, turn.meter) as answer:
                if answer.streams:
                    await self._stream(turn, size, answer, sender, hides_usage)
                    return
                reply = await answer.whole()
                turn.meter.leave()  # what follows is ours
                worked = False
                turn.usage = usage_in(reply, answer.upstream.price) or (
                    guessed(size, len(reply), answer.upstream.price)
                    if answer.status < 400
                    else turn.usage
                )
                self._learn(turn.usage, time.perf_counter() - began)
                try:
                    headers = answer.headers + turn.told(finished=True)
                    await sender.whole(answer.status, headers, reply)
                finally:
                    turn.meter.enter()
        except BaseException as error:
            unsent = isinstance(error, Refused) and error.code in UNSENT
            if worked and not unsent and not turn.usage.calls:
                out = int(self._rate * (time.perf_counter() - began)) + 1
                turn.usage = guessed(size, out * _BYTES, upstreams[0].price)
            raise

    def _learn(self, usage: Usage, seconds: float) -> None:
        """How fast servers write, for an estimate of what a call that is cut has cost."""
        if usage.calls and not usage.estimated and seconds > 0:
            rate = usage.tokens_out / seconds
            self._rate = 0.8 * self._rate + 0.2 * rate if self._rate else rate

    def _asks_usage(self, body: dict[str, Any]) -> bool:
        """Ask for the usage of a stream; whether the client did not and is not to see it."""
        if body.get("stream") is not True or not self._configuration.gateway.stream_usage:
            return False
        options = body.get("stream_options")
        if options is None:
            body["stream_options"] = {"include_usage": True}
            return True
        if isinstance(options, dict) and "include_usage" not in options:
            held = cast(dict[str, Any], options)
            body["stream_options"] = held | {"include_usage": True}
            return True
        return False

    async def _stream(
        self, turn: Turn, size: int, answer: Answer, sender: Sender, hides_usage: bool
    ) -> None:
        await sender.begin(answer.status, answer.headers + turn.told())
        price = answer.upstream.price
        received, tail, held = 0, b"", b""
        try:
            async for piece in answer.pieces():
                received += len(piece)
                tail = (tail + piece)[-_TAIL:]
                if hides_usage:
                    held += piece
                    whole, mark, held = held.rpartition(b"\n\n")
                    piece = without_usage(whole + mark)
                if piece:
                    await sender.piece(piece)
        finally:
            turn.usage = usage_in(tail, price) or guessed(size, received // 32, price)
        said = f"cogitate calls={turn.usage.calls} overhead_ms={turn.meter.own_ms:.2f}"
        await sender.end(held + comment(said))


def without_usage(events: bytes) -> bytes:
    r"""Whole events without the one that the client did not ask for, and without empty mentions.

    >>> without_usage(b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\ndata: [DONE]\n\n')
    b'data: [DONE]\n\n'
    """
    if b'"usage"' not in events:
        return events
    import json

    kept: list[bytes] = []
    for event in events.split(b"\n\n"):
        if b'"usage"' in event and event.startswith(b"data:"):
            try:
                value: Any = json.loads(event[5:])
            except ValueError:
                value = None
            if isinstance(value, dict) and "usage" in value:
                del value["usage"]
                if not cast(dict[str, Any], value).get("choices"):
                    continue
                event = b"data: " + json.dumps(value, separators=(",", ":")).encode()
        kept.append(event)
    return b"\n\n".join(kept)


def refuse_unfelt(own: Any) -> None:
    """Refuse what a request asks of a strategy that it does not name.

    Raises:
        Refused: naming the field.
    """
    if not isinstance(own, dict):
        raise invalid("cogitate must be an object", "cogitate")
    for name, value in cast(dict[str, Any], own).items():
        if value is None or (name == "strategy" and value == "none"):
            continue
        raise Refused(
            400,
            f"cogitate.{name[:80]} means nothing without a strategy; name one, as in "
            '"cogitate": {"strategy": "best_of(n=4)"}',
            param=f"cogitate.{name[:80]}",
            code="no_strategy",
        )
