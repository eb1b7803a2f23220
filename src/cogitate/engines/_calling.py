"""Calls of tools by an engine that only pretends to understand them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cogitate.core.errors import Failed
from cogitate.core.requests import Completion, Generate
from cogitate.core.seeds import Seed
from cogitate.core.task import ToolCall

from ._schemas import instance
from .writing import pieces


def calls(request: Generate, seed: Seed, answer: str) -> tuple[ToolCall, ...]:
    """The tools that a pretended model calls; none where it would rather answer.

    With a choice of its own it calls three times of four, and never just after a tool has answered. Half the
    samples call the same. Two tools are called together only where `parallel_calls` says so.

    Raises:
        Failed: for tools that have no name, a choice that names none of them, or arguments beyond simple schemas.
    """
    if not request.tools or request.tool_choice == "none":
        return ()
    tools = [_function(tool) for tool in request.tools]
    messages = request.prompt.messages
    free = request.tool_choice in ("", "auto")
    if free and (seed.at("call").int() % 4 == 0 or (messages and messages[-1].role == "tool")):
        return ()
    if not free and request.tool_choice != "required":
        tools = [tool for tool in tools if tool["name"] == _named(request.tool_choice)]
        if not tools:
            raise Failed(
                f"tool_choice names {_named(request.tool_choice)!r}, which is none of the tools",
                "refused",
            )
    usual = seed.at("usual").rng().random() < 0.5
    drawn = Seed(0, ("usual", request.prompt.base.digest)) if usual else seed
    first = drawn.at("tool").int() % len(tools)
    chosen = [tools[first]]
    if request.parallel_calls and len(tools) > 1:
        chosen.append(tools[(first + 1) % len(tools)])
    return tuple(_call(request, tool, drawn, answer, at) for at, tool in enumerate(chosen))


def called(request: Generate, made: Sequence[ToolCall]) -> Completion:
    """Calls as an output: a name is a token and so is every piece of the arguments, and the cap cuts them."""
    kept: list[ToolCall] = []
    room = request.max_tokens
    for call in made:
        written = pieces(call.arguments)
        if room < 1 + len(written):
            if room > 0:
                arguments = "".join(written[: room - 1])
                kept.append(ToolCall(call.id, call.name, arguments))
            return Completion("", "limit", tokens=request.max_tokens, calls=tuple(kept))
        kept.append(call)
        room -= 1 + len(written)
    return Completion("", "eos", tokens=request.max_tokens - room, calls=tuple(kept))


def _call(request: Generate, tool: Mapping[str, Any], seed: Seed, answer: str, at: int) -> ToolCall:
    schema = json.dumps(tool.get("parameters") or {"type": "object"})
    arguments = json.dumps(instance(schema, seed.at("arguments", at), answer), ensure_ascii=False)
    made = hashlib.blake2b(f"{request.key()} {at}".encode(), digest_size=8).hexdigest()
    return ToolCall(f"call_{made}", str(tool["name"]), arguments)


def _function(tool: str) -> Mapping[str, Any]:
    found = _mapping(_mapping(_loaded(tool)).get("function"))
    if not isinstance(found.get("name"), str):
        raise Failed(
            f"the fake engine knows tools of type function with a name, not {tool[:80]}",
            "unsupported",
        )
    return found


def _named(choice: str) -> Any:
    return _mapping(_mapping(_loaded(choice)).get("function")).get("name")


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _mapping(raw: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], raw) if isinstance(raw, dict) else {}
