"""Prompts that grow: content-addressed, linked to the prefix they extend.

Hashing or storing a long prompt anew at every step is quadratic in a chain of steps. A `Prompt` is
its parent plus one part; its digest is the parent's digest plus that part, and a journal stores each
part once. The chain is also the prefix hint: siblings share a parent, and engines may look.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from .task import Attachment, Message, ToolCall


@dataclass(frozen=True, slots=True)
class Text:
    """A raw prompt, sent without a chat template."""

    text: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """A raw prompt as token ids of the engine that serves it."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Continuation:
    """The beginning of the assistant's turn, to be continued word for word.

    `ids` are the token ids the engine itself generated for `text`, where it said so: text that is
    tokenised again may split differently at the seam.
    """

    text: str
    ids: tuple[int, ...] = ()


Part = Message | Text | Tokens | Continuation


def _part_body(part: Part) -> dict[str, Any]:
    match part:
        case Message():
            body: dict[str, Any] = {"role": part.role, "content": part.content}
            if part.attachments:
                body["attachments"] = [_attachment_body(a) for a in part.attachments]
            if part.calls:
                body["calls"] = [
                    {"id": c.id, "name": c.name, "arguments": c.arguments} for c in part.calls
                ]
            if part.call_id:
                body["call_id"] = part.call_id
            if part.name:
                body["name"] = part.name
            return body
        case Text():
            return {"text": part.text}
        case Tokens():
            return {"tokens": list(part.ids)}
        case Continuation():
            return {"then": part.text, "ids": list(part.ids)} if part.ids else {"then": part.text}


def _attachment_body(attachment: Attachment) -> dict[str, Any]:
    """What was not known to older journals is left out where it is not said, so that digests stay."""
    a = attachment
    body: dict[str, Any] = {"media_type": a.media_type, "digest": a.digest, "url": a.url}
    later = {"place": a.place, "detail": a.detail, "name": a.name}
    return body | {name: value for name, value in later.items() if value}


def _size(part: Part) -> int:
    match part:
        case Continuation() | Text():
            text = part.text
        case Message():
            text = part.content
            if not part.plain:
                said = "".join(f"{c.id}{c.name}{c.arguments}" for c in part.calls)
                text += f"{said}{part.call_id}{part.name}"
        case Tokens():
            return len(part.ids)
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _fed(part: Part) -> bytes:
    """What the digest takes in of a part; lengths first, so that no two parts feed the same bytes."""
    if isinstance(part, Continuation):
        ids = ",".join(map(str, part.ids)) if part.ids else ""
        text = f"c{len(part.text)}:{part.text}{ids}"
    elif isinstance(part, Message) and part.plain:
        text = f"m{len(part.role)}:{part.role}{part.content}"
    else:
        text = json.dumps(_part_body(part), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


class Prompt:
    """An immutable prompt: chat messages, raw text or token ids, and an assistant prefill.

    >>> asked = Prompt.chat(Message("user", "2 + 2?"))
    >>> asked.then("2 + 2 = ").prefill
    '2 + 2 = '
    >>> asked.then("a") == asked.then("a"), asked.then("a") == asked.then("b")
    (True, False)
    """

    __slots__ = ("_digest", "depth", "parent", "part", "plain", "size")

    parent: Final[Prompt | None]
    part: Final[Part]
    depth: Final[int]
    """Number of parts."""
    size: Final[int]
    """Bytes of text, or ids where there is no text: no tokeniser makes more tokens of it."""
    plain: Final[bool]
    """Whether every message is a role and a text, and nothing else."""

    def __init__(self, parent: Prompt | None, part: Part) -> None:
        self.parent = parent
        self.part = part
        self.depth = 1 if parent is None else parent.depth + 1
        self.size = _size(part) + (0 if parent is None else parent.size)
        said = not isinstance(part, Message) or part.plain
        self.plain = said and (parent is None or parent.plain)
        self._digest: str | None = None

    @property
    def digest(self) -> str:
        """Sixteen bytes in hexadecimal; equal prompts have equal digests. Made when it is asked for."""
        if self._digest is None:
            undigested: list[Prompt] = [self]
            while (above := undigested[-1].parent) is not None and above._digest is None:
                undigested.append(above)
            for node in reversed(undigested):
                known = "" if node.parent is None else cast(str, node.parent._digest)
                fed = hashlib.blake2b(known.encode() + _fed(node.part), digest_size=16)
                node._digest = fed.hexdigest()
        return cast(str, self._digest)

    @classmethod
    def chat(cls, *messages: Message) -> Prompt:
        """A prompt of at least one chat message."""
        prompt = cls(None, messages[0])
        for message in messages[1:]:
            prompt = cls(prompt, message)
        return prompt

    @classmethod
    def raw(cls, text: str) -> Prompt:
        """A prompt that no chat template touches."""
        return cls(None, Text(text))

    @classmethod
    def tokens(cls, ids: Sequence[int]) -> Prompt:
        """A prompt of token ids; only the engine whose tokeniser made them can serve it."""
        return cls(None, Tokens(tuple(ids)))

    def then(self, text: str, ids: Sequence[int] = ()) -> Prompt:
        """The same prompt with more of the assistant's turn already written."""
        return Prompt(self, Continuation(text, tuple(ids)))

    def turn(self, message: Message) -> Prompt:
        """The same prompt with one more chat message; what was begun becomes an assistant message."""
        return Prompt(self, message)

    def parts(self) -> list[Part]:
        """The parts from the first to the last."""
        found: list[Part] = [node.part for node in self.chain()]
        found.reverse()
        return found

    def chain(self) -> Iterator[Prompt]:
        """This prompt and its prefixes, longest first."""
        node: Prompt | None = self
        while node is not None:
            yield node
            node = node.parent

    @property
    def base(self) -> Prompt:
        """The prompt without the begun assistant turn."""
        return next((n for n in self.chain() if not isinstance(n.part, Continuation)), self)

    @property
    def continuations(self) -> list[Continuation]:
        """The pieces of the begun assistant turn, in order."""
        found: list[Continuation] = []
        for node in self.chain():
            if not isinstance(node.part, Continuation):
                break
            found.append(node.part)
        found.reverse()
        return found

    @property
    def prefill(self) -> str:
        """The text of the begun assistant turn."""
        return "".join(piece.text for piece in self.continuations)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The chat messages before the begun turn; empty for raw text and ids."""
        found: list[Message] = []
        begun = ""
        for part in self.base.parts():
            if isinstance(part, Continuation):
                begun += part.text
            elif isinstance(part, Message):
                if begun:
                    found.append(Message("assistant", begun))
                    begun = ""
                found.append(part)
        return tuple(found)

    @property
    def text(self) -> str:
        """The raw text before the begun turn; empty for chat and ids."""
        return "".join(p.text for p in self.base.parts() if isinstance(p, Text))

    @property
    def ids(self) -> tuple[int, ...]:
        """The raw ids before the begun turn; empty for chat and text."""
        return tuple(i for p in self.base.parts() if isinstance(p, Tokens) for i in p.ids)

    def body(self) -> dict[str, Any]:
        """What a journal stores: the parent's digest and the new part."""
        return {
            "parent": self.parent.digest if self.parent else None,
            "part": _part_body(self.part),
        }

    @classmethod
    def from_body(cls, parent: Prompt | None, part: dict[str, Any]) -> Prompt:
        """The inverse of `body`, given the parent."""
        if "then" in part:
            return cls(parent, Continuation(part["then"], tuple(part.get("ids", ()))))
        if "text" in part:
            return cls(parent, Text(part["text"]))
        if "tokens" in part:
            return cls(parent, Tokens(tuple(part["tokens"])))
        attached = tuple(Attachment(**a) for a in part.get("attachments", ()))
        calls = tuple(ToolCall(**c) for c in part.get("calls", ()))
        answers, name = part.get("call_id", ""), part.get("name", "")
        return cls(parent, Message(part["role"], part["content"], attached, calls, answers, name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prompt) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Prompt {self.digest[:8]} of {self.depth} parts>"
