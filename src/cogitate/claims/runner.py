"""Runs the claims of a paper and says how each came out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .claim import Check, Claim, Observed, Outcome, Setting, Side
from .record import Recorded, recorded
from .registry import ClaimFile

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Reproduction:
    """The claims of one paper, run."""

    id: str
    claims: tuple[Claim, ...]
    seconds: float
    quick: bool

    @property
    def regressed(self) -> bool:
        """Whether something that held is broken."""
        return any(claim.outcome == "regressed" for claim in self.claims)

    def as_json(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "id": self.id,
            "claims": [claim.as_json() for claim in self.claims],
            "seconds": round(self.seconds, 3),
            "quick": self.quick,
        }


def reproduce(
    found: ClaimFile,
    *,
    quick: bool = False,
    side: Side | None = None,
    only: Sequence[str] = (),
    tell: Tell = lambda _: None,
) -> Reproduction:
    """Run the claims of a paper.

    Args:
        found: the paper's claims.
        quick: the size for continuous integration.
        side: only this side.
        only: only claims whose name holds one of these texts; empty: all.
        tell: called with the name of the claim that begins.
    """
    began = time.monotonic()
    known = recorded(found.id)
    checks = [
        check
        for check in found.checks
        if side in (None, check.side) and (not only or any(text in check.name for text in only))
    ]
    claims = tuple(_run_all(checks, known, quick, tell))
    return Reproduction(found.id, claims, time.monotonic() - began, quick)


def _run_all(
    checks: list[Check], known: Mapping[str, Recorded], quick: bool, tell: Tell
) -> Iterator[Claim]:
    for check in checks:
        tell(check.name)
        yield run_check(check, known.get(check.name), quick=quick)


def run_check(check: Check, before: Recorded | None = None, *, quick: bool = False) -> Claim:
    """Run one check and judge it by what was recorded of it.

    A claim that fails has `regressed` where it is exact or held before, or where its check breaks down;
    else it `does_not_hold`, with the recorded reading.
    """
    if check.run is None:
        return _claim(check, Observed(False, ""), "planned", check.reason)
    setting = Setting(quick, check.preset)
    try:
        seen = check.run(setting)
        vacuous = _vacuous(check, setting) if seen.holds else ""
        region = () if quick else _region(check, setting)
    except Exception as error:
        said = f"the check broke down with {type(error).__name__}: {error}"
        return _claim(check, Observed(False, ""), "regressed", said)
    if seen.holds and not vacuous:
        return _claim(check, seen, "holds", "", region)
    accepted = before is not None and before.outcome == "does_not_hold"
    held = before is not None and before.outcome == "holds"
    failed: Outcome = (
        "regressed" if held or (check.kind == "exact" and not accepted) else "does_not_hold"
    )
    reading = before.reason if before is not None and accepted else ""
    return _claim(check, seen, failed, vacuous or reading, region)


def _vacuous(check: Check, setting: Setting) -> str:
    """Why holding means nothing: it holds in the null preset too."""
    if check.run is None or not check.null:
        return ""
    null = check.run(replace(setting, preset=check.null))
    return f"it holds in the null preset {check.null!r} too: {null.text}" if null.holds else ""


def _region(check: Check, setting: Setting) -> tuple[tuple[str, bool], ...]:
    assert check.run is not None
    return tuple(
        (
            ", ".join(f"{name}={value}" for name, value in changes.items()),
            check.run(replace(setting, changes=changes)).holds,
        )
        for changes in check.region
    )


def _claim(
    check: Check,
    seen: Observed,
    outcome: Outcome,
    reason: str,
    region: tuple[tuple[str, bool], ...] = (),
) -> Claim:
    return Claim(
        check.name,
        check.side,
        check.kind,
        check.items,
        check.expected,
        seen.text,
        outcome,
        reason,
        seen.interval,
        seen.n,
        seen.seeds,
        check.preset,
        check.null,
        check.rejects,
        region,
    )
