"""Grids: what they spell out, and what is refused before anything is spent."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from cogitate.apps.cli import main
from cogitate.assembly import Configuration
from cogitate.bench.grid import Grid
from cogitate.bench.laying import Laid, lay
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Budget

WORLD = "world:medium(problems=4)"
POOL = "pool:smollm2-wordproblems"
SIM = "sim:chain(preset='medium')"


def grid(**changes: Any) -> Grid:
    raw = {"tasks": [WORLD], "models": [SIM], "strategies": ["best_of(n={n})"], "n": [1, 2]}
    return Grid.of({**raw, **changes})


def laid(**changes: Any) -> Laid:
    return lay(grid(**changes), Configuration())


def points(made: Grid) -> list[tuple[str, str, int | None]]:
    return [(p.spec, p.line, p.n) for block in made.blocks for p in block.points]


def test_a_variable_makes_one_curve() -> None:
    assert points(grid(n=[1, 8])) == [
        ("best_of(n=1)", "best_of(n={n})", 1),
        ("best_of(n=8)", "best_of(n={n})", 8),
    ]


def test_several_variables_make_one_curve_for_each_of_the_others() -> None:
    made = grid(strategies=["beam_search(width={n}, branch={b})"], vary={"b": [2, 4]})
    assert points(made) == [
        ("beam_search(width=1, branch=2)", "beam_search(width={n}, branch=2)", 1),
        ("beam_search(width=2, branch=2)", "beam_search(width={n}, branch=2)", 2),
        ("beam_search(width=1, branch=4)", "beam_search(width={n}, branch=4)", 1),
        ("beam_search(width=2, branch=4)", "beam_search(width={n}, branch=4)", 2),
    ]


def test_the_lists_of_a_row_go_side_by_side() -> None:
    row = {"spec": "beam_search(width={w}, branch={b})", "n": [1, 16], "w": [1, 4], "b": [1, 4]}
    assert points(grid(strategies=[row])) == [
        ("beam_search(width=1, branch=1)", row["spec"], 1),
        ("beam_search(width=4, branch=4)", row["spec"], 16),
    ]


def test_blocks_inherit_and_models_have_labels(tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(
        f"""
        tasks = ["{WORLD}"]
        seeds = [1, 2]
        [models]
        small = "{SIM}"
        two = {{policy = "{SIM}", judge = "fake"}}
        [[run]]
        strategies = ["greedy"]
        budgets = [{{tokens_out = 50}}, {{calls = 3}}]
        [[run]]
        models = ["small"]
        strategies = ["best_of(n=2)"]
        seeds = [0]
        """,
        "utf-8",
    )
    made = Grid.read(file)
    assert made.name == "grid"
    assert [(b.models, b.seeds, len(b.budgets)) for b in made.blocks] == [
        (("small", "two"), (1, 2), 2),
        (("small",), (0,), 1),
    ]
    jobs = lay(made, Configuration()).jobs
    assert len(jobs) == 2 * 2 * 2 + 1
    assert {job.entry.budget for job in jobs} == {Budget(tokens_out=50), Budget(calls=3), Budget()}


def test_a_pool_names_its_scorers_by_its_methods() -> None:
    pool = {"samples": 4, "select": ["majority", "best_of(scorer=prm())", "weighted(scorer=prm())"]}
    jobs = lay(grid(pool=[pool]), Configuration()).jobs
    assert [(job.entry.kind, job.entry.spec) for job in jobs[2:]] == [
        ("pool", "answer()"),
        ("scores", "prm()"),
    ]


def test_a_task_brings_its_prompt(tmp_path: Path) -> None:
    """A process that is named stands; one that is left open gets the preset of the task."""
    task = own_task(tmp_path, preset="word_problems")
    jobs = laid(
        tasks=[task],
        strategies=[
            "best_of(n=2)",
            "vote(greedy())",
            "best_of(n=2, process=answer(max_tokens=80))",
        ],
        pool=[{"samples": 2}],
    ).jobs
    assert [job.entry.spec for job in jobs] == [
        'best_of(n=2, scorer=majority(), process=answer(preset="word_problems"))',
        'vote(greedy(process=answer(preset="word_problems")))',
        "best_of(n=2, scorer=majority(), process=answer(max_tokens=80))",
        'answer(preset="word_problems")',
    ]


def own_task(folder: Path, preset: str = "", broken: bool = False) -> str:
    """A task file with its data, the third row of which may lack its answer."""
    rows = [{"id": str(i), "question": f"{i} + {i}?", "answer": str(2 * i)} for i in range(4)]
    if broken:
        rows[2].pop("answer")
    with gzip.open(folder / "rows.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mine.toml").write_text(
        f'name = "mine"\nkind = "number"\npreset = "{preset}"\n[data]\nfile = "rows.jsonl.gz"\n'
        '[fields]\nid = "id"\nquestion = "question"\nanswer = "answer"\n',
        "utf-8",
    )
    return str(folder / "mine.toml")


def test_models_of_roles_are_one_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    roles = ["--model", f"policy={SIM}", "--model", "judge=fake"]
    given = ["--task", WORLD, *roles, "--strategy", "best_of(n=2, scorer=judge())", "--plan"]
    assert main(["bench", "run", *given, "--json", "--out", str(tmp_path / "out")]) == 0
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert cell["model"] == SIM
    assert cell["calls"] == 4 * (2 + 2)


STRATEGIES = ["greedy", *(f"best_of(n={n})" for n in range(1, 6)), "best_off(n=2)"]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"strategies": STRATEGIES}, r"row 7 of strategies, 'best_off\(n=2\)': .*did you mean best_of"),
    ({"strategies": ["best_of(n=0)"]}, "row 1 of strategies.*lies between 1"),
    ({"strategies": ["prm()"]}, "row 1 of strategies.*a strategy is wanted"),
    ({"strategies": ["best_of(n={m})"]}, "row 1 of strategies.*varies m, but no values"),
    ({"strategies": ["greedy", "greedy()"]}, "asked for twice .row 1 of strategies and row 2"),
    ({"strategies": []}, "strategies is empty"),
    (
        {"strategies": [{"spec": "best_of(n={n})", "n": [1, 2], "w": [1]}]},
        "n has 2, w has 1 values",
    ),
    ({"tasks": ["world:mediun"]}, "did you mean '?medium"),
    ({"tasks": ["no_such_task"]}, "no task 'no_such_task'"),
    ({"tasks": [WORLD, WORLD]}, "names .* twice"),
    ({"tasks": []}, "tasks is empty"),
    ({"models": []}, "models is empty"),
    ({"models": {"a": {"polisy": SIM}}}, "no role 'polisy'; did you mean policy"),
    ({"budgets": [{"token_out": 5}]}, "no setting 'token_out'; did you mean tokens_out"),
    ({"budgets": [{"tokens_out": 0}]}, "buys nothing"),
    ({"budgets": [{"seconds": 3}]}, "cannot be counted apart"),
    ({"seeds": [0, 0]}, "each once"),
    ({"seeds": ["a"]}, "a seed is a whole number"),
    ({"n": [2, 2]}, "each once"),
    ({"n": [True]}, "neither a number nor text"),
    ({"limit": 0}, "at least 1"),
    ({"strategy": ["greedy"]}, "no setting 'strategy'; did you mean strategies"),
    ({"pool": [{"samples": 4, "select": ["best_of"]}]}, "best_of reads a scorer"),
    ({"pool": [{"samples": 4, "select": ["majorty"]}]}, "did you mean majority"),
    ({"pool": [{"samples": 4, "select": ["best_of(scorer=prn())"]}]}, "did you mean prm"),
    ({"pool": [{"samples": 0}]}, "samples must be a whole number"),
    ({"pool": [{"samples": 4, "process": "best_of()"}]}, "a process is wanted"),
    ({"pool": [{"samples": 4, "limit": 2}]}, "two limits, None and 2"),
]


@pytest.mark.parametrize(("changes", "told"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_a_grid_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        laid(**changes)


def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(["bench", "run", *arguments, "--out", str(tmp_path / "out")])
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--task", WORLD, "--model", SIM), "asks for nothing"),
        ((), "no grid was given"),
        (("--task", WORLD, "--model", "simm", "--strategy", "greedy"), "no model 'simm'"),
        (("--task", WORLD, "--model", SIM, "--strategy", "greedy", "--budget-usd", "1"), ""),
        (
            (
                "--task",
                WORLD,
                "--model",
                "pool:smollm2-wordproblems",
                "--strategy",
                "best_of(scorer=prm())",
            ),
            "row 1 of strategies, .*prm.. cannot be used here",
        ),
        (
            (
                "--task",
                "pool:smollm2-wordproblems",
                "--model",
                "pool:smollm2-wordproblems",
                "--samples",
                "64",
            ),
            "asks for 64 samples a question, but .* has recorded 32",
        ),
        (
            ("--task", WORLD, "--model", SIM, "--strategy", "best_of(n={n})", "--n", "1,x"),
            "not 'x'",
        ),
        (
            ("--task", WORLD, "--model", POOL, "--strategy", "best_of(scorer=medoid())"),
            "row 1 of strategies, .*medoid.*no engine serves Embed",
        ),
    ],
)
def test_the_command_refuses_before_it_spends(
    arguments: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    status, errors = run(tmp_path, capsys, *arguments)
    if not told:
        assert status == 0
        return
    assert status == 1
    assert re.search(told, errors), errors
    assert not (tmp_path / "out").exists()


def test_a_broken_row_of_the_data_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = own_task(tmp_path, broken=True)
    status, errors = run(
        tmp_path, capsys, "--task", task, "--model", "fake", "--strategy", "greedy"
    )
    assert status == 1
    assert "line 3" in errors, errors
    assert not (tmp_path / "out").exists()
