"""`cogitate doctor`: what this machine can do, and how to get what is missing."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from cogitate.apps.output import add_command, console, print_json

_EXTRAS = {
    "local": ("xllamacpp", "language models in this process"),
    "math": ("math_verify", "symbolic grading of mathematics"),
    "gateway": ("starlette", "cogitate serve, its keys and its live view"),
    "fit": ("scipy", "the exact programme of ets"),
    "retrieval": ("bm25s", "indices by BM25, and of many embeddings"),
    "litellm": ("litellm", "providers through LiteLLM"),
    "gym": ("reasoning_gym", "tasks of reasoning-gym"),
    "data": ("huggingface_hub", "tasks from a data hub"),
}


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "doctor",
        "what this machine can do, and how to get what is missing",
        "Try what this machine can do: engines, extras, models, the journal's disk. With --config, print "
        "which settings are in force and where each came from.",
        "  cogitate doctor\n  cogitate doctor --config",
    )
    command.add_argument("--config", action="store_true", help="print the settings in force")
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `doctor`."""
    return _settings(chosen) if chosen.config else _machine(chosen)


def findings() -> list[dict[str, str]]:
    """What was tried: `name`, `state` (`ok` or `missing`), `detail`, `remedy`."""
    from cogitate.engines.weights import KNOWN, located

    found = [
        _row(
            "python", "ok", f"{platform.python_version()} on {sys.platform}, {os.cpu_count()} cores"
        ),
        _row("http engines", "ok", "any OpenAI-compatible server: openai:BASE_URL#MODEL"),
    ]
    for extra, (module, what) in _EXTRAS.items():
        here = importlib.util.find_spec(module) is not None
        remedy = "" if here else f"pip install 'cogitate[{extra}]'"
        found.append(_row(f"extra {extra}", "ok" if here else "missing", what, remedy))
    for name in KNOWN:
        path = located(name)
        remedy = "" if path else f"cogitate models pull {name}"
        found.append(_row(f"model {name}", "ok" if path else "missing", str(path or ""), remedy))
    free = shutil.disk_usage(Path.cwd()).free
    room = "ok" if free > 200_000_000 else "missing"
    found.append(
        _row("disk", room, f"{free / 1e9:.1f} GB free here", "" if room == "ok" else "free some")
    )
    return found + _sandbox()


def _sandbox() -> list[dict[str, str]]:
    """The layers of the sandbox, each tried."""
    from cogitate.engines.sandbox import probe

    return [
        _row(
            f"sandbox: {layer.name}",
            "ok" if layer.holds else "missing",
            layer.detail,
            "" if layer.holds else layer.remedy,
        )
        for layer in probe()
    ]


def _row(name: str, state: str, detail: str, remedy: str = "") -> dict[str, str]:
    return {"name": name, "state": state, "detail": detail, "remedy": remedy}


def _machine(chosen: argparse.Namespace) -> int:
    found = findings()
    if chosen.json:
        print_json(found)
        return 0
    from rich.table import Table

    table = Table("what", "state", "detail", "to get it")
    for row in found:
        table.add_row(row["name"], row["state"], row["detail"], row["remedy"])
    console().print(table)
    return 0


def _settings(chosen: argparse.Namespace) -> int:
    from cogitate.assembly import load

    rows = load().rows()
    if chosen.json:
        print_json([{"name": n, "value": v, "from": origin} for n, v, origin in rows])
        return 0
    from rich.table import Table

    table = Table("setting", "value", "from")
    for row in rows:
        table.add_row(*row)
    console().print(table)
    return 0
