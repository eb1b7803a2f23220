"""What passes between a machine and whoever drives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from .requests import Request
from .usage import Budget, Usage


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One open request."""

    at: str
    """Its address; does not depend on timing."""
    request: Request[Any]
    account: str
    """The account that pays; the empty string is the whole grant."""
    stream: str
    """The journal stream it belongs to."""
    order: tuple[int, ...]
    """Sorts requests in address order."""


class Books(Protocol):
    """What a machine tells the keeper of accounts."""

    def opened(self, account: str, parent: str, grant: Budget, reserved: bool) -> None: ...
    def closed(self, account: str) -> None: ...
    def charged(self, account: str, role: str, usage: Usage, *, cached: bool = False) -> None:
        """Something paid for by an earlier run was replayed; `cached` where that run had not paid either."""
        ...


class NoBooks:
    """Keeps no accounts."""

    def opened(self, account: str, parent: str, grant: Budget, reserved: bool) -> None: ...
    def closed(self, account: str) -> None: ...
    def charged(self, account: str, role: str, usage: Usage, *, cached: bool = False) -> None: ...
