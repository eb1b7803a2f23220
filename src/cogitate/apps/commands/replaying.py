"""`cogitate replay`: run a journal again, without a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cogitate.apps.output import add_command

from .solving import conclude


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "replay",
        "run a journal again: same answer, no cost",
        "Run a journal again with no engine: the code asks what it asked, the journal answers. It says "
        "so if the code now asks something else.",
        "  cogitate replay run.jsonl",
    )
    command.add_argument("journal", type=Path)
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `replay`."""
    from cogitate.assembly import replay

    return conclude(replay(chosen.journal), as_json=chosen.json)
