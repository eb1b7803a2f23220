"""What `solve` hands back: the answer, what else was found, and what it cost."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cogitate.core.candidates import Artifact, Candidate, Ranking, Score
from cogitate.core.task import Task
from cogitate.core.usage import ZERO, Usage

from .factory import Assembled

_SHOWN = 12
"""Candidates in the notebook's table."""


@dataclass(frozen=True)
class Result:
    """The outcome of one task."""

    task: Task
    ranking: Ranking[Artifact]
    """Every candidate, best first; empty when the budget bought none."""
    strategy: Assembled | Any
    """What ran, with the scorer that was really used."""
    model: str
    """Spec of the model or models."""
    seed: int
    usage: Usage = ZERO
    """Everything charged against the budget, by all roles."""
    roles: Mapping[str, Usage] = field(default_factory=lambda: MappingProxyType({}))
    """The same by role: `policy`, `judge`, `grader`…"""
    stopped: str = ""
    """Why it ended early: `budget`, `deadline`, `interrupted`, `failed`…; empty when it ran its course."""
    journal: Path | None = None
    reason: str = ""
    """Why this strategy and this scorer were used, where the caller did not choose them."""
    problem: str = ""
    """What went wrong beside the answer, such as a disk too full to finish the journal."""
    paid: Usage | None = None
    """The part of `usage` that did not come from the reply cache; `None`: all of it."""
    notes: tuple[str, ...] = ()
    """What a person may want to know: an endpoint that was left alone, a damaged cache."""
    parsed: Any = None
    """The answer as the caller's pydantic model, where `kind` was one."""

    @property
    def best(self) -> Candidate[Artifact] | None:
        """The first candidate, if there is one."""
        return self.ranking.items[0] if self.ranking.items else None

    @property
    def answer(self) -> str | None:
        """The extracted answer; `None` where none was found."""
        return self.best.state.answer if self.best else None

    @property
    def text(self) -> str:
        """The whole text of the best candidate."""
        return self.best.state.text if self.best else ""

    @property
    def score(self) -> float | None:
        """Score of the best candidate in its scorer's own range; `None` where it is unscored."""
        return _score(self.best) if self.best else None

    @property
    def candidates(self) -> tuple[Candidate[Artifact], ...]:
        """The ranking's items."""
        return self.ranking.items

    @property
    def spent(self) -> Usage:
        """What this run, with those it goes on with, really paid for; the rest came from the reply cache."""
        return self.usage if self.paid is None else self.paid

    @property
    def cost(self) -> float | None:
        """Money spent, in United States dollars; `None` where a price is unknown."""
        return self.spent.usd

    def to_json(self) -> dict[str, Any]:
        """The public record: `{answer, score, candidates, usage, spent, cost, strategy, model, seed, journal, stopped}`.

        `usage` is what was charged against the budget, `spent` what was paid for; they differ where replies
        came from the cache. `notes` is there where there are any.
        """
        record = {
            "answer": self.answer,
            "score": self.score,
            "candidates": [
                {"answer": c.state.answer, "score": _score(c), "text": c.state.text, "id": c.id}
                for c in self.ranking.items
            ],
            "usage": self.usage.as_dict(),
            "spent": self.spent.as_dict(),
            "cost": self.cost,
            "strategy": str(self.strategy),
            "model": self.model,
            "seed": self.seed,
            "journal": str(self.journal) if self.journal is not None else None,
            "stopped": self.stopped,
        }
        return record | ({"notes": list(self.notes)} if self.notes else {})

    def __str__(self) -> str:
        found = self.answer if self.answer is not None else self.text
        return found or f"no answer: {self.stopped or self.ranking.note or 'nothing was found'}"

    def _repr_html_(self) -> str:
        """For notebooks: answer, candidates and cost; everything escaped, since models write it."""
        escape = _escaped
        rows = "".join(
            f"<tr><td>{_shown_score(c)}</td><td>{escape(_brief(c.state.answer, 80))}</td>"
            f"<td>{escape(_brief(c.state.text, 200))}</td></tr>"
            for c in self.ranking.items[:_SHOWN]
        )
        more = len(self.ranking.items) - _SHOWN
        rest = f"<p>… and {more} more</p>" if more > 0 else ""
        spent = "".join(
            _cost_row(escape(role or "flow"), used) for role, used in sorted(self.roles.items())
        )
        paid = _cost_row("of it paid for", self.spent) if self.spent != self.usage else ""
        ended = f"<p>stopped: {escape(self.stopped)}</p>" if self.stopped else ""
        why = f"<p>{escape(self.reason)}</p>" if self.reason else ""
        return (
            f"<div><p><b>{escape(str(self))}</b></p>{ended}{why}"
            "<table><thead><tr><th>score</th><th>answer</th><th>text</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>{rest}"
            "<table><thead><tr><th>role</th><th>calls</th><th>tokens in</th><th>cached</th>"
            f"<th>tokens out</th><th>USD</th></tr></thead><tbody>{spent}{_cost_row('all', self.usage)}"
            f"{paid}</tbody></table><p><code>{escape(str(self.strategy))}</code> on "
            f"<code>{escape(self.model)}</code>, seed {self.seed}</p></div>"
        )


def to_text(result: Result) -> str:
    """The public record as one line of strict JSON."""
    return json.dumps(result.to_json(), ensure_ascii=True, allow_nan=False)


def _escaped(text: str) -> str:
    """As text in a page: no markup, no control or direction characters, nothing that UTF-8 lacks."""
    return html.escape("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text))


def _score(candidate: Candidate[Artifact]) -> float | None:
    held = candidate.score
    return held.value if isinstance(held, Score) and math.isfinite(held.value) else None


def _shown_score(candidate: Candidate[Artifact]) -> str:
    score = _score(candidate)
    return "–" if score is None else f"{score:.4g}"


def _brief(text: str | None, limit: int) -> str:
    if text is None:
        return "–"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _cost_row(role: str, used: Usage) -> str:
    money = "unknown" if used.usd is None else f"{used.usd:.6g}"
    cells = (used.calls, used.tokens_in, used.tokens_cached, used.tokens_out, money)
    return f"<tr><td>{role}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
