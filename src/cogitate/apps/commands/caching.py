"""`cogitate cache`: what the reply cache holds, and less of it."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, console, print_json

if TYPE_CHECKING:
    from cogitate.drive import ReplyCache
    from cogitate.drive.cache import Stats

_DAY_S = 86_400.0


def register(subcommands: Any) -> None:
    """Add the subcommands."""
    command = add_command(
        subcommands,
        "cache",
        "replies kept for later runs: stats, prune",
        "Replies of servers and local models are kept, so that a question asked again with the same seed "
        "gives the same answer and costs nothing, and more samples pay only for the new ones. "
        "`solve --no-cache` neither reads nor keeps them; [cache] in the configuration says where they lie "
        "and how many bytes they may take.",
        "  cogitate cache stats\n  cogitate cache prune --older-than 30\n"
        "  cogitate cache prune --all",
    )
    command.set_defaults(execute=execute_stats)
    _add_config(command)
    inner = command.add_subparsers(dest="action", metavar="ACTION")
    stats = add_command(
        inner,
        "stats",
        "how many replies of whom, and where",
        "Where the replies are kept, how many there are, of which models, and how much room they take.",
        "  cogitate cache stats\n  cogitate cache stats --json",
    )
    _add_config(stats)
    stats.set_defaults(execute=execute_stats)
    prune = add_command(
        inner,
        "prune",
        "drop what was not used for longest",
        "Drop kept replies, those not used for longest first, and give their room back to the disk.",
        "  cogitate cache prune --max-bytes 100000000\n  cogitate cache prune --older-than 30\n"
        "  cogitate cache prune --all",
    )
    _add_config(prune)
    how = prune.add_mutually_exclusive_group()
    how.add_argument("--max-bytes", type=int, metavar="N", help="until at most N bytes are left")
    how.add_argument(
        "--older-than", type=float, metavar="DAYS", help="what was not used for so many days"
    )
    how.add_argument("--all", action="store_true", help="everything")
    prune.set_defaults(execute=execute_prune)


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, help="configuration file (default: cogitate.toml)")


def execute_stats(chosen: argparse.Namespace) -> int:
    """Run `cache stats`."""
    with _cache(chosen) as cache:
        found = cache.stats()
    if chosen.json:
        print_json(_record(found))
        return 0
    _show(found)
    return 0


def execute_prune(chosen: argparse.Namespace) -> int:
    """Run `cache prune`."""
    from cogitate.core.errors import InvalidInput

    if chosen.max_bytes is None and chosen.older_than is None and not chosen.all:
        raise InvalidInput(
            "what shall be dropped was not said; give --max-bytes N, --older-than DAYS, or --all"
        )
    for name in ("max_bytes", "older_than"):
        given = getattr(chosen, name)
        if given is not None and not 0 <= given < 1e15:
            raise InvalidInput(
                f"--{name.replace('_', '-')} {given} was asked for; it must be at least 0"
            )
    with _cache(chosen) as cache:
        dropped = cache.prune(
            max_bytes=0 if chosen.all else chosen.max_bytes,
            older_than_s=None if chosen.older_than is None else chosen.older_than * _DAY_S,
        )
        left = cache.stats()
    if chosen.json:
        print_json({"dropped": dropped.entries, "bytes": dropped.bytes, "left": _record(left)})
        return 0
    print(
        f"{dropped.entries} replies dropped ({_size(dropped.bytes)}); "
        f"{left.entries} left ({_size(left.bytes)})"
    )
    return 0


def _cache(chosen: argparse.Namespace) -> ReplyCache:
    from cogitate.assembly import load
    from cogitate.drive import ReplyCache

    held = load(chosen.config) if chosen.config else load()
    return ReplyCache(held.cache_directory, max_bytes=held.cache_bytes)


def _record(found: Stats) -> dict[str, Any]:
    return {
        "path": str(found.path),
        "entries": found.entries,
        "bytes": found.bytes,
        "file_bytes": found.file_bytes,
        "max_bytes": found.max_bytes,
        "oldest": found.oldest,
        "engines": [
            {"engine": engine, "entries": entries, "bytes": size}
            for engine, entries, size in found.engines
        ],
    }


def _show(found: Stats) -> None:
    from cogitate.apps.render import Grid, one_line

    out = console()
    lines = [
        f"path      {found.path}",
        f"replies   {found.entries}",
        f"size      {_size(found.bytes)} of at most {_size(found.max_bytes)}",
        f"on disk   {_size(found.file_bytes)}",
    ]
    if found.oldest is not None:
        when = datetime.datetime.fromtimestamp(found.oldest).astimezone()
        lines.append(f"oldest    last used {when:%Y-%m-%d %H:%M}")
    out.print("\n".join(lines), soft_wrap=True)
    if found.engines:
        rows = tuple((one_line(e, 200), str(n), _size(size)) for e, n, size in found.engines)
        head = ("answered by", "replies", "size")
        out.print(Grid(head, rows, right=frozenset({1, 2}), wrap=frozenset({0})))


def _size(count: int) -> str:
    """Bytes as people read them.

    >>> _size(999), _size(12_345_678)
    ('999 B', '12.3 MB')
    """
    for unit, of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= of:
            return f"{count / of:.3g} {unit}"
    return f"{count} B"
