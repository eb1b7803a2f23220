"""`cogitate export`: a shareable bundle of a journal, without keys."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, cast

from cogitate.apps.output import add_command, print_json

_PRIVATE = ("host",)


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "export",
        "make a shareable bundle of a journal",
        "Copy a journal with its large values into one zip file. Keys are never in a journal; the "
        "description of this machine is left out too. Other people can replay and view it.",
        "  cogitate export run.jsonl bundle.zip",
    )
    command.add_argument("journal", type=Path)
    command.add_argument(
        "bundle", type=Path, nargs="?", help="default: the journal's name with .zip"
    )
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `export`."""
    target = chosen.bundle or chosen.journal.with_suffix(".zip")
    written = export(chosen.journal, target)
    if chosen.json:
        print_json({"bundle": str(target), "files": written})
    else:
        print(target)
    return 0


def export(journal: Path, target: Path) -> list[str]:
    """Write the bundle; returns the names of its files.

    Raises:
        JournalError: when the journal cannot be read.
        InvalidInput: when the bundle is there already.
    """
    import zipfile

    from cogitate.core.errors import InvalidInput
    from cogitate.drive import FileJournal
    from cogitate.drive.journal_file import seal_line

    if target.exists():
        raise InvalidInput(f"{target} is there already; name another file")
    with FileJournal.open(journal, read_only=True) as book:
        header = shareable(book.header)
        first = seal_line({"journal": "cogitate", "format": 1, "header": header})
        partial = target.with_name(target.name + ".partial")
        try:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as bundle:
                with bundle.open("run.jsonl", "w") as file:
                    file.write(first)
                    for body in book.lines():
                        file.write(seal_line({k: v for k, v in body.items() if k != "sum"}))
                card = json.dumps(header, indent=2, ensure_ascii=False)
                bundle.writestr("card.json", card)
                names = bundle.namelist()
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return names


def shareable(header: Mapping[str, Any]) -> dict[str, Any]:
    """A run card without what describes this machine: its hardware, and where its files lie."""
    kept = {k: v for k, v in header.items() if k not in _PRIVATE}
    models = kept.get("models")
    if isinstance(models, dict):
        named = cast(dict[str, Any], models)
        kept["models"] = {role: _without_folder(str(spec)) for role, spec in named.items()}
    return kept


def _without_folder(spec: str) -> str:
    kind, colon, path = spec.partition(":")
    return f"{kind}:{PurePath(path).name}" if colon and kind == "gguf" else spec
