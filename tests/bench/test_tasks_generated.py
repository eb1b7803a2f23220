from __future__ import annotations

import hashlib
import json
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogitate.assembly import solve
from cogitate.bench.tasks import ABSTAINED, Item, Verdict, find, made_tasks, without_task
from cogitate.bench.tasks.gym import GymScorer
from cogitate.bench.tasks.hub import from_hub
from cogitate.core.candidates import Artifact
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.engines.grading import Grader
from cogitate.lab import open_pool, with_questions, word_problems, write_pool
from cogitate.lab.worlds import chains, preset
from cogitate.testing import FakeEngine


@pytest.mark.parametrize(
    "spec",
    [
        "word_problems(problems=30, difficulty=3)",
        "word_problems",
        "arithmetic_chains(length=6, seed=3)",
        "countdown(problems=10, numbers=3)",
        "world:hard(problems=50)",
        "world:ladder(difficulty=1.5)",
        "world:tree(depth=3)",
        "world:bandit(arms=4)",
        "world:pairs",
        "pool:smollm2-wordproblems",
    ],
)
def test_a_generated_task_reads_back_and_is_the_same_again(spec: str) -> None:
    made = find(spec)
    assert made.check() == made.rows
    again = find(made.name)
    assert (again.name, again.checksum, again.card()) == (made.name, made.checksum, made.card())
    items = list(made.questions())
    assert items == list(again.questions())
    assert len({item.id for item in items}) == made.rows
    assert [item.id for item in made.questions(3)] == [item.id for item in items[:3]]
    assert made.licence
    assert made.source


def test_names_are_written_one_way() -> None:
    assert find("world:hard( problems = 200 )").name == "world:hard"
    assert find("world:hard(seed=1)").checksum != find("world:hard").checksum


def test_the_problems_are_those_of_the_lab() -> None:
    world = preset("hard", difficulty=(1.0, 1.0))
    wanted = [(c.question, c.gold) for c in chains(world, 20, 4)]
    made = find("world:hard(problems=20, difficulty=1, seed=4)")
    assert [(item.task.question, item.gold) for item in made.questions()] == wanted
    problems = word_problems(20, difficulty=2)
    made = find("word_problems(problems=20)")
    assert [item.task.question for item in made.questions()] == [p.question for p in problems]


def test_a_world_answers_its_own_problems() -> None:
    asked = next(find("world:easy(problems=1)").questions())
    result = solve(asked.task, model='sim:chain(preset="easy")', strategy="self_consistency(n=16)")
    assert result.answer == asked.gold


def test_a_large_world_is_not_held() -> None:
    made = find("world:medium(problems=1000000)")
    assert made.rows == 1_000_000
    assert len(list(made.questions(5))) == 5


def test_a_countdown_is_checked_and_not_compared() -> None:
    made = find("countdown(problems=1, numbers=3)")
    asked = next(made.questions())
    from cogitate.core.seeds import Seed
    from cogitate.lab import countdown_problem

    known = countdown_problem(Seed(0).at(0), 3).known
    answers = [Artifact(text, text, "text") for text in (known, "1 + 1 + 1 + 1")]
    found = run(made.grade(asked, answers), FakeEngine()).value
    assert [verdict.correct for verdict in found] == [True, False]


def test_a_pool_without_texts_cannot_be_asked(tmp_path: Path) -> None:
    pool = open_pool("smollm2-wordproblems")
    bare = replace(pool, questions=tuple(replace(q, text="") for q in pool.questions[:3]))
    write_pool(tmp_path / "bare.jsonl.gz", bare)
    with pytest.raises(InvalidInput, match="holds no texts of questions"):
        find(f"pool:{tmp_path / 'bare.jsonl.gz'}")
    write_pool(tmp_path / "some.jsonl.gz", with_questions(bare, {bare.questions[1].id: "How?"}))
    made = find(f"pool:{tmp_path / 'some.jsonl.gz'}")
    assert [item.id for item in made.questions()] == [str(bare.questions[1].id)]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("world:har", "no task world:har; did you mean hard"),
        ("world:hard(problms=3)", "hard has no argument 'problms'; did you mean problems"),
        ("world:hard(problems=0)", "0 problems were asked for"),
        ("world:hard(problems='x')", "problems of hard must be a whole number"),
        ("word_problems(difficulty=9)", "difficulty of 9 was asked for"),
        ("countdown(numbers=1)", "1 numbers were asked for"),
        ("world:hard(__import__('os'))", "of the spec"),
        ("pool:", "pool: names no recording"),
        ("pool:none", "the pool 'none' was asked for"),
        ("hf:name", "hf:name names no repository"),
        ('hf:a/b(file="x.jsonl", revision="main")', "give the 40 digits of a commit"),
    ],
)
def test_what_cannot_be_made_is_said(spec: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        find(spec)


def test_too_many_different_problems_are_refused() -> None:
    with pytest.raises(InvalidInput, match="different problems were asked for; only"):
        find("countdown(problems=100000, numbers=2, largest=3)").check()


def test_every_way_of_making_tasks_is_listed() -> None:
    specs = [made.spec for made in made_tasks()]
    assert [s.partition("(")[0] for s in specs][:4] == [
        "word_problems", "arithmetic_chains", "countdown", "world:PRESET"]  # fmt: skip
    assert all(one.why and one.licence for one in without_task())


# --------------------------------------------------------------------------------------- gym


@pytest.fixture(scope="module")
def gym() -> None:
    pytest.importorskip("reasoning_gym")


def said(text: str) -> Artifact:
    return Artifact(text, text, "text")


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.usefixtures("gym")
@pytest.mark.slow  # the package takes seconds to import
def test_a_data_set_of_reasoning_gym_is_graded_by_its_own_scorer() -> None:
    made = find("gym:letter_counting(size=4, seed=1)")
    assert (made.name, made.rows) == ("gym:letter_counting(size=4, seed=1)", 4)
    assert made.check() == 4
    asked = list(made.questions())[2]
    assert asked.gold is not None
    answers = [
        said(f"Let me count.\nAnswer: {asked.gold}"),
        said("Answer: 999"),
        Artifact("", None),
    ]
    found = run(made.grade(asked, answers), FakeEngine()).value
    assert found == (Verdict(True, 1.0), Verdict(False, 0.0), ABSTAINED)


class Naive:
    """A data set whose scorer must not see some answers, and stumbles over others."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __getitem__(self, number: int) -> dict[str, str]:
        return {"question": "?", "answer": "4"}

    def score_answer(self, answer: str, entry: dict[str, str]) -> float:
        self.seen.append(answer)
        return 2.0 if float(answer) == 4 else 0.25


def test_hostile_answers_do_not_reach_a_scorer() -> None:
    data = Naive()
    asked = Item("0", Task.of("?"))
    hostile = ["1e999999999", "9" * 100_000, "9**9**9**9"]
    answers = [said(text) for text in (*hostile, "four", "4", "5")]
    found = run(GymScorer(data)(asked, answers), FakeEngine()).value
    wrong = Verdict(False)
    assert found == (wrong, wrong, wrong, wrong, Verdict(True, 1.0), Verdict(False, 0.25))
    assert data.seen == ["four", "4", "5"]


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.usefixtures("gym")
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["countdown", "n_queens", "propositional_logic", "polynomial_equations"]
)
def test_a_scorer_that_runs_what_a_model_wrote_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"gym:{name} cannot be graded safely"):
        find(f"gym:{name}")


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.usefixtures("gym")
@pytest.mark.slow
def test_most_data_sets_are_safe() -> None:
    from reasoning_gym.factory import DATASETS

    from cogitate.bench.tasks.gym import unsafe

    safe = [name for name, (made, _) in DATASETS.items() if not unsafe(made)]
    assert len(safe) > 60
    assert "sudoku" in safe


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.usefixtures("gym")
@pytest.mark.slow
def test_a_wrong_name_or_size_is_said() -> None:
    with pytest.raises(InvalidInput, match="no data set 'sudku'; did you mean sudoku"):
        find("gym:sudku")
    with pytest.raises(InvalidInput, match="size=0 was asked for"):
        find("gym:sudoku(size=0)")


# --------------------------------------------------------------------------------------- hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A hub's folder on this machine, as its own program lays it out."""
    pytest.importorskip("huggingface_hub")
    repository = tmp_path / "hub" / "datasets--owner--name"
    held = repository / "snapshots" / COMMIT / "data"
    held.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    rows = [{"q": "1 + 1?", "a": "#### 2"}, {"q": "2 + 2?", "a": "#### 4"}]
    (held / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "hub"


def spec(**known: str) -> str:
    given = {"file": "data/test.jsonl", "revision": COMMIT, "question": "q", "answer": "a",
             "after": "####", "answers": "number"} | known  # fmt: skip
    return f"owner/name({', '.join(f'{k}={json.dumps(v)}' for k, v in given.items())})"


def test_a_file_of_a_hub_is_a_task(hub: Path) -> None:
    made = from_hub(spec(), cache=hub, offline=True)
    assert [(i.task.question, i.gold) for i in made.questions()] == [
        ("1 + 1?", "2"),
        ("2 + 2?", "4"),
    ]
    assert (made.rows, made.kind) == (2, "number")
    assert made.source == f"hub:owner/name @ {COMMIT[:12]}, data/test.jsonl"
    assert "Pin the file" in made.note
    file = hub / "datasets--owner--name" / "snapshots" / COMMIT / "data" / "test.jsonl"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert made.checksum == digest
    assert from_hub(spec(sha256=digest), cache=hub, offline=True).note == ""
    flow = made.grade(next(made.questions()), [Artifact("2", "2", "number")])
    assert run(flow, Grader(symbolic=False)).value == (Verdict(True, 1.0),)


def test_another_file_than_the_pinned_one_is_refused(hub: Path) -> None:
    with pytest.raises(InvalidInput, match="was expected with the SHA-256 0000"):
        from_hub(spec(sha256="0" * 64), cache=hub, offline=True)
    assert from_hub(spec(sha256="0" * 64), cache=hub, offline=True, any_version=True).rows == 2


def test_a_file_that_is_not_there_is_said_without_addresses(hub: Path) -> None:
    with pytest.raises(
        Failed, match=r"other\.jsonl could not be fetched from owner/name"
    ) as failed:
        from_hub(spec(file="data/other.jsonl"), cache=hub, offline=True)
    assert "://" not in failed.value.reason
    with pytest.raises(InvalidInput, match="there is no kind 'numbr'"):
        from_hub(spec(answers="numbr"), cache=hub, offline=True)


def test_the_hub_is_asked_for_one_file_at_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def download(**known: Any) -> str:
        asked.append(known)
        if known["filename"] == "away.jsonl":
            raise OSError("404 for https://hub.example/owner/name?token=secret\nmore")
        (tmp_path / "q.jsonl").write_text('{"q": "?", "a": "#### 3"}\n')
        return str(tmp_path / "q.jsonl")

    package = types.ModuleType("huggingface_hub")
    monkeypatch.setattr(package, "hf_hub_download", download, raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", package)
    made = find("hf:" + spec())
    assert (made.rows, made.name) == (1, f"hf:{spec_as_printed()}")
    assert asked[0] == {
        "repo_id": "owner/name",
        "filename": "data/test.jsonl",
        "repo_type": "dataset",
        "revision": COMMIT,
        "cache_dir": None,
        "local_files_only": False,
    }
    assert find(made.name).name == made.name
    with pytest.raises(Failed, match=r"404 for \(address\)$") as failed:
        find("hf:" + spec(file="away.jsonl"))
    assert "secret" not in failed.value.reason
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InvalidInput, match=r"install cogitate\[data\]"):
        find("hf:" + spec())


def spec_as_printed() -> str:
    return f'owner/name("data/test.jsonl", "{COMMIT}", answers="number", question="q", answer="a", after="####")'
