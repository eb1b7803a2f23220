"""What a revision and a child are shown, and what they keep."""

from __future__ import annotations

import json

import pytest
from test_processes import NUMBER, PROCESSES, TASKS, drive, run_through

from cogitate.core.candidates import Critique
from cogitate.core.codec import encode
from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.core.task import Message, Task
from cogitate.processes import Answer, Boundaries, Reasoning, restore
from cogitate.testing import FakeEngine, Scripted, Simulated, simulated_tasks

LOOK = Critique("")


def said(request):
    return [(message.role, message.content) for message in request.prompt.messages]


def finished(process, state, engine):
    while not process.done(state):
        state = drive(process.step(state, Seed(5)), engine)
    return state


def revised(process, state, engine, critique=LOOK, seed=1):
    return finished(process, drive(process.revise(state, critique, Seed(seed)), engine), engine)


@pytest.mark.parametrize("process", [Answer(), Reasoning()], ids=lambda p: type(p).__name__)
def test_without_a_critique_it_is_told_to_look_again(process):
    engine = Scripted(["#### 5", "#### 4"])
    state = run_through(process, NUMBER, engine)[-1]
    better = revised(process, state, engine)
    turns = said(engine.requests[1])
    assert [role for role, _ in turns] == ["system", "user", "assistant", "user"]
    assert turns[2][1] == "#### 5"
    assert "wrong" not in turns[3][1]
    assert "Check your answer" in turns[3][1]
    assert turns[0] == said(engine.requests[0])[0], "the instructions of the form stay"
    assert drive(process.render(better), engine).answer == "4"
    assert drive(process.render(state), engine).answer == "5"


@pytest.mark.parametrize("process", [Answer(), Reasoning()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("context", [1, 2, 3, 9])
def test_a_chain_shows_exactly_the_last_attempts(process, context):
    engine = Scripted([f"#### {n}" for n in range(7)])
    state = run_through(process, NUMBER, engine)[-1]
    for number in range(1, 7):
        state = drive(process.revise(process.remembering(state, context), LOOK, Seed(9)), engine)
        turns = said(engine.requests[number])
        shown = [content for role, content in turns if role == "assistant"]
        assert shown == [f"#### {n}" for n in range(max(0, number - context), number)]
        assert [role for role, _ in turns[2:]] == ["assistant", "user"] * len(shown)
        assert turns[:2] == said(engine.requests[0])
    assert state.attempt == 6


def test_each_attempt_goes_with_what_was_said_to_it():
    process, engine = Answer(), Scripted([f"#### {n}" for n in range(4)])
    state = run_through(process, NUMBER, engine)[-1]
    for number in range(3):
        state = process.remembering(state, 2)
        state = drive(process.revise(state, Critique(f"not {number}"), Seed(1)), engine)
    turns = said(engine.requests[3])[2:]
    assert [c for r, c in turns if r == "assistant"] == ["#### 1", "#### 2"]
    assert ["not 1" in turns[1][1], "not 2" in turns[3][1]] == [True, True]
    assert not any("not 0" in content for _, content in turns)


def test_a_begun_turn_begins_every_attempt():
    task = TASKS[-1]
    assert task.messages[-1].role == "assistant"
    for process in (Answer(), Reasoning()):
        engine = Scripted(["one", "two", "three", "four"])
        state = run_through(process, task, engine)[-1]
        for number in range(1, 4):
            state = revised(process, process.remembering(state, 1), engine)
            request = engine.requests[number]
            assert request.prompt.prefill == "Well, "
            words = ["one", "two", "three"]
            answers = [c for r, c in said(request) if r == "assistant"]
            assert answers == [f"Well, {words[number - 1]}"]
        assert state.text == "Well, four"


def test_reasoning_keeps_the_steps_before_the_first_error():
    process = Reasoning()
    engine = Scripted(["a\n\n", "b\n\n", "#### 5", "c\n\n", "#### 4"])
    state = run_through(process, NUMBER, engine)[-1]
    better = revised(process, state, engine, Critique("b is wrong", first_error=1))
    request = engine.requests[3]
    assert request.prompt.prefill == "a\n\n"
    assert [piece.ids for piece in request.prompt.continuations] == [state.steps[0].ids]
    turns = said(request)
    assert turns[-2] == ("assistant", "a\n\nb\n\n#### 5")
    assert "b is wrong" in turns[-1][1]
    assert "step 2" in turns[-1][1]
    artifact = drive(process.render(better), engine)
    assert artifact.steps == ("a\n\n", "c\n\n", "#### 4")
    assert artifact.answer == "4"
    assert better.steps[0] is state.steps[0]


@pytest.mark.parametrize("wrong", [None, 0, 7, -1])
def test_steps_that_do_not_exist_are_not_kept(wrong):
    process, engine = Reasoning(), Scripted(["a\n\n", "#### 5", "#### 4"])
    state = run_through(process, NUMBER, engine)[-1]
    better = revised(process, state, engine, Critique("no", first_error=wrong))
    assert engine.requests[2].prompt.prefill == ""
    assert drive(process.render(better), engine).steps == ("#### 4",)
    assert ("step" in said(engine.requests[2])[-1][1]) == (wrong == 0)


def test_blank_steps_are_not_counted():
    """Scorers see the steps that say something; an index is theirs."""
    process, task = Reasoning(), Task.of("Write it.", kind="code")
    engine = Scripted(["a\n\n", "\n\n", "b\n\n", "c", "d"])
    state = run_through(process, task, engine)[-1]
    assert drive(process.render(state), engine).steps == ("a\n\n", "b\n\n", "c")
    revised(process, state, engine, Critique("b", first_error=1))
    assert engine.requests[4].prompt.prefill == "a\n\n\n\n"


@pytest.mark.parametrize("texts", ["plain", "malformed", "empty", "truncated"])
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_later_attempts_are_immutable_and_come_back(process, texts):
    for task in TASKS:
        engine = FakeEngine(texts=texts)
        state = run_through(process, task, engine)[-1]
        before = encode(state)
        for critique in (LOOK, Critique("$x {y}", 1), Critique("\x00")):
            later = revised(process, process.remembering(state, 2), engine, critique)
            child = finished(
                process, drive(process.mutate([later, state], Seed(3)), engine), engine
            )
            for made in (later, child):
                prompts = {node.digest: node for node in made.prompt.chain()}
                back = restore(type(made), json.loads(json.dumps(encode(made))), prompts)
                assert back == made
                assert hash(back) == hash(made)
                artifact = drive(process.render(made), engine)
                assert artifact.complete or artifact.answer is None
        assert encode(state) == before


@pytest.mark.parametrize("process", [Answer(), Reasoning()], ids=lambda p: type(p).__name__)
def test_children_see_each_different_parent_once(process):
    engine = Scripted([f"#### {n}" for n in (4, 5, 4, 6, 7)])
    parents = [run_through(process, NUMBER, engine, seed)[-1] for seed in range(4)]
    child = drive(process.mutate(parents, Seed(5)), engine)
    own, told = said(engine.requests[4])[-2:]
    assert own == ("assistant", "#### 4")
    assert told[1].count("#### ") == 2
    assert all(text in told[1] for text in ("#### 5", "#### 6"))
    assert drive(process.render(child), engine).answer == "7"
    with pytest.raises(InvalidInput, match="at least one"):
        drive(process.mutate([], Seed(0)), engine)


def test_equal_seeds_revise_equally_and_others_do_not():
    for process in PROCESSES:
        engine = FakeEngine()
        state = run_through(process, NUMBER, engine)[-1]
        asked = []
        for seed in (1, 1, 2):
            seen = []
            drive(process.revise(state, LOOK, Seed(seed)), engine, seen)
            asked.append(seen[0].key())
        assert asked[0] == asked[1] != asked[2]


def test_strength_is_the_temperature():
    for process in (Answer(), Reasoning()):
        assert process.at_strength(1.5).sampling.temperature == 1.5
        assert process.sampling.temperature != 1.5


def test_a_simulated_policy_reads_revisions():
    """It sees chat turns: the question is found behind attempts, critiques and quoted parents."""
    engine = Simulated(skill=1.0)
    for process in (Answer(), Reasoning()):
        for task, gold in simulated_tasks(4):
            state = run_through(process, task, engine)[-1]
            for critique in (LOOK, Critique("Step 2 is wrong.", 1), Critique("No.", 0)):
                state = revised(process, state, engine, critique)
                artifact = drive(process.render(state), engine)
                assert (artifact.answer, artifact.complete) == (gold, True)
                assert len(artifact.steps) == 4
            child = drive(process.mutate([state, state], Seed(3)), engine)
            child = finished(process, child, engine)
            assert drive(process.render(child), engine).answer == gold


def test_long_chains_of_revisions_cost_linear_bytes():
    """A revision hashes what it shows and no more, however long the chain is."""
    process, text = Answer(max_tokens=10_000), "word " * 400
    engine = Scripted([f"{n} {text}" for n in range(60)])
    state = run_through(process, Task((Message("user", "x" * 200_000),)), engine)[-1]
    for _ in range(59):
        state = drive(process.revise(process.remembering(state, 4), LOOK, Seed(0)), engine)
    sizes = [request.prompt.size for request in engine.requests]
    assert max(sizes) < 200_000 + 5 * 2_500
    depths = [request.prompt.depth for request in engine.requests]
    assert max(depths) == depths[0] + 2 * 4


def test_small_caps_count_kept_steps():
    process = Reasoning(Boundaries(max_steps=3))
    engine = Scripted(["a\n\n", "b\n\n", "c\n\n", "d\n\n"])
    state = run_through(process, NUMBER, engine)[-1]
    better = revised(process, state, engine, Critique("c", 2))
    assert (len(better.steps), better.ending) == (3, "steps")
    assert len(engine.requests) == 4
