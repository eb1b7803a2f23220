"""An OpenAI-compatible server that puts strategies in front of any model, and loses nothing on the way.

`app` makes the ASGI application from a configuration; `cogitate serve` runs it. Needs the extra `gateway`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import Gateway, app

__all__ = ["Gateway", "app"]


def __getattr__(name: str) -> Any:
    """The server is imported when it is asked for: its keys are kept without it."""
    if name in __all__:
        from . import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
