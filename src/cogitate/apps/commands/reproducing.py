"""`cogitate reproduce`: runs the claims of a paper."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cogitate.apps.output import add_command, complain, console, print_json

if TYPE_CHECKING:
    from cogitate.claims import Claim, ClaimFile, Reproduction

MARKS: Final = {
    "holds": "holds",
    "does_not_hold": "does NOT hold",
    "regressed": "REGRESSED",
    "planned": "planned",
}


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "reproduce",
        "run the claims of a paper",
        "Run the small-scale claims of a paper on simulated worlds, recorded samples and small models. "
        "A claim holds, does not hold (an honest negative, with our reading), or has regressed: it is "
        "exact, or it held before. The exit status is 0 unless something regressed.",
        "  cogitate reproduce 31\n  cogitate reproduce 01 12 --quick\n  cogitate reproduce all --quick\n"
        "  cogitate reproduce 12 --planted   (break the mechanism in a copy, and see the claims fail)",
    )
    command.add_argument("papers", nargs="+", help="ids, slugs or recipes of papers, or all")
    command.add_argument(
        "--quick", action="store_true", help="smaller sizes: wider intervals, for frequent runs"
    )
    command.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="TEXT",
        help="only claims with this in their name",
    )
    command.add_argument("--side", choices=("inference", "training"), help="only this side")
    command.add_argument(
        "--planted",
        action="store_true",
        help="plant the file's fault in a copy of the package; succeeds where the claims catch it",
    )
    command.add_argument(
        "--record", metavar="PATH", help="write the outcomes into this record (for maintainers)"
    )
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `reproduce`."""
    from cogitate import claims
    from cogitate.core.errors import InvalidInput

    papers = claims.asked(chosen.papers)
    if chosen.claim:
        known = [c.name for p in papers if (f := claims.claim_file(p.id)) for c in f.checks]
        for text in chosen.claim:
            if not any(text in name for name in known):
                raise InvalidInput(f"no claim of these papers has {text!r} in its name")
    files = [found for paper in papers if (found := claims.claim_file(paper.id)) is not None]
    if not files:
        known = ", ".join(claims.names())
        raise InvalidInput(
            f"paper {papers[0].id} has no claims yet; there are claims of {known}"
            if len(papers) == 1
            else f"none of these papers has claims yet; there are claims of {known}"
        )
    if chosen.planted:
        return _plant(files, chosen)
    done: list[Reproduction] = []
    for found in files:
        done.append(_run(found, chosen))
        if not chosen.json:
            _print(found, done[-1])
    if chosen.json:
        said = [one.as_json() for one in done]
        print_json(said[0] if len(papers) == 1 else said)
    if chosen.record:
        if chosen.quick or chosen.side or chosen.claim:
            raise InvalidInput(
                "claims are put on record whole: leave out --quick, --side and --claim"
            )
        claims.write(Path(chosen.record), {one.id: one.claims for one in done})
    missing = [paper.id for paper in papers if paper.id not in claims.names()]
    if missing and not chosen.json and "all" not in chosen.papers:
        complain(f"no claims yet of {', '.join(missing)}")
    return 1 if any(one.regressed for one in done) else 0


def _run(found: ClaimFile, chosen: argparse.Namespace) -> Reproduction:
    from cogitate import claims

    out = console(to_errors=True)
    if chosen.json or not out.is_terminal:
        return claims.reproduce(found, quick=chosen.quick, side=chosen.side, only=chosen.claim)
    begun = 0
    with out.status(f"paper {found.id}") as shown:

        def tell(name: str) -> None:
            nonlocal begun
            begun += 1
            shown.update(f"paper {found.id}: claim {begun}, {name}")

        return claims.reproduce(
            found, quick=chosen.quick, side=chosen.side, only=chosen.claim, tell=tell
        )


def _print(found: ClaimFile, done: Reproduction) -> None:
    from cogitate.apps.render import Grid

    out = console()
    rows = tuple((MARKS[c.outcome], c.kind, c.name, _told(c)) for c in done.claims)
    sizes = "quick sizes, " if done.quick else ""
    title = f"{found.id} {found.card.slug}: {found.card.title}"
    caption = f"{sizes}{done.seconds:.1f} s"
    head = ("outcome", "kind", "claim", "seen")
    out.print(Grid(head, rows, title=title, caption=caption, wrap=frozenset({2, 3})))


def _told(claim: Claim) -> str:
    parts = [claim.observed]
    if claim.outcome != "holds":
        parts.append(f"expected: {claim.expected}")
    parts.append(claim.reason)
    if claim.region:
        held = [where for where, holds in claim.region if holds]
        fell = [where for where, holds in claim.region if not holds]
        parts.append(f"also at {'; '.join(held) or 'none'}; not at {'; '.join(fell) or 'none'}")
    return "; ".join(part for part in parts if part)


def _plant(files: list[ClaimFile], chosen: argparse.Namespace) -> int:
    """Succeed where every fault turns its claims red."""
    from cogitate import claims

    missed: list[str] = []
    said: list[dict[str, Any]] = []
    for found in files:
        with tempfile.TemporaryDirectory(prefix="cogitate-planted-") as folder:
            seen = claims.planted(found, Path(folder))
        red = {c["name"] for c in seen["claims"] if c["outcome"] == "regressed"}
        caught = set(found.fault.breaks) <= red and seen["exit"] != 0
        said.append(
            {"id": found.id, "file": found.fault.file, "caught": caught, "red": sorted(red)}
        )
        if not caught:
            missed.append(found.id)
        if not chosen.json:
            print(
                f"paper {found.id}: a fault in {found.fault.file} turns {len(red)} claims red"
                if caught
                else f"paper {found.id}: a fault in {found.fault.file} goes UNNOTICED"
            )
    if chosen.json:
        print_json(said[0] if len(said) == 1 else said)
    return 1 if missed else 0
