from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cogitate.processes as room
from cogitate.core.task import KINDS, Attachment, Message, Task
from cogitate.processes import WORD_PROBLEMS, instruction_for, prompt_files, prompt_of, split_steps
from cogitate.processes._files import fill


def shown(task, *args, **known):
    return [(m.role, m.content) for m in prompt_of(task, *args, **known).messages]


def test_every_kind_has_its_own_instructions():
    told = {
        instruction_for(Task.of("?", kind=kind), style)
        for kind in KINDS
        for style in ("answer", "steps")
    }
    assert len(told) == 2 * len(KINDS)
    assert all(told)
    assert not any("$" in text for text in told)


def test_what_the_task_knows_is_told():
    assert "A, B" in instruction_for(Task.of("?", kind="choice", options=("A", "B")), "answer")
    schema = '{"$ref": "${x}"}'
    assert schema in instruction_for(Task.of("?", kind="json", schema=schema), "steps")
    checks = instruction_for(
        Task.of("?", kind="code", checks=("assert f(1)", "assert f(2)")), "answer"
    )
    assert "assert f(1)\nassert f(2)" in checks


def test_the_conversation_keeps_its_turns():
    turns = (
        Message("system", "Be kind."),
        Message("user", "Hi", (Attachment("image/png", "abc"),)),
        Message("assistant", "Hello"),
        Message("user", "And now?"),
    )
    task = Task(turns, "text", context="Long $material")
    prompt = prompt_of(task, instruction="Do it.", examples=(("q", "a"),))
    assert [m.role for m in prompt.messages] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    system, _, _, first, _, last = prompt.messages
    assert system.content == "Do it.\n\nBe kind."
    assert "Long $material" in first.content
    assert first.content.endswith("Hi")
    assert first.attachments == turns[1].attachments
    assert last == turns[3]
    assert prompt.prefill == ""


def test_an_instruction_can_be_left_out():
    assert shown(Task.of("Q"), instruction="") == [("user", "Q")]
    task = Task((Message("system", "S"), Message("user", "Q")))
    assert shown(task, instruction="") == [("system", "S"), ("user", "Q")]
    assert shown(Task.of("Q"), instruction="costs $5")[0] == ("system", "costs $5")


def test_context_without_a_question_of_the_users():
    task = Task((Message("system", "S"),), context="C")
    assert shown(task, instruction="") == [("system", "S"), ("user", "C")]


def test_questions_on_one_context_share_their_prefix():
    one, other = (prompt_of(Task.of(q, context="C" * 99)).messages for q in ("first?", "second?"))
    assert one[-1].content.split("first?")[0] == other[-1].content.split("second?")[0]


def test_the_preset_of_the_recorded_pools():
    known = shown(
        Task.of("Q", kind="number"), "answer", WORD_PROBLEMS.instruction, WORD_PROBLEMS.examples
    )
    assert known[0][1] == (
        "You solve arithmetic word problems. Write the calculation, then the final line: #### <number>"
    )
    assert [content for role, content in known if role == "assistant"] == [
        "5 + 3 = 8\n#### 8",
        "4 * 6 = 24\n24 - 5 = 19\n#### 19",
    ]
    assert known[-1] == ("user", "Q")


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", ()),
        ("\n\n", ("\n\n",)),
        ("a", ("a",)),
        ("a\n\nb\n\n", ("a\n\n", "b\n\n")),
        ("a\n\n\n\n\nb", ("a\n\n\n\n", "\nb")),
        ("\n\na;b", ("\n\n", "a;", "b")),
    ],
)
def test_splitting_keeps_every_character(text, steps):
    found = split_steps(text, ("\n\n", ";"))
    assert found == steps
    assert "".join(found) == text


def test_the_run_card_lists_every_file():
    folder = Path(room.__file__).parent
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("prompts/**/*.txt")
    }
    listed = prompt_files()
    assert {name: digest for name, digest in listed.items() if name.startswith("prompts/")} == files
    assert len(files) > 15
    assert {"presets/word_problems", "presets/word_problem_steps"} < set(listed)
    assert list(listed) == sorted(listed)


def test_every_file_is_used():
    folder = Path(room.__file__).parent
    names = {
        path.relative_to(folder / "prompts").with_suffix("").as_posix()
        for path in folder.glob("prompts/**/*.txt")
    }
    code = "".join(path.read_text() for path in folder.glob("*.py"))
    kinds = {f"{style}/{kind}" for style in ("answer", "steps") for kind in KINDS}
    extra = {
        f"{style}/{kind}"
        for style in ("answer", "steps")
        for kind in ("json_schema", "code_checks")
    }
    assert all(re.search(rf'fill\(\s*"{name}"', code) for name in names - kinds - extra)
    assert names >= kinds | extra


def test_placeholders_that_are_missing_are_an_error():
    with pytest.raises(KeyError):
        fill("revise")


def test_importing_reads_no_prompt():
    code = (
        "import cogitate.processes; from cogitate.core import templates; "
        "print(templates.template.cache_info().currsize, templates.digests.cache_info().currsize)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert said.split() == ["0", "0"]
