"""A comparison as a Markdown page."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .comparing import Comparison, Ratio
from .metrics.costs import COST_UNITS
from .metrics.values import Accuracy


def markdown(found: Comparison) -> str:
    """The comparison as a Markdown page."""
    lines = [f"# {_cell(found.first)} against {_cell(found.second)}", ""]
    head = ("task", "first", "second", "n", "accuracy", "accuracy", "difference", "won", "lost")
    lines += [_row((*head, "p", "p (Holm)")), _row(["---"] * 3 + ["---:"] * 8)]
    for p in found.pairs:
        d = p.difference
        counts = (str(d.n), _percent(p.accuracy_first), _percent(p.accuracy_second))
        lines.append(
            _row(
                (
                    *(_cell(p.task), _cell(p.first), _cell(p.second), *counts),
                    f"{100 * d.estimate:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]",
                    *(str(d.wins), str(d.losses), f"{d.p:.3g}", f"{p.adjusted:.3g}"),
                )
            )
        )
    lines += ["", *_cost_table(found), "", *_notes(found)]
    return "\n".join(lines) + "\n"


def _cost_table(found: Comparison) -> list[str]:
    units = [u for u in COST_UNITS if any(p.costs[u] is not None for p in found.pairs)]
    if not units:
        return ["No cost is known on both sides."]
    lines = [
        "Cost of a question, second over first:",
        "",
        _row(("task", "first", "second", *units)),
        _row(["---"] * 3 + ["---:"] * len(units)),
    ]
    for p in found.pairs:
        held = [_ratio(p.costs[unit]) for unit in units]
        lines.append(_row((_cell(p.task), _cell(p.first), _cell(p.second), *held)))
    return lines


def _notes(found: Comparison) -> list[str]:
    tests = sorted({p.difference.test for p in found.pairs})
    named = {"mcnemar": "McNemar's exact test", "permutation": "a paired permutation test"}
    lines = [
        "Accuracies and differences in percent, on the questions that both sides have, with 95 % intervals; the "
        "question is the unit, and an abstention is wrong. "
        f"p is of {' and '.join(named[t] for t in tests)}. {found.note}",
    ]
    for p in found.pairs:
        lacking = [
            f"{len(ids)} questions are only in the {side} ({_cell(', '.join(ids[:3]))}{', …' if len(ids) > 3 else ''})"
            for side, ids in (("first", p.only_first), ("second", p.only_second))
            if ids
        ]
        if lacking:
            lines += [
                "",
                f"{_cell(p.task)}, {_cell(p.first)}: {' and '.join(lacking)}; they take no part.",
            ]
        if any(p.abstained) or any(p.truncated):
            lines += [
                "",
                f"{_cell(p.task)}, {_cell(p.first)}: abstained {p.abstained[0]} against {p.abstained[1]}, "
                f"cut {p.truncated[0]} against {p.truncated[1]}.",
            ]
    for side, cells in (("first", found.unmatched_first), ("second", found.unmatched_second)):
        if cells:
            lines += ["", f"Only in the {side}: {_cell('; '.join(cells))}."]
    return lines


def _percent(value: Accuracy) -> str:
    return f"{100 * value.estimate:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "unknown"
    high = f"{ratio.high:.2f}" if math.isfinite(ratio.high) else "∞"
    mark = " (est.)" if ratio.estimated else ""
    return f"{ratio.estimate:.2f} [{ratio.low:.2f}, {high}]{mark}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """A text in a table: on one line, and no column or tag of its own."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    for mark, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("[", "&#91;"), ("|", "\\|")):
        plain = plain.replace(mark, safe)
    return plain
