"""One call that continues a prompt for all siblings of a group, and what it cost each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from cogitate.core.errors import Failed
from cogitate.core.protocols import Emit
from cogitate.core.requests import Completion, Generate, Reply
from cogitate.core.until import tokens_read

from . import pieces, tally, wire
from .capabilities import Capabilities
from .client import Client
from .drafts import Draft, drafts_for
from .prompts import Prompts, Sent

Outcome = Reply[Completion] | Failed


@dataclass(frozen=True, slots=True)
class Generator:
    """Serves groups of equal prompts."""

    client: Client
    prompts: Prompts
    caps: Capabilities
    model: str
    fingerprint: str
    price: tally.Price | None

    async def serve(self, group: Sequence[Generate], emit: Emit) -> list[Outcome]:
        """Answer siblings with one call.

        Raises:
            Failed: where the call as a whole failed.
        """
        first = group[0]
        refusal = wire.refuse_needs(first, self.caps)
        if refusal is not None:
            raise refusal
        sent = await self.prompts.prepare(first.prompt, chat=bool(first.tools))
        # llama.cpp says which stop string fired in its own form of completions alone.
        silent = self.caps.dialect == "llamacpp" and sent.route == "chat"
        cuts = first.stop if silent or not self.caps.stop_reported else ()
        # llama.cpp's server notices a closed connection at once only while it streams: waiting for a
        # whole reply, it looks for one when nothing else has happened for a second.
        streams = bool(first.final or first.until or cuts or sent.route == "native")
        seed = wire.folded_seed(first.seed, self.caps)
        body = wire.body(
            first,
            sent,
            self.caps,
            self.model,
            n=len(group),
            seed=seed,
            stream=streams,
            stop=first.stop if not cuts else (),
        )
        drafts = drafts_for(group, cuts, sent.echoed)
        call = _Call(sent, drafts, emit)
        if streams:
            await call.stream(self.client.stream(wire.PATHS[sent.route], body))
        else:
            call.take(await self.client.post(wire.PATHS[sent.route], body))
            call.complete = True
        return await self._outcomes(call, group, seed)

    async def _outcomes(self, call: _Call, group: Sequence[Generate], seed: int) -> list[Outcome]:
        usages = self._usages(call, group[0])
        found: list[Outcome] = []
        for index, (draft, counts, request) in enumerate(
            zip(call.drafts, usages, group, strict=True)
        ):
            usage = tally.usage_of(counts, self.price, estimated=call.estimated or draft.cut)
            failure = self._failure(call, draft)
            if failure is not None:
                failure.usage = usage if draft.seen or call.counts else None
                found.append(failure)
                continue
            completion = draft.completion(await self._ids(draft), counts.tokens_out)
            used = draft.seed if draft.seed is not None else seed
            alone = len(group) == 1
            found.append(
                Reply(
                    completion,
                    usage,
                    engine=self.fingerprint,
                    seed=None if alone and used == request.seed else used,
                    index=None if alone else index,
                )
            )
        return found

    def _failure(self, call: _Call, draft: Draft) -> Failed | None:
        path = self.client.url(wire.PATHS[call.sent.route])
        if draft.end == "filtered":
            return Failed(
                f"the content filter of {path} withheld the answer; rephrase the task", "refused"
            )
        if draft.end == "aborted":
            return Failed(f"{path} aborted the answer", "cut", transient=True)
        if not draft.end and call.failure is not None:
            # One failure may end several siblings: each gets its own, because each has its own usage.
            cause = call.failure
            return Failed(
                cause.reason,
                cause.kind,
                transient=cause.transient,
                retry_after_s=cause.retry_after_s,
            )
        if not draft.seen:
            had = sum(d.seen for d in call.drafts)
            return Failed(
                f"{path} answered with {had} of {len(call.drafts)} choices"
                + ("; probe it, it may not support n" if had else ""),
                "malformed",
                transient=True,
            )
        if not draft.end and not call.complete:
            return Failed(
                f"{path} ended its stream in the middle of the answer", "cut", transient=True
            )
        request = draft.request
        unseen = tokens_read(request.until) > 0 and not any(draft.top)
        if request.logprobs >= 0 and draft.text and (unseen or not draft.logprobs):
            return Failed(
                f"{path} left out the log-probabilities that were asked for, without a word; probe it, or "
                "use another engine for this role",
                "unsupported",
            )
        ended = draft.end in ("", "eos", "stop") and not draft.calls
        if ended and (broken := wire.violation(request, draft.text)):
            return Failed(f"{path} ignored the constraint: {broken}; probe it", "malformed")
        return None

    async def _ids(self, draft: Draft) -> tuple[int, ...]:
        """The ids where they say exactly the text, so that they may be continued in its place."""
        ids = tuple(draft.ids)
        if not ids or (draft.end == "limit" and not draft.cut and not draft.request.stop):
            return ids
        if draft.end in ("eos", ""):
            return await self.prompts.without_end(ids, draft.text)
        text = await self.prompts.detokenize(ids)
        return ids if text == draft.text else ()

    def _usages(self, call: _Call, request: Generate) -> list[tally.Counted]:
        """Tokens of each sibling; they sum to what the server reported, the prompt counted once."""
        drafts = call.drafts
        guesses = [
            known
            if (known := draft.known_tokens()) is not None
            else tally.about_out(draft.written, draft.pieces, request.max_tokens)
            for draft in drafts
        ]
        counts = call.counts
        if counts is not None and not counts.tokens_out and sum(guesses):
            counts = None  # whoever counts nothing for a text has not counted
        if call.sent.route == "native" and call.tokens_in is not None:
            counts = tally.Counted(call.tokens_in, sum(guesses), min(call.cached, call.tokens_in))
        if counts is None:
            call.estimated = True
            about = tally.about_in(request.prompt, request.tools)
            counts = tally.Counted(about, sum(guesses))
        outs = tally.split(counts.tokens_out, guesses)
        thoughts = tally.split(counts.reasoning, [len(draft.reasoning) for draft in drafts])
        return [
            tally.Counted(
                counts.tokens_in if i == 0 else 0,
                out,
                counts.cached if i == 0 else 0,
                min(out, thought),
            )
            for i, (out, thought) in enumerate(zip(outs, thoughts, strict=True))
        ]


@dataclass
class _Call:
    """What one call of the server has said so far."""

    # Mutable on purpose: it collects a stream.
    sent: Sent
    drafts: list[Draft]
    emit: Emit
    counts: tally.Counted | None = None
    tokens_in: int | None = None
    cached: int = 0
    estimated: bool = False
    complete: bool = False
    """Whether the server said that it was done."""
    failure: Failed | None = None

    async def stream(self, events: AsyncGenerator[Any, None]) -> None:
        async with aclosing(events):
            try:
                async for event in events:
                    if event is None:
                        self.complete = True
                        return
                    self.take(event)
                    if all(draft.end for draft in self.drafts) and any(d.cut for d in self.drafts):
                        self.estimated = (
                            True  # the server may generate a little more before it notices
                        )
                        return
            except Failed as failure:
                if not any(draft.seen for draft in self.drafts):
                    raise
                self.failure = failure.with_traceback(None)

    def take(self, raw: Any) -> None:
        """Read one JSON value of the reply."""
        for piece in pieces.read(self.sent.route, raw):
            if piece.index < len(self.drafts):
                text = self.drafts[piece.index].feed(piece)
                if text:
                    self.emit(piece.index, text)
            if piece.tokens_in is not None:
                self.tokens_in = max(piece.tokens_in, self.tokens_in or 0)
            self.cached = max(self.cached, piece.cached or 0)
        found = tally.counted(raw)
        if found is not None and (found.tokens_out or not self.counts):
            self.counts = found
