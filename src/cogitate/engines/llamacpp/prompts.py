"""Prompts as token ids: rendered by the model's template, tokenised once, continued by ids."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cogitate.core.errors import Failed
from cogitate.core.prompt import Continuation, Prompt, Text, Tokens
from cogitate.core.task import Message

from .header import Header

Ids = tuple[int, ...]
Post = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Posts a body to a path of the server and returns the JSON that comes back."""

REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Turn:
    """One chat message; `pieces` are its text, with ids where the engine itself generated them."""

    role: str
    pieces: tuple[Continuation, ...]

    @property
    def text(self) -> str:
        """The whole message."""
        return "".join(piece.text for piece in self.pieces)


class Prompts:
    """Turns prompts into token ids and remembers the latest few thousand by digest."""

    def __init__(self, header: Header, remembered: int = REMEMBERED) -> None:
        self._header = header
        self._remembered = remembered
        self._known: OrderedDict[str, Ids] = OrderedDict()

    def known(self, prompt: Prompt) -> Ids | None:
        """The ids, where they are remembered."""
        found = self._known.get(prompt.digest)
        if found is not None:
            self._known.move_to_end(prompt.digest)
        return found

    async def ids(self, post: Post, prompt: Prompt) -> Ids:
        """The ids of a prompt; only what is new since its remembered prefix is tokenised.

        Raises:
            Failed: for attachments, a mixture of chat and raw text, or a template that refuses.
        """
        if (found := self.known(prompt)) is not None:
            return found
        if isinstance(prompt.part, Continuation) and prompt.parent is not None:
            ids = await self._continued(post, prompt)
        else:
            ids = await self._begun(post, prompt)
        if not ids:
            raise Failed("the prompt is empty; give at least one token", "refused")
        self._known[prompt.digest] = ids
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return ids

    async def _continued(self, post: Post, prompt: Prompt) -> Ids:
        """The longest prefix that ends in known ids, and what was written after it."""
        if isinstance(prompt.part, Continuation) and prompt.part.ids and prompt.parent is not None:
            return await self.ids(post, prompt.parent) + prompt.part.ids
        text, node = "", prompt
        while isinstance(node.part, Continuation) and not node.part.ids and node.parent is not None:
            text, node = node.part.text + text, node.parent
        raw = isinstance(prompt.base.part, (Text, Tokens))
        return await self.ids(post, node) + await self.tokenise(post, text, special=raw)

    async def _begun(self, post: Post, prompt: Prompt) -> Ids:
        parts = prompt.parts()
        if all(isinstance(part, (Message, Continuation)) for part in parts):
            return await self._chat(post, turns(parts))
        ids: Ids = ()
        for part in parts:
            match part:
                case Text():
                    ids += await self.tokenise(post, part.text, special=True, first=not ids)
                case Tokens():
                    ids += part.ids
                case Continuation():
                    ids += part.ids or await self.tokenise(post, part.text, special=True)
                case Message():
                    raise Failed(
                        "the prompt mixes chat messages with raw text or ids; use one of them",
                        "unsupported",
                    )
        return ids

    # --------------------------------------------------------------------------------- chat

    async def _chat(self, post: Post, messages: Sequence[Turn]) -> Ids:
        """Render a chat, with a place-holder for each message that must not go through the text.

        A message that spells a control token must not become one, or a quoted answer could end
        its turn and speak as somebody else; and a message generated here keeps its ids.
        """
        nonce = secrets.token_hex(4)
        held: dict[str, Turn] = {}
        shown: list[dict[str, str]] = []
        for number, turn in enumerate(messages):
            text = turn.text
            if any(piece.ids for piece in turn.pieces) or self._spells_control(text):
                text = f"hold{nonce}x{number}x"
                held[text] = turn
            shown.append({"role": turn.role, "content": text})
        rendered: str = (await post("/apply-template", {"messages": shown}))["prompt"]
        ids: Ids = ()
        for holder, turn in held.items():
            before, found, rendered = rendered.partition(holder)
            if not found or holder in rendered:
                raise Failed(
                    "the model's chat template changes a message that holds control tokens; "
                    "remove them from the message",
                    "unsupported",
                )
            ids += await self.tokenise(post, before, special=True, first=not ids)
            for piece in turn.pieces:
                ids += piece.ids or await self.tokenise(post, piece.text)
        return ids + await self.tokenise(post, rendered, special=True, first=not ids)

    def _spells_control(self, text: str) -> bool:
        return any(token in text for token in self._header.control)

    # --------------------------------------------------------------------------- tokenising

    async def tokenise(
        self, post: Post, text: str, *, special: bool = False, first: bool = False
    ) -> Ids:
        """The ids of a text.

        Args:
            post: asks the server.
            text: what to tokenise.
            special: whether the spelling of a control token means that token.
            first: whether a beginning-of-sequence token belongs in front, where the model has one.
        """
        if not text:
            return ()
        if not first and self._header.tokenizer == "llama":
            # SentencePiece puts a space before every text it sees; none belongs at a seam
            marked = await self._ask(post, "\n" + text, special, first)
            return marked[len(await self._ask(post, "\n", False, False)) :]
        return await self._ask(post, text, special, first)

    async def _ask(self, post: Post, text: str, special: bool, first: bool) -> Ids:
        body = {"content": text, "add_special": first, "parse_special": special}
        return tuple((await post("/tokenize", body))["tokens"])

    async def spelt(self, post: Post, text: str, ids: Ids) -> Ids:
        """Ids that spell exactly this text, from ids that may spell a little more.

        A stop string may end inside a token: that token is replaced by the ids of what is left of it.
        """
        kept = ids
        while kept:
            shown = await self._shown(post, kept)
            if shown == text:
                return kept
            if text.startswith(shown):
                break
            kept = kept[:-1]
        else:
            shown = ""
        return kept + await self.tokenise(post, text[len(shown) :])

    async def _shown(self, post: Post, ids: Ids) -> str:
        """What ids spell after a newline, so that no tokeniser drops a leading space."""
        newline = await self._ask(post, "\n", False, False)
        content: str = (await post("/detokenize", {"tokens": [*newline, *ids]}))["content"]
        return content[content.index("\n") + 1 :]


def turns(parts: Sequence[Any]) -> list[Turn]:
    """The messages of a chat; a begun assistant turn that was answered is an assistant message.

    Raises:
        Failed: for attachments, which llama.cpp's text models cannot see.
    """
    found: list[Turn] = []
    begun: list[Continuation] = []
    for part in parts:
        if isinstance(part, Continuation):
            begun.append(part)
            continue
        if begun:
            found.append(Turn("assistant", tuple(begun)))
            begun = []
        if part.attachments:
            raise Failed("this model reads text only; the question has attachments", "unsupported")
        found.append(Turn(part.role, (Continuation(part.content),)))
    return found
