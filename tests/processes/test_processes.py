"""What every process promises, asked of each over every kind of text and task."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest

from cogitate.core.candidates import Artifact, Critique
from cogitate.core.codec import decode, encode
from cogitate.core.errors import Failed
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Mutable, Previewable, Remembering, Revisable, Tempered
from cogitate.core.requests import Generate
from cogitate.core.seeds import Seed
from cogitate.core.task import KINDS, Message, Task
from cogitate.processes import PRESETS, Answer, Boundaries, Chain, Draft, Reasoning, restore
from cogitate.testing import FakeEngine, Scripted, Simulated, simulated_tasks

PROCESSES = [
    Answer(),
    Answer(max_tokens=12, logprobs=2),
    Reasoning(),
    Reasoning(boundaries=Boundaries(("\n",), max_steps=3, max_step_tokens=9), logprobs=0),
]
TASKS = [
    *(Task.of(f"A question of kind {kind}?", kind=kind) for kind in KINDS),
    Task.of("Œuf 🥚 $name ${x} $$", kind="number", context="Material: $5 {braces}\x00"),
    Task(
        (Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Well, ")),
        "text",
    ),
]
TEXTS = ["plain", "malformed", "empty", "truncated", "mixed"]


def drive(flow, engine, seen=None):
    """Run a flow that asks one thing at a time, without any driver."""
    reply = None
    while True:
        try:
            request = flow.throw(reply) if isinstance(reply, Failed) else flow.send(reply)
        except StopIteration as stop:
            return stop.value
        if seen is not None:
            seen.append(request)
        with pytest.raises(StopIteration) as served:
            engine.serve([request]).send(None)
        reply = served.value.value[0]
        reply = reply if isinstance(reply, Failed) else reply.value


def run_through(process, task, engine, seed=0, seen=None):
    states = [drive(process.start(task, Seed(seed, ("start",))), engine, seen)]
    while not process.done(states[-1]):
        states.append(drive(process.step(states[-1], Seed(seed, (len(states),))), engine, seen))
        assert len(states) < 50
    return states


@pytest.mark.parametrize("texts", TEXTS)
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_every_process_ends_and_renders(process, texts):
    engine = FakeEngine(texts=texts)
    for task in TASKS:
        for seed in range(4):
            states = run_through(process, task, engine, seed)
            for state in states:
                seen = drive(process.preview(state), engine)
                assert isinstance(seen, Artifact)
                assert seen.kind == task.kind
                if not process.done(state):
                    assert not seen.complete
                if not seen.complete:
                    assert seen.answer is None
            last = drive(process.render(states[-1]), engine)
            assert last == seen
            generated = "".join(c.text for c in last.completions)
            assert last.text.endswith(generated)
            if texts == "truncated":
                assert (last.complete, last.answer) == (False, None)
            if texts == "empty":
                assert last.steps == () or "Well, " in last.text


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_equal_seeds_ask_equally(process):
    for task in TASKS:
        once, again, other = [], [], []
        run_through(process, task, FakeEngine(), 1, once)
        run_through(process, task, FakeEngine(), 1, again)
        run_through(process, task, FakeEngine(), 2, other)
        assert [r.key() for r in once] == [r.key() for r in again]
        assert once[0].sibling_key() == other[0].sibling_key()
        assert once[0].key() != other[0].key()
        assert all(isinstance(r, Generate) and r.logprobs == process.logprobs for r in once)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("texts", ["plain", "malformed"])
def test_states_are_immutable_and_come_back(process, texts):
    for task in TASKS:
        states = run_through(process, task, FakeEngine(texts=texts))
        for state in states:
            before = encode(state)
            prompts = {node.digest: node for node in state.prompt.chain()}
            back = restore(type(state), json.loads(json.dumps(before)), prompts)
            assert back == state
            assert type(back.prompt) is Prompt
            assert hash(state) == hash(back)
            with pytest.raises(dataclasses.FrozenInstanceError):
                state.kind = "text"
        shown = [encode(state) for state in states]
        for state in states[:-1]:  # branching again must leave what was there alone
            drive(process.step(state, Seed(9)), FakeEngine())
        assert [encode(state) for state in states] == shown


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_artifacts_round_trip(process):
    (*_, state) = run_through(process, TASKS[0], FakeEngine())
    artifact = drive(process.render(state), FakeEngine())
    assert decode(Artifact, json.loads(json.dumps(encode(artifact)))) == artifact
    assert artifact.completions
    assert all(c.logprobs for c in artifact.completions) == (process.logprobs >= 0)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_a_state_that_ended_asks_nothing_more(process):
    (*_, state) = run_through(process, TASKS[0], FakeEngine())
    asked = []
    assert drive(process.step(state, Seed(3)), FakeEngine(), asked) == state
    assert asked == []


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_a_failed_request_is_raised_and_loses_nothing(process):
    (state, *_) = run_through(process, TASKS[0], FakeEngine())
    with pytest.raises(Failed, match="told to fail"):
        drive(process.step(state, Seed(1)), FakeEngine(fail=1.0))
    assert not process.done(state)


def test_capabilities():
    assert all(isinstance(process, Previewable) for process in PROCESSES)
    for capability in (Revisable, Mutable, Remembering, Tempered):
        assert all(isinstance(process, capability) for process in PROCESSES)


@pytest.mark.parametrize("process", [Answer(), Reasoning()], ids=lambda p: type(p).__name__)
def test_a_question_of_two_megabytes_costs_linear_time(process):
    def seconds(size):
        task = Task.of("How many? " + "wörd " * (size // 6), kind="number", context="c " * 100)
        engine = Scripted([f"step {n}\n\n" for n in range(40)])
        begun = time.perf_counter()
        run_through(process, task, engine)
        return time.perf_counter() - begun

    seconds(1000)
    assert seconds(2_000_000) < 2.0


def test_long_chains_cost_linear_bytes(monkeypatch):
    """Every step adds its own text to the prompt, whatever was written before."""
    hashed = []
    plain = json.dumps
    monkeypatch.setattr(
        json, "dumps", lambda *a, **k: hashed.append(len(found := plain(*a, **k))) or found
    )
    process = Reasoning(boundaries=Boundaries(max_steps=200, max_step_tokens=4096))
    state = Chain(Prompt.raw("x" * 100_000), "text")
    engine = Scripted([f"{n} " + "word " * 500 + "\n\n" for n in range(200)])
    while not process.done(state):
        state = drive(process.step(state, Seed(0)), engine)
    assert len(state.steps) == 200
    assert sum(hashed) < 2_000_000


@pytest.mark.parametrize("process", [Answer(), Reasoning()], ids=lambda p: type(p).__name__)
def test_simulated_problems_are_solved(process):
    engine = Simulated(skill=1.0)
    for task, gold in simulated_tasks(10):
        (*_, state) = run_through(process, task, engine)
        artifact = drive(process.render(state), engine)
        assert (artifact.answer, artifact.complete) == (gold, True)
        assert len(artifact.steps) == 4


# ---------------------------------------------------------------------------------- Answer

NUMBER = Task.of("2 + 2?", kind="number")


def answered(*replies, process=None, task=NUMBER):
    process, engine = process or Answer(), Scripted(list(replies))
    return process, engine, run_through(process, task, engine)[-1]


def test_an_answer_is_one_request():
    process, engine, state = answered("2 + 2 = 4\n#### 4")
    (request,) = engine.requests
    assert (request.max_tokens, request.least_tokens, request.seed) == (
        1024,
        256,
        Seed(0, (1,)).int(),
    )
    assert (request.role, request.stop, request.constraint) == ("policy", (), None)
    artifact = drive(process.render(state), engine)
    assert (artifact.answer, artifact.complete) == ("4", True)


def test_an_answer_that_was_cut_abstains():
    process, engine, state = answered("#### 4 and on and on", process=Answer(max_tokens=2))
    artifact = drive(process.render(state), engine)
    assert (artifact.text, artifact.complete, artifact.answer) == ("#### 4", False, None)


def test_a_schema_is_enforced_only_where_asked_for():
    task = Task.of("Give it.", kind="json", schema='{"type": "integer"}')
    for constrained in (False, True):
        _, engine, _ = answered("3", process=Answer(constrained=constrained), task=task)
        assert (engine.requests[0].constraint is not None) == constrained


def test_a_revision_shows_the_answer_and_what_is_wrong():
    process, engine, state = answered("#### 5", "#### 4", "#### 44")
    better = drive(process.revise(state, Critique("2 + 2 is $4.", first_error=0), Seed(7)), engine)
    roles = [(m.role, m.content) for m in engine.requests[1].prompt.messages]
    assert [role for role, _ in roles] == ["system", "user", "assistant", "user"]
    assert roles[2][1] == "#### 5"
    assert "2 + 2 is $4." in roles[3][1]
    assert "step 1" in roles[3][1]
    assert drive(process.render(better), engine).answer == "4"
    assert (better.attempt, better.question, process.done(better)) == (1, state.question, True)
    third = drive(process.revise(better, Critique("No."), Seed(8)), engine)
    assert [m.role for m in engine.requests[2].prompt.messages].count("assistant") == 2
    assert third.attempt == 2
    assert drive(process.render(state), engine).answer == "5"


def test_revising_nothing_keeps_the_turns_apart():
    process, engine, state = answered("", "#### 4")
    drive(process.revise(state, Critique("It is empty."), Seed(7)), engine)
    assert [m.role for m in engine.requests[1].prompt.messages] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


def test_mutation_shows_the_parents():
    process = Answer()
    engine = Scripted(["#### 4", "#### 5", "#### 6", "#### 7", "#### 8"])
    parents = [run_through(process, NUMBER, engine, seed)[-1] for seed in range(3)]
    child = drive(process.mutate(parents, Seed(5)), engine)
    own, told = engine.requests[3].prompt.messages[-2:]
    assert own.content == "#### 4"
    assert "Attempt 1:\n#### 5" in told.content
    assert "Attempt 2:\n#### 6" in told.content
    assert drive(process.render(child), engine).answer == "7"
    drive(process.mutate([child], Seed(6)), engine)
    assert "Attempt" not in engine.requests[4].prompt.messages[-1].content
    with pytest.raises(Exception, match="at least one draft"):
        drive(process.mutate([], Seed(6)), engine)


def test_a_begun_turn_belongs_to_the_text():
    process, engine, state = answered("42 is it.", task=TASKS[-1])
    assert engine.requests[0].prompt.prefill == "Well, "
    assert drive(process.render(state), engine).text == "Well, 42 is it."


# -------------------------------------------------------------------------------- Reasoning


def reasoned(*replies, task=NUMBER, **boundaries):
    process, engine = Reasoning(boundaries=Boundaries(**boundaries)), Scripted(list(replies))
    (*_, state) = run_through(process, task, engine)
    return state, drive(process.render(state), engine), engine


def test_steps_end_at_separators_and_go_on_by_ids():
    state, artifact, engine = reasoned("2 + 2\n\nlost", "is 4\n\n", "#### 4")
    assert artifact.steps == ("2 + 2\n\n", "is 4\n\n", "#### 4")
    assert (artifact.answer, artifact.complete, state.ending) == ("4", True, "eos")
    assert all(request.stop == ("\n\n",) for request in engine.requests)
    pieces = engine.requests[2].prompt.continuations
    assert [piece.text for piece in pieces] == ["2 + 2\n\n", "is 4\n\n"]
    assert [piece.ids for piece in pieces] == [c.ids for c in state.steps[:2]]
    assert all(piece.ids for piece in pieces)


@pytest.mark.parametrize(
    ("kind", "replies", "ending", "complete"),
    [
        ("number", ["a\n\n", "#### 4\n\n"], "answer", True),
        ("math", ["so \\boxed{4}\n\n"], "answer", True),
        ("choice", ["**Answer:** B\n\n"], "answer", True),
        ("math", ["#### Step 1: look\n\n", "b"], "eos", True),
        ("text", ["#### 4\n\n", "Answer: 4\n\n", "b"], "eos", True),
        ("number", ["a\n\n", "\n\nb"], "empty", True),
        ("number", ["a\n\n", "a\n\n"], "repeated", True),
        ("code", ["a\n\n", "a\n\n", "\n\n", "b"], "eos", True),
        ("number", ["a\n\n", "b\n\n", "c\n\n"], "steps", False),
        ("number", ["a\n\n", "one two three four five six"], "limit", False),
        ("number", [""], "eos", True),
    ],
)
def test_endings(kind, replies, ending, complete):
    task = Task.of("2 + 2?", kind=kind)
    caps = {"max_steps": 4 if kind == "code" else 3, "max_step_tokens": 5}
    state, artifact, engine = reasoned(*replies, task=task, **caps)
    assert (state.ending, artifact.complete) == (ending, complete)
    assert len(engine.requests) == len(replies)
    assert complete or artifact.answer is None


@pytest.mark.parametrize(
    "wrong", [{"separators": ()}, {"separators": ("",)}, {"max_steps": 0}, {"max_step_tokens": 0}]
)
def test_boundaries_are_checked_at_once(wrong):
    with pytest.raises(Exception, match="asked for"):
        Boundaries(**wrong)
    with pytest.raises(Exception, match="asked for"):
        Answer(max_tokens=0)


def test_presets_serve_both_processes():
    for preset in PRESETS.values():
        known = {"instruction": preset.instruction, "examples": preset.examples}
        for process in (Answer(**known), Reasoning(**known)):
            engine = Scripted("#### 4")
            (*_, state) = run_through(process, NUMBER, engine)
            assert isinstance(state, Draft | Chain)
            roles = [m.role for m in engine.requests[0].prompt.messages]
            assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
