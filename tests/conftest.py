"""No test reaches beyond this machine, and none reads the user's configuration."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

# read when OpenMP is loaded: threads that spin at barriers make llama.cpp twenty times slower on busy cores
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_connect = socket.socket.connect
_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


def _loopback_only(self: socket.socket, address: Any) -> Any:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = str(address[0])
        if not host.startswith(_LOOPBACK):
            raise OSError(f"a test tried to reach {host}: the suite runs without a network")
    return _connect(self, address)


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets connect to loopback only, except in tests marked `network`."""
    if "network" not in request.keywords:
        monkeypatch.setattr(socket.socket, "connect", _loopback_only)


@pytest.fixture(autouse=True)
def no_ambient_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings and keys do not reach the tests."""
    for name in ("COGITATE_CONFIG", "COGITATE_MODEL", "COGITATE_STRATEGY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COGITATE_CACHE", "off")  # nor does a reply of another run


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden`: write the journals of recipes anew, after a deliberate change."""
    parser.addoption("--update-golden", action="store_true", help="write golden journals anew")
