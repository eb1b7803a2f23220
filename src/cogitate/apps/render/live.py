"""The live view of a run: its growing trees, what they cost so far and what went wrong."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.events import Answered, Noted
from cogitate.core.usage import ZERO, Budget, Usage
from cogitate.drive.grove import Grove
from cogitate.drive.notes import LONGEST
from cogitate.drive.thinning import worth_watching

from .clean import one_line
from .spending import Spending
from .tree import Style, key, tree_lines

if TYPE_CHECKING:
    from rich.text import Text

_SPINNER, _ASCII_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
_RATE_S: Final = 5.0
"""Over how many seconds the rate of tokens is taken."""
_LONGEST: Final = 300
_TRACKED: Final = 64
_LEAST_TREE: Final = 3
_CAUSES: Final = {"failed": "failures", "": "what was not told"}


class _Sum:
    """What one role spent. Mutable and plain: it is added to at every reply of a run."""

    __slots__ = ("cached", "calls", "estimated", "flops", "kept", "out", "read", "seconds", "usd")

    def __init__(self) -> None:
        self.calls = self.read = self.cached = self.out = self.kept = 0
        self.seconds = 0.0
        self.flops: float | None = 0.0
        self.usd: float | None = 0.0
        self.estimated = False

    def add(self, used: Usage) -> None:
        self.calls += used.calls
        self.read += used.tokens_in
        self.cached += used.tokens_cached
        self.out += used.tokens_out
        self.seconds += used.seconds
        self.flops = None if self.flops is None or used.flops is None else self.flops + used.flops
        self.usd = None if self.usd is None or used.usd is None else self.usd + used.usd
        self.estimated = self.estimated or used.estimated

    @property
    def usage(self) -> Usage:
        return Usage(
            self.read, self.cached, self.out, 0, self.calls, self.seconds, self.flops, 0.0,
            self.usd, self.estimated,
        )  # fmt: skip


class Canopy:
    """A run as it stands; takes events in as they come and draws itself in bounded room and time.

    Mutable, because it listens. An event costs the same whenever it comes, and a drawing costs what it shows.
    """

    def __init__(self, budget: Budget | None = None, grove: Grove | None = None) -> None:
        """Nothing has been heard yet; a grove of one's own keeps more of the trees, or less."""
        self.grove = Grove(longest=_LONGEST, tracked=_TRACKED) if grove is None else grove
        self.trouble = ""
        """Why nothing seems to happen, until something does."""
        self.tokens = 0
        """Generated ones, of all roles."""
        self.failed = self.refused = self.kept = 0
        """Calls that failed, that the budget refused, that an earlier run had paid for."""
        self._why = ""
        self._budget = budget
        self._roles: dict[str, _Sum] = {}
        self._marks: deque[tuple[float, int]] = deque()
        self._drawn = 0

    def take(self, event: Noted | Answered) -> None:
        """Take in one event."""
        if isinstance(event, Answered):
            self._answered(event)
        self.grove.add(event)

    def _answered(self, event: Answered) -> None:
        outcome = event.outcome
        if isinstance(outcome, OutOfBudget):
            self.refused += 1
            return
        if isinstance(outcome, Failed):
            self.failed += 1
            self._why = outcome.reason[:LONGEST]
        else:
            self.trouble = ""
            self.kept += outcome.cached
        used = outcome.usage
        if used is None or used is ZERO:
            return
        role = event.request.role
        held = self._roles.get(role)
        if held is None:
            held = self._roles[role] = _Sum()
        held.add(used)
        self.tokens += used.tokens_out

    def spending(self, elapsed_s: float) -> Spending:
        """What it cost so far."""
        roles = {role: held.usage for role, held in self._roles.items()}
        return Spending(roles, self._budget, elapsed_s=elapsed_s)

    def mark(self, now_s: float, tokens: int) -> None:
        """Note how many tokens there are by now, from which the rate is taken."""
        self._marks.append((now_s, tokens))
        while len(self._marks) > 2 and self._marks[1][0] <= now_s - _RATE_S:
            self._marks.popleft()

    def rate(self) -> float:
        """Tokens a second over the last seconds."""
        if len(self._marks) < 2:
            return 0.0
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def frame(
        self, width: int, height: int, elapsed_s: float, *, plain: bool = False, ended: bool = False
    ) -> list[Text]:
        """Lines that fit: the tree above, what it cost and what goes wrong below."""
        from rich.text import Text

        self._drawn += 1
        status = self._status(width, elapsed_s, plain, ended)
        spent = self.spending(elapsed_s).lines(width, plain=plain)
        spent = spent[: max(0, height - len(status) - _LEAST_TREE - 2)]
        room = height - len(status) - len(spent) - 2
        lines = self._tree(width, room, plain) if room >= 1 else []
        lines += [Text(s, "dim" if i == 0 else "", no_wrap=True) for i, s in enumerate(spent)]
        lines += [Text(said, style, no_wrap=True) for said, style in status]
        return lines[-height:]

    def _tree(self, width: int, room: int, plain: bool) -> list[Text]:
        from rich.text import Text

        shown = worth_watching(self.grove, room)
        style = Style(plain, width)
        drawn = list(tree_lines(self.grove, shown, style))
        while len(drawn) > room and len(shown) > 1:  # the searches' titles take room, too
            shown = worth_watching(self.grove, max(1, len(shown) - (len(drawn) - room)))
            drawn = list(tree_lines(self.grove, shown, style))
        hidden = self.grove.nodes - len(shown)
        dots = "..." if plain else "…"
        foot = [f"{dots} {hidden:,} more nodes"] if hidden > 0 else []
        foot += [key(shown, plain)] if shown else []
        said = "   ".join(foot) or "nothing has been published yet"
        return [*drawn[:room], Text(said[:width], "dim", no_wrap=True)]

    def _status(
        self, width: int, elapsed_s: float, plain: bool, ended: bool
    ) -> list[tuple[str, str]]:
        spinner = _ASCII_SPINNER if plain else _SPINNER
        head = "" if ended else f"{spinner[self._drawn % len(spinner)]} "
        said = [f"{elapsed_s:.0f} s", f"{self.rate():.0f} tokens/s", f"{self.grove.nodes:,} nodes"]
        counts = {"refused": self.refused, "failed": self.failed, "kept": self.kept}
        said += [f"{count:,} {name}" for name, count in counts.items() if count]
        found = [(head + ", ".join(said), "bold")]
        losses = self.grove.losses.items()
        found += [
            (f"{count:,} lost to {_CAUSES.get(cause, f'the {cause}')}: {why}", "yellow")
            for cause, (count, why) in list(losses)[:2]
        ]
        if self.grove.latest is not None:
            found.append((self.grove.latest.told, "cyan"))
        if self._why and not losses:
            found.append((f"failed: {self._why}", "yellow"))
        if self.trouble:
            found.append((self.trouble, "yellow"))
        return [(one_line(said, width, ascii_only=plain), style) for said, style in found]
