"""One sandbox for all tests of a process, and a way to ask it from a test that is no coroutine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest

from cogitate.core.errors import Failed
from cogitate.core.execute import Execute, Execution
from cogitate.engines.sandbox import Sandbox, probe


@pytest.fixture(scope="session")
def isolated() -> None:
    """Skip, with the reason, where this machine cannot isolate a program."""
    layers = probe()
    missing = [
        f"{layer.name}: {layer.detail}" for layer in layers if layer.needed and not layer.holds
    ]
    if missing and not any(layer.holds for layer in layers if layer.name.startswith("walls by")):
        pytest.skip(f"no isolation here ({'; '.join(missing)})")
    assert not missing, "the walls stand, so every other layer must hold"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    walls: Any = os.environ.get("COGITATE_TEST_WALLS", "auto")
    made = Sandbox(walls=walls)
    yield made
    asyncio.run(made.close())


@pytest.fixture
def ask(sandbox):
    """Run a program; its execution, or the failure raised."""

    def one(*args, **known) -> Execution:
        (reply,) = asyncio.run(sandbox.serve([Execute(*args, **known)]))
        if isinstance(reply, Failed):
            raise reply
        return reply.value

    return one
