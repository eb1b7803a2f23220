"""An OpenAI-compatible server that puts strategies in front of any model, and loses nothing on the way.

`app` makes the ASGI application from a configuration; `cogitate serve` runs it.
"""

from __future__ import annotations

from .server import Gateway, app

__all__ = ["Gateway", "app"]
