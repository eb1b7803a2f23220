"""How a prompt reaches a server: as messages, as text, or as token ids."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from cogitate.core.errors import Failed
from cogitate.core.prompt import Continuation, Prompt, Text, Tokens
from cogitate.core.task import Message

from .capabilities import Capabilities
from .client import Client
from .messages import part as part_of
from .messages import said

Route = Literal["chat", "completions", "native"]
Template = Callable[[tuple[Message, ...]], str]
"""Renders messages up to where the assistant begins; for servers that cannot continue a message."""

Held = TypeVar("Held", str, tuple[int, ...])

RENDERED = 256
"""Rendered prompts kept, so that siblings and steps ask the server once."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A prompt ready to be sent."""

    route: Route
    fields: dict[str, Any]
    echoed: str = ""
    """What the server may say again at the beginning of its reply."""


def chatml(messages: tuple[Message, ...]) -> str:
    r"""The template of ChatML models, for servers that render none.

    >>> chatml((Message("user", "Hi"),))
    '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n'
    """
    turns = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)
    return turns + "<|im_start|>assistant\n"


def unsupported(what: str, caps: Capabilities, instead: str = "") -> Failed:
    """The refusal of a need, by name."""
    found = "the probe found" if caps.probed else "it is assumed"
    hint = instead or "use another engine for this role"
    return Failed(
        f"{what} was asked for, but {found} that this {caps.dialect} server lacks it; {hint}",
        "unsupported",
    )


class Prompts:
    """Prepares prompts for one server; asks it to render and tokenise where it can."""

    def __init__(
        self, client: Client, model: str, caps: Capabilities, template: Template | None
    ) -> None:
        self._client, self._model, self._caps, self._template = client, model, caps, template
        # A bounded memory of what the server said; content-addressed, so never stale.
        self._rendered: OrderedDict[str, str | tuple[int, ...]] = OrderedDict()
        self._ends: set[int] = set()  # tokens seen to end a turn

    async def prepare(self, prompt: Prompt, *, chat: bool = False) -> Sent:
        """The prompt for a call that continues it.

        Args:
            prompt: what is to be continued.
            chat: whether it must go as messages, because there are tools to call; a prompt whose messages are
                more than roles and texts goes so by itself.

        Raises:
            Failed: `unsupported` where this server cannot continue such a prompt.
        """
        if chat or not prompt.plain:
            if not prompt.messages:
                raise unsupported("tools beside a raw prompt", self._caps, "give chat messages")
            return self._chat(prompt, prompt.prefill, rendered=False)
        if self._caps.dialect == "llamacpp":
            mixed = await self._mixed(prompt)
            return Sent("native", {"prompt": mixed[0] if _is_text(mixed) else mixed})
        pieces = prompt.continuations
        has_ids = any(piece.ids for piece in pieces)
        if prompt.ids or (has_ids and await self._takes_ids(prompt)):
            return Sent("completions", {"prompt": await self.ids(prompt)})
        if not prompt.messages:
            if not self._caps.completions:
                raise unsupported("a raw prompt", self._caps, "give the prompt as chat messages")
            return Sent("completions", {"prompt": prompt.text + prompt.prefill})
        return (
            self._chat(prompt, prompt.prefill) if pieces else Sent("chat", self._messages(prompt))
        )

    def _chat(self, prompt: Prompt, prefill: str, *, rendered: bool = True) -> Sent:
        if not prefill:
            return Sent("chat", self._messages(prompt))
        fields = self._messages(prompt)
        begun = [*fields["messages"], {"role": "assistant", "content": prefill}]
        match self._caps.prefill:
            case "flag":
                flags = {"add_generation_prompt": False, "continue_final_message": True}
                return Sent("chat", {"messages": begun, **flags})
            case "implicit" | "implicit_echo":
                echoed = prefill if self._caps.prefill == "implicit_echo" else ""
                return Sent("chat", {"messages": begun}, echoed)
            case _ if rendered and self._template is not None and self._caps.completions:
                return Sent("completions", {"prompt": self._template(prompt.messages) + prefill})
            case _:
                raise unsupported(
                    "the continuation of a begun assistant message",
                    self._caps,
                    "give the engine a chat template if the server continues raw prompts, or use a "
                    "strategy that does not continue answers",
                )

    async def ids(self, prompt: Prompt) -> list[int]:
        """The whole prompt as token ids; generated pieces by the ids they were generated as.

        Raises:
            Failed: `unsupported` where the server takes or makes no ids.
        """
        if not self._caps.token_ids_in:
            raise unsupported("a prompt of token ids", self._caps)
        if prompt.messages:
            found = list(await self._rendered_ids(prompt))
        elif prompt.text:
            found = [i for i, _ in await self.tokenize(prompt.text, special=True)]
        else:
            found = list(prompt.ids)
        for piece in prompt.continuations:
            if piece.ids:
                found += piece.ids
            elif piece.text:
                found += [i for i, _ in await self.tokenize(piece.text)]
        return found

    async def text(self, prompt: Prompt) -> str:
        """The whole prompt as text.

        Raises:
            Failed: `unsupported` where nobody can render it.
        """
        if prompt.ids:
            raise unsupported("the text of a prompt of ids", self._caps)
        if not prompt.messages:
            return prompt.text + prompt.prefill
        if not prompt.plain:
            raise unsupported("the text of a prompt with images, names or calls", self._caps)
        if self._caps.dialect == "llamacpp":
            return await self._rendered_text(prompt) + prompt.prefill
        if self._template is not None:
            return self._template(prompt.messages) + prompt.prefill
        raise unsupported(
            "the text of a chat prompt", self._caps, "give the engine a chat template"
        )

    async def tokenize(self, text: str, *, special: bool = False) -> list[tuple[int, str]]:
        """Ids and, where the server says them, their texts."""
        if not self._caps.tokenize:
            raise unsupported("tokenising", self._caps)
        if self._caps.dialect == "llamacpp":
            body = {
                "content": text,
                "add_special": special,
                "parse_special": special,
                "with_pieces": True,
            }
        else:
            body = {"model": self._model, "prompt": text, "add_special_tokens": special}
            if self._caps.dialect == "vllm":
                body["return_token_strs"] = True
        raw = await self._client.post("/tokenize", body)
        return read_tokens(raw)

    async def detokenize(self, ids: tuple[int, ...]) -> str | None:
        """The text of ids; `None` where the server does not say."""
        if not self._caps.tokenize:
            return None
        body: dict[str, Any] = {"tokens": list(ids)}
        if self._caps.dialect != "llamacpp":
            body["model"] = self._model
        if self._caps.dialect == "sglang":
            body["skip_special_tokens"] = False
        try:
            raw = await self._client.post("/detokenize", body)
        except Failed:
            return None
        fields = cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
        for name in ("content", "prompt", "text"):
            if isinstance(fields.get(name), str):
                return fields[name]
        return None

    async def without_end(self, ids: tuple[int, ...], text: str) -> tuple[int, ...]:
        """The ids of a finished text, without the token that ended the turn.

        Servers count that token among the generated ids, but it is no part of the text. Empty where
        the ids cannot be shown to say the text.
        """
        if ids[-1] in self._ends:
            return ids[:-1]
        if await self.detokenize(ids) == text:
            return ids
        if await self.detokenize(ids[:-1]) == text:
            self._ends.add(ids[-1])
            return ids[:-1]
        return ()

    # ------------------------------------------------------------------------------- inside

    async def _takes_ids(self, prompt: Prompt) -> bool:
        # Ids are how the pieces were generated, text is what they mean: a server that takes none
        # continues the text.
        return (
            self._caps.token_ids_in
            and self._caps.tokenize
            and (self._caps.renders or not prompt.messages)
        )

    async def _mixed(self, prompt: Prompt) -> list[str | int]:
        """Text and ids side by side, as llama.cpp takes them; text that touches is joined."""
        mixed: list[str | int] = []
        if prompt.messages:
            _append(mixed, await self._rendered_text(prompt))
        for part in prompt.parts() if not prompt.messages else prompt.continuations:
            match part:
                case Tokens() | Continuation() if part.ids:
                    mixed += part.ids
                case Text() | Continuation():
                    _append(mixed, part.text)
                case _:
                    pass
        return mixed or [""]

    async def _rendered_text(self, prompt: Prompt) -> str:
        held = self._held(prompt)
        if isinstance(held, str):
            return held
        if self._template is not None:
            return self._template(prompt.messages)
        raw = await self._client.post("/apply-template", self._messages(prompt))
        text = cast(dict[str, Any], raw).get("prompt") if isinstance(raw, dict) else None
        if not isinstance(text, str):
            raise Failed(
                "the server rendered the chat template as something that is not text", "malformed"
            )
        return self._hold(prompt, text)

    async def _rendered_ids(self, prompt: Prompt) -> tuple[int, ...]:
        held = self._held(prompt)
        if isinstance(held, tuple):
            return held
        if not self._caps.renders:
            raise unsupported("a chat prompt as token ids", self._caps)
        body = {"model": self._model, **self._messages(prompt), "add_generation_prompt": True}
        tokens = read_tokens(await self._client.post("/tokenize", body))
        return self._hold(prompt, tuple(i for i, _ in tokens))

    def _held(self, prompt: Prompt) -> str | tuple[int, ...] | None:
        held = self._rendered.get(prompt.base.digest)
        if held is not None:
            self._rendered.move_to_end(prompt.base.digest)
        return held

    def _hold(self, prompt: Prompt, value: Held) -> Held:
        self._rendered[prompt.base.digest] = value
        if len(self._rendered) > RENDERED:
            self._rendered.popitem(last=False)
        return value

    def _messages(self, prompt: Prompt) -> dict[str, Any]:
        def refuse(what: str, instead: str) -> Failed:
            return unsupported(what, self._caps, instead)

        return {
            "messages": [said(message, lambda a: part_of(a, refuse)) for message in prompt.messages]
        }


def read_tokens(raw: Any) -> list[tuple[int, str]]:
    """Ids and texts from a reply of `/tokenize`, in the shapes of llama.cpp, vLLM and SGLang.

    Raises:
        Failed: `malformed` where there are none.
    """
    fields = cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
    listed = fields.get("tokens")
    if isinstance(listed, list):
        tokens = cast(list[Any], listed)
        texts = fields.get("token_strs")
        words = cast(list[Any], texts) if isinstance(texts, list) else [""] * len(tokens)
        found: list[tuple[int, str]] = []
        for token, word in zip(tokens, words, strict=False):
            if isinstance(token, dict):
                pair = cast(dict[str, Any], token)
                token, word = pair.get("id"), pair.get("piece")
            if isinstance(token, int):
                found.append((token, word if isinstance(word, str) else ""))
        if len(found) == len(tokens):
            return found
    raise Failed("the server answered a request to tokenise without token ids", "malformed")


def _append(mixed: list[str | int], text: str) -> None:
    if mixed and isinstance(mixed[-1], str):
        mixed[-1] += text
    elif text:
        mixed.append(text)


def _is_text(mixed: list[str | int]) -> bool:
    return len(mixed) == 1 and isinstance(mixed[0], str)
