"""Writes the report of a run: one HTML file, one Markdown file, and the timing apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from cogitate.bench.metrics.cells import Table as Metrics
from cogitate.bench.metrics.cells import table
from cogitate.bench.metrics.costs import NOTHING_KNOWN, shapes_of
from cogitate.bench.metrics.how_well import how_well
from cogitate.bench.results import Found, Timing
from cogitate.bench.selection import SelectionTable, selection_table
from cogitate.core.errors import InvalidInput

from .blocks import Block, Facts, Findings, Heading, Markup, Words, as_html, as_markdown, contents
from .cards import provenance
from .chart import COLOURS
from .comparisons import Compared, compared
from .elements import Entry, Row, Table
from .headline import findings, lead, title_of
from .journals import Journals, Texts, no_journals, task_texts
from .marking import clipped
from .measures import equal_cost_blocks, measure_blocks
from .naming import several, short_names
from .page import page
from .pages import Pages, pages_of
from .pools import pool_blocks
from .sampling import ALL, NONE, QUESTIONS, RULE, SPLIT
from .sections import Naming, task_blocks

HTML, MARKDOWN, TIMING = "report.html", "report.md", "report-timing.md"
_EXCERPT: Final = 110
_MOST_QUESTIONS: Final = 2000


def write(
    found: Found,
    folder: str | Path,
    *,
    journals: Journals = no_journals,
    texts: Texts | None = None,
    baseline: str = "",
    larger: str = "",
    questions: int = QUESTIONS,
) -> tuple[Path, Path]:
    """Write `report.html` and `report.md`; what depends on the machine goes into `report-timing.md`.

    The first two are equal, byte for byte, for equal runs.

    Args:
        found: the run.
        folder: where the files go; it is made.
        journals: where trees and texts of questions come from; without them their pages have none.
        texts: where the questions come from; by default the tasks, as far as their data are at hand.
        baseline: the line that others are compared with, or part of it; by default a majority vote.
        larger: label of a model beside which the others stand at equal cost.
        questions: how many questions get a page of their own.

    Returns:
        The paths of the HTML and of the Markdown file.

    Raises:
        InvalidInput: for a number of questions that a page cannot hold, an unknown baseline or an unknown larger model.
    """
    if not 0 <= questions <= _MOST_QUESTIONS:
        raise InvalidInput(
            f"pages for {questions} questions were asked for; a report holds from 0 to {_MOST_QUESTIONS}"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    begun = tuple(cell for cell in found.cells if cell.outcomes)
    waiting = len(found.cells) - len(begun)
    found = replace(found, cells=begun)
    metrics = table(found)
    shapes = shapes_of(found.card)
    selections = [
        selection_table(pool, shape=shapes.get(pool.model, NOTHING_KNOWN))
        for pool in found.pools
        if pool.questions
    ]
    _check(baseline, metrics)
    differences = {task: compared(metrics.of(task), baseline) for task in metrics.tasks}
    naming = Naming(short_names(r.line or r.strategy for r in metrics.rows))
    pages = pages_of(found, naming.names, journals, texts or task_texts(), most=questions)
    title = title_of(found.card)
    body = list(_body(found, metrics, selections, differences, naming, larger))
    if waiting:
        body.insert(
            1, Words(f"{several(waiting, 'cell')} of the grid waited when this was written.")
        )
    html, markdown = folder / HTML, folder / MARKDOWN
    _put(html, page(title, _html(title, body, pages), pages.parts()))
    _put(markdown, (f"{line}\n" for line in _markdown(title, body, pages)))
    if found.timing is not None:
        timing = as_markdown(_timing(found.timing, metrics))
        _put(folder / TIMING, (f"{line}\n" for line in timing))
    return html, markdown


def _check(baseline: str, metrics: Metrics) -> None:
    """Refuse a baseline that no task has; a task that lacks it has its own."""
    lines = list(dict.fromkeys(r.line or r.strategy for r in metrics.rows))
    if baseline and not any(baseline in line for line in lines):
        raise InvalidInput(
            f"the baseline {baseline!r} was asked for; the run has {', '.join(lines) or 'nothing'}"
        )


def _body(
    found: Found,
    metrics: Metrics,
    selections: list[SelectionTable],
    differences: dict[str, list[Compared]],
    naming: Naming,
    larger: str,
) -> Iterator[Block]:
    measured = how_well(found, metrics)
    yield Words(lead(metrics, selections), "lead")
    yield Findings(tuple(findings(metrics, differences, selections, naming)))
    for place, task in enumerate(metrics.tasks):
        if len(naming.names) > COLOURS:  # more than there are colours: each task has its own
            naming = Naming(naming.names)
        yield from task_blocks(task, place, metrics, differences[task], naming)
        if larger:
            yield from equal_cost_blocks(task, metrics, larger, naming)
        yield from measure_blocks(task, measured, naming)
    for place, selection in enumerate(selections):
        yield from pool_blocks(place, selection)
    yield from provenance(found.card)


def _html(title: str, body: list[Block], pages: Pages) -> Iterator[str]:
    asked = list(_questions(pages))
    yield '<a class="skip" href="#main">Skip to the report</a>'
    yield '<header class="overview" id="top">'
    first = next((i for i, b in enumerate(body) if isinstance(b, Heading)), len(body))
    yield from as_html([Heading(1, title), *body[:first]])
    yield contents([*body, *asked])
    yield '</header><main id="main"><div class="overview">'
    yield from as_html(body[first:])
    yield from as_html(asked)
    yield '</div><article id="question"></article></main>'
    yield '<footer class="overview">'
    yield from as_html(
        [
            Words(
                "Seconds and host are no part of this report, so that equal runs have equal reports: they stand in "
                f"{TIMING} beside it."
            )
        ]
    )
    yield "</footer>"


def _questions(pages: Pages) -> Iterator[Block]:
    """The list of questions that have a page."""
    if not pages.chosen:
        return
    yield Heading(2, "Questions", "questions")
    yield Words(" ".join(_said(pages)), "note")
    yield Markup(
        '<div class="controls" id="sift" hidden><div><label for="find">Find</label>'
        '<input type="search" id="find"></div><div><label for="only">Show</label><select id="only">'
        f'<option value="">all</option><option>{SPLIT}</option><option>{NONE}</option>'
        f'<option>{ALL}</option></select></div><span id="shown" role="status"></span></div>'
    )
    several_tasks = len({c.task for c in pages.chosen}) > 1
    rows: list[Row] = []
    task = ""
    for chosen, question in zip(pages.chosen, pages.questions, strict=True):
        text, gold = pages.said(question["text"]), pages.said(question["gold"])
        if several_tasks and chosen.task != task:
            task = chosen.task
            rows.append(Row((task,)))
        link = f"#/question/{_quoted(question['task'])}/{_quoted(question['id'])}"
        entries = (
            Entry(chosen.id, link=link),
            f"{chosen.right} of {chosen.cells}",
            clipped(" ".join(gold.split()), 40),
            clipped(" ".join(text.split()), _EXCERPT),
        )
        rows.append(Row(entries, why=chosen.why))
    yield Table(
        "Questions with a page of their own",
        ("question", "cells right", "reference", "begins and ends"),
        tuple(rows),
        frozenset({1}),
        frozenset({2, 3}),
        id="question-list",
    )


def _said(pages: Pages) -> Iterator[str]:
    left = pages.total - len(pages.chosen)
    yield f"{several(len(pages.chosen), 'question')} of {pages.total:,} have a page here."
    if left:
        yield f"{RULE} The other {left:,} are in the run folder."
    if pages.with_trees:
        yield (
            f"{several(pages.with_trees, 'page')} show trees and texts: those of the first in this order, of every "
            "line with its largest N and first seed."
        )
    if pages.left_out:
        yield f"{several(pages.left_out, 'tree')} had no room; `cogitate view` shows them from the journal."


def _quoted(text: str) -> str:
    """As `encodeURIComponent` writes it."""
    from urllib.parse import quote

    return quote(text, safe="-_.!~*'()")


def _markdown(title: str, body: list[Block], pages: Pages) -> Iterator[str]:
    yield from as_markdown([Heading(1, title), *body])
    if pages.chosen:
        yield from as_markdown(
            [
                Heading(2, "Questions"),
                Words(
                    f"The pages of {several(len(pages.chosen), 'question')} are in {HTML}; seconds and host in {TIMING}."
                ),
            ]
        )


def _timing(timing: Timing, metrics: Metrics) -> Iterator[Block]:
    yield Heading(1, "Timing and host")
    yield Words(
        "Of this machine and this run alone; two runs of one grid differ here and nowhere else."
    )
    yield Facts(tuple((str(name), str(value)) for name, value in sorted(timing.host.items())))
    rows = [
        Row(
            (
                row.task,
                row.model,
                row.strategy,
                "" if row.seconds is None else f"{row.seconds:.1f}",
                "" if row.throughput is None else f"{row.throughput:.1f}",
            )
        )
        for row in metrics.rows
    ]
    yield Table(
        "Wall-clock of all sittings; cells run side by side, so that their sum is more than the clock's",
        ("task", "model", "strategy", "seconds", "answers a second"),
        tuple(rows),
        frozenset({3, 4}),
    )


def _put(path: Path, parts: Iterable[str]) -> None:
    """Write a file whole or not at all, with the same line ends everywhere."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(parts)
    part.replace(path)
