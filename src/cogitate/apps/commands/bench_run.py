"""`cogitate bench run`: tasks × models × strategies × budgets × seeds, from a file or flags."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, complain, console, print_json

if TYPE_CHECKING:
    from cogitate.bench.folder import Folder
    from cogitate.bench.grid import Grid
    from cogitate.bench.laying import Laid
    from cogitate.bench.running import Progress, Summary, Tell

_BUDGETS = {"tokens": "tokens_out", "calls": "calls", "usd": "usd", "flops": "flops"}
_INTERRUPTED = 130
_EXAMPLES = """\
  cogitate bench run grid.toml --out results
  cogitate bench run grid.toml --out results --plan          (what it would do, what is there already)
  cogitate bench run --task "world:hard(problems=200)" --model "sim:chain(preset='hard')" \\
      --strategy "self_consistency(n={n})" --strategy "best_of(n={n})" --n 1,2,4,8,16 --out results
  cogitate bench run --task gsm8k --limit 100 --model smollm2 --samples 32 --select majority --out results"""


def add_run(inner: Any) -> None:
    """Register the subcommand."""
    command = add_command(
        inner,
        "run",
        "run tasks × models × strategies × budgets",
        "Run a grid of tasks, models, strategies, budgets and seeds into a folder. Everything is checked "
        "before anything is spent. All strategies and all N share samples. Interrupt it, or let it be killed: the "
        "same command goes on where it stopped and pays nothing twice. A grid with more strategies, a larger N or "
        "more tasks extends a folder from the same samples.",
        _EXAMPLES,
    )
    command.add_argument(
        "grid", nargs="?", type=Path, metavar="GRID.toml", help="the grid as a file"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run folder")
    command.add_argument(
        "--plan", action="store_true", help="say what would be done, and do nothing"
    )
    command.add_argument(
        "--add", action="store_true", help="keep what the folder holds beyond this grid"
    )
    command.add_argument(
        "--no-report", action="store_true", help="write no report; `cogitate bench report` does it"
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="your data (COGITATE_DATA)")
    command.add_argument("--config", type=Path, help="configuration file (default: cogitate.toml)")
    command.add_argument(
        "--allow-unisolated-code",
        action="store_true",
        help="run programs that models wrote even where nothing keeps them from what you can do",
    )
    command.add_argument("--at-most", type=int, metavar="N", help="questions in flight (64)")
    _add_grid(command)
    _add_whole(command)
    command.set_defaults(execute=execute_run)


def _add_grid(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("grid", "instead of a file; lists are split at commas")
    for name, metavar, said in (
        ("task", "NAME", "a task; `cogitate bench tasks` lists them"),
        ("model", "[LABEL=]SPEC", "a model, perhaps under a label; or all of them as ROLE=SPEC"),
        ("strategy", "SPEC", "a strategy, perhaps with {n}"),
        ("vary", "NAME=LIST", "values of another variable of the strategies, such as w=1,2,4"),
        ("select", "METHOD", "with --samples: majority, best_of(scorer=prm()), …"),
        ("scorer", "SPEC", "with --samples: scores every sample once"),
    ):
        group.add_argument(f"--{name}", action="append", default=[], metavar=metavar, help=said)
    group.add_argument("--n", metavar="LIST", help="values of {n}, such as 1,2,4,8")
    group.add_argument("--seeds", metavar="LIST", help="default: 0")
    group.add_argument("--limit", type=int, metavar="N", help="only the first N questions a task")
    group.add_argument(
        "--samples", type=int, metavar="N", help="draw a pool of N samples a question"
    )
    group.add_argument("--process", default="", metavar="SPEC", help="draws the pool: answer()")
    for name, unit in _BUDGETS.items():
        group.add_argument(
            f"--budget-{name}", metavar="LIST", help=f"{unit} of each question, one budget a value"
        )


def _add_whole(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("budget of the whole run", "what is remembered counts, too")
    group.add_argument("--tokens", type=int, metavar="N", help="output tokens of all roles")
    group.add_argument("--calls", type=int, metavar="N", help="model calls")
    group.add_argument("--usd", type=float, metavar="USD", help="money; needs a known price")
    group.add_argument("--flops", type=float, metavar="F", help="floating-point operations")


def execute_run(chosen: argparse.Namespace) -> int:
    """Run `bench run`."""
    from cogitate.assembly import load
    from cogitate.assembly.running import in_thread
    from cogitate.bench.laying import lay
    from cogitate.bench.opening import begin, check
    from cogitate.bench.running import carry_out
    from cogitate.drive import Stop

    configuration = load(chosen.config) if chosen.config else load()
    if chosen.allow_unisolated_code:
        configuration = configuration.allowing_unisolated_execution()
    laid = lay(grid_of(chosen), configuration, directory=chosen.data)
    prints = asyncio.run(check(laid))
    if chosen.plan:
        return _planned(laid, chosen)
    folder = begin(chosen.out, laid, prints, add=chosen.add)
    stop = Stop()
    with _shown(quiet=chosen.json) as tell:
        summary = in_thread(lambda: carry_out(laid, folder, stop=stop, tell=tell), stop)
    return _concluded(summary, folder, chosen)


def grid_of(chosen: argparse.Namespace) -> Grid:
    """The grid that the file or the flags describe.

    Raises:
        InvalidInput: where both or neither do.
    """
    from dataclasses import replace

    from cogitate.bench.grid import Grid
    from cogitate.core.errors import InvalidInput
    from cogitate.core.usage import Budget

    flags = _flags(chosen)
    if chosen.grid is not None and flags:
        raise InvalidInput(
            f"a grid was given as a file and by --{next(iter(flags))}; give one of them, or change the file"
        )
    if chosen.grid is None and not flags:
        raise InvalidInput(
            "no grid was given; name a TOML file, or give --task, --model and --strategy"
        )
    grid = Grid.read(chosen.grid) if chosen.grid is not None else Grid.of(_raw(flags))
    whole = {unit: getattr(chosen, name) for name, unit in _BUDGETS.items()}
    given = {unit: amount for unit, amount in whole.items() if amount is not None}
    if any(amount <= 0 for amount in given.values()):
        raise InvalidInput("a budget of the whole run must be above 0, or left out")
    if given:
        grid = replace(grid, budget=Budget(**given))
    if chosen.at_most is not None:
        if chosen.at_most < 1:
            raise InvalidInput(f"--at-most {chosen.at_most} was asked for; give at least 1")
        grid = replace(grid, at_most=chosen.at_most)
    return grid


def _flags(chosen: argparse.Namespace) -> dict[str, Any]:
    names = (
        "task",
        "model",
        "strategy",
        "vary",
        "select",
        "scorer",
        "n",
        "seeds",
        "limit",
        "samples",
    )
    held = {name: getattr(chosen, name) for name in (*names, "process")}
    held |= {f"budget-{name}": getattr(chosen, f"budget_{name}") for name in _BUDGETS}
    return {name: value for name, value in held.items() if value not in (None, [], "")}


def _raw(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags as the values of a grid file."""
    raw: dict[str, Any] = {
        "tasks": flags.get("task", []),
        "models": _models(flags.get("model", [])),
    }
    for name, key in (("strategy", "strategies"), ("limit", "limit")):
        if name in flags:
            raw[key] = flags[name]
    for name in ("n", "seeds"):
        if name in flags:
            raw[name] = _values(flags[name], f"--{name}")
    for said in flags.get("vary", []):
        name, _, values = said.partition("=")
        raw.setdefault("vary", {})[name.strip()] = _values(values, "--vary")
    budgets = [
        {unit: amount}
        for name, unit in _BUDGETS.items()
        for amount in _values(flags.get(f"budget-{name}", ""), f"--budget-{name}")
    ]
    if budgets:
        raw["budgets"] = budgets
    if "samples" in flags:
        pool = {"samples": flags["samples"], "select": flags.get("select", [])}
        pool |= {"scorers": flags["scorer"]} if "scorer" in flags else {}
        raw["pool"] = [pool | ({"process": flags["process"]} if "process" in flags else {})]
    return raw


def _models(given: list[str]) -> Any:
    """The models by label; `LABEL=SPEC` is split only where the left side is a plain word.

    Where all labels are roles, as `solve` takes them, they are the roles of one model.
    """
    from cogitate.assembly.configuration import ROLES

    labelled: dict[str, str] = {}
    for spec in given:
        label, equals, rest = spec.partition("=")
        plain = bool(equals) and re.fullmatch(r"[\w.-]+", label.strip()) is not None
        labelled[label.strip() if plain else spec] = rest.strip() if plain else spec
    if "policy" in labelled and set(labelled) <= set(ROLES):
        return {labelled["policy"]: labelled}
    return labelled


def _values(text: str, option: str) -> list[Any]:
    from cogitate.core.errors import InvalidInput

    found: list[Any] = []
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        try:
            found.append(int(part))
        except ValueError:
            try:
                found.append(float(part))
            except ValueError:
                raise InvalidInput(f"{option} takes numbers between commas, not {part!r}") from None
    return found


# ------------------------------------------------------------------------------------- what is shown


def _planned(laid: Laid, chosen: argparse.Namespace) -> int:
    from cogitate.bench.folder import RUN, Folder
    from cogitate.bench.planned import planned

    there = Folder.open(chosen.out) if (chosen.out / RUN).exists() else None
    rows = planned(laid, there)
    if chosen.json:
        print_json({"cells": rows, "out": str(chosen.out)})
        return 0
    for row in rows:
        budget = ", ".join(f"{unit} {amount:g}" for unit, amount in row["budget"].items())
        bound = "no bound known" if row["calls"] is None else f"at most {row['calls']:,} calls"
        print(
            f"{row['done']:>6} of {row['questions']:<6} {row['kind']:<6} {row['spec']}  on {row['task']}  "
            f"with {row['model']}  seed {row['seed']}"
            + (f"  within {budget}" if budget else "")
            + f"  {bound}"
        )
    left = sum(row["questions"] - row["done"] for row in rows)
    known = [row["calls"] for row in rows]
    total = "" if None in known else f", at most {sum(known):,} calls"
    print(f"{len(rows)} cells, {left:,} questions to be asked{total}; nothing was spent")
    return 0


def _concluded(summary: Summary, folder: Folder, chosen: argparse.Namespace) -> int:
    progress = summary.progress
    done_now = progress.done - progress.earlier
    said: dict[str, Any] = {
        "out": str(folder.path),
        "cells": len(folder.entries),
        "questions": progress.total,
        "done": progress.done,
        "done_now": done_now,
        "failed": progress.failed,
        "calls": progress.calls,
        "paid": progress.paid.as_dict(),
        "seconds": round(summary.seconds, 3),
        "stopped": summary.stopped,
        "complete": summary.complete,
        "notes": list(summary.notes),
    }
    wrong, status = _verdict(summary)
    report = None if chosen.no_report or status == _INTERRUPTED else _report(folder, chosen)
    said["report"] = None if report is None else str(report)
    if chosen.json:
        print_json(said | ({"error": wrong} if wrong else {}))
    else:
        rate = (
            f", {done_now / summary.seconds:,.0f} a second"
            if done_now and summary.seconds > 1
            else ""
        )
        print(
            f"{progress.done:,} of {progress.total:,} questions in {len(folder.entries)} cells "
            f"({done_now:,} now, in {summary.seconds:.1f} s{rate}): {folder.path}"
        )
        if report is not None:
            print(f"report: {report}")
        for note in summary.notes:
            print(f"note: {note}", file=sys.stderr)
    if wrong:
        complain(wrong)
    return status


def _report(folder: Folder, chosen: argparse.Namespace) -> Path:
    """The report of the folder as it is now."""
    from cogitate.bench.report import report_folder

    return report_folder(folder.path, directory=chosen.data)[0]


def _verdict(summary: Summary) -> tuple[str, int]:
    progress = summary.progress
    if summary.stopped == "budget":
        return (
            "the budget of the whole run is spent; give it more, and run the same command again",
            1,
        )
    if summary.stopped:
        return "interrupted; what is finished is kept, and the same command goes on", _INTERRUPTED
    if progress.failed:
        return (
            f"{progress.failed} questions failed and stay open (first: {progress.problem}); the same command "
            "asks them again",
            1,
        )
    return "", 0


@contextmanager
def _shown(*, quiet: bool) -> Generator[Tell | None]:
    """A progress bar by questions: rate, cost so far, time left."""
    out = console(to_errors=True)
    if quiet or not out.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    began = time.monotonic()
    with Bar(*columns, console=out, transient=True) as bar:
        line = bar.add_task("reading what is there", total=None)

        def tell(progress: Progress) -> None:
            seconds = max(time.monotonic() - began, 1e-9)
            rate = (progress.done - progress.earlier) / seconds
            paid = progress.paid
            cost = f", {paid.tokens_out:,} tokens paid" if paid.tokens_out else ""
            cost += f", {paid.usd:.4f} USD" if paid.usd else ""
            failed = f", {progress.failed} failed" if progress.failed else ""
            bar.update(
                line,
                completed=progress.done,
                total=progress.total,
                description=f"{progress.what[:60]}, {rate:,.0f}/s, {progress.calls:,} calls{cost}{failed}",
            )

        yield tell
