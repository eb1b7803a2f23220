"""Rooms import downwards only; the flow rooms stay free of I/O; importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cogitate

ROOT = Path(cogitate.__file__).parent
LAYERS = [
    {"core", "rules"},
    {"budget"},
    {"processes", "scorers", "search", "drive", "engines"},
    {"recipes"},
    {"lab"},
    {"assembly"},
    {"bench", "train"},
    {"claims"},
    {"apps"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
FLOW_ROOMS = ("core", "search", "scorers", "processes", "recipes")
BANNED_IN_FLOWS = {"asyncio", "anyio", "random", "time", "httpx", "aiohttp", "threading", "socket"}
# The one place that turns a seed into a generator.
EXCEPTIONS = {("core/seeds.py", "random")}


def modules() -> list[Path]:
    return sorted(p for p in ROOT.rglob("*.py") if p.parent != ROOT)


def imported(path: Path) -> set[str]:
    """Absolute names a module imports, those for type checking only left out."""
    found: set[str] = set()
    tree = ast.parse(path.read_text("utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            if node.module == "cogitate":
                found |= {f"cogitate.{alias.name}" for alias in node.names}
    return found


def wrong_imports(path: Path, names: set[str]) -> list[str]:
    room = path.relative_to(ROOT).parts[0]
    wrong: list[str] = []
    for name in names:
        parts = name.split(".")
        if parts[0] != "cogitate" or len(parts) < 2 or parts[1] == room:
            continue
        if parts[1] in LEVEL and LEVEL[parts[1]] >= LEVEL[room]:
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
        if parts[1] == "testing" and room != "apps":
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    return wrong


def test_imports_point_to_lower_layers() -> None:
    assert [line for path in modules() for line in wrong_imports(path, imported(path))] == []


def test_a_planted_upward_import_is_found() -> None:
    assert wrong_imports(ROOT / "search" / "beam.py", {"cogitate.engines.fake"})
    assert wrong_imports(ROOT / "core" / "machine.py", {"cogitate.drive"})


@pytest.mark.parametrize("room", FLOW_ROOMS)
def test_flow_rooms_do_no_io(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for name in imported(path)
        if name.split(".")[0] in BANNED_IN_FLOWS
        and (str(path.relative_to(ROOT).as_posix()), name) not in EXCEPTIONS
    ]
    assert wrong == []


def test_importing_the_package_is_light() -> None:
    """No heavy dependency and no side effect: counted in modules, not in seconds."""
    code = (
        "import sys; import cogitate; cogitate.solve; cogitate.Budget;"
        "heavy = {'numpy', 'aiohttp', 'rich', 'xllamacpp', 'sympy', 'torch', 'sqlite3', 'math_verify'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_no_signals_or_fcntl_at_import() -> None:
    """Base, HTTP engines and bench also run where these do not exist."""
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules()
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.Import)
        for name in (alias.name for alias in node.names)
        if name in ("fcntl", "resource", "pwd", "termios")
    ]
    assert wrong == []


def test_files_can_be_held_in_the_head() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in ROOT.rglob("*.py")
        if (lines := path.read_text("utf-8").count("\n")) > 500
    }
    assert long == {}
