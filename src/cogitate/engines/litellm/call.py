"""One call through the library: the answer as it grows, and what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from cogitate.core.errors import Failed
from cogitate.core.requests import Completion, Generate, Reply
from cogitate.core.until import tokens_read
from cogitate.engines.openai import pieces, tally
from cogitate.engines.openai.client import Timeouts
from cogitate.engines.openai.drafts import Draft
from cogitate.engines.openai.secret import Secret
from cogitate.engines.openai.wire import violation

from .known import Known
from .library import failure

Outcome = Reply[Completion] | Failed


@dataclass(frozen=True, slots=True)
class Way:
    """How one model is called."""

    model: str
    fingerprint: str
    secrets: tuple[Secret, ...]
    timeouts: Timeouts
    options: Mapping[str, Any]


class Call:
    """One call: what was asked, and the answer as it grows."""

    # Mutable on purpose: it collects a stream.

    def __init__(
        self, request: Generate, way: Way, known: Known, emit: Callable[[str], None]
    ) -> None:
        self._request, self._way, self._known, self._emit = request, way, known, emit
        self._draft = Draft(request, request.stop)
        self._counts: tally.Counted | None = None

    async def outcome(self, sent: dict[str, Any]) -> Outcome:
        """The reply, or why there is none."""
        request, way = self._request, self._way
        self._seed: int = sent.get("seed", request.seed)
        streams = bool(request.final or request.until or request.stop)
        sent |= {"model": way.model, "num_retries": 0, "max_retries": 0, "no-log": True}
        sent |= {"timeout": way.timeouts.first_byte_s, "drop_params": False, **way.options}
        if "tools" in sent and self._known.runs_tools:
            sent["_skip_mcp_handler"] = (
                True  # tools are called by whoever asked, and by nobody here
            )
        if streams:
            sent |= {"stream": True, "stream_options": {"include_usage": True}}
        failed: Failed | None = None
        try:
            async with asyncio.timeout(way.timeouts.first_byte_s):
                response = await self._known.library.acompletion(**sent)
            if streams:
                await self._read(response)
            else:
                self._take(response)
        except Exception as error:  # every fault of the library and the wire becomes a Failed
            failed = failure(error, way.model, way.secrets)
        if failed is not None and not self._draft.seen:
            return failed
        return self._finished(failed)

    async def _read(self, response: Any) -> None:
        stream = response.__aiter__()
        try:
            while True:
                async with asyncio.timeout(self._way.timeouts.between_bytes_s):
                    chunk = await anext(stream, None)
                if chunk is None:
                    # The library ends a stream that broke off as if its provider had ended it.
                    ends = ("received_finish_reason", "intermittent_finish_reason")
                    if all(getattr(response, name, "stop") is None for name in ends):
                        self._draft.end = ""
                    return
                self._take(chunk)
                if self._draft.cut:
                    return
        finally:
            if (close := getattr(response, "aclose", None)) is not None:
                with suppress(Exception):
                    await close()

    def _take(self, raw: Any) -> None:
        said = cast(dict[str, Any], raw.model_dump())
        for piece in pieces.read("chat", said):
            if piece.index == 0 and (text := self._draft.feed(piece)):
                self._emit(text)
        found = tally.counted(said)
        if found is not None and (found.tokens_out or self._counts is None):
            self._counts = found

    def _finished(self, failed: Failed | None) -> Outcome:
        draft, request = self._draft, self._request
        guess = draft.known_tokens()
        if guess is None:
            guess = tally.about_out(draft.written, draft.pieces, request.max_tokens)
        counts = self._counts
        if counts is not None and not counts.tokens_out and guess:
            counts = None  # whoever counts nothing for a text has not counted
        estimated = draft.cut or not draft.end or counts is None
        known = counts or tally.Counted(tally.about_in(request.prompt, request.tools), guess)
        usage = self._known.usage(known, estimated=estimated)
        failed = failed or self._broken()
        if failed is not None:
            failed.usage = usage
            return failed
        completion = draft.completion((), known.tokens_out)
        seed = None if self._seed == request.seed else self._seed
        return Reply(completion, usage, engine=self._way.fingerprint, seed=seed)

    def _broken(self) -> Failed | None:
        draft, request, model = self._draft, self._request, self._way.model
        if not draft.seen:
            return Failed(
                f"the model {model} answered without choices", "malformed", transient=True
            )
        if draft.end == "filtered":
            return Failed(f"the content filter of {model} withheld the answer", "refused")
        if not draft.end:
            return Failed(f"the model {model} ended its stream early", "cut", transient=True)
        unseen = tokens_read(request.until) > 0 and not any(draft.top)
        if request.logprobs >= 0 and draft.text and (unseen or not draft.logprobs):
            return Failed(
                f"the model {model} left out the log-probabilities that were asked for",
                "unsupported",
            )
        ended = draft.end in ("eos", "stop") and not draft.calls
        if ended and (broken := violation(request, draft.text)):
            return Failed(f"the model {model} ignored the constraint: {broken}", "malformed")
        return None
