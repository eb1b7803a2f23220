"""`cogitate papers`: the published systems, filtered by the survey's questions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, console, print_json

if TYPE_CHECKING:
    from cogitate.recipes import Card


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "papers",
        "the 38 published systems and what of them works",
        "The published test-time-scaling systems this package is built to reproduce: their recipes, "
        "their place in the field's taxonomy, their claims and what works so far. With a filter, also "
        "the strategies and scorers of this package that carry the tag.",
        "  cogitate papers\n  cogitate papers 12\n  cogitate papers --how inference/search\n"
        "  cogitate papers --what hybrid --where math",
    )
    command.add_argument("paper", nargs="?", help="an id or a slug, such as 12")
    for name, help_text in (
        ("what", "form of extra compute: parallel, sequential, hybrid, internal"),
        ("how", "a path such as inference/verification/process"),
        ("where", "a path such as reasoning/math"),
        ("how-well", "what is measured, such as efficiency"),
        ("allocation", "who decides the budget, such as per_difficulty"),
        ("acceleration", "same output, less cost, such as speculative"),
    ):
        command.add_argument(f"--{name}", help=help_text)
    command.add_argument("--bibtex", action="store_true", help="print BibTeX entries")
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `papers`."""
    from cogitate.claims import standing
    from cogitate.recipes import card, methods_tagged, query

    asked = {
        "what": chosen.what,
        "how": chosen.how,
        "where": chosen.where,
        "how_well": chosen.how_well,
        "allocation": chosen.allocation,
        "acceleration": chosen.acceleration,
    }
    found = [card(chosen.paper)] if chosen.paper is not None else list(query(**asked))
    if chosen.bibtex:
        print("\n\n".join(row.bibtex for row in found))
        return 0
    if chosen.json:
        print_json([standing(row) for row in found])
        return 0
    from cogitate.apps.render import paper_table
    from cogitate.claims import status_of

    out = console()
    out.print(paper_table([(row, status_of(row.id)) for row in found], wide=out.width >= 200))
    if chosen.paper is not None:
        _print_details(found[0])
    elif any(asked.values()):
        here = methods_tagged(**asked)
        told = ", ".join(m.name for m in here) or "none yet"
        out.print(f"strategies and scorers with this tag: {told}", soft_wrap=True)
    return 0


def _print_details(paper: Card) -> None:
    from cogitate.apps.render import Grid
    from cogitate.claims import status_of, whole_record

    out = console()
    known = whole_record().get(paper.id, ())
    held = sum(one.outcome == "holds" for one in known)
    told = f"{held} of {len(known)} claims on record hold" if known else "no claims on record yet"
    tags = "\n".join(f"  {axis:<12} {', '.join(paths)}" for axis, paths in paper.tags.items())
    out.print(f"arXiv {paper.arxiv}, {status_of(paper.id)}: {told}\n{tags}", soft_wrap=True)
    rows = tuple(
        (one.outcome.replace("_", " "), one.name, one.reason or one.observed) for one in known
    )
    if rows:
        out.print(Grid(("outcome", "claim", "seen"), rows, wrap=frozenset({1, 2})))
        out.print(f"run them again: cogitate reproduce {paper.id}")
