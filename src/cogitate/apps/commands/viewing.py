"""`cogitate view`: look at a journal's search tree."""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cogitate.apps.output import add_command, console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from cogitate.apps.reading import Summary
    from cogitate.drive import FileJournal

NODES: Final = 200
"""Nodes, or tasks, that are shown where nobody says."""
_FULL: Final = 100_000
_LONGEST: Final = 4000
_DECISIONS: Final = 20


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "view",
        "look at a journal: its tree, scores and spending",
        "Show what a journal holds: the run card, the search tree with scores, visits and texts, what was "
        "kept, pruned, cut by the budget or lost to a failure, why the run went on as it did, and the "
        "spending by role. Of a run over many tasks, their list. Needs neither the model nor the code that "
        "wrote it.",
        "  cogitate view run.jsonl\n  cogitate view run.jsonl --texts full --nodes 20\n"
        "  cogitate view many.jsonl --task 3\n  cogitate view run.jsonl --browser",
    )
    command.add_argument("journal", type=Path, help="the file; with --browser also a folder")
    command.add_argument(
        "--task",
        "--stream",
        dest="stream",
        metavar="N",
        default="",
        help="which task, where a journal holds many",
    )
    command.add_argument(
        "--nodes",
        type=int,
        help=f"how many nodes to show: the chosen, the best and the first ({NODES}; with --json all)",
    )
    command.add_argument(
        "--texts",
        choices=("line", "full"),
        default="line",
        help="what a node says: as much as fits on its line, or all of it",
    )
    command.add_argument("--width", type=int, help="characters of a text on its line")
    command.add_argument(
        "--browser",
        action="store_true",
        help="look at it in a page that this machine alone can open, until Ctrl-C",
    )
    command.add_argument(
        "--no-open", action="store_true", help="with --browser: print the address and open nothing"
    )
    command.add_argument(
        "--port", type=int, default=0, help="with --browser: a port; a free one by default"
    )
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `view`."""
    from cogitate.apps.reading import nodes_json, solved, summary
    from cogitate.core.errors import InvalidInput
    from cogitate.drive import FileJournal

    for name in ("nodes", "width"):
        asked = getattr(chosen, name)
        if asked is not None and asked < 1:
            raise InvalidInput(f"--{name} {asked} was asked for; it is at least 1")
    if chosen.browser:
        return _show_page(chosen)
    with FileJournal.open(chosen.journal, read_only=True) as book:
        longest = _FULL if chosen.texts == "full" or chosen.json else _LONGEST
        found = summary(book, chosen.stream, longest=longest)
        many = bool(found.streams) and not chosen.stream
        if chosen.json:
            said = found.to_json() | nodes_json(found.grove, chosen.nodes)
            if many:
                named = found.streams[: chosen.nodes]
                said["tasks"] = [task.to_json() for task in solved(book, named)]
            print_json(said)
            return 0
        out = console()
        out.print(found.heading, soft_wrap=True)
        if many:
            _show_tasks(out, book, found, chosen.nodes or NODES)
        else:
            _show_tree(out, found, chosen)
    _show_ending(out, found)
    return 0


def _show_page(chosen: argparse.Namespace) -> int:
    """Serve the page until an interrupt."""
    import webbrowser

    from cogitate.core.errors import InvalidInput, JournalError
    from cogitate.drive import FileJournal

    if not 0 <= chosen.port <= 65535:
        raise InvalidInput(f"--port {chosen.port} was asked for; a port lies between 0 and 65535")
    try:
        from cogitate.apps.gateway.live import Hub, Loopback, Shelf
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"--browser was asked for, but {error.name} is not installed; "
            "install it with `pip install cogitate[gateway]`"
        ) from None
    path: Path = chosen.journal
    try:
        path = path.resolve(strict=True)  # a link is followed once, here, by whoever gave it
    except OSError:
        raise JournalError(f"the journal {path} was asked for, but there is no such file") from None
    shown: dict[str, str] = {}
    if path.is_dir():
        shelf = Shelf(path)
    else:
        FileJournal.open(path, read_only=True).close()  # so that a bad file is told here
        shelf = Shelf(path.parent, only=path.name)
        shown = {"j": path.name} | ({"task": chosen.stream} if chosen.stream else {})
    server = Loopback(Hub(), shelf, port=chosen.port)
    url = server.url(**shown)
    if chosen.json:
        print_json({"url": url})
    else:
        print(url)
        print("until Ctrl-C; only this machine can open it", file=sys.stderr)
    sys.stdout.flush()

    def started() -> None:
        if not chosen.no_open:
            webbrowser.open(url)

    server.serve(started)
    return 0


def _show_tasks(out: Console, book: FileJournal, found: Summary, most: int) -> None:
    from cogitate.apps.reading import solved
    from cogitate.apps.render import Grid, one_line

    rows = tuple(
        (
            one_line(task.stream, 12),
            "" if task.score is None else f"{task.score:.3f}",
            one_line(task.answer or "", 24) if task.sealed else "(not finished)",
            one_line(task.stopped, 12),
            one_line(task.question, 200),
        )
        for task in islice(solved(book, found.streams), most)
    )
    left = len(found.streams) - len(rows)
    out.print(
        Grid(
            head=("task", "score", "answer", "stopped", "question"),
            rows=rows,
            caption=f"and {left:,} more; --nodes shows them" if left else "",
            right=frozenset({0, 1}),
        )
    )
    first = one_line(found.streams[0], 40)
    out.print(f"{len(found.streams):,} tasks; look at the tree of one with --task {first}")


def _show_tree(out: Console, found: Summary, chosen: argparse.Namespace) -> None:
    from cogitate.apps.render import SearchTree

    tree = SearchTree(
        found.grove,
        max_nodes=chosen.nodes or NODES,
        width=chosen.width or 0,
        full=chosen.texts == "full",
    )
    out.print(tree)
    if found.grove.nodes > (chosen.nodes or NODES) and sys.stdout.isatty():
        out.print("--nodes shows more of the tree", style="dim")


def _show_ending(out: Console, found: Summary) -> None:
    """Why it went on as it did, what was cut, and what it cost."""
    from cogitate.apps.render import Spending, one_line

    grove = found.grove
    for decision in grove.decisions[:_DECISIONS]:
        at = f"{grove.title(('', decision.place))}: " if len(grove.scopes) > 1 else ""
        out.print(one_line(at + decision.told, 300), soft_wrap=True)
    if grove.decided > _DECISIONS:
        out.print(f"and {grove.decided - _DECISIONS:,} more decisions")
    for (by, what), (count, why) in found.cuts.items():
        name = "refused by the budget" if by == "budget" else f"failed ({what or 'unknown'})"
        calls = "call" if count == 1 else "calls"
        out.print(one_line(f"{count:,} {calls} {name}: {why}", 300), soft_wrap=True)
    if found.kept:
        said = f"{found.kept:,} of {found.outcomes.get('reply', 0):,} replies"
        out.print(f"{said} were kept from earlier runs and cost nothing")
    paid = found.paid if found.kept else None
    out.print(Spending(found.roles, found.budget, paid, found.elapsed_s or None))
