"""How the commands speak: answers on standard output, everything else on standard error."""

from __future__ import annotations

import argparse
import io
import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from .render import one_line

if TYPE_CHECKING:
    from rich.console import Console


class WrongUsage(Exception):
    """Arguments that cannot be read; exit status 2."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence; the usage is what --help is for."""

    def error(self, message: str) -> NoReturn:
        raise WrongUsage(f"{message}; see `{self.prog} --help`")


def parser_of(**known: Any) -> argparse.ArgumentParser:
    """A parser that raises `WrongUsage` and takes no abbreviations, which break when options are added."""
    return _Parser(allow_abbrev=False, **known)


def complain(sentence: str) -> None:
    """One error sentence, stripped of control characters: parts of it may come from a model."""
    print(f"cogitate: {one_line(sentence, 2_000)}", file=sys.stderr)


def forgiving(stream: Any) -> None:
    """Let a stream write `?` for what its encoding lacks, instead of failing in the middle of an answer."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


def console(*, to_errors: bool = False) -> Console:
    """A rich console that never interprets text as markup by itself."""
    from rich.console import Console

    return Console(stderr=to_errors, markup=False, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """JSON for machines: one document on standard output."""
    print(json.dumps(value, ensure_ascii=True, allow_nan=False, indent=2))


def add_json(command: argparse.ArgumentParser) -> None:
    """The `--json` option that every subcommand has."""
    command.add_argument("--json", action="store_true", help="print JSON for machines")
    command.set_defaults(parser=command)


def add_command(
    subcommands: Any, name: str, summary: str, description: str, examples: str = ""
) -> argparse.ArgumentParser:
    """A subcommand with a help text that teaches."""
    command: argparse.ArgumentParser = subcommands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_json(command)
    return command
