"""One sandbox for all tests of a process, and a way to ask it from a test that is no coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from cogitate.core.errors import Failed
from cogitate.core.execute import Execute, Execution
from cogitate.engines.sandbox import Sandbox, probe


@pytest.fixture(scope="session")
def isolated() -> None:
    """Skip, with the reason, where this machine cannot isolate a program."""
    missing = [
        f"{layer.name}: {layer.detail}" for layer in probe() if layer.needed and not layer.holds
    ]
    if missing:
        pytest.skip(f"no isolation here ({'; '.join(missing)})")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox()
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
