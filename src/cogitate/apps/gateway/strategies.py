"""Requests that a strategy answers: buffered, or streamed as far as the answer is settled."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cogitate.core.candidates import Artifact
from cogitate.core.task import Manner

from .accounts import Ceiling
from .asking import Wanted, wanted_chat, wanted_text
from .refusals import Refused
from .replying import DONE, Said, comment, event
from .sending import EVENTS, Sender
from .thinking import (
    Context,
    Hearing,
    Thinking,
    answers_of,
    fresh_seed,
    running,
    waited,
)

if TYPE_CHECKING:
    from cogitate.assembly import Opened, Plan, Result
    from cogitate.assembly.gateway_settings import GatewaySettings

    from .choosing import Choosing
    from .live import Hub, Watched
    from .shared import Store
    from .turning import Turn

_TITLE = 200


class Strategies:
    """Answers requests by strategies on shared models."""

    def __init__(
        self, settings: GatewaySettings, store: Store, thinking: Thinking, hub: Hub
    ) -> None:
        """Everything is shared by all requests."""
        self._settings, self._store, self._thinking, self._hub = settings, store, thinking, hub

    def read(self, turn: Turn, body: dict[str, Any], choosing: Choosing) -> None:
        """What the request asks for; a model of this process without a strategy gives one sample.

        Raises:
            Refused: naming the field that cannot be honoured.
        """
        read = wanted_chat if turn.chat else wanted_text
        wanted = read(body, self._settings)
        if turn.answerer.strategy is None:
            wanted = unadorned(wanted)
        turn.wanted = wanted
        turn.budget = choosing.budget(wanted, turn.headers)

    def ceiling(self, turn: Turn, size: int) -> Ceiling:
        """What the request may cost at most."""
        budget = turn.budget
        calls = budget.calls
        tokens_in = budget.tokens_in if calls is None else min(size * calls, 2**52)
        strategy = turn.answerer.strategy
        return Ceiling(
            tokens_in=tokens_in,
            tokens_out=budget.tokens_out,
            usd=budget.usd,
            model=turn.answerer.name.rpartition("@")[2],
            strategy="" if strategy is None else str(strategy),
        )

    async def serve(self, turn: Turn, sender: Sender) -> None:
        """Answer.

        Raises:
            Refused: where there is no answer.
        """
        context = self._context(turn)
        models = await self._store.opened(context.model)
        wanted = context.wanted
        streams = wanted.stream and wanted.candidates == 1 and not wanted.shows_logprobs
        plan, streams = self._thinking.plan(context, models, streamed=streams)
        watched = self._watched(turn.id, context) if self._settings.live else None
        hearing = Hearing(listeners=[] if watched is None else [watched])
        error = "it was cut"
        answer, stopped = "", ""
        try:
            if wanted.stream:
                result = await self._streamed(turn, sender, plan, models, hearing, streams)
            else:
                result = await self._whole(turn, sender, plan, models, hearing)
            answer, stopped, error = result.text, result.stopped, ""
        except Refused as refused:
            error = refused.message
            raise
        finally:
            if turn.usage.calls == 0:
                turn.usage = hearing.usage
            if watched is not None:
                watched.end(answer, stopped=stopped, error=error)

    def _watched(self, id: str, context: Context) -> Watched:
        return self._hub.begin(
            id,
            title=context.wanted.task.question[:_TITLE],
            strategy=str(context.strategy),
            model=context.name,
            budget=context.budget,
            key=context.key,
        )

    def _context(self, turn: Turn) -> Context:
        wanted, strategy = turn.wanted, turn.answerer.strategy
        assert wanted is not None
        own = wanted.own or {}
        scorer = own.get("scorer")
        if scorer is not None and not isinstance(scorer, str):
            raise Refused(400, "cogitate.scorer must be a spec", param="cogitate.scorer")
        if strategy is None:
            strategy = plain(wanted)
        return Context(
            turn.id,
            turn.key,
            turn.answerer.model,
            turn.answerer.name,
            strategy,
            turn.budget,
            fresh_seed() if wanted.seed is None else wanted.seed,
            wanted,
            scorer,
        )

    async def _whole(
        self, turn: Turn, sender: Sender, plan: Plan, models: Opened, hearing: Hearing
    ) -> Result:
        result = await self._thinking.run(plan, models, hearing, turn.id)
        turn.usage = result.usage
        wanted = _wanted(turn)
        answers = answers_of(result, wanted, hearing.failure)
        value = _said(turn).whole(answers, result.usage, shows_logprobs=wanted.shows_logprobs)
        await sender.json(200, turn.told(finished=True), value)
        return result

    async def _streamed(
        self,
        turn: Turn,
        sender: Sender,
        plan: Plan,
        models: Opened,
        hearing: Hearing,
        streams: bool,
    ) -> Result:
        wanted, said = _wanted(turn), _said(turn)
        headers = EVENTS + turn.told(buffered=not streams)
        sent = ""
        work = asyncio.ensure_future(self._thinking.run(plan, models, hearing, turn.id))
        async with running(work):
            async for text in waited(hearing, work):
                if not sender.open:
                    await sender.begin(200, headers)
                if text and not sent:
                    await sender.piece(b"".join(map(event, said.opening(0))))
                if text:
                    sent += text
                    await sender.piece(event(said.piece(0, text)))
                else:
                    await sender.piece(comment(hearing.said))
            result = await work
        turn.usage = result.usage
        answers = answers_of(result, wanted, hearing.failure)
        if not answers[0].text.startswith(sent):
            raise Refused(
                502,
                "the answer broke off after part of it was sent; send the request again",
                code="broken_off",
            )
        if not sender.open:
            await sender.begin(200, headers)
        await sender.end(self._last(turn, said, answers, sent))
        return result

    def _last(self, turn: Turn, said: Said, answers: list[Artifact], sent: str) -> bytes:
        wanted = _wanted(turn)
        chunks: list[bytes] = []
        for index, artifact in enumerate(answers):
            begun = sent if index == 0 else ""
            rest = artifact.text[len(begun) :]
            if not begun:
                chunks += map(event, said.opening(index))
            closing = said.closing(index, artifact, rest, shows_logprobs=wanted.shows_logprobs)
            chunks += map(event, closing)
        if wanted.include_usage:
            chunks.append(event(said.total(turn.usage)))
        calls, own = turn.usage.calls, turn.meter.own_ms
        chunks += [comment(f"cogitate calls={calls} overhead_ms={own:.2f}"), DONE]
        return b"".join(chunks)


def unadorned(wanted: Wanted) -> Wanted:
    """The request as a model alone is asked it: nothing is added to its messages."""
    task, own = wanted.task, wanted.own or {}
    manner = task.manner or Manner()
    kind = own.get("kind") or ("json" if manner.constrained else "text")
    bare = own.get("bare") is not False
    return replace(wanted, task=replace(task, kind=kind, manner=replace(manner, bare=bare)))


def plain(wanted: Wanted) -> Any:
    """What a model of this process does without a strategy: one sample, or as many as were asked for."""
    from cogitate.assembly import read

    if wanted.candidates == 1:
        return read("greedy()")
    return read(f"best_of(n={wanted.candidates}, scorer=majority())")


def _wanted(turn: Turn) -> Wanted:
    assert turn.wanted is not None
    return turn.wanted


def _said(turn: Turn) -> Said:
    return Said(turn.id, int(time.time()), turn.answerer.name, turn.chat)
