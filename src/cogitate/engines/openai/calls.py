"""Calls of tools while they arrive: pieces of arguments, put together in their places."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cogitate.core.task import ToolCall


@dataclass(frozen=True, slots=True)
class CallPiece:
    """Some of one call: all of it in a plain reply, a little of its arguments in a stream."""

    place: int
    id: str = ""
    name: str = ""
    arguments: str = ""


def read_calls(raw: Any) -> tuple[CallPiece, ...]:
    """The calls in a message or a delta; what has no form of a call is left out.

    >>> read_calls([{"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}])
    (CallPiece(place=0, id='c1', name='f', arguments='{}'),)
    """
    found: list[CallPiece] = []
    for at, item in enumerate(cast(list[Any], raw) if isinstance(raw, list) else []):
        held = _mapping(item)
        called = _mapping(held.get("function"))
        place = held.get("index")
        known = isinstance(place, int) and not isinstance(place, bool)
        found.append(
            CallPiece(
                place if known and isinstance(place, int) else at,
                _text(held.get("id")),
                _text(called.get("name")),
                _arguments(called.get("arguments")),
            )
        )
    return tuple(found)


class Calls:
    """The calls of one choice as they grow."""

    # Mutable on purpose: it collects what a stream says.

    def __init__(self) -> None:
        self._held: list[CallPiece] = []

    def __bool__(self) -> bool:
        return bool(self._held)

    def feed(self, pieces: Sequence[CallPiece]) -> None:
        """Take what came."""
        for piece in pieces:
            at = self._place(piece)
            if at is None:
                self._held.append(piece)
                continue
            held = self._held[at]
            self._held[at] = CallPiece(
                held.place,
                held.id or piece.id,
                held.name or piece.name,
                held.arguments + piece.arguments,
            )

    def _place(self, piece: CallPiece) -> int | None:
        """Which call it goes on: the last at its place, unless it has another id, as some servers count all as 0."""
        for at in range(len(self._held) - 1, -1, -1):
            held = self._held[at]
            if held.place == piece.place:
                return None if piece.id and held.id and piece.id != held.id else at
        return None

    @property
    def said(self) -> str:
        """Names and arguments, for an estimate of their tokens."""
        return "".join(f"{held.name}{held.arguments}" for held in self._held)

    def made(self, key: str) -> tuple[ToolCall, ...]:
        """The calls in the order in which they began.

        Args:
            key: makes ids for a server that says none, since an answer to a call must name it.
        """
        return tuple(
            ToolCall(held.id or f"call_{key[:16]}_{at}", held.name, held.arguments)
            for at, held in enumerate(self._held)
        )


def _arguments(raw: Any) -> str:
    """JSON text; some servers send the value itself."""
    return json.dumps(raw, ensure_ascii=False) if isinstance(raw, dict) else _text(raw)


def _mapping(raw: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], raw) if isinstance(raw, dict) else {}


def _text(raw: Any) -> str:
    return raw if isinstance(raw, str) else ""
