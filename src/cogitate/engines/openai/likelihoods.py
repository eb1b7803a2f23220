"""How likely given texts are: labels by the likeliest first tokens, exact scores by echo."""

from __future__ import annotations

from asyncio import TaskGroup
from dataclasses import dataclass
from typing import Any, cast

from cogitate.core.errors import Failed
from cogitate.core.requests import Likelihood, Loglikelihood, Reply

from . import pieces, tally, wire
from .capabilities import Capabilities
from .client import Client
from .prompts import Prompts, unsupported


@dataclass(frozen=True, slots=True)
class Scorer:
    """Serves `Loglikelihood`."""

    client: Client
    prompts: Prompts
    caps: Capabilities
    model: str
    fingerprint: str
    price: tally.Price | None

    async def serve(self, request: Loglikelihood) -> Reply[tuple[Likelihood, ...]]:
        """Score every continuation.

        Raises:
            Failed: `unsupported` where this server cannot, or where a label is outside its top k.
        """
        if not request.continuations:
            return Reply((), engine=self.fingerprint)
        if request.labels:
            return await self._labels(request)
        return await self._exact(request)

    # ------------------------------------------------------------------------------- labels

    async def _labels(self, request: Loglikelihood) -> Reply[tuple[Likelihood, ...]]:
        if not self.caps.label_scoring:
            raise unsupported("the scoring of labels", self.caps)
        wanted = await self._first_tokens(request.continuations)
        sent = await self.prompts.prepare(request.prompt)
        raw = await self.client.post(wire.PATHS[sent.route], self._asking(sent.route, sent.fields))
        read = pieces.read(sent.route, raw)
        if not read or not read[0].top:
            raise Failed(
                f"{self.client.url(wire.PATHS[sent.route])} left out the log-probabilities that were asked "
                "for; probe it, or use another engine for this role",
                "unsupported",
            )
        top, ids = read[0].top[0], (read[0].top_ids or ((),))[0]
        values: list[Likelihood] = []
        for label, (token_id, token) in zip(request.continuations, wanted, strict=True):
            by_id = len(ids) == len(top) and token_id is not None
            found = [
                alternative.logprob
                for i, alternative in enumerate(top)
                if (ids[i] == token_id if by_id else alternative.token == token)
            ]
            if not found:
                raise Failed(
                    f"the label {label!r} is not among the {len(top)} likeliest first tokens, so its "
                    "probability is unknown; ask so that every label is likely, or use an engine with "
                    "exact scores",
                    "unsupported",
                )
            values.append(Likelihood(max(found), 1))
        counts = self._counted(read[0], raw)
        known = counts or tally.Counted(tally.about_in(request.prompt), 1)
        usage = tally.usage_of(known, self.price, estimated=counts is None)
        return Reply(tuple(values), usage, engine=self.fingerprint)

    async def _first_tokens(self, labels: tuple[str, ...]) -> list[tuple[int | None, str]]:
        """The first token of each label; the label itself where the server does not tokenise.

        Raises:
            Failed: where two labels begin with the same token.
        """
        found: list[tuple[int | None, str]] = []
        for label in labels:
            if not self.caps.tokenize:
                found.append((None, label))
                continue
            tokens = await self.prompts.tokenize(label)
            if not tokens:
                raise Failed(
                    f"the label {label!r} has no tokens; give labels of text", "unsupported"
                )
            found.append((tokens[0][0], tokens[0][1] or label))
        if len(set(found)) < len(set(labels)):
            raise Failed(
                f"two of the labels {', '.join(map(repr, labels))} begin with the same token, of which "
                "only the first counts; choose others",
                "unsupported",
            )
        return found

    def _asking(self, route: str, fields: dict[str, Any]) -> dict[str, Any]:
        k = self.caps.top_logprobs
        # Temperature 1 and no filter: servers that report probabilities after sampling then report
        # the raw ones too.
        plain: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0, "seed": 0, "stream": False}
        if route == "native":
            return fields | plain | {"n_predict": 1, "n_probs": k, "top_k": 0, "min_p": 0.0}
        openai = self.caps.dialect == "openai" and route == "chat"
        cap = {"max_completion_tokens" if openai else "max_tokens": 1}
        asked = {"logprobs": True, "top_logprobs": k} if route == "chat" else {"logprobs": k}
        return {"model": self.model} | fields | plain | cap | asked

    def _counted(self, piece: pieces.Piece, raw: Any) -> tally.Counted | None:
        if piece.tokens_in is not None:
            return tally.Counted(
                piece.tokens_in, piece.tokens or 1, min(piece.cached or 0, piece.tokens_in)
            )
        return tally.counted(raw)

    # -------------------------------------------------------------------------------- exact

    async def _exact(self, request: Loglikelihood) -> Reply[tuple[Likelihood, ...]]:
        if not self.caps.prompt_logprobs:
            raise unsupported(
                "the exact likelihood of a given text",
                self.caps,
                "use labels where one token decides, or an engine in this process",
            )
        async with TaskGroup() as group:
            tasks = [group.create_task(self._one(request, text)) for text in request.continuations]
        scored = [task.result() for task in tasks]
        counts = tally.Counted(
            sum(c.tokens_in for _, c, _ in scored),
            sum(c.tokens_out for _, c, _ in scored),
            sum(c.cached for _, c, _ in scored),
        )
        usage = tally.usage_of(
            counts, self.price, estimated=any(guessed for _, _, guessed in scored)
        )
        return Reply(tuple(value for value, _, _ in scored), usage, engine=self.fingerprint)

    async def _one(
        self, request: Loglikelihood, text: str
    ) -> tuple[Likelihood, tally.Counted, bool]:
        if not text:
            return Likelihood(0.0, 0), tally.Counted(0, 0), False
        prompt: str | list[int]
        if (
            self.caps.token_ids_in
            and self.caps.tokenize
            and (self.caps.renders or not request.prompt.messages)
        ):
            before = await self.prompts.ids(request.prompt)
            prompt = before + [i for i, _ in await self.prompts.tokenize(text)]
            boundary = len(before)
        else:
            context = await self.prompts.text(request.prompt)
            prompt, boundary = context + text, len(context)
        body = {
            "model": self.model,
            "prompt": prompt,
            "echo": True,
            "logprobs": 1,
            "max_tokens": 1,
            "temperature": 0.0,
            "seed": 0,
        }
        raw = await self.client.post("completions", body)
        logprobs = _echoed(raw)
        if isinstance(prompt, str):
            value = _after_text(logprobs, boundary, len(prompt))
        else:
            value = _after_ids(logprobs, boundary, len(prompt))
        if value is None:
            raise Failed(
                f"{self.client.url('completions')} did not report the log-probabilities of the text that "
                "was given, or a token crosses its beginning; use another engine for this role",
                "unsupported",
            )
        counts = tally.counted(raw)
        guess = tally.Counted(tally.about_in(request.prompt.then(text)), 1)
        return value, counts or guess, counts is None


def _echoed(raw: Any) -> dict[str, Any]:
    choices = cast(dict[str, Any], raw).get("choices") if isinstance(raw, dict) else None
    first: Any = cast(list[Any], choices)[0] if isinstance(choices, list) and choices else None
    found = cast(dict[str, Any], first).get("logprobs") if isinstance(first, dict) else None
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def _after_ids(logprobs: dict[str, Any], start: int, end: int) -> Likelihood | None:
    values = logprobs.get("token_logprobs")
    if not isinstance(values, list) or len(cast(list[Any], values)) < end:
        return None
    return _sum(cast(list[Any], values)[start:end])


def _after_text(logprobs: dict[str, Any], start: int, end: int) -> Likelihood | None:
    values, offsets = logprobs.get("token_logprobs"), logprobs.get("text_offset")
    if not isinstance(values, list) or not isinstance(offsets, list):
        return None
    pairs = list(zip(cast(list[Any], offsets), cast(list[Any], values), strict=False))
    if start not in cast(list[Any], offsets) or not any(offset >= end for offset, _ in pairs):
        return None
    return _sum([value for offset, value in pairs if start <= offset < end])


def _sum(values: list[Any]) -> Likelihood | None:
    if not values or not all(isinstance(v, int | float) for v in values):
        return None
    return Likelihood(float(sum(values)), len(values))
