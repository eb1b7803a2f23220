"""`cogitate bench compare`: two runs, or two cells of one, question by question."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, print_json

if TYPE_CHECKING:
    from cogitate.bench.comparing import Comparison, Side

WORSE = 3
"""The exit status of `--fail-if-worse` where something is worse."""


def add_compare(inner: Any) -> None:
    """Add `bench compare`."""
    command = add_command(
        inner,
        "compare",
        "set two runs against each other, question by question",
        "Paired differences of two runs on the questions that both have: accuracy with intervals, wins and losses, "
        "tests with the question as the unit, and the ratio of costs. The difference is B less A. A side is a run "
        "folder, or FOLDER#STRATEGY for the cells of one printed spec or line. It informs, and exits with 0 whatever "
        f"it finds, unless --fail-if-worse is given: then with {WORSE} where B is worse beyond chance.",
        "  cogitate bench compare runs/before runs/after\n"
        '  cogitate bench compare "runs/a#greedy()" "runs/a#self_consistency(n=8)"\n'
        "  cogitate bench compare runs/a runs/b --task gsm8k --json --fail-if-worse",
    )
    command.add_argument("first", metavar="A", help="a run folder, or FOLDER#STRATEGY")
    command.add_argument("second", metavar="B", help="the same; its gain or loss is told")
    command.add_argument("--task", help="only this task")
    command.add_argument("--model", help="only this model, by its label")
    command.add_argument("--models", nargs=2, metavar=("A", "B"), help="a model for each side")
    command.add_argument("--n", type=int, metavar="N", help="only strategies of this N")
    command.add_argument("--seed", type=int, default=0, help="of the bootstraps; default: 0")
    command.add_argument("--out", type=Path, metavar="FILE", help="write the Markdown there too")
    command.add_argument(
        "--fail-if-worse",
        action="store_true",
        help=f"exit with {WORSE} where B is worse than A beyond chance (p by Holm below 5 %%)",
    )
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `bench compare`."""
    from cogitate.bench.comparing import compare
    from cogitate.bench.comparison_page import markdown
    from cogitate.bench.metrics import plain

    first, second = chosen.models or (chosen.model, chosen.model)
    found = compare(
        _side(chosen.first, chosen, first), _side(chosen.second, chosen, second), seed=chosen.seed
    )
    page = markdown(found)
    if chosen.out is not None:
        chosen.out.write_text(page, "utf-8")
    if chosen.json:
        print_json({**plain(found), "note": found.note, "worse": _worse(found)})
    else:
        print(page, end="")
    return WORSE if chosen.fail_if_worse and _worse(found) else 0


def _worse(found: Comparison) -> list[str]:
    return [f"{p.task}: {p.second}" for p in found.pairs if p.worse]


def _side(given: str, chosen: argparse.Namespace, model: str | None) -> Side:
    """A folder, or a folder and a strategy; a folder whose own name has a # is taken as it is."""
    from cogitate.bench.comparing import Side
    from cogitate.bench.folder import load

    folder, _, strategy = (given, "", "") if Path(given).is_dir() else given.partition("#")
    return Side(given, load(Path(folder)), strategy or None, model, chosen.task, chosen.n)
