"""Every strategy spec that documents and help texts show can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cogitate.assembly.names import TABLE
from cogitate.assembly.spec import read

ROOT = Path(__file__).parents[2]
SHOWN = [
    ROOT / "README.md",
    # its calls are signatures, with arguments that have no default
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if p.name != "strategies.md"),
    *sorted((ROOT / "src/cogitate/apps").rglob("*.py")),
]
STRATEGIES = "|".join(name for name, made in TABLE.items() if made.family == "strategy")


def calls(text: str) -> list[str]:
    """The strategy calls in a text that are not Python's own, up to their closing bracket."""
    found: list[str] = []
    for start in re.finditer(rf"(?<![\w.])(?<!def )(?:{STRATEGIES})\(", text):
        depth = 0
        for end in range(start.end() - 1, min(len(text), start.end() + 300)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if not depth:
                found.append(text[start.start() : end + 1])
                break
    return found


@pytest.mark.parametrize("path", [p for p in SHOWN if p.is_file()], ids=lambda p: p.name)
def test_every_shown_spec_can_be_read(path: Path) -> None:
    for spec in calls(path.read_text("utf-8")):
        if "{" in spec or "…" in spec:  # a template or an elision, not a spec
            continue
        chosen = read(spec.replace('\\"', '"'))
        assert read(str(chosen)) == chosen


def test_specs_are_found_in_texts() -> None:
    text = 'use `vote(greedy(), n=2)`, "best_of(n=4)", and def greedy(x) or names.best_of(n=1)'
    assert calls(text) == ["vote(greedy(), n=2)", "greedy()", "best_of(n=4)"]


def test_the_documents_show_some() -> None:
    assert sum(len(calls(path.read_text("utf-8"))) for path in SHOWN if path.is_file()) >= 8
