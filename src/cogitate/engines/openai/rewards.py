"""Reward models over HTTP: process reward models, outcome models and rerankers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import Reply, Request, ScoreSteps
from cogitate.core.usage import ZERO, Usage

from . import faults, replies, tally
from .capabilities import Capabilities, assumed
from .client import Client, Timeouts
from .formats import Asked, Format, format_named
from .labelled import labelled
from .likelihoods import Scorer
from .prompts import Prompts
from .secret import Secret

Outcome = Reply[Any] | Failed
_Read = replies.Row | Failed

MOST_TEXTS = 64
"""Texts in one call; a server queues more than it can batch."""


class RewardModel:
    """Scores steps and whole solutions by a reward model behind vLLM, SGLang or the llama.cpp server.

    The format says how question and steps are written and where the scores stand. The number of scores is
    held against the number of steps: anything else is a failure, never a guess. It never retries: that is
    the driver's business.

    >>> model = RewardModel("http://localhost:8000", "prm", "qwen")
    >>> model.fingerprint
    'vllm http://localhost:8000 prm as qwen'

    Raises:
        InvalidInput: for a base URL that is not plain http(s), no model, or an unknown format.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        format: str | Format,
        *,
        key: Secret | None = None,
        capabilities: Capabilities | None = None,
        price: tally.Price | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Describe the endpoint; nothing is sent yet.

        Args:
            base_url: `http://HOST:PORT`, with or without `/v1`.
            model: the name the server knows it by.
            format: a name of `FORMATS`, or a format of the caller's.
            key: sent as a bearer token; never shown.
            capabilities: what the server is; vLLM where nothing is said.
            price: for money; without one it is unknown.
            limits: by default 16 calls of 16 requests.
            timeouts: how long to wait for what.
        """
        if not model:
            raise InvalidInput("no model was named; give the name that the server lists")
        self.format = format_named(format) if isinstance(format, str) else format
        """How the model reads and speaks."""
        caps = capabilities or assumed("vllm")
        self.capabilities = caps
        """What the server is."""
        self._model, self._price, self._limits, self._key = model, price, limits, key
        self._client = Client(base_url, model, key, timeouts or Timeouts())
        prompts = Prompts(self._client, model, caps, None)
        self._prompts = prompts
        self._scorer = Scorer(self._client, prompts, caps, model, self.fingerprint, price)

    def __repr__(self) -> str:
        where = self._client.address.root
        return f"RewardModel({where!r}, {self._model!r}, {self.format.name!r}, key={self._key!r})"

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """ScoreSteps."""
        return frozenset({ScoreSteps})

    @property
    def limits(self) -> Limits:
        if self._limits is not None:
            return self._limits
        batch = 1 if self.format.ask in ("labels", "tokens") else 16
        return Limits(concurrency=16, max_batch=batch, mixed=True)

    @property
    def fingerprint(self) -> str:
        """Kind and version of the server, its address, the model and its format; never a key."""
        kind = f"{self.capabilities.dialect} {self.capabilities.version}".strip()
        return f"{kind} {self._client.address.root} {self._model} as {self.format.name}"

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most it can cost: every byte a token, the format's own text, once for each text sent."""
        if not isinstance(request, ScoreSteps):
            return Usage(calls=1, flops=None, bytes_moved=None, usd=None)
        own = self.format
        parts = (
            own.before,
            own.between,
            own.after,
            *(own.marker + own.joint for _ in request.steps),
        )
        fixed = sum(len(part.encode()) for part in parts)
        said = sum(len(step.encode("utf-8", "surrogatepass")) for step in request.steps)
        turns = tally.TEMPLATE_ONCE + tally.TEMPLATE_PER_MESSAGE * (2 * len(request.steps) + 1)
        each = tally.most_in(request.prompt) + fixed + said + turns
        times = len(request.steps) if own.ask == "labels" or self._by_prefixes else 1
        out = times if own.ask == "labels" else 0
        return tally.usage_of(tally.Counted(each * max(1, times), out), self._price)

    async def serve(self, batch: Sequence[Request[Any]], emit: Emit = silent) -> Sequence[Outcome]:
        """Score each request, in order; many by one call where the server takes lists."""
        outcomes: list[Outcome | None] = [None] * len(batch)
        groups: dict[str, list[tuple[int, Asked]]] = {}
        for place, request in enumerate(batch):
            try:
                asked = Asked.of(request, self.format)
            except Failed as failure:
                outcomes[place] = failure.with_traceback(None)
                continue
            if not asked.steps:
                outcomes[place] = Reply((), engine=self.fingerprint)
                continue
            # Rerankers take one question with many solutions, chats go alone, the others any texts.
            alone = self.format.chat or self.format.ask in ("labels", "tokens")
            by = f"#{place}" if alone else asked.question if self.format.ask == "rerank" else ""
            groups.setdefault(by, []).append((place, asked))

        async def one(group: list[tuple[int, Asked]]) -> None:
            answers = await self._answers([asked for _, asked in group])
            for (place, _), outcome in zip(group, answers, strict=True):
                outcomes[place] = outcome

        async with asyncio.TaskGroup() as tasks:
            for group in groups.values():
                for part in self._parts(group):
                    tasks.create_task(one(part))
        return cast(list[Outcome], outcomes)

    async def close(self) -> None:
        """Close the connections; the engine may still be used and opens new ones then."""
        await self._client.close()

    # ------------------------------------------------------------------------------- inside

    @property
    def _by_prefixes(self) -> bool:
        """SGLang pools the last token alone, so that each step is a text of its own there."""
        return self.format.ask == "pooling" and self.capabilities.dialect == "sglang"

    def _parts(self, group: list[tuple[int, Asked]]) -> list[list[tuple[int, Asked]]]:
        """The group in calls of at most so many texts."""
        parts: list[list[tuple[int, Asked]]] = []
        texts = MOST_TEXTS
        for member in group:
            wanted = len(member[1].steps) if self._by_prefixes else 1
            if texts + wanted > MOST_TEXTS:
                parts.append([])
                texts = 0
            parts[-1].append(member)
            texts += wanted
        return parts

    async def _answers(self, group: list[Asked]) -> list[Outcome]:
        """The outcomes of one call; where it was refused for one text's sake, each is asked alone."""
        try:
            return await self._called(group)
        except Failed as error:
            # A copy has no traceback and so no frame that holds a key.
            failure = faults.copied(error, error.usage)
        except BaseExceptionGroup as several:
            failed, others = several.split(Failed)
            if others is not None or failed is None:
                raise
            failure = faults.copied(faults.first(failed), None)
        if len(group) > 1 and failure.kind in ("refused", "too_long"):
            return [outcome for asked in group for outcome in await self._answers([asked])]
        # The whole call's cost is told once.
        rest = None if failure.usage is None else ZERO
        return [
            faults.copied(failure, failure.usage if n == 0 else rest) for n in range(len(group))
        ]

    async def _called(self, group: list[Asked]) -> list[Outcome]:
        match self.format.ask:
            case "labels":
                (asked,) = group
                return [await labelled(self._scorer, self.format, asked.question, asked.steps)]
            case "tokens":
                return await self._by_tokens(group)
            case "pooling" if not self._by_prefixes:
                return await self._pooled(group)
            case "pooling" | "classify":
                return await self._classified(group)
            case "rerank" | "score":
                return await self._ranked(group)

    async def _pooled(self, group: list[Asked]) -> list[Outcome]:
        texts = [self.format.text(asked.question, asked.steps) for asked in group]
        raw, found, where = await self._post(
            "/pooling",
            {
                "input": texts,
                "task": "token_classify",
                "use_activation": self.format.reading == "probability",
            },
            len(texts),
        )
        read = [
            _tried(
                lambda a=asked, i=item: self._checked(a, replies.rows(i.get("data"), where), where)
            )
            for asked, item in zip(group, found, strict=True)
        ]
        return self._replies(group, read, replies.counted(raw))

    async def _classified(self, group: list[Asked]) -> list[Outcome]:
        own = self.format
        texts = [
            text
            for asked in group
            for text in (
                own.prefixes(asked.question, asked.steps)
                if self._by_prefixes
                else [own.text(asked.question, asked.steps)]
            )
        ]
        native = self.capabilities.dialect == "sglang"
        if native and own.chat:
            raise Failed(
                f"SGLang classifies text and renders no chat; take a format such as {own.name}-chatml or "
                f"{own.name}-llama3",
                "unsupported",
                usage=ZERO,
            )
        body: dict[str, Any]
        if native:  # its /v1/classify takes the softmax even of one class, which is always 1
            body = {"text": texts}
        elif own.chat:
            (asked,) = group
            body = {"messages": asked.conversation}
        else:
            body = {"input": texts}
        if not native:
            body["use_activation"] = own.reading == "probability"
        raw, found, where = await self._post("/classify", body, len(texts), named=not native)
        read: list[_Read] = []
        for asked in group:
            count = len(asked.steps)
            mine, found = found[:count], found[count:]
            read.append(_tried(lambda a=asked, m=mine: self._classes(a, m, where)))
        return self._replies(group, read, replies.counted(raw))

    def _classes(self, asked: Asked, found: Sequence[Mapping[str, Any]], where: str) -> replies.Row:
        native = self.capabilities.dialect == "sglang"
        field = "embedding" if native else "probs"
        rows = [replies.numbers(item.get(field), where) for item in found]
        if native and self.format.reading == "probability":  # its rows are always logits
            rows = [replies.softmax(row) if len(row) > 1 else row for row in rows]
        return self._checked(asked, rows, where)

    async def _ranked(self, group: list[Asked]) -> list[Outcome]:
        texts = [asked.steps[0] for asked in group]
        if self.format.ask == "rerank":
            path, name = "rerank", "relevance_score"
            body: dict[str, Any] = {"query": group[0].question, "documents": texts}
        elif self.capabilities.dialect == "sglang":
            raise Failed(
                "SGLang's /v1/score scores labels, not pairs; take the format rerank",
                "unsupported",
                usage=ZERO,
            )
        else:
            path, name = "/score", "score"
            body = {"text_1": [asked.question for asked in group], "text_2": texts}
        raw, found, where = await self._post(path, body, len(texts))
        read = [
            _tried(lambda i=item: (replies.number(i.get(name, i.get("score")), where),))
            for item in found
        ]
        return self._replies(group, read, replies.counted(raw))

    async def _by_tokens(self, group: list[Asked]) -> list[Outcome]:
        """A row for each token: the ids are put together here, so that every marker's place is known."""
        own, (asked,) = self.format, group
        opening = own.before + asked.question + own.between
        ids = [token for token, _ in await self._prompts.tokenize(opening)]
        mark = [token for token, _ in await self._prompts.tokenize(own.marker)]
        places: list[int] = []
        for step in asked.steps:
            words = await self._prompts.tokenize(step) if step else []
            ids = [*ids, *(token for token, _ in words), mark[-1]]
            places.append(len(ids) - 1)
        body = {"input": [ids], "task": "token_classify", "use_activation": False}
        raw, (item,), where = await self._post("/pooling", body, 1)

        def at_markers() -> replies.Row:
            rows = replies.rows(item.get("data"), where)
            if len(rows) != len(ids):
                raise replies.malformed(where, f"answered {len(rows)} rows for {len(ids)} tokens")
            return self._checked(asked, [rows[place] for place in places], where)

        counts = replies.counted(raw) or tally.Counted(len(ids), 0)
        return self._replies(group, [_tried(at_markers)], counts)

    async def _post(
        self, path: str, body: dict[str, Any], count: int, *, named: bool = True
    ) -> tuple[Any, list[Mapping[str, Any]], str]:
        raw = await self._client.post(path, {"model": self._model, **body} if named else body)
        where = self._client.url(path)
        try:
            return raw, replies.items(raw, count, where), where
        except Failed as failure:
            failure.usage = self._paid(raw)
            raise

    def _paid(self, raw: Any) -> Usage | None:
        """What a reply that cannot be used has cost, where it says so."""
        counts = replies.counted(raw)
        return None if counts is None else self._usage(counts, estimated=False)

    def _checked(self, asked: Asked, rows: Sequence[replies.Row], where: str) -> replies.Row:
        if len(rows) != len(asked.steps):
            raise replies.malformed(
                where,
                f"gave {len(rows)} scores for {len(asked.steps)} steps; is {self.format.name} the format of "
                "this model, and is it served with its step pooler?",
            )
        return replies.scores(rows, self.format.reading, self.format.index, where)

    def _replies(
        self,
        group: list[Asked],
        values: Sequence[_Read],
        counts: tally.Counted | None,
    ) -> list[Outcome]:
        guess = sum(-(-asked.size // tally.BYTES_PER_TOKEN) for asked in group)
        known = counts or tally.Counted(guess, 0)
        weights = [asked.size for asked in group]
        tokens = tally.split(known.tokens_in, weights)
        cached = tally.split(known.cached, weights)
        outcomes: list[Outcome] = []
        for n, value in enumerate(values):
            share = tally.Counted(tokens[n], 0, min(cached[n], tokens[n]))
            usage = self._usage(share, estimated=counts is None)
            if isinstance(value, Failed):
                outcomes.append(faults.copied(value, usage))
            else:
                outcomes.append(Reply(value, usage, engine=self.fingerprint))
        return outcomes

    def _usage(self, counts: tally.Counted, *, estimated: bool) -> Usage:
        return tally.usage_of(counts, self._price, estimated=estimated)


def _tried(read: Callable[[], replies.Row]) -> _Read:
    """The scores of one request, or why there are none: its neighbours in the call keep theirs."""
    try:
        return read()
    except Failed as failure:
        return failure
