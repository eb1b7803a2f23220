"""What a run spent, role by role and against its budget, in as many columns as fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cogitate.core.usage import ZERO, Budget, Usage

from .clean import one_line
from .tables import count

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_COLUMNS: Final[tuple[tuple[str, Callable[[Usage], str]], ...]] = (
    ("calls", lambda u: count(u.calls)),
    ("tokens in", lambda u: count(u.tokens_in)),
    ("cached", lambda u: count(u.tokens_cached)),
    ("tokens out", lambda u: count(u.tokens_out)),
    ("seconds", lambda u: f"{u.seconds:.1f}"),
    ("FLOPs", lambda u: "unknown" if u.flops is None else count(u.flops)),
    ("money", lambda u: "unknown" if u.usd is None else f"${u.usd:.4f}"),
)
_ALWAYS: Final = frozenset({"calls", "tokens in", "tokens out"})
_UNITS: Final = {
    "tokens_in": "tokens in",
    "tokens_out": "tokens out",
    "flops": "FLOPs",
    "bytes_moved": "bytes",
    "usd": "money",
}
_NAME = 12
"""Characters of a role's name."""
_MOST_ROLES = 12
_BAR = 20


@dataclass(frozen=True)
class Spending:
    r"""What was spent by role, in total, and of the budget; print it with rich.

    >>> print("\n".join(Spending({"policy": Usage(calls=2, tokens_in=30, tokens_out=12)}).lines(40)))
    role    calls  tokens in  tokens out
    policy      2         30          12
    """

    roles: Mapping[str, Usage]
    budget: Budget | None = None
    paid: Usage | None = None
    """What of it was paid for, where some replies were kept from earlier runs."""
    elapsed_s: float | None = None
    """Seconds on the wall, which a budget of seconds bounds."""

    @property
    def total(self) -> Usage:
        """All roles together."""
        return sum(self.roles.values(), ZERO)

    def lines(self, width: int = 80, *, plain: bool = False) -> list[str]:
        """As text, at most so wide where that can be."""
        rows = self._rows(plain)
        shown = [
            (name, cell)
            for name, cell in _COLUMNS
            if name in _ALWAYS or any(cell(used) != cell(ZERO) for _, used in rows)
        ]
        table = _table(rows, shown)
        if max(map(len, table)) > width:
            table = _stacked(rows, shown, width)
        said = [*table, *self._bounds(width, plain)]
        if self.total.estimated:
            said.append("some of it is estimated")
        return [line[:width] for line in said]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        for i, line in enumerate(self.lines(options.max_width, plain=options.ascii_only)):
            yield Text(line, "dim" if i == 0 else "", no_wrap=True, overflow="crop")

    def _rows(self, plain: bool) -> list[tuple[str, Usage]]:
        used = sorted((role, u) for role, u in self.roles.items() if u != ZERO)
        few = [
            (one_line(role, _NAME, ascii_only=plain) or "-", u) for role, u in used[:_MOST_ROLES]
        ]
        if len(used) > _MOST_ROLES:
            rest = used[_MOST_ROLES:]
            few.append((f"{len(rest)} others", sum((u for _, u in rest), ZERO)))
        if len(used) != 1:
            few.append(("all", self.total))
        if self.paid is not None:
            few.append(("of it paid", self.paid))
        return few

    def _bounds(self, width: int, plain: bool) -> list[str]:
        if self.budget is None:
            return []
        found: list[str] = []
        for unit, bound in self.budget.bounds():
            spent = self.elapsed_s if unit == "seconds" else getattr(self.total, unit)
            name = _UNITS.get(unit, unit)
            if spent is None:
                found.append(f"{name}: unknown of {_amount(unit, bound)}")
                continue
            share = min(1.0, spent / bound) if bound else 1.0
            said = f"{name}: {_amount(unit, spent)} of {_amount(unit, bound)} ({100 * share:.0f}%)"
            if len(said) + _BAR + 1 <= width:
                full = round(share * _BAR)
                bar = (
                    "#" * full + "." * (_BAR - full) if plain else "█" * full + "░" * (_BAR - full)
                )
                said += f" {bar}"
            found.append(said)
        return found


def _amount(unit: str, amount: float) -> str:
    if unit == "usd":
        return f"${amount:.4f}"
    if unit == "seconds":
        return f"{amount:.1f}"
    return f"{amount:,.0f}" if amount < 1e9 else count(amount)


_Shown = list[tuple[str, Callable[[Usage], str]]]


def _table(rows: list[tuple[str, Usage]], shown: _Shown) -> list[str]:
    cells = [["role", *(name for name, _ in shown)]]
    cells += [[role, *(cell(used) for _, cell in shown)] for role, used in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]  # fmt: skip


def _stacked(rows: list[tuple[str, Usage]], shown: _Shown, width: int) -> list[str]:
    """For narrow terminals: a line a role, and more where that is too long."""
    found: list[str] = []
    for role, used in rows:
        line = role
        for name, cell in shown:
            if name != "calls" and cell(used) == cell(ZERO):
                continue
            part = f"{cell(used)} {name}" if name != "money" else cell(used)
            joined = f"{line}, {part}" if line.strip() not in ("", role) else f"{line} {part}"
            if len(joined) > width and line.strip():
                found.append(line)
                joined = f"  {part}"
            line = joined
        found.append(line)
    return found
