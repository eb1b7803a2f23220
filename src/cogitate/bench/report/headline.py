"""What was compared, and which differences are real: the first thing a report says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cogitate.bench.metrics.cells import Row, Table
from cogitate.bench.selection import SelectionTable

from . import pools
from .comparisons import Compared
from .figures import in_unit, interval, percent
from .naming import bounds, listed, several
from .sections import Naming


def title_of(card: Mapping[str, Any]) -> str:
    """The report's title."""
    name = card.get("name")
    return f"Benchmark {name}" if isinstance(name, str) and name else "Benchmark"


def lead(table: Table, selections: Sequence[SelectionTable]) -> str:
    """What was compared, at which budgets."""
    said: list[str] = []
    if table.rows:
        rows = table.rows
        lines = list(dict.fromkeys(r.line or r.strategy for r in rows))
        sizes = sorted({r.n for r in rows if r.n is not None})
        models = list(dict.fromkeys(r.model for r in rows))
        words = several(len(lines), "strategy", "strategies")
        if len(sizes) > 1:
            words += f" at N = {listed([str(n) for n in sizes], 12)}"
        words += f" on {listed(table.tasks)} with {listed(models)}"
        budgets = [bounds(b) or "without a bound" for b in dict.fromkeys(r.budget for r in rows)]
        words += f", each question {' or '.join(budgets)}"
        total = sum(r.outcomes for r in rows)
        said.append(f"{words}: {several(total, 'answer')} in {several(len(rows), 'row')}.")
    if selections:
        said.append(
            f"{several(len(selections), 'pool')} of samples, from which every way of choosing is judged."
        )
    return " ".join(said) or "Nothing was run yet."


def findings(
    table: Table,
    compared: Mapping[str, Sequence[Compared]],
    selections: Sequence[SelectionTable],
    naming: Naming,
) -> Iterator[tuple[str, str]]:
    """The findings, a sentence each, with the task that it is about."""
    for task in dict.fromkeys((*table.tasks, *(s.task for s in selections))):
        rows = table.of(task)
        models = list(dict.fromkeys(r.model for r in rows))
        for model in models:
            about = f"{task}, {model}" if len(models) > 1 else task
            yield about, _best([r for r in rows if r.model == model], naming)
        yield from ((task, said) for said in _real(compared.get(task, ()), naming))
        yield from pools.headline([s for s in selections if s.task == task])
    left = sum(r.abstained for r in table.rows)
    cut = sum(r.truncated for r in table.rows)
    ended = sum(count for r in table.rows for count in r.stopped.values())
    if left or cut or ended:
        total = sum(r.outcomes for r in table.rows)
        yield (
            "",
            f"Of {several(total, 'answer')}, {left:,} are abstentions, which count as wrong, {cut:,} were cut at a cap, "
            f"and {ended:,} ended early.",
        )


def _best(rows: Sequence[Row], naming: Naming) -> str:
    best = max(rows, key=_worth)
    alike = [r for r in rows if r is not best and r.accuracy.high >= best.accuracy.low]
    said = (
        f"Right most often: {_named(best, naming)}, {percent(best.accuracy.estimate)} % "
        f"{interval(best.accuracy)}{_for(best)}"
    )
    return said + (
        f"; the intervals of {several(len(alike), 'other row')} reach into its own."
        if alike
        else "."
    )


def _worth(row: Row) -> tuple[float, float]:
    """The most accurate, and of equals the cheapest."""
    held = row.costs.get("tokens")
    return row.accuracy.estimate, -held.estimate if held is not None else 0.0


def _for(row: Row) -> str:
    every, made = row.costs.get("tokens"), row.costs.get("tokens_out")
    if every is None or made is None:
        return ""
    return (
        f" for {in_unit(every.estimate, 'tokens')} tokens a question, {in_unit(made.estimate, 'tokens')} of them "
        "generated"
    )


def _named(row: Row, naming: Naming) -> str:
    return naming.of(row) + (f" with N = {row.n}" if row.n is not None else "")


def _real(compared: Sequence[Compared], naming: Naming) -> Iterator[str]:
    if not compared:
        return
    base = listed(list(dict.fromkeys(naming.of(c.baseline) for c in compared)))
    real = [c for c in compared if c.real]
    better = [c for c in real if c.difference.estimate > 0]
    worse = [c for c in real if c.difference.estimate < 0]
    if not real:
        yield (
            f"No difference to {base} at the same N is real; of {several(len(compared), 'comparison')} none "
            "holds once they are adjusted for being several."
        )
        return
    for held, word in ((better, "better"), (worse, "worse")):
        if held:
            yield f"Really {word} than {base} at the same N are {_sizes(held, naming)}."
    rest = len(compared) - len(real)
    if rest:
        yield (
            f"{several(rest, 'more comparison')} with {base} "
            f"{'shows' if rest == 1 else 'show'} no real difference."
        )


def _sizes(held: Sequence[Compared], naming: Naming) -> str:
    """Lines with their N and the largest difference of each."""
    groups: dict[str, list[Compared]] = {}
    for one in held:
        groups.setdefault(naming.of(one.row), []).append(one)
    said: list[str] = []
    for name, ones in groups.items():
        sizes = [str(c.row.n) for c in ones if c.row.n is not None]
        most = max(ones, key=lambda c: abs(c.difference.estimate)).difference
        at = f"N = {listed(sizes, 12)}; " if sizes else ""
        upto = "up to " if len(ones) > 1 else ""
        sign = "+" if most.estimate > 0 else ""
        said.append(f"{name} ({at}{upto}{sign}{percent(most.estimate)} points {interval(most)})")
    return listed(said)
