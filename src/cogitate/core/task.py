"""What is asked: messages, the kind of answer, and everything the caller knows about the question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from .errors import InvalidInput

KINDS: Final = ("math", "number", "choice", "text", "json", "code")
"""The kinds of answer; the kind decides extraction, grading and the default scorer."""

EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file or image that belongs to a message; the bytes lie in the blob store."""

    media_type: str
    digest: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message.

    >>> Message("user", "What is 2 + 2?")
    Message(role='user', content='What is 2 + 2?', attachments=())
    """

    role: str
    content: str
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True)
class Task:
    """One question with all that is known about it.

    >>> Task.of("What is 2 + 2?", kind="number").question
    'What is 2 + 2?'
    """

    messages: tuple[Message, ...]
    kind: str = "text"
    """One of `KINDS`."""
    context: str = ""
    """Long material apart from the question."""
    schema: str = ""
    """For `json`: the JSON schema, as JSON text."""
    options: tuple[str, ...] = ()
    """For `choice`: the labels that may be chosen, such as `("A", "B", "C")`."""
    checks: tuple[str, ...] = ()
    """For `code`: tests that the answer must pass."""
    meta: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    """Free JSON values of the caller's, such as an id; strategies do not read it."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(
                f"the answer kind {self.kind!r} was asked for; the kinds are {', '.join(KINDS)}"
            )
        if not any(m.content.strip() or m.attachments for m in self.messages):
            raise InvalidInput(
                "the question is empty; give it as text, with --file, or on standard input"
            )

    @classmethod
    def of(cls, question: str, **known: Any) -> Task:
        """A task of one user message."""
        return cls((Message("user", question),), **known)

    @property
    def question(self) -> str:
        """The last user message."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")
