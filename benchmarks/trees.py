"""What ETS saves over REBASE: key-value cache, time, and what it loses in right answers.

    python benchmarks/trees.py
    python benchmarks/trees.py --widths 16 64 --share 0.2 --rounds 3
    python benchmarks/trees.py --tune                            choose the weights anew, on problems of their own
    python benchmarks/trees.py --write docs/guides/trees-that-share.md

Both search problems of the preset `blind_alleys`, judged step by step by the world's verifier, with the weights that
`bench tune` chose at each width on problems of another seed. Problem by problem one goes first, then the other. The
cache is counted in unique-prefix tokens summed over the depths of a tree (`PrefixTokens`), the question left out. Seconds are
wall-clock of one problem under the batch driver; the world answers at once, so they are the search's own work and the
world's. How long a model would decode is not measured but computed, from the batches and the cache of every depth, by
`Decoder`, which says what it assumes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cogitate.search.balanced as balanced
from cogitate.bench.tasks import find
from cogitate.bench.tuning import settings, tune
from cogitate.core.protocols import Emit, silent
from cogitate.core.requests import Generate, Reply, Request
from cogitate.core.seeds import Seed
from cogitate.drive import PrefixTokens, Router, run
from cogitate.engines.grading import Grader
from cogitate.lab.worlds import Chain, ChainModel, ChainWorld, chains, preset
from cogitate.processes import Reasoning
from cogitate.recipes.ets import ets
from cogitate.recipes.rebase import rebase
from cogitate.rules import Interval, bootstrap, paired_bootstrap, wilson
from cogitate.scorers import ProcessReward
from cogitate.search import Solve

PRESET = "blind_alleys"
NOISES = (0.02, 0.1)
"""Deviations of the coordinates of an embedding."""
PROBLEMS = {16: 160, 64: 48, 256: 12}
"""Problems at each width."""
WEIGHTS = {16: (2.0, 1.5), 64: (2.0, 1.5), 256: (2.0, 1.5)}
"""Cost and coverage at each width, as `--tune` chose them at the noise of 0.02; the other noise uses the same."""
TUNED_ON = {16: 60, 64: 30, 256: 8}
"""Problems of the seed `TUNING` on which the weights were chosen."""
TUNING = 7
LADDER = {"cost": ("1", "2", "4"), "coverage": ("1.5", "3")}
TOLERANCE = 0.02
SAVING, SHARE, AHEAD_FROM = 1.8, 0.05, 64
"""What is aimed at: times less cache; most of the solver in the wall time; the width from which on it is to be ahead."""
BEGIN, END = "<!-- trees: begin -->", "<!-- trees: end -->"


# ---------------------------------------------------------------------------- what a model would take


@dataclass(frozen=True)
class Decoder:
    """A model of a decoding accelerator; assumptions of November 2026, not a measurement.

    Every token that is decoded reads the weights once for the whole batch and the unique-prefix cache once, as if
    attention read shared prefixes once. Scoring, embedding and prefill are left out.
    """

    name: str = "7B with grouped queries, 16 bits, on one 80 GB H100"
    weight_bytes: float = 14.5e9
    cache_bytes: float = 131_072
    """A token: 32 layers, 8 key-value heads of 128, keys and values, 2 bytes."""
    bandwidth: float = 3.35e12
    """Bytes a second, the data sheet's."""
    flops: float = 989e12
    """Dense 16-bit operations a second, the data sheet's; 2 a parameter and token."""
    memory: float = 72e9
    """Of 80 GB what serving may use; beside the weights it holds cache."""
    stretch: int = 4
    """Tokens of a real solution for one of the world's, whose steps have about 13 and solutions about 200."""

    def seconds(self, found: Found, trees: float = 1, *, arithmetic: bool) -> float:
        """Of one search, where so many like it are decoded together."""
        read = self.weight_bytes / self.bandwidth
        total = 0.0
        for (branches, longest), cache in zip(found.batches, found.levels, strict=True):
            counted = 2 * (self.weight_bytes / 2) * branches * trees / self.flops
            base = max(read, counted) if arithmetic else read
            held = trees * cache * self.stretch * self.cache_bytes / self.bandwidth
            total += longest * self.stretch * (base + held)
        return total

    def fit(self, found: Sequence[Found]) -> int:
        """How many such searches the memory holds at once."""
        peak = statistics.fmean(max(one.levels) for one in found) * self.stretch * self.cache_bytes
        return max(1, int((self.memory - self.weight_bytes) / peak))


# --------------------------------------------------------------------------------------- searching


@dataclass
class Found:
    """One search of one problem."""

    right: bool = False
    levels: tuple[int, ...] = ()
    """Unique-prefix tokens at each depth."""
    batches: list[tuple[int, int]] = field(default_factory=list["tuple[int, int]"])
    """Of each depth the branches, and the tokens of the longest step."""
    wall: float = 0.0
    world: float = 0.0
    """Seconds of these in the simulated model."""
    solver: float = 0.0
    """Seconds of these in choosing which leaves to keep."""

    @property
    def cache(self) -> int:
        return sum(self.levels)

    @property
    def own(self) -> float:
        """Seconds of the search, the driver and the solver."""
        return self.wall - self.world


class Watched(ChainModel):
    """The world, noting the batches it is asked for and the time it takes."""

    def __init__(self, world: ChainWorld, found: Found) -> None:
        super().__init__(world)
        self.found = found

    async def serve(self, batch: Sequence[Request[Any]], emit: Emit = silent) -> Any:
        start = time.perf_counter()
        replies = await super().serve(batch, emit)
        self.found.world += time.perf_counter() - start
        wrote = [
            reply.usage.tokens_out
            for request, reply in zip(batch, replies, strict=True)
            if isinstance(request, Generate) and isinstance(reply, Reply)
        ]
        if wrote:
            self.found.batches.append((len(wrote), max(wrote)))
        return replies


@contextmanager
def solver_timed(found: Found) -> Generator[None]:
    """The seconds that the choice of leaves takes."""
    real: Callable[..., Any] = balanced.cover

    def timed(*given: Any, **options: Any) -> Any:
        start = time.perf_counter()
        kept = real(*given, **options)
        found.solver += time.perf_counter() - start
        return kept

    balanced.cover = timed
    try:
        yield
    finally:
        balanced.cover = real


def searched(strategy: Solve[Any], world: ChainWorld, problem: Chain) -> Found:
    """One problem."""
    found, heard = Found(), PrefixTokens()
    router = Router({"policy": (Watched(world, found),)}, [Grader(symbolic=False)])
    flow = strategy(problem.task, Seed(0).at("problem", problem.number))
    with solver_timed(found):
        start = time.perf_counter()
        done = run(flow, router, listen=heard).value
        found.wall = time.perf_counter() - start
    found.right = bool(done.items) and done.best.state.answer == problem.gold
    [found.levels] = heard.trees
    return found


def both(width: int, world: ChainWorld, count: int, rounds: int) -> tuple[list[Found], list[Found]]:
    """REBASE and ETS on the same problems, one after the other; of each problem's rounds the median time."""
    cost, coverage = WEIGHTS[width]
    strategies = (
        rebase(Reasoning(), ProcessReward(), width=width),
        ets(Reasoning(), ProcessReward(), width=width, cost=cost, coverage=coverage),
    )
    found: tuple[list[Found], list[Found]] = ([], [])
    for number, problem in enumerate(chains(world, count, 0)):
        tries: tuple[list[Found], list[Found]] = ([], [])
        for turn in range(rounds):
            for which in (0, 1) if (number + turn) % 2 == 0 else (1, 0):
                tries[which].append(searched(strategies[which], world, problem))
        for which in (0, 1):
            tries[which].sort(key=lambda one: one.wall)
            found[which].append(tries[which][len(tries[which]) // 2])
    return found


# ---------------------------------------------------------------------------------------- comparing


@dataclass(frozen=True)
class Row:
    """One width at one noise."""

    noise: float
    width: int
    problems: int
    right: tuple[Interval, Interval]
    lead: Interval
    """ETS less REBASE, on the same problems."""
    saving: Interval
    """Cache of REBASE over that of ETS, a ratio of averages."""
    seconds: tuple[float, float]
    own: tuple[float, float]
    slower: float
    """Wall time of ETS over that of REBASE, the median over problems."""
    solver: float
    """Its share of the wall time of ETS."""
    faster: dict[str, float]
    """Searches a second of ETS over those of REBASE, as `Decoder` computes them."""
    together: tuple[int, int]
    """How many searches fit into the memory at once."""


def compared(noise: float, width: int, found: tuple[list[Found], list[Found]]) -> Row:
    """The figures of one width."""
    plain, covering = found
    pairs = [(a.cache, b.cache) for a, b in zip(plain, covering, strict=True)]

    def of(indices: Any) -> float:
        drawn = [pairs[int(i)] for i in indices]
        return sum(a for a, _ in drawn) / sum(b for _, b in drawn)

    right = tuple([float(one.right) for one in some] for some in found)
    decoder = Decoder()
    together = (decoder.fit(plain), decoder.fit(covering))
    return Row(
        noise=noise,
        width=width,
        problems=len(plain),
        right=(wilson(sum(right[0]), len(plain)), wilson(sum(right[1]), len(plain))),
        lead=paired_bootstrap(right[1], right[0], 0, draws=2000),
        saving=bootstrap([float(i) for i in range(len(pairs))], 0, draws=2000, statistic=of),
        seconds=(_median(plain, "wall"), _median(covering, "wall")),
        own=(_median(plain, "own"), _median(covering, "own")),
        slower=statistics.median(b.wall / a.wall for a, b in zip(plain, covering, strict=True)),
        solver=sum(one.solver for one in covering) / sum(one.wall for one in covering),
        faster=throughputs(decoder, plain, covering, together),
        together=together,
    )


def throughputs(
    decoder: Decoder, plain: Sequence[Found], covering: Sequence[Found], together: tuple[int, int]
) -> dict[str, float]:
    """Searches a second of the second over those of the first, in several ways of counting."""

    def each(some: Sequence[Found], trees: int, arithmetic: bool, own: bool) -> float:
        """Seconds that one search takes of the machine."""
        return statistics.fmean(
            decoder.seconds(one, trees, arithmetic=arithmetic) / trees + (one.own if own else 0.0)
            for one in some
        )

    found: dict[str, float] = {}
    for name, first, second in (("alone", 1, 1), ("full", *together)):
        for way, arithmetic in (("reads", False), ("roofline", True)):
            for counted, own in (("", False), (" + own", True)):
                found[f"{name}, {way}{counted}"] = each(plain, first, arithmetic, own) / each(
                    covering, second, arithmetic, own
                )
    return found


def _median(some: Sequence[Found], name: str) -> float:
    return statistics.median(getattr(one, name) for one in some)


def tuned(width: int) -> dict[str, Any]:
    """The weights that `bench tune` chooses at a width."""
    told = asyncio.run(
        tune(
            tuple(
                find(f"world:{PRESET}(problems={TUNED_ON[width]}, seed={TUNING})").questions(None)
            ),
            settings(f"ets(width={width}, cost={{cost}}, coverage={{coverage}})", LADDER),
            model=f"sim:chain(preset='{PRESET}')",
            baseline=f"rebase(width={width})",
            tolerance=TOLERANCE,
        )
    )
    return told.as_json()


# ------------------------------------------------------------------------------------------ telling


def tables(rows: Sequence[Row]) -> str:
    """What was measured, and what follows for a model that decodes."""
    lines = [
        "| noise | width | problems | right: REBASE | ETS | difference | cache of REBASE / ETS | seconds: REBASE | ETS | "
        "ETS / REBASE | solver's share |",
        "| --- " * 11 + "|",
    ]
    lines += [
        f"| {row.noise} | {row.width} | {row.problems} | {row.right[0].value:.3f} | {row.right[1].value:.3f} | "
        f"{row.lead.value:+.3f} [{row.lead.low:+.3f}, {row.lead.high:+.3f}] | "
        f"{row.saving.value:.2f} [{row.saving.low:.2f}, {row.saving.high:.2f}] | {row.seconds[0]:.2f} | "
        f"{row.seconds[1]:.2f} | {row.slower:.2f} | {row.solver:.1%} |"
        for row in rows
    ]
    names = list(rows[0].faster)
    lines += [
        "",
        "| noise | width | searches that fit: REBASE | ETS | " + " | ".join(names) + " |",
        "| --- " * (4 + len(names)) + "|",
    ]
    for row in rows:
        values = " | ".join(f"{row.faster[name]:.2f}" for name in names)
        lines.append(
            f"| {row.noise} | {row.width} | {row.together[0]} | {row.together[1]} | {values} |"
        )
    return "\n".join(lines)


def verdicts(rows: Sequence[Row]) -> list[str]:
    """Each target with where it was reached and where not."""

    def told(name: str, reached: Callable[[Row], bool], asked: Sequence[Row]) -> str:
        missed = [f"width {row.width}, noise {row.noise}" for row in asked if not reached(row)]
        said = "reached everywhere" if not missed else f"missed at {'; '.join(missed)}"
        return f"{name}: {said if asked else 'not asked'}."

    wide = [row for row in rows if row.width >= AHEAD_FROM]
    return [
        told(
            f"At least {SAVING} times less cache, on average",
            lambda r: r.saving.value >= SAVING,
            rows,
        ),
        told(
            "As often right: the interval of the difference holds 0",
            lambda r: r.lead.low <= 0 <= r.lead.high,
            rows,
        ),
        told(
            f"More searches a second from width {AHEAD_FROM} on, memory full, reads alone",
            lambda r: r.faster["full, reads"] > 1,
            wide,
        ),
        told(
            "The same with arithmetic and the measured own time",
            lambda r: r.faster["full, roofline + own"] > 1,
            wide,
        ),
        told(f"The solver below {SHARE:.0%} of the wall time", lambda r: r.solver < SHARE, rows),
    ]


def page(rows: Sequence[Row], rounds: int) -> str:
    """What the guide says of it."""
    decoder = Decoder()
    weights = ", ".join(
        f"{width}: cost {cost:g}, coverage {coverage:g} (from {TUNED_ON[width]} problems)"
        for width, (cost, coverage) in WEIGHTS.items()
    )
    told = [
        "From `python benchmarks/trees.py --write docs/guides/trees-that-share.md`, on two shared cores. Problems of the "
        f"preset `{PRESET}`, seed 0; the noise is that of the embeddings. Weights by width, chosen by `bench tune` on "
        f"problems of seed {TUNING} at a tolerance of {TOLERANCE} and the noise 0.02, and used for both: {weights}. "
        "Intervals are of 95 % over problems; seconds are medians of wall-clock a problem, the two strategies problem by "
        f"problem in turns ({rounds} round{'s' if rounds > 1 else ''} each), over a model that answers at once.",
        tables(rows).partition("\n\n")[0],
        f"How many more searches a second ETS makes is *computed*, not measured, for {decoder.name}: "
        f"{decoder.weight_bytes / 1e9:g} GB of weights, {decoder.cache_bytes:,.0f} bytes of cache a token, "
        f"{decoder.bandwidth / 1e12:g} TB/s, {decoder.memory / 1e9:g} GB in use, {decoder.stretch} tokens for one of the "
        "world's (a step of about 50). Decoding one token for all branches takes "
        f"{decoder.weight_bytes / decoder.bandwidth * 1e3:.1f} ms to read the weights, and the time to read the "
        "unique-prefix cache of that depth once. *Alone* is one search at a time, *full* as many as the memory holds; "
        f"*reads* is that alone, *roofline* takes the arithmetic ({decoder.flops / 1e12:g} TFLOP/s) where it is slower than "
        "reading the weights, and *+ own* adds the measured time of search, driver and solver, one search after the "
        "other. Scoring, embedding and prefill are left out. Above 1, ETS is ahead.",
        tables(rows).partition("\n\n")[2],
        "What was aimed at:",
        "\n".join(f"- {said}" for said in verdicts(rows)),
    ]
    return "\n" + "\n\n".join(told) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--widths", type=int, nargs="+", default=list(PROBLEMS))
    parser.add_argument("--noises", type=float, nargs="+", default=list(NOISES))
    parser.add_argument("--share", type=float, default=1.0, help="of the usual problems (1)")
    parser.add_argument("--rounds", type=int, default=1, help="of each problem (1)")
    parser.add_argument("--tune", action="store_true", help="choose the weights, and stop")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page with the two marks")
    chosen = parser.parse_args()
    if chosen.tune:
        for width in chosen.widths:
            print(json.dumps({"width": width} | tuned(width)), flush=True)
        return
    rows: list[Row] = []
    for noise in chosen.noises:
        for width in chosen.widths:
            count = max(2, round(PROBLEMS[width] * chosen.share))
            world = preset(PRESET, embedding_noise=noise)
            start = time.perf_counter()
            rows.append(compared(noise, width, both(width, world, count, chosen.rounds)))
            told = f"noise {noise}, width {width}: {time.perf_counter() - start:.0f} s"
            print(told, file=sys.stderr, flush=True)
    if chosen.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        print(tables(rows))
        print("\n".join(verdicts(rows)))
    if chosen.write:
        text = chosen.write.read_text("utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        chosen.write.write_text(f"{before}{BEGIN}{page(rows, chosen.rounds)}{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
