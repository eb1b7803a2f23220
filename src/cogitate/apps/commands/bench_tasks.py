"""`cogitate bench tasks` and `bench hlce`: what can be benchmarked, and the metrics of HLCE."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, console, print_json
from cogitate.core.errors import InvalidInput

if TYPE_CHECKING:
    from cogitate.bench.tasks import Benchmark, Item

EXAMPLES = 3
_WIDE = 110
"""Columns from which the table says where data come from; a task's own page always does."""
_LONGEST = 1_500
"""Characters of an example that are printed."""


def add_tasks(actions: Any) -> None:
    """Add the actions."""
    tasks = add_command(
        actions,
        "tasks",
        "what can be benchmarked",
        "The tasks of the bench: those of the package, whose data lie in the folder that COGITATE_DATA "
        "names, and generated ones. With a name or a spec, what it is, its checksum and examples; every "
        "row is read, so what is wrong with the data is said.",
        "  cogitate bench tasks\n  cogitate bench tasks gsm8k\n"
        "  cogitate bench tasks \"world:hard(problems=100)\"\n  cogitate bench tasks mine.toml",
    )  # fmt: skip
    tasks.add_argument("task", nargs="?", metavar="TASK", help="a name, a spec, or a task file")
    tasks.add_argument(
        "--examples", type=int, default=EXAMPLES, metavar="N", help=f"shown ({EXAMPLES})"
    )
    tasks.add_argument("--citation", action="store_true", help="print BibTeX entries")
    _add_data(tasks)
    tasks.set_defaults(execute=execute_tasks)
    exam = add_command(
        actions,
        "hlce",
        "the metrics of Humanity's Last Code Exam on verdicts",
        "Computes pass@1, pass@5 and mean points from verdicts of the olympiads' judge, such as the "
        "published ones of one model, which lie in the folder that COGITATE_DATA names (CC BY-NC 4.0).",
        "  cogitate bench hlce\n  cogitate bench hlce verdicts.json",
    )
    exam.add_argument("file", nargs="?", type=Path, metavar="FILE", help="verdicts, a JSON list")
    exam.add_argument(
        "--data", type=Path, metavar="FOLDER", help="of the data (default: COGITATE_DATA)"
    )
    exam.set_defaults(execute=execute_hlce)


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data", type=Path, metavar="FOLDER", help="of the data (default: COGITATE_DATA)"
    )
    command.add_argument(
        "--any-version", action="store_true", help="take data whose checksum is another"
    )


def execute_tasks(chosen: argparse.Namespace) -> int:
    """Run `bench tasks`."""
    if chosen.examples < 0:
        raise InvalidInput(f"--examples {chosen.examples} was asked for; give 0 or more")
    if chosen.task is not None:
        return _one(chosen)
    if chosen.citation:
        from cogitate.bench.tasks.registry import definitions

        entries = dict.fromkeys(d.citation.strip() for d in definitions().values())
        print("\n\n".join(entry for entry in entries if entry))
        return 0
    return _all(chosen)


def _all(chosen: argparse.Namespace) -> int:
    from cogitate.apps.render import Grid
    from cogitate.bench.tasks import data_folder, listed, made_tasks, without_task

    held = listed(chosen.data)
    if chosen.json:
        print_json(
            {
                "tasks": [task.row() for task in held],
                "made": [{"spec": one.spec, "summary": one.summary} for one in made_tasks()],
                "without_task": [
                    {"data": one.folder, "licence": one.licence, "why": one.why}
                    for one in without_task()
                ],
            }
        )
        return 0
    out, folder = console(), data_folder(chosen.data)
    wide = out.width >= _WIDE
    rows = tuple(
        (
            t.name,
            t.kind,
            f"{t.rows:,}",
            t.licence,
            "here" if t.found else "missing",
            *((t.source.partition(",")[0],) if wide else ()),
        )
        for t in held
    )
    told = (
        f"data in {folder}"
        if folder is not None
        else "set COGITATE_DATA to the folder that holds the data"
    )
    out.print(
        Grid(
            ("task", "kind", "questions", "licence", "data", *(("from",) if wide else ())),
            rows,
            caption=told,
            right=frozenset({2}),
            wrap=frozenset({3}),
        )
    )
    out.print("Made, not read:")
    for one in made_tasks():
        out.print(f"  {one.spec}\n      {one.summary}", soft_wrap=True)
    out.print("Data without a task:")
    for without in without_task():
        out.print(f"  {without.folder} ({without.licence}): {without.why}", soft_wrap=True)
    return 0


def _one(chosen: argparse.Namespace) -> int:
    from cogitate.apps.render import cleaned
    from cogitate.bench.tasks import find

    found = find(chosen.task, directory=chosen.data, any_version=chosen.any_version)
    if chosen.citation:
        print(found.citation.strip())
        return 0
    count = found.check()
    examples = list(found.questions(min(chosen.examples, count))) if chosen.examples else []
    if chosen.json:
        print_json(found.card() | {"examples": [_example(item) for item in examples]})
        return 0
    out = console()
    out.print(cleaned(found.describe(), lines=True), soft_wrap=True)
    for item in examples:
        out.print(f"\n{_shown(found, item)}", soft_wrap=True)
    return 0


def _example(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "question": item.task.question,
        "context": item.task.context,
        "options": list(item.task.options),
        "gold": item.gold,
        "meta": dict(item.meta),
    }


def _shown(found: Benchmark, item: Item) -> str:
    from cogitate.apps.render import cleaned

    asked = item.task.question
    if len(asked) > _LONGEST:
        asked = f"{asked[:_LONGEST]}… ({len(asked):,} characters)"
    material = (
        f"\n[with {len(item.task.context):,} characters of material]" if item.task.context else ""
    )
    gold = item.gold if item.gold is not None else f"judged by {found.grader.name}"
    return cleaned(f"--- {item.id}\n{asked}{material}\n=> {gold}", lines=True)


def execute_hlce(chosen: argparse.Namespace) -> int:
    """Run `bench hlce`."""
    from cogitate.bench.hlce import FILE, LICENCE, ioi_row, read_submissions
    from cogitate.bench.tasks import data_folder
    from cogitate.bench.tasks.files import located

    file = chosen.file
    if file is None:
        folder = data_folder(chosen.data)
        file = located(folder / FILE) if folder is not None else None
        if file is None:
            raise InvalidInput(
                f"the published verdicts are not here; set COGITATE_DATA to the folder that holds {FILE}, or "
                "name a file of verdicts"
            )
    elif not file.is_file():
        raise InvalidInput(f"there is no file {file.name} of verdicts; name one that is there")
    row = ioi_row(read_submissions(file))
    if chosen.json:
        print_json(
            {
                "problems": row.problems,
                "attempts": row.attempts,
                "pass@1": row.pass_at[1],
                "pass@5": row.pass_at[5],
                "mean_points": row.mean_points,
                "fewer_than_5_attempts": row.short[5],
                "dropped": row.dropped,
                "licence": LICENCE if chosen.file is None else "",
            }
        )
        return 0
    print(
        f"pass@1 {row.pass_at[1]:.6f}  pass@5 {row.pass_at[5]:.6f}  mean points {row.mean_points:.5f}\n"
        f"{row.problems} problems, {row.attempts} attempts; {row.short[5]} problems have fewer than 5; "
        f"{row.dropped} submissions of composite problems make no whole attempt"
    )
    if chosen.file is None:
        print(f"verdicts of the publication, {LICENCE}")
    return 0
