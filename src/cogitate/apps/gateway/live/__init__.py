"""The live view: requests while they run, and journals from disk, as one page in a browser.

`Hub.begin` gives a listener for a request; `routes` are mounted into the gateway's application.
"""

from __future__ import annotations

from .hub import Hub, Watched
from .loopback import Loopback
from .routes import Allow, anybody, routes
from .shelf import Shelf

__all__ = ["Allow", "Hub", "Loopback", "Shelf", "Watched", "anybody", "routes"]
