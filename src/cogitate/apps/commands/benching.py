"""`cogitate bench`: record what a model says to questions."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, console, print_json

from .bench_compare import add_compare
from .bench_report import add_report
from .bench_run import add_run
from .bench_tasks import add_tasks
from .bench_tune import add_tune

if TYPE_CHECKING:
    from collections.abc import Generator

    from cogitate.bench import Recording
    from cogitate.bench.recording import Tell
    from cogitate.processes import Answer


def register(subcommands: Any) -> None:
    """Add the subcommands."""
    command = add_command(
        subcommands,
        "bench",
        "record what a model says, for comparing selection methods",
        "Benchmarks. `bench record` draws many samples a question from a model and keeps them as a pool, "
        "which then serves as the model pool:PATH: selection methods are compared on real text with no "
        "model in the loop.",
        "  cogitate bench record --model smollm2 --questions gsm8k.jsonl.gz --limit 20 --out pool.jsonl.gz\n"
        '  cogitate solve --model pool:pool.jsonl.gz --strategy "self_consistency(n=8)" "…"',
    )
    inner = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_record(inner)
    add_compare(inner)
    add_report(inner)
    add_run(inner)
    add_tasks(inner)
    add_tune(inner)


def _add_record(inner: Any) -> None:
    from .solving import add_budget

    recording = add_command(
        inner,
        "record",
        "draw samples from a model and keep them as a pool",
        "Draw samples for each question and write them as a pool, with the model's fingerprint, the "
        "sampling and the sums of the log-probabilities. Run it again after an interruption: it goes "
        "on where it stopped and pays for nothing twice.",
        "  cogitate bench record --model smollm2 --questions q.jsonl --limit 20 --samples 16 "
        "--preset word_problems --out pool.jsonl.gz",
    )
    recording.add_argument("--model", default="smollm2", metavar="SPEC", help="default: smollm2")
    recording.add_argument(
        "--questions",
        type=Path,
        required=True,
        metavar="FILE",
        help="JSON lines with question (or problem, input, prompt) and gold (or target, answer)",
    )
    recording.add_argument("--out", type=Path, required=True, metavar="FILE", help="the pool")
    recording.add_argument("--limit", type=int, metavar="N", help="only the first N questions")
    recording.add_argument("--samples", type=int, default=16, metavar="N", help="a question (16)")
    recording.add_argument("--kind", default="number", help="kind of answer (number)")
    recording.add_argument(
        "--preset", default="", help="instruction and worked examples, such as word_problems"
    )
    recording.add_argument("--temperature", type=float, default=0.7, help="default: 0.7")
    recording.add_argument(
        "--max-tokens", type=int, default=400, metavar="N", help="a sample (400)"
    )
    recording.add_argument("--seed", type=int, default=0, help="default: 0")
    recording.add_argument(
        "--token-logprobs", action="store_true", help="keep the log-probability of every token"
    )
    recording.add_argument("--licence", default="", help="of the questions; travels with the pool")
    recording.add_argument("--name", default="", help="of the pool")
    add_budget(recording)
    recording.set_defaults(execute=execute_record)


def execute_record(chosen: argparse.Namespace) -> int:
    """Run `bench record`."""
    from cogitate.bench import Recording, read_questions, record
    from cogitate.bench.recording import summary
    from cogitate.core.errors import InvalidInput

    from .solving import budget_of

    if chosen.limit is not None and chosen.limit < 1:
        raise InvalidInput(f"--limit {chosen.limit} was asked for; give at least 1")
    if not chosen.out.parent.is_dir():
        raise InvalidInput(f"the folder of {chosen.out} does not exist; make it first")
    wanted = Recording(
        read_questions(chosen.questions, chosen.limit),
        chosen.model,
        chosen.samples,
        chosen.kind,
        _process(chosen),
        chosen.seed,
        chosen.token_logprobs,
        chosen.name,
        chosen.questions.name.partition(".")[0],
        chosen.licence,
    )
    with _shown(wanted, quiet=chosen.json) as tell:
        pool = asyncio.run(record(wanted, chosen.out, budget=budget_of(chosen), tell=tell))
    said = summary(pool) | {"path": str(chosen.out)}
    if chosen.json:
        print_json(said)
    else:
        print(
            f"{said['samples']} samples of {said['questions']} questions, {said['tokens']:,} tokens, "
            f"{said['cut']} cut at the cap: {chosen.out}\n"
            f"use it as a model: --model pool:{chosen.out}"
        )
    return 0


def _process(chosen: argparse.Namespace) -> Answer:
    from cogitate.assembly import read

    spec = (
        f"answer(temperature={chosen.temperature!r}, max_tokens={chosen.max_tokens!r}, "
        f"preset={chosen.preset!r})"
    )
    return replace(read(spec, "process").for_kind(chosen.kind), logprobs=0)


@contextmanager
def _shown(wanted: Recording, *, quiet: bool) -> Generator[Tell | None]:
    """A progress bar by questions, with the rate of tokens."""
    out = console(to_errors=True)
    if quiet or not out.is_terminal:
        yield None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out, transient=True) as bar:
        line = bar.add_task("recording", total=len(wanted.questions))

        def tell(done: int, total: int, tokens: int) -> None:
            bar.update(line, completed=done, description=f"recording, {tokens:,} tokens")

        yield tell
