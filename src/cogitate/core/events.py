"""The one event stream: the live view, the gateway, the tree viewer and the log all read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import Failed, OutOfBudget
from .requests import Reply, Request


@dataclass(frozen=True, slots=True)
class Asked:
    """A flow asks something."""

    stream: str
    at: str
    request: Request[Any]
    account: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The world said something; `late` when nobody waits for it any more, `replayed` from a journal."""

    stream: str
    at: str
    request: Request[Any]
    outcome: Reply[Any] | OutOfBudget | Failed
    account: str
    replayed: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class Noted:
    """A flow published something; `kind` is `settled` for text that can no longer change."""

    stream: str
    at: str
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """A stream's flow ended."""

    stream: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of text while it is generated; never journaled. `final` ones are part of the answer."""

    stream: str
    at: str
    text: str
    final: bool = False


Event = Asked | Answered | Noted | Finished | Chunk
Listener = Callable[[Event], None]
