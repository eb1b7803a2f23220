"""`cogitate bench report`: what a run found, as a page and as Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cogitate.apps.output import add_command, print_json

_QUESTIONS = 200
"""As `cogitate.bench.report.QUESTIONS`; repeated, so that the command's help loads no metrics."""


def add_report(inner: Any) -> None:
    """Register the subcommand."""
    command = add_command(
        inner,
        "report",
        "write the report of a run folder",
        "Write report.html and report.md from a run folder, finished or not: curves with intervals, frontiers of "
        "accuracy over every cost, the table, paired differences, and a page for each of a sample of questions with "
        "its tree, texts and scores. The HTML is one file that fetches nothing. Seconds and host stand apart in "
        "report-timing.md, so that equal runs have equal reports.",
        "  cogitate bench report results\n  cogitate bench report results --open\n"
        "  cogitate bench report results --baseline best_of --out pages",
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="the run folder")
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="where it goes (default: the run folder)"
    )
    command.add_argument(
        "--baseline",
        default="",
        metavar="LINE",
        help="the strategy, or part of its name, that others are compared with (default: a majority vote)",
    )
    command.add_argument(
        "--larger",
        default="",
        metavar="MODEL",
        help="a model of the run, beside which the others stand at equal cost",
    )
    command.add_argument(
        "--questions",
        type=int,
        default=_QUESTIONS,
        metavar="N",
        help=f"questions with a page of their own ({_QUESTIONS})",
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="your data (COGITATE_DATA)")
    command.add_argument("--open", action="store_true", help="show it in the browser")
    command.set_defaults(execute=execute_report)


def execute_report(chosen: argparse.Namespace) -> int:
    """Run `bench report`."""
    from cogitate.bench.report import report_folder

    html, markdown = report_folder(
        chosen.folder,
        chosen.out,
        directory=chosen.data,
        baseline=chosen.baseline,
        larger=chosen.larger,
        questions=chosen.questions,
    )
    if chosen.json:
        print_json({"html": str(html), "markdown": str(markdown)})
    else:
        print(f"{html}\n{markdown}")
    if chosen.open:
        import webbrowser

        webbrowser.open(html.resolve().as_uri())
    return 0
