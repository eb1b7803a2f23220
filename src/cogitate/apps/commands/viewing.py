"""`cogitate view`: look at a journal's search tree."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cogitate.apps.output import add_command, console, print_json


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "view",
        "look at a journal: its tree, scores and spending",
        "Show what a journal holds: the run card, the search tree with scores and texts, what was kept, "
        "pruned or cut, and the spending by role. Needs neither the model nor the code that wrote it.",
        "  cogitate view run.jsonl\n  cogitate view run.jsonl --stream 3",
    )
    command.add_argument("journal", type=Path)
    command.add_argument("--stream", default="", help="which problem, where a journal holds many")
    command.add_argument(
        "--nodes", type=int, default=200, help="how much of the tree to show (200)"
    )
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `view`."""
    from cogitate.apps.reading import summary
    from cogitate.drive import FileJournal

    with FileJournal.open(chosen.journal, read_only=True) as book:
        found = summary(book, chosen.stream)
    if chosen.json:
        print_json(found.to_json())
        return 0
    from cogitate.apps.render import SearchTree, cost_lines, grown

    out = console()
    out.print(found.heading, soft_wrap=True)
    out.print(SearchTree(grown(found.records), max_nodes=chosen.nodes))
    out.print(cost_lines(found.roles, found.total))
    if found.streams and not chosen.stream:
        out.print(f"{len(found.streams)} problems; look at one with --stream {found.streams[0]}")
    return 0
