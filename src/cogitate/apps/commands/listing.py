"""`cogitate papers`: the published systems, filtered by the survey's four questions."""

from __future__ import annotations

import argparse
from typing import Any

from cogitate.apps.output import add_command, console, print_json


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "papers",
        "the 38 published systems and what of them works",
        "The published test-time-scaling systems this package is built to reproduce: their recipes, "
        "their place in the field's taxonomy, their claims and what works so far.",
        "  cogitate papers\n  cogitate papers 12\n  cogitate papers --how inference/search\n"
        "  cogitate papers --what hybrid --where math",
    )
    command.add_argument("paper", nargs="?", help="an id or a slug, such as 12")
    for name, help_text in (
        ("what", "form of extra compute: parallel, sequential, hybrid, internal"),
        ("how", "a path such as inference/verification/process"),
        ("where", "a path such as reasoning/math"),
    ):
        command.add_argument(f"--{name}", help=help_text)
    command.add_argument("--bibtex", action="store_true", help="print BibTeX entries")
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `papers`."""
    from cogitate.recipes.cards import card, query

    if chosen.paper is not None:
        found = [card(chosen.paper)]
    else:
        found = list(query(what=chosen.what, how=chosen.how, where=chosen.where))
    if chosen.bibtex:
        print("\n\n".join(row.bibtex for row in found))
        return 0
    if chosen.json:
        print_json([row.as_json() for row in found])
        return 0
    from cogitate.apps.render import paper_table

    out = console()
    out.print(paper_table(found))
    if chosen.paper is not None:
        row = found[0]
        tags = "\n".join(f"  {axis:<12} {', '.join(paths)}" for axis, paths in row.tags.items())
        out.print(f"arXiv {row.arxiv}, {row.claims} claims, {row.status}\n{tags}", soft_wrap=True)
    return 0
