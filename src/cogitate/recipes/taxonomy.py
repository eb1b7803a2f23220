"""The tags of papers and methods: a small tree for each question one can ask of them."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from cogitate.core.errors import InvalidInput


@dataclass(frozen=True)
class Axis:
    """One question and its answers, as paths such as `inference/verification/process`."""

    name: str
    question: str
    paths: Mapping[str, str]
    """Path to meaning, parents before children."""
    added: frozenset[str] = frozenset()
    """Paths that are ours and not the survey's."""

    @property
    def leaves(self) -> tuple[str, ...]:
        """The paths without children."""
        return tuple(p for p in self.paths if not any(q.startswith(p + "/") for q in self.paths))

    def resolve(self, tag: str) -> str:
        """The full path of a tag given whole or by its last segments.

        Raises:
            InvalidInput: for a tag that is no path of this axis; names the nearest one.

        >>> taxonomy()["how"].resolve("verification/process")
        'inference/verification/process'
        """
        wanted = tag.strip().strip("/").lower().replace("-", "_").replace(" ", "_")
        if wanted in self.paths:
            return wanted
        found = [p for p in self.paths if p.endswith("/" + wanted)] if wanted else []
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidInput(
                f"the tag {tag!r} of axis {self.name!r} may mean {' or '.join(found)}; give the whole path"
            )
        raise InvalidInput(
            f"the tag {tag!r} was asked for; axis {self.name!r} has no such path"
            f"{_nearest(wanted, self.paths)}"
        )

    def check(self, path: str) -> str:
        """The path itself, where it is written in full.

        Raises:
            InvalidInput: for anything but a full path of this axis.
        """
        if path not in self.paths:
            raise InvalidInput(
                f"the tag {path!r} is no full path of axis {self.name!r}{_nearest(path, self.paths)}"
            )
        return path


def covers(prefix: str, path: str) -> bool:
    """Whether `path` is `prefix` or lies below it.

    >>> covers("tuning", "tuning/rl"), covers("tun", "tuning/rl")
    (True, False)
    """
    return path == prefix or path.startswith(prefix + "/")


@functools.cache
def taxonomy() -> Mapping[str, Axis]:
    """Every axis by name, in the order in which they are asked.

    >>> list(taxonomy())
    ['what', 'how', 'where', 'how_well', 'allocation', 'acceleration']
    """
    return {name: _axis(name, raw) for name, raw in packaged_table("taxonomy.toml").items()}


def axis(name: str) -> Axis:
    """The axis of this name.

    Raises:
        InvalidInput: for an unknown axis; names the nearest one.
    """
    axes = taxonomy()
    if name not in axes:
        raise InvalidInput(f"the tag axis {name!r} was asked for{_nearest(name, axes)}")
    return axes[name]


def packaged_table(name: str) -> dict[str, Any]:
    """A TOML file that lies beside this module."""
    import tomllib

    return tomllib.loads(resources.files("cogitate.recipes").joinpath(name).read_text("utf-8"))


def tree_markdown(paths: Axis) -> str:
    """The axis as a Markdown list; what is ours carries a plus sign."""
    lines = [
        f"{'  ' * path.count('/')}- `{path.rsplit('/', 1)[-1]}`{' (+)' if path in paths.added else ''}:"
        f" {meaning}"
        for path, meaning in paths.paths.items()
    ]
    return "\n".join(lines)


def _axis(name: str, raw: Mapping[str, Any]) -> Axis:
    known = Axis(name, raw["question"], raw["paths"], frozenset(raw["added"]))
    for path in known.paths:
        parent = path.rpartition("/")[0]
        if parent and parent not in known.paths:
            raise InvalidInput(f"taxonomy.toml: {path!r} of axis {name!r} has no parent {parent!r}")
    for path in known.added:
        known.check(path)
    return known


def _nearest(wanted: str, known: Mapping[str, Any]) -> str:
    by_word = {p.rsplit("/", 1)[-1]: p for p in known} | {p: p for p in known}
    close = difflib.get_close_matches(
        wanted, by_word, n=1, cutoff=0.5
    ) or difflib.get_close_matches(wanted.rsplit("/", 1)[-1], by_word, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {by_word[close[0]]!r}?"
    return f"; the first level is {', '.join(p for p in known if '/' not in p)}"
