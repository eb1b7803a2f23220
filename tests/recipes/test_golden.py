"""A small journal of every recipe on the fake engine: a refactoring may not change what is asked, nor in which order.

A deliberate change updates them: `pytest tests/recipes/test_golden.py --update-golden`; review the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cogitate.assembly.names import TABLE
from cogitate.assembly.spec import read
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.drive import FileJournal, replay, run
from cogitate.testing import FakeEngine

GOLDEN = Path(__file__).parents[1] / "golden"
RECIPES = {
    "rebase": "rebase(width=3, depth=4)",
    "ets": "ets(width=3, depth=4)",
    "r2_llms": "r2_llms(iterations=2, branch=2, depth=3, at_least=-1.0, at_least_alike=0.5)",
}
TASK = Task.of("Ann has 3 apples and buys 4. How many has she?", kind="number")


def strategy(name: str) -> Any:
    return read(RECIPES[name], "strategy", TABLE).for_kind("number")


def lines(path: Path) -> list[str]:
    """All but the header, which names this machine's package."""
    return path.read_text("utf-8").splitlines()[1:]


@pytest.mark.parametrize("name", RECIPES)
def test_asks_what_it_always_asked(name: str, tmp_path: Path, request: Any) -> None:
    asked = strategy(name)
    book = FileJournal.create(tmp_path / "journal.jsonl", {"run": "golden"})
    done = run(asked(TASK, Seed(0)), FakeEngine(), journal=book)
    book.close()
    path = GOLDEN / f"{name}.jsonl"
    if request.config.getoption("--update-golden"):
        path.write_bytes((tmp_path / "journal.jsonl").read_bytes())
    assert lines(tmp_path / "journal.jsonl") == lines(path)
    with FileJournal.open(path, read_only=True) as reader:
        assert replay(asked(TASK, Seed(0)), reader).value == done.value


def test_every_journal_has_its_recipe() -> None:
    assert {path.stem for path in GOLDEN.glob("*.jsonl")} == set(RECIPES)
