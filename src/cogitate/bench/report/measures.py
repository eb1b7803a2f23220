"""What else a report says of a task: slopes, obedience to a budget, and a larger model at equal cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from cogitate.bench.metrics.cells import Row
from cogitate.bench.metrics.cells import Table as Metrics
from cogitate.bench.metrics.curves import EqualCost, at_equal_cost, place
from cogitate.bench.metrics.how_well import Finding
from cogitate.core.errors import InvalidInput

from . import elements
from .blocks import Block, Heading, Words
from .elements import Entry, Table
from .figures import UNITS, in_unit, interval, percent
from .sections import Naming

_SHOWN: Final = ("slope", "control", "length deviation")
"""Of the survey's measures those that stand nowhere else in the report; throughput is of the machine."""
_COSTS: Final = ("flops", "usd", "tokens")
"""By which costs are equal: the first that is known of all rows. Tokens of models of unlike size cost unlike much."""


def measure_blocks(task: str, findings: Sequence[Finding], naming: Naming) -> Iterator[Block]:
    """Slopes of the lines, and how well a number of tokens was kept to.

    Args:
        task: whose findings are told.
        findings: of the whole run.
        naming: what lines are called.
    """
    held = [f for f in findings if f.task == task and f.metric in _SHOWN]
    if not held:
        return
    yield Heading(3, "How it scales, and how it obeys")
    models = len({f.model for f in held}) > 1
    rows = tuple(
        elements.Row(
            (
                naming.names.get(f.subject, f.subject) + (f" · {f.model}" if models else ""),
                f.metric,
                Entry(_value(f), interval(f.value)),
                f"{f.value.n:,}",
                f.note,
            )
        )
        for f in held
    )
    yield Table(
        "Slope: percentage points a doubling brings, the mean over all pairs of points. Control: how often no more was "
        "generated than was asked for, in %. Length deviation: generated tokens beyond those asked for, in % of them.",
        ("strategy", "measure", "value [interval]", "questions", "of what"),
        rows,
        frozenset({2, 3}),
    )


def _value(finding: Finding) -> str:
    value = finding.value.estimate
    return ("+" if finding.metric == "slope" and value > 0 else "") + percent(value)


def equal_cost_blocks(task: str, table: Metrics, larger: str, naming: Naming) -> Iterator[Block]:
    """Every row of the other models beside the larger one at the same cost.

    Raises:
        InvalidInput: where the run has no such model.
    """
    rows = table.of(task)
    others = [r for r in rows if r.model != larger]
    if len(others) == len(rows):
        known = list(dict.fromkeys(r.model for r in table.rows))
        if larger not in known:
            raise InvalidInput(
                f"the larger model {larger!r} was asked for; the run has {', '.join(known) or 'none'}"
            )
        return
    unit = next((u for u in _COSTS if all(place(r, u) for r in rows)), None)
    if unit is None or not others:
        return
    yield Heading(3, f"Beside {larger} at equal cost")
    if unit == "tokens":
        yield Words(
            "FLOPs and money are not known of every row, so costs are equal in tokens: of a larger model each token costs "
            "more, which flatters it here.",
            "note",
        )
    yield Table(
        f"{larger} is read off its own frontier at the same {UNITS[unit][0]} a question, between two of its strategies and "
        "mixed of them question by question; outside of it nothing is said",
        ("strategy", "N", UNITS[unit][0], "accuracy, %", f"{larger}, %", "difference", "between"),
        tuple(_beside(r, at_equal_cost(rows, r, larger, unit), naming) for r in others),
        frozenset({1, 2, 3, 4, 5}),
        frozenset({6}),
    )


def _beside(row: Row, found: EqualCost, naming: Naming) -> elements.Row:
    d, base = found.difference, found.baseline
    real = d is not None and not d.low <= 0.0 <= d.high
    tone = ("good" if d is not None and d.estimate > 0 else "bad") if real else ""
    sign = "+" if d is not None and d.estimate > 0 else ""
    return elements.Row(
        (
            f"{naming.of(row)} · {row.model}",
            "" if row.n is None else str(row.n),
            in_unit(found.cost, found.unit),
            Entry(percent(row.accuracy.estimate), interval(row.accuracy)),
            Entry("–") if base is None else Entry(percent(base.estimate), interval(base)),
            Entry("–") if d is None else Entry(f"{sign}{percent(d.estimate)}", interval(d), tone),
            found.note or " and ".join(dict.fromkeys((found.left, found.right))),
        )
    )
