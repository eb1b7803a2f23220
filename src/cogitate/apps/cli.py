"""The `cogitate` command: reads arguments, runs one subcommand, turns errors into sentences."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .output import WrongUsage, complain, forgiving, parser_of

COMMANDS: Final = (
    "solving",
    "demonstration",
    "modelling",
    "replaying",
    "viewing",
    "exporting",
    "indexing",
    "listing",
    "caching",
    "reproducing",
    "benching",
    "serving",
    "keys",
    "usage",
    "doctoring",
)
"""The modules of `apps.commands`; each adds its subcommand with `register`."""

TRACEBACK: Final = "COGITATE_TRACEBACK"
"""The environment variable that shows the traceback of a bug."""

INTERRUPTED: Final = 130
NO_READER: Final = 141
BUG: Final = 70


def parser() -> tuple[argparse.ArgumentParser, list[str]]:
    """The whole command line, and the names of its subcommands."""
    top = parser_of(
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
    return top, list(subcommands.choices)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status.

    0 on success, 1 on an error, 2 on wrong usage, 70 on a bug of this package, 130 after an interrupt.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    forgiving(sys.stdout)
    forgiving(sys.stderr)
    as_json = "--json" in given
    try:
        status = _run(given)
        sys.stdout.flush()  # here, where a full disk can still be told
    except SystemExit as end:  # of --help
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED, as_json)
    except BrokenPipeError:
        _abandon_output()  # the reader went away, as `head` does
        return NO_READER
    except Exception as error:
        return _explained(error, as_json)
    return status


def _run(given: list[str]) -> int:
    top, names = parser()
    if given and not given[0].startswith("-") and given[0] not in names:
        from cogitate.assembly.factory import nearest

        raise WrongUsage(f"there is no command {given[0]!r}{nearest(given[0], names)}")
    chosen, rest = top.parse_known_args(given)
    if rest:
        raise WrongUsage(_unknown(rest[0], getattr(chosen, "parser", top)))
    if chosen.version:
        from cogitate import __version__

        print(f"cogitate {__version__}")
        return 0
    if chosen.command is None:
        top.print_help()
        return 2
    return int(chosen.execute(chosen))


def _unknown(argument: str, used: argparse.ArgumentParser) -> str:
    """What is wrong with an argument that nobody took."""
    if not argument.startswith("-"):
        return (
            f"`{used.prog}` does not know what to do with {argument!r}; put a text of several words "
            "in quotes"
        )
    import re

    from cogitate.assembly.factory import nearest

    name = argument.partition("=")[0]
    known = re.findall(r"--[a-z][a-z-]*", used.format_usage())
    if name in known:
        return f"`{used.prog}` takes {name} before `--`; what follows that is text"
    hint = nearest(name, known) if name.startswith("--") else "; a text may begin with - after `--`"
    return f"`{used.prog}` has no option {name!r}{hint}"


def _explained(error: Exception, as_json: bool) -> int:
    """One sentence for whatever went wrong."""
    from cogitate.core.errors import CogitateError

    if isinstance(error, WrongUsage):
        return _failed(str(error), 2, as_json)
    if isinstance(error, CogitateError):
        return _failed(str(error), 1, as_json)
    if isinstance(error, OSError) and not os.environ.get(TRACEBACK):
        reason = error.strerror or str(error)
        if error.filename is None:
            _abandon_output()
            return _failed(f"the output could not be written: {reason}", 1, as_json)
        return _failed(f"{error.filename} cannot be used: {reason}", 1, as_json)
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    # Not its message: an exception that nobody expected may quote anything, a key too.
    sentence = (
        f"{type(error).__name__} at {_where(error)}; this is a bug of cogitate: run again with "
        f"{TRACEBACK}=1 for details, and report them"
    )
    return _failed(sentence, BUG, as_json)


def _where(error: BaseException) -> str:
    """The innermost place of this package on the way of an exception."""
    root = Path(__file__).parents[1]
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if root in Path(f.filename).parents
    ]
    if not frames:
        return "an unknown place"
    return f"{Path(frames[-1].filename).relative_to(root).as_posix()}, line {frames[-1].lineno}"


def _failed(sentence: str, status: int, as_json: bool) -> int:
    if as_json:
        with contextlib.suppress(OSError):
            print(json.dumps({"error": sentence}))
            sys.stdout.flush()
    complain(sentence)
    return status


def _abandon_output() -> None:
    """Nobody takes what is still buffered; without this Python would complain once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def program() -> None:
    """The entry point of the installed command."""
    sys.exit(main())
