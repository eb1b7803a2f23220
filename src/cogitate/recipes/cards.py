"""One card for each of the 38 papers: what it is and how it is tagged."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cogitate.core.errors import InvalidInput

from .taxonomy import axis, covers, packaged_table


@dataclass(frozen=True)
class Card:
    """One paper.

    >>> card("35").recipe
    'ets'
    """

    id: str
    """`"01"` to `"38"`."""
    slug: str
    title: str
    arxiv: str
    recipe: str
    """Name of its factory; empty for a survey or a fitted law."""
    tags: Mapping[str, tuple[str, ...]]
    """Axis to full paths of the taxonomy."""
    rooms: tuple[str, ...]
    """The rooms of the package in which its mechanism lives."""
    items: int
    """How many points its small-scale reproduction has."""

    def __post_init__(self) -> None:
        for name, paths in self.tags.items():
            for path in paths:
                axis(name).check(path)

    @property
    def year(self) -> int:
        """The year of the first version, which arXiv ids begin with."""
        return 2000 + int(self.arxiv[:2])

    @property
    def bibtex(self) -> str:
        """A BibTeX entry from what the card knows; it names no authors."""
        return (
            f"@misc{{arxiv{self.arxiv.replace('.', '_')},\n"
            f"  title = {{{{{_latex(self.title)}}}}},\n"
            f"  year = {{{self.year}}},\n"
            f"  eprint = {{{self.arxiv}}},\n"
            "  archiveprefix = {arXiv},\n"
            f"  url = {{https://arxiv.org/abs/{self.arxiv}}}\n"
            "}"
        )

    def tagged(self, name: str, path: str) -> bool:
        """Whether a tag of this axis is `path` or lies below it."""
        return any(covers(path, own) for own in self.tags.get(name, ()))

    def as_json(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "id": self.id,
            "slug": self.slug,
            "title": self.title,
            "arxiv": self.arxiv,
            "recipe": self.recipe,
            "tags": {name: list(paths) for name, paths in self.tags.items()},
        }


@functools.cache
def cards() -> tuple[Card, ...]:
    """All cards, by id.

    >>> len(cards())
    38
    """
    found = tuple(_card(raw) for raw in packaged_table("cards.toml")["paper"])
    wanted = tuple(f"{i:02d}" for i in range(1, len(found) + 1))
    if tuple(c.id for c in found) != wanted or len({c.slug for c in found}) != len(found):
        raise InvalidInput("cards.toml: ids must count up from 01 and slugs must differ")
    return found


def card(id_or_slug: str) -> Card:
    """The card of a paper, by id (`"5"` and `"05"` alike), slug, recipe or arXiv id.

    Raises:
        InvalidInput: for an unknown paper; names the nearest one.
    """
    wanted = id_or_slug.strip().lower()
    if wanted.isdecimal() and len(wanted) < 2:
        wanted = wanted.zfill(2)
    for found in cards():
        if wanted and wanted in (found.id, found.slug, found.recipe, found.arxiv):
            return found
    names = [n for c in cards() for n in (c.slug, c.recipe) if n]
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else "; `cogitate papers` lists them"
    raise InvalidInput(
        f"the paper {id_or_slug!r} was asked for; ids are 01 to {cards()[-1].id}{hint}"
    )


def query(
    *,
    what: str | None = None,
    how: str | None = None,
    where: str | None = None,
    how_well: str | None = None,
    allocation: str | None = None,
    acceleration: str | None = None,
) -> tuple[Card, ...]:
    """The papers that carry all these tags; a tag stands for everything below it.

    Raises:
        InvalidInput: for a tag that is no path of its axis.

    >>> [c.id for c in query(what="hybrid", how="verification/process")]
    ['03', '12', '23', '25', '35']
    """
    asked = {
        "what": what,
        "how": how,
        "where": where,
        "how_well": how_well,
        "allocation": allocation,
        "acceleration": acceleration,
    }
    wanted = {name: axis(name).resolve(tag) for name, tag in asked.items() if tag is not None}
    return tuple(c for c in cards() if all(c.tagged(name, path) for name, path in wanted.items()))


def _latex(text: str) -> str:
    return re.sub(r"([&%$#_])", r"\\\1", text)


def _card(raw: Mapping[str, Any]) -> Card:
    tags = {name: tuple(paths) for name, paths in raw["tags"].items()} if "tags" in raw else {}
    rest = {k: v for k, v in raw.items() if k not in ("tags", "rooms")}
    return Card(**rest, tags=tags, rooms=tuple(raw["rooms"]))
