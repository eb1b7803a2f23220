"""Every code block of the documentation runs; every spec it shows can be read.

Blocks of a page share one namespace, top to bottom. A block after `<!-- not run: reason -->` is shown only.
Shell blocks run through the command's own `main`; those that need the embedded model or a network are
marked `<!-- needs: model -->` or `<!-- needs: network -->` and run where these are there.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

from cogitate.apps.cli import main
from cogitate.assembly import TABLE, read

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^>]*?) -->\s*\n)?```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL
)
STRATEGIES = "|".join(name for name, made in TABLE.items() if made.family == "strategy")
CALL = re.compile(rf"`((?:{STRATEGIES})\([^`]*\))`")
NEEDS = {
    "gateway.md": ("starlette", "uvicorn", "sqlalchemy", "prometheus_client"),
    "gateway-keys.md": ("starlette", "sqlalchemy"),
    "live-view.md": ("starlette", "uvicorn"),
}
"""Modules of an extra without which a page's blocks cannot run."""
GENERATED = ("strategies.md", "papers.md")
"""Pages whose calls are signatures, and not specs."""


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    mark: str
    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, m.start("code")) + 1,
            m["mark"] or "",
            m["language"],
            m["code"],
        )
        for m in BLOCK.finditer(text)
    ]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def has_model() -> bool:
    pytest.importorskip("xllamacpp")
    from cogitate.engines.weights import located

    return located("smollm2") is not None


def run_page(page: Path, marks: tuple[str, ...], report: pytest.CaptureFixture[str]) -> None:
    """Run a page's blocks top to bottom, in one namespace and one folder."""
    module = types.ModuleType(f"docs_{page.stem.replace('-', '_')}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        for block in blocks(page):
            if block.mark.startswith(("not run", "command")) or (
                block.mark.startswith("needs") and block.mark not in marks
            ):
                continue
            if block.language == "python":
                code = "\n" * (block.line - 1) + block.code
                exec(compile(code, str(page), "exec"), module.__dict__)
            elif block.language in ("sh", "bash"):
                run_commands(block.code, report)
    finally:
        del sys.modules[module.__name__]


def run_commands(code: str, report: pytest.CaptureFixture[str]) -> None:
    for line in code.replace("\\\n", " ").splitlines():
        if line.startswith("cogitate "):
            status = main(shlex.split(line, comments=True)[1:])
            assert status == 0, f"{line}: {report.readouterr().err}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in NEEDS.get(page.name, ()):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    run_page(page, (), capsys)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page", [p for p in PAGES if "<!-- needs: model -->" in p.read_text("utf-8")], ids=name
)
def test_page_runs_with_the_model(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not has_model():
        pytest.skip("the embedded model is not here: cogitate models pull smollm2")
    monkeypatch.chdir(tmp_path)
    run_page(page, ("needs: model",), capsys)


def test_every_shown_strategy_can_be_read() -> None:
    shown = {
        spec
        for page in PAGES
        if page.name not in GENERATED
        for spec in CALL.findall(page.read_text("utf-8"))
        if "…" not in spec
    }
    assert shown
    for spec in shown:
        strategy = read(spec)
        assert str(read(str(strategy))) == str(strategy)


def test_no_page_names_a_package_host_or_this_machine() -> None:
    banned = re.compile(r"pypi\.org|pythonhosted|npmjs|/root/|/work/|/tmp/", re.IGNORECASE)
    tracked = [p for p in ROOT.rglob("*") if p.suffix in (".md", ".toml", ".py", ".txt", ".yml")]
    wrong: list[str] = []
    for page in tracked:
        if ".venv" in page.parts or page == Path(__file__):
            continue
        found = {hit.lower() for hit in banned.findall(page.read_text("utf-8"))}
        if "sandbox" in page.parts:  # its programs have a /tmp and a /box/work of their own
            found -= {"/tmp/", "/work/"}
        if found:
            wrong.append(f"{name(page)}: {sorted(found)}")
    assert wrong == []


def test_the_page_of_strategies_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_strategies.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
