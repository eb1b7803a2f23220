"""The `cogitate` command: reads arguments, runs one subcommand, turns errors into sentences."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence

from .output import complain

COMMANDS = (
    "solving",
    "demonstration",
    "modelling",
    "replaying",
    "viewing",
    "exporting",
    "listing",
    "doctoring",
)
"""The modules of `apps.commands`; each adds its subcommand with `register`."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="cogitate",
        description="Spend a model's inference compute well: the best answer a budget can buy, "
        "how it was found, and what it cost.",
        epilog="Start with `cogitate demo`. Every subcommand explains itself with --help and speaks "
        "JSON with --json.",
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    subcommands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name in COMMANDS:
        importlib.import_module(f"cogitate.apps.commands.{name}").register(subcommands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0 on success, 1 on an error, 2 on wrong usage."""
    from cogitate.core.errors import CogitateError

    top = parser()
    chosen = top.parse_args(arguments)
    if chosen.version:
        from cogitate import __version__

        print(f"cogitate {__version__}")
        return 0
    if chosen.command is None:
        top.print_help()
        return 2
    try:
        return int(chosen.execute(chosen))
    except CogitateError as error:
        return _failed(chosen, str(error), 1)
    except KeyboardInterrupt:
        return _failed(chosen, "interrupted", 130)
    except BrokenPipeError:
        # The reader went away, as `head` does; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _failed(chosen, f"{error.strerror or error}{where}", 1)


def _failed(chosen: argparse.Namespace, sentence: str, status: int) -> int:
    if getattr(chosen, "json", False):
        print(json.dumps({"error": sentence}))
    complain(sentence)
    return status


def program() -> None:
    """The entry point of the installed command."""
    sys.exit(main())
