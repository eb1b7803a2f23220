from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from cogitate.assembly import load
from cogitate.bench.tasks import Item, Verdict, find, names, read
from cogitate.bench.tasks.files import sha256_of
from cogitate.bench.tasks.registry import definitions
from cogitate.core.candidates import Artifact
from cogitate.core.errors import InvalidInput
from cogitate.core.flow import gather
from cogitate.drive import run
from cogitate.engines.grading import Grader

DATA = os.environ.get("COGITATE_DATA", "")
needs_data = pytest.mark.skipif(not DATA, reason="COGITATE_DATA names no folder of data")

HEAD = 'name = "mine"\nkind = "number"\n'
ROWS = [{"question": "1 + 1?", "answer": "2"}, {"question": "2 + 2?", "answer": "so\n#### 4"}]


def task_file(folder: Path, text: str, rows: Any = ROWS, data: str = "q.jsonl") -> Path:
    body = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / data).write_text(body)
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_task_of_ones_own(tmp_path: Path) -> None:
    text = HEAD + 'licence = "CC0"\n[data]\nfile = "q.jsonl"\n[fields]\nafter = "####"\n'
    made = find(str(task_file(tmp_path, text)))
    assert (made.name, made.rows, made.licence, made.kind) == ("mine", 2, "CC0", "number")
    assert made.checksum == sha256_of(tmp_path / "q.jsonl")
    assert [(item.id, item.task.question, item.gold) for item in made.questions()] == [
        ("0", "1 + 1?", "2"),
        ("1", "2 + 2?", "4"),
    ]
    assert [item.id for item in made.questions(1)] == ["0"]
    assert {item.task.kind for item in made.questions()} == {"number"}
    assert json.loads(json.dumps(made.card()))["rows"] == 2
    assert "CC0" in made.describe()
    with pytest.raises(InvalidInput, match="at least 1"):
        made.questions(0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = mine\n", r"mine.toml: is not TOML: .*line 1"),
        (HEAD, "mine.toml: data.file is missing"),
        ('kind = "number"', "mine.toml: the field name is missing"),
        (HEAD + '[data]\nfle = "q"', r"mine.toml, line 4: data.fle: there is no such field; did you mean file"),
        (HEAD + '[data]\nfile = "q.jsonl"\n[feilds]\nid = "x"', r"mine.toml, line 5: feilds: there is no such field; did you mean fields"),
        ('name = "m"\nkind = "nmber"\n[data]\nfile = "q.jsonl"', r"line 2: kind: there is no kind 'nmber'; did you mean number"),
        (HEAD + 'grader = "vibes"\n[data]\nfile = "q.jsonl"', "line 3: grader: there is no grader 'vibes'"),
        (HEAD + 'preset = "words"\n[data]\nfile = "q.jsonl"', "line 3: preset: there is no preset 'words'"),
        (HEAD + '[data]\nfile = "q.jsonl"\nrows = "many"', "line 5: data.rows: a whole number was expected, not 'many'"),
        (HEAD + '[data]\nfile = "q.jsonl"\nrows = true', "line 5: data.rows: a whole number was expected"),
        (HEAD + '[data]\nfile = "q.jsonl"\nsha256 = "abc"', "line 5: data.sha256: 64 hexadecimal digits"),
        (HEAD + '[data]\nfile = "q.jsonl"\nskip = [1]', "line 5: data.skip: a list of texts"),
        (HEAD + '[data]\nfile = "q.jsonl"\nformat = "xml"', "line 5: data.format: there is no format 'xml'"),
        (HEAD + 'fields = 3\n[data]\nfile = "q.jsonl"', "line 3: fields: a table was expected"),
        (HEAD + '[data]\nfile = "q.jsonl"\n[fields]\nlabels = ["yes"]', "fields.options: only a choice has options"),
        (HEAD.replace("number", "choice") + '[data]\nfile = "q.jsonl"', "fields.options is missing: a choice needs"),
        (HEAD + 'grader = "tests"\n[data]\nfile = "q.jsonl"', "fields.tests is missing"),
        (HEAD + 'grader = "expression"\n[data]\nfile = "q.jsonl"', "fields.numbers and fields.target"),
        (HEAD.replace("mine", "no name") + '[data]\nfile = "q.jsonl"', "line 1: name: letters, digits"),
        (HEAD + '[data]\nfile = "none.jsonl"', "needs none.jsonl, which is not in"),
        (HEAD + '[data]\nfile = "q.jsonl"\n[fields]\nquestion = "asked"', "q.jsonl, line 1: asked: is missing"),
        (HEAD + 'prompt = "$question $other"\n[data]\nfile = "q.jsonl"', "line 1: the prompt of the task mine cannot be filled: 'other'"),
        (HEAD + '[data]\nfile = "q.jsonl"\n[data.where]\nanswer = "7"', "the file holds none"),
    ],
)  # fmt: skip
def test_a_malformed_task_file_is_named_with_line_and_field(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        read(task_file(tmp_path, text))


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"question": "q"}, "q.jsonl, line 2: answer: there is no answer"),
        ({"question": "q", "answer": None}, "line 2: answer: there is no answer"),
        ({"question": "q", "answer": " "}, "line 2: answer: there is no answer"),
        ({"question": "q", "answer": []}, "line 2: answer: there is no answer"),
        ({"question": "q", "answer": "many"}, "line 2: answer: 'many' cannot be read as a number"),
        ({"question": " ", "answer": "1"}, "line 2: question: is empty"),
        ({"question": ["q"], "answer": "1"}, "line 2: question: must be text or a number"),
        ({"answer": "1"}, "line 2: question: is missing"),
        ({"question": "\ud800", "answer": "1"}, "line 2: question: holds half of a character"),
        ({"question": "q", "answer": "1", "id": "a"}, "line 2: id: the id 'a' is there twice"),
        ({"question": "q", "answer": "1", "id": ""}, "line 2: id: is empty"),
    ],
)
def test_a_malformed_row_is_named_before_anything_is_spent(
    tmp_path: Path, second: dict[str, Any], said: str
) -> None:
    rows = [{"question": "1 + 1?", "answer": "2", "id": "a"}, {"id": "b"} | second]
    text = HEAD + '[data]\nfile = "q.jsonl"\n[fields]\nid = "id"\n'
    with pytest.raises(InvalidInput, match=said):
        read(task_file(tmp_path, text, rows))


def choices(folder: Path, fields: str, row: dict[str, Any]) -> Any:
    text = f'name = "c"\nkind = "choice"\n[data]\nfile = "q.jsonl"\n[fields]\n{fields}'
    return next(read(task_file(folder, text, [{"question": "Which?"} | row])).questions())


@pytest.mark.parametrize(
    ("fields", "row", "gold"),
    [
        ('options = ["A", "B"]', {"A": "ice", "B": "fire", "answer": "B"}, "B"),
        ('options = "o"', {"o": {"A": "ice", "B": "fire"}, "answer": "(b)"}, "B"),
        ('options = "o"', {"o": ["ice", "fire"], "answer": 1}, "B"),
        ('options = "o"', {"o": '["ice", "fire"]', "answer": "fire"}, "B"),
        ('options = "o"', {"o": ["ice", "fire"], "answer": "B) fire"}, "B"),
    ],
)
def test_options_are_shown_and_their_labels_asked_for(
    tmp_path: Path, fields: str, row: dict[str, Any], gold: str
) -> None:
    item = choices(tmp_path, fields, row)
    assert item.task.question == "Which?\n\nA. ice\nB. fire"
    assert (item.task.options, item.gold) == (("A", "B"), gold)


def test_labels_without_texts(tmp_path: Path) -> None:
    item = choices(tmp_path, 'labels = ["yes", "no"]', {"answer": "No"})
    assert (item.task.question, item.task.options, item.gold) == ("Which?", ("yes", "no"), "no")
    row = {"question": "Which?\n(A) ice\n(B) fire", "answer": "(B) fire"}
    item = choices(tmp_path, "options_in_question = true", row)
    assert (item.task.options, item.gold) == (("A", "B"), "B")


@pytest.mark.parametrize(
    ("fields", "row", "said"),
    [
        ('options = "o"', {"o": ["ice", "fire"], "answer": "C"}, "'C' is none of the options A, B"),
        ('options = "o"', {"o": ["ice", "fire"], "answer": 2}, "'2' is none of the options"),
        (
            'options = "o"',
            {"o": ["ice", " "], "answer": "A"},
            "o: at least two options that are not",
        ),
        ('options = "o"', {"o": 3, "answer": "A"}, "o: options by label"),
        ("options_in_question = true", {"answer": "A"}, r"question: options such as \(A\)"),
    ],
)
def test_options_that_do_not_fit_are_named(
    tmp_path: Path, fields: str, row: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        choices(tmp_path, fields, row)


def test_material_several_references_and_what_is_kept(tmp_path: Path) -> None:
    text = 'name = "t"\nkind = "text"\n[data]\nfile = "q.jsonl"\n[fields]\ncontext = "c"\nkeep = ["level"]\n'
    paragraphs = {"title": ["Oak", "Elm"], "sentences": [["A tree.", " Tall."], ["Another."]]}
    for material, shown in (
        ("plain", "plain"),
        (["one", "two"], "one\n\ntwo"),
        (paragraphs, "Oak: A tree. Tall.\n\nElm: Another."),
    ):
        rows = [{"question": "q", "answer": ["a", "b"], "c": material, "level": 3}]
        item = next(read(task_file(tmp_path, text, rows)).questions())
        assert item.task.context == shown
        assert item.gold == "a"
        assert item.meta == {"level": 3, "also_right": ["b"]}
    with pytest.raises(InvalidInput, match="line 1: c: a text, a list of texts"):
        read(task_file(tmp_path, text, [{"question": "q", "answer": "a", "c": 3}]))


def test_rows_are_chosen(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "answer": i, "kind": ["even", "odd"][i % 2]} for i in range(8)]
    text = (
        HEAD
        + '[data]\nfile = "q.jsonl"\nstart = 1\nstop = 7\nskip = ["line 5"]\n[data.where]\nkind = "even"\n'
    )
    made = read(task_file(tmp_path, text, rows))
    assert [item.gold for item in made.questions()] == ["2", "6"]
    (tmp_path / "ids.json").write_text('{"3": "", "4": ""}')
    text = HEAD + '[data]\nfile = "q.jsonl"\nids = "ids.json"\n[fields]\nid = "answer"'
    assert [i.id for i in read(task_file(tmp_path, text, rows)).questions()] == ["3", "4"]


def test_changed_data_are_refused_unless_they_are_wanted(tmp_path: Path) -> None:
    path = task_file(tmp_path, "")
    right = sha256_of(tmp_path / "q.jsonl")
    path.write_text(
        HEAD + f'[data]\nfile = "q.jsonl"\nsha256 = "{right}"\nrows = 2\n[fields]\nafter = "####"\n'
    )
    assert read(path).rows == 2
    with (tmp_path / "q.jsonl").open("a") as more:
        more.write('{"question": "3?", "answer": "3"}\n')
    now = sha256_of(tmp_path / "q.jsonl")
    with pytest.raises(
        InvalidInput, match=rf"q.jsonl was expected with .*{right}.*{now}.*--any-version"
    ):
        read(path)
    made = read(path, any_version=True)
    assert (made.rows, made.check(), made.checksum) == (3, 3, now)
    assert "another version" in made.note


def test_a_wrong_number_of_rows_is_found(tmp_path: Path) -> None:
    text = HEAD + '[data]\nfile = "q.jsonl"\nrows = 5\n[fields]\nafter = "####"\n'
    with pytest.raises(InvalidInput, match="was to have 5 questions; the data hold 2"):
        read(task_file(tmp_path, text)).check()


def test_memory_is_flat_in_questions(tmp_path: Path) -> None:
    line = json.dumps({"question": "q" * 2_000, "answer": "1"}) + "\n"
    with gzip.open(tmp_path / "q.jsonl.gz", "wt") as packed:
        for _ in range(3_000):
            packed.write(line)
    (tmp_path / "mine.toml").write_text(HEAD + '[data]\nfile = "q.jsonl"\n')
    tracemalloc.start()
    try:
        assert read(tmp_path / "mine.toml").check() == 3_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000  # the rows are 6 MB
    finally:
        tracemalloc.stop()


def test_every_packaged_definition_says_where_it_comes_from() -> None:
    assert len(names()) >= 20
    for made in definitions().values():
        assert made.licence, made.name
        assert made.source, made.name
        assert made.data.sha256, made.name
        assert made.data.rows, made.name
        assert made.title, made.name
        assert made.base is None


def test_missing_data_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COGITATE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InvalidInput, match=r"gsm8k needs its data: put gsm8k/test.jsonl.gz .*COGITATE_DATA"
    ):
        find("gsm8k")
    with pytest.raises(InvalidInput, match=r"not in .*; get it from openai/grade-school-math"):
        find("gsm8k", directory=tmp_path)
    monkeypatch.setenv("COGITATE_DATA", str(tmp_path))
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text('{"question": "q", "answer": "#### 1"}\n')
    with pytest.raises(InvalidInput, match="have changed"):
        find("gsm8k")
    assert find("gsm8k", any_version=True).rows == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gsm", "no task 'gsm'; did you mean gsm8k"),
        ("wrld:hard", "no task wrld:…; did you mean world"),
        ("none.toml", "none.toml was asked for, but there is no such file"),
    ],
)
def test_an_unknown_task_is_said(name: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        find(name)


@needs_data
@pytest.mark.parametrize("name", names())
def test_the_data_are_as_the_definition_says(name: str) -> None:
    made = find(name)
    assert made.check() == made.rows == definitions()[name].data.rows


def test_the_page_of_tasks_is_current() -> None:
    maker = Path(__file__).parents[2] / "docs" / "make_tasks.py"
    done = subprocess.run(
        [sys.executable, str(maker), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_folder_of_data_is_configured(tmp_path: Path) -> None:
    file = tmp_path / "cogitate.toml"
    file.write_text('data = "here"\n')
    assert load(environment={}, directory=tmp_path).data_directory == Path("here")
    there = load(environment={"COGITATE_DATA": "there"}, directory=tmp_path)
    assert there.data_directory == Path("there")
    assert ("data", "there", "environment COGITATE_DATA") in there.rows()
    assert load(environment={}, directory=tmp_path / "none").data_directory is None


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [name for name, made in definitions().items() if made.grader in ("answer", "exact_match_f1")],
)
def test_every_reference_is_right_by_its_own_grader(name: str) -> None:
    """Without the symbolic engine, but for the first 600 questions of each; a second or two in all."""
    made = find(name)

    async def one(item: Item) -> tuple[Verdict, ...]:
        return await made.grade(item, [Artifact("", item.gold, item.task.kind)])

    async def all_of_them() -> list[tuple[Verdict, ...]]:
        return await gather(*(one(item) for item in made.questions(600)))

    assert {verdict.correct for (verdict,) in run(all_of_them(), Grader(symbolic=False)).value} == {
        True
    }
