"""The parts of a report, each once, for HTML and for Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from .elements import Table, View, charts_html
from .marking import escaped, in_markdown, visible

_TOGETHER: Final = re.compile(r"(?<=\d) (?=%)|(?<=N) (?==)|(?<==) (?=\d)")
"""Spaces at which no line may break."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; those with an id stand in the contents."""

    level: int
    text: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph."""

    text: str
    kind: str = ""
    """`lead` or `note`."""


@dataclass(frozen=True, slots=True)
class Findings:
    """A list of sentences, each with what it is about."""

    sentences: tuple[tuple[str, str], ...]

    def groups(self) -> Iterator[tuple[str, list[str]]]:
        """The sentences by what they are about."""
        for about, held in groupby(self.sentences, key=itemgetter(0)):
            yield about, [said for _, said in held]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they are."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Charts:
    """Charts of which one is shown; in Markdown the numbers of the first."""

    id: str
    legend: str
    views: tuple[View, ...]


@dataclass(frozen=True, slots=True)
class Raw:
    """JSON behind a summary."""

    summary: str
    value: Any


@dataclass(frozen=True, slots=True)
class Markup:
    """HTML of our own, that Markdown has no use for."""

    html: str


Block = Heading | Words | Findings | Facts | Charts | Raw | Markup | Table


def as_html(blocks: Iterable[Block]) -> Iterator[str]:
    """The blocks as HTML."""
    for block in blocks:
        match block:
            case Heading(level, text, id):
                named = f' id="{id}"' if id else ""
                yield f"<h{level}{named}>{escaped(text)}</h{level}>"
            case Words(text, kind):
                named = f' class="{kind}"' if kind else ""
                yield f"<p{named}>{_flowing(text)}</p>"
            case Findings():
                for about, said in block.groups():
                    yield f'<p class="about">{escaped(about)}</p>' if about else ""
                    inner = "".join(f"<li>{_flowing(one)}</li>" for one in said)
                    yield f'<ul class="findings">{inner}</ul>'
            case Facts(pairs):
                inner = "".join(f"<dt>{escaped(n)}</dt><dd>{escaped(v)}</dd>" for n, v in pairs)
                yield f"<dl>{inner}</dl>"
            case Charts(id, legend, views):
                yield from charts_html(id, legend, views)
            case Raw(summary, value):
                yield (
                    f"<details><summary>{escaped(summary)}</summary>"
                    f"<pre>{escaped(_json(value))}</pre></details>"
                )
            case Markup(html):
                yield html
            case Table():
                yield from block.html()


def as_markdown(blocks: Iterable[Block]) -> Iterator[str]:
    """The blocks as Markdown, line by line."""
    for block in blocks:
        match block:
            case Heading(level, text, _):
                yield f"{'#' * level} {in_markdown(text)}"
            case Words(text, _):
                yield in_markdown(text)
            case Findings():
                for about, said in block.groups():
                    if about:
                        yield f"**{in_markdown(about)}**"
                        yield ""
                    yield from (f"- {in_markdown(one)}" for one in said)
                    yield ""
                continue
            case Facts(pairs):
                yield from (f"- {in_markdown(n)}: {in_markdown(v)}" for n, v in pairs)
            case Charts(_, _, views):
                yield from views[0].data.markdown()
                continue
            case Raw(_, value):
                yield "```json"
                yield _json(value).replace("```", "\\u0060\\u0060\\u0060")
                yield "```"
            case Markup():
                continue
            case Table():
                yield from block.markdown()
                continue
        yield ""


def contents(blocks: Sequence[Block]) -> str:
    """Links to the headings that have an id."""
    held = [b for b in blocks if isinstance(b, Heading) and b.id and b.level == 2]
    inner = "".join(f'<li><a href="#{b.id}">{escaped(b.text)}</a></li>' for b in held)
    return f'<nav class="contents" aria-label="Contents"><ul>{inner}</ul></nav>'


def _flowing(text: str) -> str:
    return _TOGETHER.sub("\u00a0", escaped(text))


def _json(value: Any) -> str:
    return visible(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, default=str))
