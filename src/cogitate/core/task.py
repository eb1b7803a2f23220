"""What is asked: messages, the kind of answer, and everything the caller knows about the question."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from .errors import InvalidInput

KINDS: Final = ("math", "number", "choice", "text", "json", "code")
"""The kinds of answer; the kind decides extraction, grading and the default scorer."""

TOOL_CHOICES: Final = ("", "auto", "none", "required")
"""The words for a choice among tools; everything else is the JSON text that names one."""

EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file or image that belongs to a message; the bytes lie in the blob store, or at its address."""

    media_type: str
    digest: str = ""
    url: str = ""
    """Where it is, or the whole of it as a `data:` URL. An address is passed on and never fetched by us."""
    place: int = 0
    """Characters of the message's content that stand before it."""
    detail: str = ""
    """How closely an image is looked at, in the server's own words."""
    name: str = ""
    """The name of a file."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool as a model wrote it; nothing here is executed.

    >>> ToolCall("call_1", "find", '{"query": "oak"}').said
    {'name': 'find', 'arguments': '{"query": "oak"}'}
    """

    id: str
    """The model's or the server's own name for the call; a tool's answer refers to it."""
    name: str
    arguments: str
    """JSON text, word for word: a model may write what is no JSON."""

    @property
    def said(self) -> dict[str, str]:
        """What is called, without the id, which differs between samples that call the same."""
        return {"name": self.name, "arguments": self.arguments}


def with_calls(text: str, calls: Sequence[ToolCall]) -> str:
    r"""A text, and the calls that come with it as JSON without their ids, for whoever judges or revises it.

    >>> with_calls("Look.", [ToolCall("7", "find", "{}")])
    'Look.\n[{"name": "find", "arguments": "{}"}]'
    """
    spelt = json.dumps([call.said for call in calls], ensure_ascii=False) if calls else ""
    return "\n".join(piece for piece in (text, spelt) if piece)


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message.

    >>> Message("user", "What is 2 + 2?").content
    'What is 2 + 2?'
    """

    role: str
    content: str
    attachments: tuple[Attachment, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    """The tools that an assistant's message calls."""
    call_id: str = ""
    """The call that a message of role `tool` answers."""
    name: str = ""
    """Who says it, where several speak in one role."""

    @property
    def plain(self) -> bool:
        """Whether it is a role and a text, and nothing else."""
        return not (self.attachments or self.calls or self.call_id or self.name)


@dataclass(frozen=True, slots=True)
class Manner:
    """How the caller wants it said: settings of an API's request, which processes honour or refuse by name.

    What is at its default is the process's to choose.

    Raises:
        InvalidInput: for what no model could do, such as a temperature below 0.

    >>> Manner(temperature=0.2, stop=("END",)).stop
    ('END',)
    """

    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    max_tokens: int | None = None
    """Of each answer."""
    stop: tuple[str, ...] = ()
    """Strings before which the answer ends; they are no part of it."""
    logprobs: int = -1
    """-1 none, 0 of the chosen tokens, k > 0 of the k likeliest too."""
    tools: tuple[str, ...] = ()
    """The tools that may be called: the JSON text of each, as the caller gave it."""
    tool_choice: str = ""
    """`auto`, `none`, `required`, the JSON text that names one tool, or empty: the server decides."""
    parallel_calls: bool | None = None
    """Whether one answer may call several tools; `None`: the server decides."""
    constrained: bool = False
    """Need: decode under the task's schema; where it has none, any JSON."""
    bare: bool = False
    """The messages are sent as they are: no instruction, example or context of ours is added."""

    def __post_init__(self) -> None:
        if wrong := _unsayable(self):
            raise InvalidInput(wrong)

    @property
    def untouched(self) -> bool:
        """Whether nothing may be added to the conversation: tools speak to the model themselves."""
        return self.bare or bool(self.tools)


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
    manner: Manner | None = None
    """How the caller wants it said, where there is a caller with an opinion, such as a client of the gateway."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(
                f"the answer kind {self.kind!r} was asked for; the kinds are {', '.join(KINDS)}"
            )
        if not any(m.content.strip() or m.attachments or m.calls for m in self.messages):
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


def _unsayable(manner: Manner) -> str:
    """What is wrong with a manner, if something is."""
    for name in ("temperature", "presence_penalty", "frequency_penalty"):
        value = getattr(manner, name)
        if value is not None and not math.isfinite(value):
            return f"{name}={value} was asked for; give a finite number"
    if manner.temperature is not None and manner.temperature < 0:
        return f"temperature={manner.temperature} was asked for; it must be at least 0"
    if manner.top_p is not None and not 0 <= manner.top_p <= 1:
        return f"top_p={manner.top_p} was asked for; it must lie between 0 and 1"
    if manner.max_tokens is not None and manner.max_tokens < 1:
        return f"max_tokens={manner.max_tokens} was asked for; it must be at least 1"
    if manner.logprobs < -1:
        return (
            f"logprobs={manner.logprobs} was asked for; give -1 for none, or a number of at least 0"
        )
    if not all(manner.stop):
        return "an empty stop string was asked for; every answer begins with it, so leave it out"
    return unreadable_tools(manner.tools, manner.tool_choice, manner.parallel_calls)


def unreadable_tools(tools: tuple[str, ...], choice: str, parallel: bool | None) -> str:
    """Why tools and the choice among them cannot be sent, if so.

    >>> unreadable_tools((), "required", None)
    "tool_choice='required' was asked for without tools; give tools, or leave it out"
    """
    if not tools and (choice or parallel is not None):
        asked = f"tool_choice={choice[:80]!r}" if choice else f"parallel_calls={parallel}"
        return f"{asked} was asked for without tools; give tools, or leave it out"
    try:
        read = [json.loads(tool) for tool in tools]
        named: Any = json.loads(choice) if choice not in TOOL_CHOICES else {}
    except (ValueError, RecursionError) as error:
        return f"a tool or the tool_choice is no JSON text ({error}); give each as JSON"
    if not all(isinstance(tool, dict) for tool in read):
        return "a tool is no JSON object; give each as an object with its type and its function"
    if not isinstance(named, dict):
        return f"tool_choice={choice[:80]!r} was asked for; give auto, none, required or an object"
    return ""
