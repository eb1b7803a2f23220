from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from cogitate.lab.worlds import PRESETS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "worlds.md").read_text("utf-8")


def maker():
    spec = importlib.util.spec_from_file_location("make_worlds", DOCS / "make_worlds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["medium", "misleading_verifier", "deceptive"])
def test_the_page_is_current(name: str) -> None:
    """Three presets stand for all: the whole page is a minute's work."""
    made = maker()
    for one in made.measured(name):
        section = PAGE.partition(f"### {one.name[0].upper()}{one.name[1:]}\n")[2].partition("###")[
            0
        ]
        assert f"| `{name}` | {made.cells(one)} |" in section, "run: python docs/make_worlds.py"


def test_the_page_names_every_preset_and_keeps_the_place_for_speed() -> None:
    made = maker()
    for name, world in PRESETS.items():
        assert f"| `{name}` | {world.reason} |" in PAGE
    assert PAGE.count(made.BEGIN) == PAGE.count(made.END) == 1
    assert PAGE.startswith(made.HEAD)
