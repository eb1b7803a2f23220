"""One card for each strategy and scorer that a spec can name: where it stands in the taxonomy, and its costs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from cogitate.core.errors import InvalidInput

from .cards import cards
from .taxonomy import axis, covers, packaged_table


@dataclass(frozen=True)
class Method:
    """One strategy or scorer of this package.

    >>> method("beam_search").knob
    'width × branch'
    """

    name: str
    """As a spec writes it."""
    tags: Mapping[str, tuple[str, ...]]
    """Axis to full paths of the taxonomy."""
    papers: tuple[str, ...] = ()
    """Ids of the papers that describe or use it."""
    needs: tuple[str, ...] = ()
    """What an engine must be able to do: `logprobs`, `step_scores`, `embeddings`, `tools`, `execution`."""
    knob: str = ""
    """The argument that buys more compute; empty where there is none."""
    cost: tuple[str, ...] = ()
    """What is paid for: `policy`, `verifier`, `judge`, `embedder`; votes and statistics are free."""
    degenerates_to: str = ""
    """The plainer method it is at its smallest setting, and which setting that is."""

    def __post_init__(self) -> None:
        for name, paths in self.tags.items():
            for path in paths:
                axis(name).check(path)
        unknown = [id for id in self.papers if id not in {c.id for c in cards()}]
        if unknown:
            raise InvalidInput(
                f"the method {self.name} names the paper {unknown[0]!r}, which is none"
            )

    def tagged(self, name: str, path: str) -> bool:
        """Whether a tag of this axis is `path` or lies below it."""
        return any(covers(path, own) for own in self.tags.get(name, ()))

    def as_json(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "name": self.name,
            "tags": {name: list(paths) for name, paths in self.tags.items()},
            "papers": list(self.papers),
            "needs": list(self.needs),
            "knob": self.knob,
            "cost": list(self.cost),
            "degenerates_to": self.degenerates_to,
        }


@functools.cache
def methods() -> tuple[Method, ...]:
    """All method cards, by name."""
    found = packaged_table("methods.toml")
    return tuple(_method(name, found[name]) for name in sorted(found))


def method(name: str) -> Method:
    """The card of a strategy or scorer.

    Raises:
        InvalidInput: for an unknown one.
    """
    for found in methods():
        if found.name == name:
            return found
    known = ", ".join(m.name for m in methods())
    raise InvalidInput(f"the method {name!r} was asked for; there are {known}")


def methods_tagged(**asked: str | None) -> tuple[Method, ...]:
    """The methods that carry all these tags, by axis; a tag stands for everything below it.

    Raises:
        InvalidInput: for a tag that is no path of its axis.

    >>> [m.name for m in methods_tagged(how="search/beam")]
    ['beam_search']
    """
    wanted = {name: axis(name).resolve(tag) for name, tag in asked.items() if tag is not None}
    return tuple(m for m in methods() if all(m.tagged(name, p) for name, p in wanted.items()))


def _method(name: str, raw: Mapping[str, Any]) -> Method:
    lists: dict[str, tuple[str, ...]] = {
        key: tuple(cast(list[str], value)) for key, value in raw.items() if isinstance(value, list)
    }
    tags = {axis_name: tuple(paths) for axis_name, paths in raw["tags"].items()}
    return Method(name, **cast(Any, {**raw, **lists, "tags": tags}))
