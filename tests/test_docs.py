"""Every code block of the documentation runs; every spec it shows can be read.

Blocks of a page share one namespace, top to bottom. A block after `<!-- not run: reason -->` is shown only.
Shell blocks run through the command's own `main`; those that need the embedded model or a network are
marked `<!-- needs: model -->` or `<!-- needs: network -->` and run where these are there.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from cogitate.apps.cli import main
from cogitate.assembly import read_strategy

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^>]*?) -->\s*\n)?```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL
)
CALL = re.compile(r"`((?:greedy|best_of|self_consistency|beam_search|vote)\([^`]*\))`")


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
        Block(page, text.count("\n", 0, m.start("code")) + 1, m["mark"] or "", m["language"], m["code"])
        for m in BLOCK.finditer(text)
    ]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def has_model() -> bool:
    pytest.importorskip("xllamacpp")
    from cogitate.engines.weights import located

    return located("smollm2") is not None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [b for b in blocks(page) if b.language == "python"]
    if not found:
        pytest.skip("no python on this page")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__docs__"}
    for block in found:
        if block.mark.startswith("not run"):
            continue
        if block.mark == "needs: model" and not has_model():
            continue
        code = "\n" * (block.line - 1) + block.code
        exec(compile(code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_shell_blocks_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [
        line
        for block in blocks(page)
        if block.language in ("sh", "bash") and not block.mark.startswith(("not run", "command"))
        if block.mark != "needs: network" and (block.mark != "needs: model" or has_model())
        for line in block.code.replace("\\\n", " ").splitlines()
        if line.startswith("cogitate ")
    ]
    if not commands:
        pytest.skip("no commands on this page")
    monkeypatch.chdir(tmp_path)
    for command in commands:
        status = main(shlex.split(command, comments=True)[1:])
        assert status == 0, f"{command}: {capsys.readouterr().err}"


def test_every_shown_strategy_can_be_read() -> None:
    shown = {spec for page in PAGES for spec in CALL.findall(page.read_text("utf-8")) if "…" not in spec}
    assert shown
    for spec in shown:
        strategy = read_strategy(spec)
        assert str(read_strategy(str(strategy))) == str(strategy)


def test_no_page_names_a_package_host_or_this_machine() -> None:
    banned = re.compile(r"pypi\.org|pythonhosted|npmjs|/root/|/work/|/tmp/", re.IGNORECASE)
    tracked = [p for p in ROOT.rglob("*") if p.suffix in (".md", ".toml", ".py", ".txt", ".yml")]
    wrong = [
        name(page)
        for page in tracked
        if ".venv" not in page.parts and page != Path(__file__) and banned.search(page.read_text("utf-8"))
    ]
    assert wrong == []
