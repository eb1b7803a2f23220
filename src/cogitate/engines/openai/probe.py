"""Ask a server what it can do, by about fifteen calls of a few tokens.

Names in documentation change and fields that a server does not know are often ignored without a
word, so every ability is judged by what comes back, never by the status alone.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any, cast

from cogitate.core.errors import Failed
from cogitate.core.prompt import Prompt
from cogitate.core.requests import (
    Choice,
    Constraint,
    Generate,
    Grammar,
    JsonSchema,
    Regex,
    Sampling,
)
from cogitate.core.task import Message

from . import pieces, tally, wire
from .capabilities import Capabilities, ConstraintKind, Dialect, assumed
from .client import Client
from .identify import identify
from .prompts import Prompts, Sent, read_tokens

COUNTING = (
    "Count upwards in digits and separate the numbers by a comma and a space. Write nothing but numbers. "
    "Begin like this: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24."
)
"""About a hundred tokens, so that a second call shows whether cached ones are reported."""
BEGUN = "1, 2, 3, 4,"
ODD = "zq7"
"""What no model says by itself: only a constraint that is enforced brings it out."""

_TRIALS: dict[ConstraintKind, Constraint] = {
    "json_schema": JsonSchema('{"type": "string", "enum": ["zq7"]}'),
    "choice": Choice((ODD,)),
    "grammar": Grammar('root ::= "zq7"'),
    "regex": Regex("zq7"),
}
_TOOL = (
    '{"type": "function", "function": {"name": "zq7", "description": "The only tool.", '
    '"parameters": {"type": "object", "properties": {}}}}'
)
_UNREACHABLE = ("refused", "timeout", "rate_limited")


async def probe(client: Client, model: str, dialect: Dialect) -> Capabilities:
    """What the server at the other end can do.

    Args:
        client: speaks to it.
        model: the model to ask.
        dialect: what it is believed to be; `generic` lets the probe find out.

    Raises:
        Failed: where it cannot be reached, does not let us in, or has no such model.
    """
    found = await identify(client, dialect)
    if found.models and model not in found.models and found.dialect != "llamacpp":
        listed = ", ".join(found.models[:12])
        raise Failed(
            f"{client.url('models')} has no model {model!r}; it lists {listed}: name one of these",
            "missing",
        )
    trial = _Trial(client, model, found)
    for step in (
        trial.tokenizer,
        trial.siblings,
        trial.logprobs,
        trial.completions,
        trial.echo,
        trial.ids,
        trial.stops,
        trial.prefill,
        trial.constraints,
        trial.tools,
        trial.stream,
        trial.embeddings,
    ):
        await step()
    return replace(trial.caps, probed=True)


@dataclass
class _Trial:
    """The state of one probe."""

    # Mutable on purpose: each step refines what is known.
    client: Client
    model: str
    caps: Capabilities

    def learn(self, finding: str = "", **known: Any) -> None:
        findings = (*self.caps.findings, finding) if finding else self.caps.findings
        self.caps = replace(self.caps, findings=findings, **known)

    async def ask(
        self,
        prompt: Prompt,
        sent: Sent | None = None,
        *,
        n: int = 1,
        max_tokens: int = 8,
        stop: tuple[str, ...] = (),
        logprobs: int = -1,
        constraint: Constraint | None = None,
        tools: tuple[str, ...] = (),
        tool_choice: str = "",
    ) -> tuple[list[pieces.Piece], Any]:
        """One short greedy call; with `n`, a warm one."""
        request = Generate(
            prompt,
            seed=7,
            max_tokens=max_tokens,
            stop=stop,
            sampling=Sampling(temperature=0.8 if n > 1 else 0.0),
            logprobs=logprobs,
            constraint=constraint,
            tools=tools,
            tool_choice=tool_choice,
        )
        sent = sent or await Prompts(self.client, self.model, self.caps, None).prepare(prompt)
        body = wire.body(request, sent, self.caps, self.model, n=n, seed=7, stream=False, stop=stop)
        raw = await self.client.post(wire.PATHS[sent.route], body)
        return pieces.read(sent.route, raw), raw

    async def tries(self, call: Awaitable[Any]) -> tuple[Any, str]:
        """The result, or why there is none; a server that is gone ends the probe."""
        try:
            return await call, ""
        except Failed as failure:
            if failure.kind in _UNREACHABLE and failure.transient:
                raise failure.with_traceback(None) from None
            return None, failure.reason

    # --------------------------------------------------------------------------------- steps

    async def tokenizer(self) -> None:
        prompts = Prompts(self.client, self.model, replace(self.caps, tokenize=True), None)
        tokens, _ = await self.tries(prompts.tokenize(BEGUN))
        back = await prompts.detokenize(tuple(i for i, _ in tokens)) if tokens else None
        self.learn(tokenize=bool(tokens) and back is not None and BEGUN in back)
        if self.caps.dialect == "llamacpp":
            rendered, _ = await self.tries(
                self.client.post(
                    "/apply-template", {"messages": [{"role": "user", "content": ODD}]}
                )
            )
            self.learn(
                renders=bool(rendered) and ODD in str(cast(dict[str, Any], rendered).get("prompt"))
            )
        elif self.caps.tokenize:
            body = {"model": self.model, "messages": [{"role": "user", "content": ODD}]}
            raw, _ = await self.tries(self.client.post("/tokenize", body))
            rendered, _ = await self.tries(_tokens(raw))
            self.learn(renders=bool(rendered))
        else:
            self.learn(renders=False)

    async def siblings(self) -> None:
        """The first call of all; what stops it stops the probe."""
        prompt = Prompt.chat(Message("user", COUNTING))
        first, raw = await self.ask(prompt)
        if not first:
            raise Failed(
                f"{self.client.url('chat/completions')} answered without choices; is this the address of "
                "an OpenAI-compatible server?",
                "malformed",
            )
        two, _ = await self.tries(self.ask(prompt, n=2))
        both = two is not None and len({p.index for p in two[0]}) == 2
        most = self.caps.max_n if self.caps.max_n > 1 else assumed(self.caps.dialect).max_n
        self.learn(
            "n was accepted and ignored: one choice came back"
            if two is not None and not both
            else "",
            n=both,
            max_n=max(2, most) if both else 1,
            token_ids_out=bool(first[0].ids),
        )
        counts = tally.counted(two[1] if two is not None and both else raw)
        if two is not None and self.caps.dialect == "llamacpp":
            said = any(piece.cached for piece in two[0])
        else:
            said = counts is not None and counts.cached_said and counts.cached > 0
        self.learn(cached_tokens_reported=said)
        if counts is None and first[0].tokens_in is None:
            self.learn("usage is not reported; it is estimated from bytes")

    async def logprobs(self) -> None:
        trying = replace(self.caps, logprobs=True, top_logprobs=max(5, self.caps.top_logprobs))
        asked = 5
        answer, _ = await self.tries(
            self.ask(Prompt.chat(Message("user", COUNTING)), logprobs=asked, max_tokens=2)
        )
        top = answer[0][0].top if answer and answer[0] else ()
        if top and top[0]:
            most = (
                max(trying.top_logprobs, len(top[0])) if self.caps.dialect != "generic" else asked
            )
            self.learn(logprobs=True, top_logprobs=most, label_scoring=True)
        else:
            silent = "log-probabilities were asked for and silently left out" if answer else ""
            self.learn(silent, logprobs=False, top_logprobs=0, label_scoring=False)

    async def completions(self) -> None:
        prompt = Prompt.raw(BEGUN)
        answer, _ = await self.tries(self.ask(prompt, Sent("completions", {"prompt": BEGUN})))
        self.learn(completions=bool(answer and answer[0]))

    async def echo(self) -> None:
        if not self.caps.completions:
            self.learn(prompt_logprobs=False)
            return
        body = {
            "model": self.model,
            "prompt": BEGUN,
            "max_tokens": 1,
            "echo": True,
            "logprobs": 1,
            "temperature": 0,
        }
        raw, _ = await self.tries(self.client.post("completions", body))
        read = pieces.read("completions", raw) if raw is not None else []
        echoed = bool(read) and read[0].text.startswith(BEGUN) and len(read[0].logprobs) > 2
        ignored = "echo was accepted and ignored" if read and not echoed else ""
        self.learn(ignored, prompt_logprobs=echoed)

    async def ids(self) -> None:
        """Ten ids must be counted as ten prompt tokens; a server that reads them as text counts more."""
        if not (self.caps.completions and self.caps.tokenize):
            self.learn(token_ids_in=False)
            return
        prompts = Prompts(self.client, self.model, self.caps, None)
        known = [i for i, _ in await prompts.tokenize(BEGUN)]
        native = self.caps.dialect == "llamacpp"
        sent = Sent("native" if native else "completions", {"prompt": known})
        answer, _ = await self.tries(self.ask(Prompt.tokens(known), sent, max_tokens=4))
        counted = None
        if answer and answer[0]:
            counts = tally.counted(answer[1])
            counted = answer[0][0].tokens_in if native else counts and counts.tokens_in
        self.learn(token_ids_in=counted is not None and counted <= len(known) + 1)

    async def stops(self) -> None:
        prompt = (
            Prompt.raw(BEGUN) if self.caps.completions else Prompt.chat(Message("user", COUNTING))
        )
        answer, _ = await self.tries(self.ask(prompt, stop=(",", "\n"), max_tokens=16))
        piece = answer[0][0] if answer and answer[0] else None
        told = piece is not None and piece.stopped_by in (",", "\n")
        kept = piece is not None and (piece.trimmed_stop or piece.text.endswith(piece.stopped_by))
        self.learn(stop_reported=told and kept)

    async def prefill(self) -> None:
        if self.caps.dialect == "llamacpp" and self.caps.renders:
            self.learn(prefill="template")
            return
        asked = {"role": "user", "content": COUNTING}
        begun = {"role": "assistant", "content": BEGUN}
        flags = {"add_generation_prompt": False, "continue_final_message": True}
        for kind, fields in (("flag", flags), ("implicit", {})):
            sent = Sent("chat", {"messages": [asked, begun], **fields})
            answer, _ = await self.tries(self.ask(Prompt.raw(""), sent))
            text = answer[0][0].text if answer and answer[0] else ""
            if text.lstrip().startswith("5"):
                # A server that knows no flag may continue all the same; the flag is then harmless.
                known = self.caps.dialect in ("vllm", "sglang")
                self.learn(prefill="flag" if kind == "flag" and known else "implicit")
                return
            if text.startswith(BEGUN) and text.removeprefix(BEGUN).lstrip().startswith("5"):
                self.learn(prefill="implicit_echo")
                return
        self.learn(prefill="none")

    async def constraints(self) -> None:
        """Every kind this sort of server may know, on a question whose natural answer breaks it."""
        enforced: list[ConstraintKind] = []
        for kind in _candidates(self.caps.dialect):
            answer, _ = await self.tries(
                self.ask(
                    Prompt.chat(Message("user", "Say hello.")),
                    constraint=_TRIALS[kind],
                    max_tokens=12,
                )
            )
            if not answer or not answer[0]:
                continue
            text = answer[0][0].text.strip()
            if text in (ODD, f'"{ODD}"'):
                enforced.append(kind)
            else:
                self.learn(f"the constraint {kind} was accepted and silently ignored")
        self.learn(constraints=tuple(enforced))

    async def tools(self) -> None:
        """One call that must call a tool; what is cut before a word is said, or a call, says nothing."""
        asked = {"messages": [{"role": "user", "content": f"Call the tool {ODD}."}]}
        choice = "" if self.caps.dialect == "ollama" else "required"  # which it knows nothing of
        answer, refused = await self.tries(
            self.ask(
                Prompt.raw(""),
                Sent("chat", asked),
                tools=(_TOOL,),
                tool_choice=choice,
                max_tokens=64,
            )
        )
        if answer is None:
            self.learn(f"tools were refused: {refused}", tools=False)
            return
        found = answer[0][0] if answer[0] else None
        called = found is not None and any(call.name == ODD for call in found.calls)
        cut = found is None or (found.end == "limit" and not found.text)
        if called or cut or not choice:
            self.learn(tools=called or self.caps.tools)
            return
        self.learn("tools were accepted and no call came back", tools=False)

    async def stream(self) -> None:
        """Whether a stream says its usage; a llama.cpp stream says it in every piece."""
        if self.caps.dialect == "llamacpp":
            self.learn(usage_in_stream=True)
            return
        prompt = Prompt.chat(Message("user", COUNTING))
        request = Generate(prompt, seed=7, max_tokens=2, sampling=Sampling(temperature=0.0))
        sent = await Prompts(self.client, self.model, self.caps, None).prepare(prompt)
        trying = replace(self.caps, usage_in_stream=True)
        body = wire.body(request, sent, trying, self.model, seed=7, stream=True, stop=())

        async def read() -> bool:
            events = [event async for event in self.client.stream(wire.PATHS[sent.route], body)]
            return any(tally.counted(event) is not None for event in events)

        counted, _ = await self.tries(read())
        self.learn(usage_in_stream=bool(counted))

    async def embeddings(self) -> None:
        raw, _ = await self.tries(
            self.client.post("embeddings", {"model": self.model, "input": [ODD]})
        )
        data = cast(dict[str, Any], raw).get("data") if isinstance(raw, dict) else None
        self.learn(embeddings=bool(data))


async def _tokens(raw: Any) -> list[tuple[int, str]]:
    return read_tokens(raw)


def _candidates(dialect: Dialect) -> tuple[ConstraintKind, ...]:
    if dialect in ("vllm", "sglang"):
        return ("json_schema", "choice", "grammar", "regex")
    if dialect == "llamacpp":
        return ("json_schema", "choice", "grammar")
    return ("json_schema",)
