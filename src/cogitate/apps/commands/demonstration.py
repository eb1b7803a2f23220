"""`cogitate demo`: the tour on the embedded model, live and from a recorded pool."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cogitate.apps.output import add_command, console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from cogitate.lab import Curve, WordProblem

MODEL: Final = "smollm2"
POOL: Final = "smollm2-wordproblems"
PROCESS: Final = 'answer(max_tokens=80, preset="word_problems")'
STRATEGIES: Final = (
    ("greedy", f"greedy(process={PROCESS})"),
    ("majority of 16", f"self_consistency(n=16, process={PROCESS})"),
    ("best of 16", f"best_of(n=16, scorer=mean_logprob(), process={PROCESS})"),
)
SHOWN: Final = ("single", "majority", "best_mean", "coverage")
"""Lines of the plot; the table has all."""


@dataclass(frozen=True)
class Live:
    """What one strategy did on the live questions."""

    label: str
    strategy: str
    answers: tuple[str | None, ...]
    right: int
    tokens: int
    calls: int
    seconds: float
    usd: float | None


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "demo",
        "the tour: a small model, live, then accuracy against samples",
        "Fetch the embedded model if it is not here (about 90 MB), let it answer a few questions live under "
        "equal budgets, then show how accuracy grows with samples on a recorded pool of the same model.",
        "  cogitate demo\n  cogitate demo --questions 20\n  cogitate demo --recorded   (no model needed)",
    )
    command.add_argument("--questions", type=int, default=8, metavar="N", help="live questions (8)")
    command.add_argument(
        "--tokens",
        type=int,
        default=640,
        metavar="N",
        help="output tokens a question and strategy (640)",
    )
    command.add_argument("--recorded", action="store_true", help="only the recorded pool: no model")
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `demo`."""
    from cogitate.core.errors import InvalidInput
    from cogitate.lab import accuracy_curve, open_pool

    if chosen.questions < 1 or chosen.tokens < 80:
        raise InvalidInput("the demo needs at least 1 question and 80 tokens for each")
    out = console()
    live: list[Live] = []
    problems: Sequence[WordProblem] = ()
    if not chosen.recorded:
        problems = _problems(chosen.questions)
        _fetch(quiet=chosen.json)
        live = asyncio.run(_live(problems, chosen.tokens, None if chosen.json else out))
    curve = accuracy_curve(open_pool(POOL))
    if chosen.json:
        print_json(
            {
                "model": MODEL,
                "budget": {"tokens_out": chosen.tokens},
                "questions": [{"question": p.question, "answer": p.answer} for p in problems],
                "live": [vars(row) for row in live],
                "curve": curve.as_json(),
            }
        )
        return 0
    _show_curve(curve, out)
    out.print(
        '\nAsk it yourself: cogitate solve "…" --tokens 1024; bring your own model: cogitate solve --help',
        style="dim",
    )
    return 0


def _problems(count: int) -> Sequence[WordProblem]:
    """The first questions of a seed that nobody chose by result."""
    from cogitate.core.seeds import Seed
    from cogitate.lab import word_problems

    return word_problems(count, Seed(0).at("demo"), difficulty=1, largest=10)


def _fetch(*, quiet: bool) -> None:
    import importlib.util

    from cogitate.core.errors import InvalidInput
    from cogitate.engines.weights import located

    from .modelling import pull

    if importlib.util.find_spec("xllamacpp") is None:
        raise InvalidInput(
            "the demo runs a model in this process, which needs the extra `local`: "
            "pip install 'cogitate[local]'; `cogitate demo --recorded` needs no model"
        )
    if located(MODEL) is None:
        pull(MODEL, quiet=quiet)


async def _live(problems: Sequence[WordProblem], tokens: int, out: Console | None) -> list[Live]:
    """Each strategy on the same questions, on one opened model, under the same budget."""
    from cogitate.assembly import load
    from cogitate.assembly.models import named, opened

    configuration = load()
    rows: list[Live] = []
    if out is not None:
        out.print(_heading(problems, tokens))
    async with opened(named(MODEL, configuration), configuration) as models:
        engine = models.router.roles["policy"][0]
        for label, spec in STRATEGIES:
            row = await _one(label, spec, problems, tokens, engine)
            rows.append(row)
            if out is not None:
                out.print(_line(row, problems, tokens), soft_wrap=True)
    return rows


async def _one(
    label: str, spec: str, problems: Sequence[WordProblem], tokens: int, engine: Any
) -> Live:
    from cogitate.assembly import solve_many
    from cogitate.core.usage import ZERO, Budget
    from cogitate.rules.canonical import matches

    budget = Budget(tokens_out=tokens * len(problems))
    start = time.monotonic()
    tasks = [p.task for p in problems]
    results = [r async for r in solve_many(tasks, model=engine, strategy=spec, budget=budget)]
    seconds = time.monotonic() - start
    usage = sum((r.usage for r in results), ZERO)
    answers = tuple(r.answer for r in results)
    right = sum(
        matches(a, str(p.answer), "number") is True for a, p in zip(answers, problems, strict=True)
    )
    return Live(label, spec, answers, right, usage.tokens_out, usage.calls, seconds, usage.usd)


def _heading(problems: Sequence[WordProblem], tokens: int) -> str:
    listed = "\n".join(f"  {i}. {p.question}  ({p.answer})" for i, p in enumerate(problems, 1))
    return (
        f"Live: SmolLM2-135M on this machine, {len(problems)} questions, at most {tokens} output tokens "
        f"a question for every strategy\n{listed}\n"
    )


def _line(row: Live, problems: Sequence[WordProblem], tokens: int) -> str:
    from cogitate.apps.render import one_line
    from cogitate.rules.canonical import matches

    said = [
        f"{'✓' if matches(a, str(p.answer), 'number') else '✗'} {one_line(a, 12) if a else 'none'}"
        for a, p in zip(row.answers, problems, strict=True)
    ]
    cost = "price unknown" if row.usd is None else f"${row.usd:.2f}"
    return (
        f"  {row.label:<15} {row.right} of {len(problems)} right   {'   '.join(said)}\n"
        f"  {'':<15} {row.tokens:,} of {tokens * len(problems):,} tokens, {row.calls} calls, "
        f"{row.seconds:.1f} s, {cost} (your own machine)"
    )


def _show_curve(curve: Curve, out: Console) -> None:
    from cogitate.apps.render import Plot, PlotPoint, Series, accuracy_table

    out.print(
        f"\nRecorded: the same model, {curve.questions} questions × {curve.samples} samples; "
        "what each way of choosing makes of N samples\n"
    )
    out.print(accuracy_table(curve))
    series = tuple(
        Series(
            curve.line(name).label,
            tuple(PlotPoint(p.n, p.value, p.low, p.high) for p in curve.line(name).points),
        )
        for name in SHOWN
    )
    out.print(
        Plot(
            series, title="accuracy against samples a question", x_label="samples", y_label="right"
        )
    )
