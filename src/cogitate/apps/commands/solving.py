"""`cogitate solve`: answer one task within a budget."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cogitate.apps.output import add_command, complain, console, print_json

if TYPE_CHECKING:
    from cogitate.assembly import Result

_EXAMPLES = """\
  cogitate solve "Ann has 3 apples and buys 4 more. How many has she?"
  cogitate solve --strategy "self_consistency(n=16)" --tokens 4096 --file question.txt
  cogitate solve --model openai:http://localhost:8000/v1#my-model --strategy "best_of(n=8, scorer=judge())" - < q.txt
  cogitate solve --journal run.jsonl --seconds 60 "…"     (run it again to go on where it stopped)
  cogitate solve --model fake --json "2 + 2?"             (no model at all: to try things out)"""


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "solve",
        "answer one task within a budget",
        "Answer one task as well as the budget can buy, and say what it cost. The answer goes to "
        "standard output, how it was found and what it cost to standard error.",
        _EXAMPLES,
    )
    command.add_argument("text", nargs="?", help="the question; `-` reads standard input")
    command.add_argument("--file", type=Path, help="read the question from a file")
    command.add_argument(
        "--model",
        action="append",
        metavar="[ROLE=]SPEC",
        help="smollm2 (default), gguf:PATH, openai:BASE_URL#MODEL, sim:…, fake; give it again with a "
        "role (policy, judge, verifier, refiner) to mix models, or with a second server of one model, "
        "which stands in for the first",
    )
    command.add_argument("--strategy", metavar="SPEC", help="for instance self_consistency(n=8)")
    command.add_argument("--scorer", metavar="SPEC", help="for instance judge(); otherwise by kind")
    command.add_argument(
        "--kind", help="kind of answer: math, number, choice, text, json, code (default: judged)"
    )
    command.add_argument("--seed", type=int, default=0, help="equal seeds give equal requests")
    command.add_argument(
        "--journal", type=Path, help="record the run; go on with it if it is there"
    )
    command.add_argument(
        "--from-mismatch",
        action="store_true",
        help="go on with a journal though prompts or code changed, keeping what matches",
    )
    command.add_argument(
        "--cache",
        action=argparse.BooleanOptionalAction,
        help="replies of servers and local models are kept: the same question with the same seed gives "
        "the same answer at no cost, and --seed asks anew; --no-cache asks everything again, --cache keeps "
        "the replies of every model",
    )
    command.add_argument(
        "--allow-unisolated-code",
        action="store_true",
        help="run programs that the model wrote even where nothing keeps them from reading, changing and "
        "sending whatever you can (see `cogitate doctor`)",
    )
    command.add_argument("--config", type=Path, help="configuration file (default: cogitate.toml)")
    command.add_argument(
        "--watch",
        action="store_true",
        help="show the growing search tree and what it costs on the terminal, on standard error",
    )
    add_budget(command)
    command.set_defaults(execute=execute)


def add_budget(command: argparse.ArgumentParser) -> None:
    """The options that bound what is spent."""
    group = command.add_argument_group("budget", "each bound is optional; together they all hold")
    group.add_argument("--tokens", type=int, metavar="N", help="output tokens of all roles")
    group.add_argument("--calls", type=int, metavar="N", help="model calls")
    group.add_argument("--seconds", type=float, metavar="S", help="wall-clock deadline")
    group.add_argument("--usd", type=float, metavar="USD", help="money; needs a known price")
    group.add_argument("--flops", type=float, metavar="F", help="floating-point operations")


def budget_of(chosen: argparse.Namespace) -> Any:
    """The budget that was asked for, or `None`.

    Raises:
        InvalidInput: for a bound that buys nothing.
    """
    from cogitate.core.usage import Budget

    bounds = {
        "tokens_out": chosen.tokens,
        "calls": chosen.calls,
        "seconds": chosen.seconds,
        "usd": chosen.usd,
        "flops": chosen.flops,
    }
    given = {unit: amount for unit, amount in bounds.items() if amount is not None}
    return Budget(**given) if given else None


def question_of(chosen: argparse.Namespace) -> str:
    """The question, from the argument, a file or standard input.

    Raises:
        InvalidInput: when there is none, or more than one.
    """
    from cogitate.core.errors import InvalidInput

    if chosen.file is not None and chosen.text is not None:
        raise InvalidInput("the question was given twice, as text and with --file; give it once")
    if chosen.file is not None:
        try:
            return _text(chosen.file.read_bytes(), str(chosen.file))
        except OSError as error:
            raise InvalidInput(
                f"the question was to be read from {chosen.file}, which cannot be: {error.strerror}"
            ) from None
    if chosen.text == "-":
        raw = getattr(sys.stdin, "buffer", None)
        return sys.stdin.read() if raw is None else _text(raw.read(), "standard input")
    if chosen.text is None:
        raise InvalidInput(
            'no question was given; write it after `solve` as in `cogitate solve "2 + 2?"`, or use '
            "--file, or `-` for standard input"
        )
    return _text(os.fsencode(chosen.text), "the question")


def _text(raw: bytes, source: str) -> str:
    from cogitate.core.errors import InvalidInput

    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"{source} is not UTF-8 text; convert it first") from None


def execute(chosen: argparse.Namespace) -> int:
    """Run `solve`."""
    from cogitate.apps.progress import watching
    from cogitate.assembly import load, solve

    check_watch(chosen)
    configuration = load(chosen.config) if chosen.config else load()
    if chosen.allow_unisolated_code:
        configuration = configuration.allowing_unisolated_execution()
    question, budget = question_of(chosen), budget_of(chosen)
    bounds = budget or configuration.budget
    with watching(bounds, quiet=chosen.json, tree=chosen.watch) as listen:
        result = solve(
            question,
            model=chosen.model,
            strategy=chosen.strategy,
            scorer=chosen.scorer,
            budget=budget,
            kind=chosen.kind,
            seed=chosen.seed,
            journal=chosen.journal,
            listen=listen,
            configuration=configuration,
            from_mismatch=chosen.from_mismatch,
            cache=chosen.cache,
        )
    return conclude(result, as_json=chosen.json)


def check_watch(chosen: argparse.Namespace) -> None:
    """Say so where `--watch` cannot show anything.

    Raises:
        InvalidInput: with `--json`.
    """
    from cogitate.core.errors import InvalidInput

    if chosen.watch and chosen.json:
        raise InvalidInput(
            "--watch and --json were asked for together; the one draws for people and the other prints "
            "for programs: leave one out"
        )
    if chosen.watch and not console(to_errors=True).is_terminal:
        print(
            "standard error is not a terminal, so --watch shows nothing; give --journal and look at "
            "the tree afterwards with `cogitate view`",
            file=sys.stderr,
        )


def conclude(result: Result, *, as_json: bool) -> int:
    """Print a result, and what is wrong with it in one sentence; returns the exit status."""
    wrong, status = verdict(result)
    if as_json:
        print_json(result.to_json() | ({"error": wrong} if wrong else {}))
    else:
        show(result)
        sys.stdout.flush()
    if wrong:
        complain(wrong)
    return status


def verdict(result: Result) -> tuple[str, int]:
    """What is wrong with a result, or nothing, and the exit status."""
    if result.problem:
        return result.problem, 1
    if result.stopped == "interrupted":
        kept = ", and the same command goes on from its journal" if result.journal else ""
        return f"interrupted; this is the best so far{kept}", 130
    if result.answer is not None and result.answer.strip():
        return "", 0
    found = result.ranking.note or "nothing was found"
    advice = _ADVICE.get(result.stopped, "")
    if result.stopped == "failed" and result.journal is not None:
        advice = "; the same command asks again what failed"
    return f"no answer: {found}{advice}", 1


_ADVICE: Final = {
    "budget": "; give it more, or a strategy that asks for less",
    "deadline": "; give it more --seconds, or a strategy that asks for less",
}


def show(result: Result) -> None:
    """The answer on standard output; the rest on standard error."""
    from cogitate.apps.render import candidate_table, cleaned, cost_lines, one_line

    if said := result.answer or result.text:  # "no answer" is no answer to write to a file
        print(cleaned(said))
    out = console(to_errors=True)
    lines = [f"strategy  {result.strategy}", f"model     {one_line(result.model, 200)}"]
    if result.reason:
        lines.append(f"because   {result.reason}")
    if result.ranking.note:
        lines.append(f"found     {one_line(result.ranking.note, 400)}")
    if result.stopped:
        lines.append(f"stopped   {result.stopped}")
    if result.journal is not None:
        lines.append(f"journal   {result.journal}")
    lines += [f"note      {one_line(note, 400)}" for note in result.notes]
    out.print("\n".join(lines), style="dim", soft_wrap=True)
    if len(result.ranking.items) > 1:
        out.print(candidate_table(result.ranking.items))
    out.print(cost_lines(result.roles, result.usage, result.spent))
