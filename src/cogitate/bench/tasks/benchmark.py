"""A benchmark: questions, how answers to them are judged, and where all of it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from cogitate.core.candidates import Artifact
from cogitate.core.errors import InvalidInput

from .item import Grader, Item, Verdict


@dataclass(frozen=True)
class Benchmark:
    """A task of the bench. Questions are read as they are asked for, so that memory does not grow with them."""

    name: str
    """The spec that finds it again, such as `gsm8k` or `world:hard(problems=200)`."""
    kind: str
    """Kind of its answers, one of `KINDS` of a task."""
    rows: int
    """Questions in all."""
    items: Callable[[], Iterator[Item]] = field(repr=False)
    """Begins to read them, from the first."""
    grader: Grader
    licence: str = ""
    source: str = ""
    """Where the data come from, with the version."""
    checksum: str = ""
    """SHA-256 of the data, unpacked; of what is generated, of its first 100 questions."""
    metric: str = "accuracy"
    """What the share of right answers is called here."""
    preset: str = ""
    """The preset of processes that fits; empty for the package's own prompt of the kind."""
    prompt: str = ""
    """How the data's question is asked, with `$field` for fields of a row; empty where it is asked as it stands."""
    title: str = ""
    citation: str = ""
    """BibTeX."""
    note: str = ""
    """What one must know before reading a number, such as that only a part of the data is here."""

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise InvalidInput(f"the task {self.name} holds no question; give it some")

    def questions(self, limit: int | None = None) -> Iterator[Item]:
        """The questions in order, or the first so many.

        Raises:
            InvalidInput: for a limit below 1, and where a row of the data is not as it should be.
        """
        if limit is not None and limit < 1:
            raise InvalidInput(
                f"{limit} questions of {self.name} were asked for; ask for at least 1"
            )
        return islice(self.items(), limit)

    async def grade(self, item: Item, artifacts: Sequence[Artifact]) -> tuple[Verdict, ...]:
        """One verdict an artifact, in order; awaits only requests.

        Raises:
            Failed: where the grader could not be served.
            OutOfBudget: where the grant does not cover it.
        """
        return await self.grader(item, artifacts)

    def check(self) -> int:
        """Read every question, so that a bad row is found before anything is spent; how many there are.

        Raises:
            InvalidInput: for the first row that is not as it should be, or another number of rows.
        """
        count = sum(1 for _ in self.items())
        if count != self.rows:
            raise InvalidInput(
                f"the task {self.name} was to have {self.rows} questions; the data hold {count}"
            )
        return count

    def card(self) -> dict[str, Any]:
        """What a run card keeps of it, as JSON values."""
        return {
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            "rows": self.rows,
            "grader": self.grader.name,
            "metric": self.metric,
            "preset": self.preset,
            "prompt": self.prompt,
            "licence": self.licence,
            "source": self.source,
            "checksum": self.checksum,
            "citation": self.citation,
            "note": self.note,
        }

    def describe(self) -> str:
        """The same for people, a line each."""
        shown = [
            ("task", self.name if not self.title else f"{self.name}: {self.title}"),
            ("answers", f"{self.kind}, judged by {self.grader.name}; {self.metric}"),
            ("questions", f"{self.rows:,}"),
            ("preset", self.preset),
            ("licence", self.licence or "not stated"),
            ("source", self.source),
            ("sha256", self.checksum),
            ("note", self.note),
        ]
        return "\n".join(f"{label:<10} {said}" for label, said in shown if said)
