"""Running the command in this process, and a scripted server in a thread beside it."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cogitate.apps.cli import main
from cogitate.drive.lanes import Retry
from cogitate.engines.openai import Timeouts

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
from scripted_server import Server, serving

ESCAPE = "\x1b"
SENTENCE = re.compile(r"cogitate: \S.*\S")


@dataclass(frozen=True)
class Said:
    """What a run of the command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one sentence; fails where there is none, or more than one, or a traceback."""
        assert "Traceback" not in self.err + self.out
        found = [line for line in self.err.splitlines() if line.startswith("cogitate: ")]
        assert len(found) == 1, self.err
        assert self.err.splitlines()[-1] == found[0], "the sentence comes last"
        assert SENTENCE.fullmatch(found[0])
        assert self.status != 0
        return found[0].removeprefix("cogitate: ")


class Command:
    """`cogitate` in this process."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def __call__(self, *arguments: str | Path) -> Said:
        self._captured.readouterr()
        status = main([str(a) for a in arguments])
        out, err = self._captured.readouterr()
        return Said(status, out, err)

    def refused(self, *arguments: str | Path, status: int = 1, same: bool = True) -> str:
        """The sentence of a command that fails, which is the same with `--json`.

        Not so where two runs may meet different faults first: then each tells its own, once.
        """
        said = self(*arguments)
        assert said.status == status, said
        plain = said.sentence
        as_json = self(*arguments, "--json")
        assert as_json.status == status
        assert as_json.sentence == as_json.json["error"]
        assert not same or as_json.sentence == plain
        return plain


@contextmanager
def running(**flags: Any) -> Generator[Server]:
    """A scripted server in a thread of its own."""
    ready, found = threading.Event(), []

    async def serve() -> None:
        end = asyncio.Event()
        async with serving(**flags) as server:
            found.extend((server, asyncio.get_running_loop(), end))
            ready.set()
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    server, loop, end = found
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


@contextmanager
def deaf() -> Generator[str]:
    """The address of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def hurry(monkeypatch: pytest.MonkeyPatch, wait_s: float = 5.0) -> None:
    """Short pauses between retries, and short waits for a server; very short ones where it hangs."""
    quick = functools.partial(Timeouts, 5.0, wait_s, wait_s)
    monkeypatch.setattr("cogitate.engines.openai.engine.Timeouts", quick)
    monkeypatch.setattr("cogitate.engines.openai.Timeouts", lambda **_: quick())
    monkeypatch.setattr(
        "cogitate.drive.concurrent.Retry", functools.partial(Retry, first_s=0.01, most_s=0.02)
    )
