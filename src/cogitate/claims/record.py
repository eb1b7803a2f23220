"""How the claims came out last: the record that makes a failing claim a regression or a known negative."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from cogitate.core.errors import InvalidInput

from .claim import OUTCOMES, Claim, Outcome

Status = Literal["works", "partly", "planned"]


@dataclass(frozen=True)
class Recorded:
    """What is on record about one claim."""

    name: str
    side: str
    kind: str
    outcome: Outcome
    observed: str = ""
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """For `cogitate papers --json`."""
        return {
            "name": self.name,
            "side": self.side,
            "kind": self.kind,
            "outcome": self.outcome,
            "observed": self.observed,
            "reason": self.reason,
        }


@functools.cache
def whole_record() -> Mapping[str, tuple[Recorded, ...]]:
    """Paper ids to the claims on record."""
    text = resources.files("cogitate.claims").joinpath("record.json").read_text("utf-8")
    return {id: tuple(_one(id, raw) for raw in rows) for id, rows in json.loads(text).items()}


def _one(id: str, raw: Mapping[str, Any]) -> Recorded:
    if raw.get("outcome") not in OUTCOMES:
        raise InvalidInput(f"record.json: paper {id} has the outcome {raw.get('outcome')!r}")
    return Recorded(**cast(Any, raw))


def recorded(id: str) -> dict[str, Recorded]:
    """The claims on record of a paper, by name."""
    return {one.name: one for one in whole_record().get(id, ())}


def status_of(id: str) -> Status:
    """`works`: every claim holds; `partly`: some do; `planned`: nothing is built yet."""
    found = whole_record().get(id, ())
    if not found or all(one.outcome == "planned" for one in found):
        return "planned"
    return "works" if all(one.outcome == "holds" for one in found) else "partly"


def write(path: Path, fresh: Mapping[str, Sequence[Claim]]) -> None:
    """Put fresh outcomes on record, and keep those of other papers.

    A negative keeps the reading that was written for it; one without a reading is put on record without, and
    the suite asks for it.

    Raises:
        InvalidInput: where something regressed: mend it, or write it down as a negative by hand.
    """
    known = json.loads(path.read_text("utf-8"))
    for id, claims in fresh.items():
        broken = [claim.name for claim in claims if claim.outcome == "regressed"]
        if broken:
            raise InvalidInput(
                f"paper {id}: {broken[0]!r} regressed, so nothing was put on record; mend it, or set "
                f"its outcome in {path.name} to does_not_hold with a reason"
            )
        known[id] = [
            Recorded(c.name, c.side, c.kind, c.outcome, c.observed, c.reason).as_json()
            for c in claims
        ]
    ordered = {id: known[id] for id in sorted(known)}
    path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", "utf-8")
