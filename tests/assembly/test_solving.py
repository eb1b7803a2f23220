from __future__ import annotations

import asyncio
import json
import signal
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

import cogitate as cg
from cogitate.assembly import Configuration
from cogitate.core.errors import InvalidInput, JournalError
from cogitate.core.events import Answered, Event
from cogitate.drive import FileJournal
from cogitate.engines.simulated import simulated_tasks
from cogitate.testing import FakeEngine, Rates, Scripted

NONE = Configuration()
QUESTION = "What is 2 + 2?"
FOUR = 'fake(answers=["4"])'


def solve(question: Any = QUESTION, **known: Any) -> cg.Result:
    return cg.solve(question, **{"model": FOUR, "configuration": NONE, **known})


def test_a_question_is_answered_with_its_cost() -> None:
    result = solve(strategy="self_consistency(n=5)", budget=cg.Budget(tokens_out=8192))
    assert result.answer == "4"
    assert result.model == FOUR
    assert str(result.strategy) == "self_consistency(n=5)"
    assert 0 < result.usage.tokens_out <= 8192
    assert result.usage.calls >= 3
    assert result.usage == sum(result.roles.values(), cg.Usage())
    assert set(result.roles) >= {"policy"}
    assert len(result.candidates) >= 3
    assert result.score is not None


def test_equal_seeds_give_equal_results_and_other_seeds_others() -> None:
    runs = [solve(model="fake", strategy="best_of(n=4, scorer=judge())", seed=s) for s in (7, 7, 8)]
    texts = [[c.state.text for c in run.candidates] for run in runs]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


@pytest.mark.parametrize(
    ("question", "strategy", "said"),
    [
        (QUESTION, "self_consistency(n=8)", "reads like a calculation"),
        ("Which is a fruit?\nA) stone\nB) apple", "self_consistency(n=8)", "lettered options"),
        ("Write a line about rain.", "best_of(n=4, scorer=judge())", "a judge"),
    ],
)
def test_defaults_follow_the_kind_of_answer_and_are_said(
    question: str, strategy: str, said: str
) -> None:
    result = solve(question)
    assert str(result.strategy) == strategy
    assert said in result.reason


def test_code_is_judged_until_it_can_be_run() -> None:
    result = solve("Add two numbers in Python.", kind="code")
    assert "judge()" in str(result.strategy)
    assert "run" in result.reason


def test_a_scorer_left_open_is_filled_in_and_said() -> None:
    result = solve(kind="text", strategy="best_of(n=2)")
    assert str(result.strategy) == "best_of(n=2, scorer=judge())"
    assert "judge" in result.reason
    chosen = solve(kind="text", strategy="best_of(n=2, scorer=majority())")
    assert str(chosen.strategy) == "best_of(n=2, scorer=majority())"


def test_it_works_inside_a_running_loop() -> None:
    async def notebook() -> cg.Result:
        return solve(strategy="self_consistency(n=3)")

    assert asyncio.run(notebook()).answer == "4"


def test_it_can_be_awaited() -> None:
    result = asyncio.run(
        cg.solve_async(QUESTION, model=FOUR, strategy="best_of(n=2)", configuration=NONE)
    )
    assert result.answer == "4"


def test_awaiting_and_waiting_give_the_same() -> None:
    known: dict[str, Any] = {"model": "fake", "strategy": "best_of(n=6)", "configuration": NONE}
    waited = cg.solve(QUESTION, **known)
    awaited = asyncio.run(cg.solve_async(QUESTION, **known))
    assert waited.to_json() == awaited.to_json()


# ----------------------------------------------------------------- the caller's own functions


def test_your_own_verifier_decides() -> None:
    seen: list[tuple[str, str]] = []

    def longest(question: str, answer: str) -> float:
        seen.append((question, answer))
        return float(len(answer))

    model = Scripted(["#### 1", "#### 333", "#### 22"])
    result = solve(model=model, kind="number", strategy="best_of(n=3)", scorer=cg.scorer(longest))
    assert result.answer == "333"
    assert str(result.strategy) == 'best_of(n=3, scorer=function("longest"))'
    assert {question for question, _ in seen} == {QUESTION}
    assert result.roles["code"].calls == 3


def test_a_verifier_that_raises_leaves_candidates_unscored() -> None:
    def broken(question: str, answer: str) -> float:
        if answer == "22":
            return 1.0
        raise RuntimeError("no")

    result = solve(
        model=Scripted(["#### 1", "#### 22"]), kind="number", strategy="best_of(n=2)", scorer=broken
    )
    assert result.answer == "22"
    assert isinstance(result.candidates[-1].score, cg.Unscored)


def test_a_verifier_that_returns_no_number_leaves_candidates_unscored() -> None:
    result = solve(strategy="best_of(n=2)", kind="number", scorer=cg.scorer(lambda q, a: "good"))
    assert all(isinstance(c.score, cg.Unscored) for c in result.candidates)
    assert result.score is None


def test_your_own_model_answers() -> None:
    def oracle(prompt: str) -> str:
        assert QUESTION in prompt
        return "It is four.\n#### 4"

    result = solve(model=cg.model(oracle), kind="number", strategy="greedy()")
    assert (result.answer, result.model) == ("4", "function:oracle")
    assert result.cost is None


def test_two_functions_of_one_name_are_refused() -> None:
    first, second = cg.scorer(lambda q, a: 1.0), cg.scorer(lambda q, a: 2.0)
    from cogitate.assembly.names.scorers import weighted
    from cogitate.assembly.own import functions_of

    with pytest.raises(InvalidInput, match="name="):
        functions_of([weighted(first), weighted(second)])


def test_a_named_function_that_is_not_given_is_refused() -> None:
    with pytest.raises(InvalidInput, match="names a function that is not here"):
        solve(strategy='best_of(scorer=function("nowhere"))')
    result = solve(
        kind="number",
        strategy='best_of(n=2, scorer=function("one"))',
        functions={"one": lambda q, a: 1},
    )
    assert result.score == 1.0


# -------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"question": ""}, "the question is empty"),
        ({"question": " \n\t"}, "the question is empty"),
        ({"question": 3}, "a question is text or a Task"),
        ({"kind": "maths"}, "did you mean math?"),
        ({"kind": int}, "class"),
        ({"strategy": "best_off()"}, "did you mean best_of?"),
        ({"strategy": "best_of(m=1)"}, "has no argument 'm'"),
        ({"strategy": "prm()"}, "prm is a scorer"),
        ({"strategy": "best_of(n=0)"}, "n"),
        ({"strategy": "best_of(n=999999999)"}, "100000"),
        ({"strategy": "greedy()", "scorer": "judge()"}, "takes no scorer"),
        ({"scorer": "greedy()"}, "a scorer is wanted"),
        ({"budget": cg.Budget(tokens_out=0)}, "buys nothing"),
        ({"budget": cg.Budget(usd=0.0)}, "buys nothing"),
        ({"model": "smolm2"}, "did you mean smollm2?"),
        ({"model": ""}, "the model is empty"),
        ({"model": "gguf:/no/such/file.gguf"}, "/no/such/file.gguf"),
        ({"model": "gguf:"}, "names no file"),
        ({"model": f"gguf:{__file__}"}, "GGUF"),
        ({"model": "hf:some/model"}, "come later"),
        ({"model": "lab:arith"}, "come later"),
        ({"model": "pool:mawps"}, "neither a file nor one of the packaged pools"),
        ({"model": "openai:nowhere#m"}, "is not a web address"),
        ({"model": "openai:http://localhost:1/v1"}, "names no model"),
        ({"model": "openai:https://api.openai.com/v1#m"}, "OPENAI_API_KEY is not set"),
        ({"model": "fake(latency=1)"}, "did you mean latency_s?"),
        ({"model": ["judge=fake", "judge=fake"]}, "two models were given for the role judge"),
        ({"model": {"jugde": "fake"}}, "did you mean judge?"),
        ({"seed": 1.5}, "a seed is a whole number"),
    ],
)
def test_bad_input_gets_one_sentence_before_anything_runs(known: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        solve(**known)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 0"):
        cg.Budget(tokens_out=-1)


def test_money_without_a_price_is_refused_before_spending() -> None:
    engine = FakeEngine(rates=Rates(usd=None))
    with pytest.raises(InvalidInput, match="the price is not known for"):
        solve(model=engine, budget=cg.Budget(usd=1.0))
    assert engine.calls.total() == 0
    solve(model=FakeEngine(rates=Rates(usd=1e-6)), budget=cg.Budget(usd=1.0))


def test_a_two_megabyte_question_is_answered_by_a_model_that_takes_it() -> None:
    result = solve("What is 2 + 2? " * 140_000, strategy="greedy()")
    assert result.answer == "4"
    assert result.usage.tokens_in > 100_000


def test_a_process_reward_model_that_nobody_serves_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"prm\(\) cannot be used here"):
        solve(model=cg.model(lambda prompt: "4"), strategy="best_of(n=2, scorer=prm())")


# ------------------------------------------------------------------------ budgets and stopping


def test_a_budget_binds_and_is_said() -> None:
    budget = cg.Budget(calls=3)
    result = solve(model="fake", strategy="best_of(n=50, scorer=majority())", budget=budget)
    assert result.usage.calls == 3
    assert result.stopped == "budget"
    assert len(result.candidates) == 3
    assert result.score is not None


def test_a_stop_returns_the_best_so_far() -> None:
    stop = cg.Stop()

    def watch(event: Event) -> None:
        if isinstance(event, Answered):
            stop.request("interrupted")

    result = solve(
        model="fake(latency_s=0.05)",
        strategy="best_of(n=400, scorer=majority())",
        listen=watch,
        stop=stop,
    )
    assert result.stopped == "interrupted"
    assert 1 <= len(result.candidates) < 400
    assert result.score is not None, "the vote is free, so it is held even after a stop"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_an_interrupt_returns_the_best_so_far(tmp_path: Path) -> None:
    main = threading.get_ident()
    fired = threading.Event()

    def watch(event: Event) -> None:
        if isinstance(event, Answered) and not fired.is_set():
            fired.set()
            signal.pthread_kill(main, signal.SIGINT)

    result = solve(
        model="fake(latency_s=0.05)",
        strategy="best_of(n=400, scorer=majority())",
        listen=watch,
        journal=tmp_path / "run.jsonl",
    )
    assert result.stopped == "interrupted"
    assert result.candidates
    assert len(result.candidates) < 400


# ---------------------------------------------------------------------------------- journals


def test_a_journal_replays_without_a_model(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    result = solve(model="fake", strategy="best_of(n=4)", kind="number", journal=path, seed=3)
    again = cg.replay(path)
    assert again.ranking == result.ranking
    assert again.to_json() == result.to_json()
    assert again.reason == result.reason
    assert result.journal == path


def test_the_run_card_says_what_ran(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    solve(journal=path, strategy="greedy()", seed=5, budget=cg.Budget(tokens_out=500))
    card = json.loads(path.read_text("utf-8").splitlines()[0])["header"]
    assert card["package"] == cg.__version__
    assert card["strategy"] == "greedy()"
    assert card["models"] == {"policy": FOUR}
    assert card["fingerprints"]["policy"].startswith("fake:")
    assert (card["seed"], card["budget"]) == (5, {"tokens_out": 500})
    assert any(name.startswith("processes/") for name in card["prompts"])


def test_a_cut_journal_is_gone_on_with_and_pays_only_for_the_rest(tmp_path: Path) -> None:
    path, known = (
        tmp_path / "run.jsonl",
        {"strategy": "best_of(n=6, scorer=majority())", "kind": "number"},
    )
    whole = solve(model=FakeEngine(), journal=path, **known)
    lines = path.read_bytes().splitlines(keepends=True)
    replies = [
        i for i, line in enumerate(lines) if b'"kind":"reply"' in line and b'"Generate"' in line
    ]
    path.write_bytes(b"".join(lines[: replies[3]]))
    engine = FakeEngine()
    again = solve(model=engine, journal=path, **known)
    assert again.ranking == whole.ranking
    assert again.usage == whole.usage
    assert engine.calls["Generate"] == 3
    assert cg.replay(path).ranking == whole.ranking


def test_resuming_from_the_journal_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    whole = solve(model="fake", strategy="best_of(n=6)", kind="number", journal=path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))
    again = cg.resume(path, configuration=NONE)
    assert again.ranking == whole.ranking
    assert again.usage == whole.usage


def test_resuming_with_your_own_verifier_and_model(tmp_path: Path) -> None:
    def length(question: str, answer: str) -> float:
        return len(answer)

    def oracle(prompt: str, seed: int) -> str:
        return f"#### {seed % 1000}"

    path = tmp_path / "run.jsonl"
    known = {"model": cg.model(oracle), "strategy": "best_of(n=5)", "scorer": cg.scorer(length)}
    whole = solve(journal=path, kind="number", **known)
    assert cg.replay(path).ranking == whole.ranking
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))
    with pytest.raises(InvalidInput, match="names a function that is not here"):
        cg.resume(path, configuration=NONE)
    with pytest.raises(InvalidInput, match="was a function of the caller's"):
        cg.resume(path, configuration=NONE, functions={"length": length})
    again = cg.resume(
        path, configuration=NONE, functions={"length": length}, model=cg.model(oracle)
    )
    assert again.ranking == whole.ranking


def test_the_deadline_counts_what_earlier_runs_took(tmp_path: Path) -> None:
    path, known = tmp_path / "run.jsonl", {"strategy": "best_of(n=6, scorer=majority())"}
    known["budget"] = cg.Budget(seconds=50)
    solve(model=FakeEngine(), journal=path, kind="number", **known)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))
    path.with_name("run.jsonl.times").write_text(
        '{"s": "", "at": "0", "seconds": 1, "elapsed": 99}\n'
    )
    engine = FakeEngine()
    again = solve(model=engine, journal=path, kind="number", **known)
    assert again.stopped == "deadline"
    assert engine.calls["Generate"] == 0


def test_a_journal_that_cannot_be_finished_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = FileJournal.close

    def full(self: FileJournal) -> None:
        close(self)
        raise JournalError("the disk is full")

    monkeypatch.setattr(FileJournal, "close", full)
    result = solve(journal=tmp_path / "run.jsonl", strategy="greedy()")
    assert result.answer == "4"
    assert result.problem == "the disk is full"


def test_a_journal_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    solve(journal=path, strategy="greedy()")
    before = path.read_bytes()
    for other in ({"seed": 9}, {"strategy": "best_of(n=2)"}, {"question": "What is 3 + 3?"}):
        with pytest.raises(JournalError, match="holds another run"):
            solve(**{"journal": path, "strategy": "greedy()", **other})
    assert path.read_bytes() == before


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("hello\n")
    with pytest.raises(JournalError):
        solve(journal=path)
    with pytest.raises(JournalError):
        cg.replay(path)
    assert path.read_text() == "hello\n"


def test_a_larger_budget_goes_on_where_the_smaller_one_stopped(tmp_path: Path) -> None:
    path, known = (
        tmp_path / "run.jsonl",
        {"strategy": "best_of(n=8, scorer=majority())", "kind": "number"},
    )
    small = solve(model=FakeEngine(), journal=path, budget=cg.Budget(calls=3), **known)
    assert len(small.candidates) < 8
    engine = FakeEngine()
    large = solve(model=engine, journal=path, budget=cg.Budget(calls=100), **known)
    assert len(large.candidates) == 8
    assert engine.calls["Generate"] == 8 - len(small.candidates)


# -------------------------------------------------------------------------------- many tasks


def collect(tasks: Any, **known: Any) -> list[cg.Result]:
    async def run() -> list[cg.Result]:
        chosen = {"model": "fake", "configuration": NONE, **known}
        return [result async for result in cg.solve_many(tasks, **chosen)]

    return asyncio.run(run())


MANY = [f"What is {n} + {n}?" for n in range(7)]


def test_many_come_in_order_with_their_own_cost() -> None:
    results = collect(MANY, strategy="best_of(n=3, scorer=majority())")
    assert [r.task.question for r in results] == MANY
    assert all(r.usage.calls >= 3 and len(r.candidates) == 3 for r in results)
    assert len({r.usage.tokens_out for r in results}) > 1


def test_many_draw_from_seeds_of_their_own() -> None:
    first, second = collect([MANY[0], MANY[0]], strategy="best_of(n=2, scorer=majority())")
    texts = [{c.state.text for c in r.candidates} for r in (first, second)]
    assert not texts[0] & texts[1]


def test_many_share_one_budget() -> None:
    results = collect(MANY, strategy="best_of(n=3, scorer=majority())", budget=cg.Budget(calls=9))
    assert len(results) == len(MANY)
    assert sum(r.usage.calls for r in results) <= 9
    assert results[-1].stopped == "budget"
    assert results[0].candidates


def test_many_choose_a_strategy_for_each_kind() -> None:
    results = collect(["What is 1 + 1?", "Write a line about rain."])
    assert [str(r.strategy) for r in results] == [
        "self_consistency(n=8)",
        "best_of(n=4, scorer=judge())",
    ]


def test_many_are_read_lazily() -> None:
    read: list[int] = []

    def endless() -> Any:
        for number in range(10_000):
            read.append(number)
            yield f"What is {number} + 1?"

    async def few() -> int:
        count = 0
        results = cg.solve_many(
            endless(),
            model="fake(latency_s=0.001)",
            strategy="greedy()",
            at_most=4,
            configuration=NONE,
        )
        async for _ in results:
            count += 1
            if count == 3:
                break
        await results.aclose()
        return count

    assert asyncio.run(few()) == 3
    assert len(read) < 200


def test_many_hold_only_the_tasks_in_flight() -> None:
    gone: list[None] = []
    made = most = 0

    def source() -> Any:
        nonlocal made
        for number in range(300):
            task = cg.Task.of(f"What is {number} + 1?", kind="number")
            made += 1
            weakref.finalize(task, gone.append, None)
            yield task

    async def run() -> None:
        nonlocal most
        results = cg.solve_many(
            source(),
            model="fake(latency_s=0.0001)",
            strategy="greedy()",
            at_most=8,
            configuration=NONE,
        )
        async for _ in results:
            most = max(most, made - len(gone))

    asyncio.run(run())
    assert most < 60


def test_many_resume_sealed_tasks_without_asking_again(tmp_path: Path) -> None:
    path, strategy = tmp_path / "many.jsonl", "best_of(n=2, scorer=majority())"
    first = collect(MANY, model=FakeEngine(), strategy=strategy, journal=path)
    engine = FakeEngine()
    again = collect(MANY, model=engine, strategy=strategy, journal=path)
    assert engine.calls.total() == 0
    assert [r.ranking for r in again] == [r.ranking for r in first]
    assert [r.usage for r in again] == [r.usage for r in first]
    from cogitate.assembly import replay_many

    assert [r.to_json() for r in replay_many(path)] == [r.to_json() for r in again]


def test_a_bad_task_among_many_is_named() -> None:
    with pytest.raises(InvalidInput, match="task 1: the question is empty"):
        collect(["What is 1 + 1?", " "], strategy="greedy()")


# ----------------------------------------------------------------------------- kinds and roles


def test_roles_are_split_at_the_first_equals_sign_only_where_a_role_stands() -> None:
    result = solve(
        "Write a line.",
        model=["policy=fake", 'judge=fake(answers=["a=b"])'],
        strategy="best_of(n=2)",
    )
    assert result.model == 'policy=fake judge=fake(answers=["a=b"])'
    assert result.roles["judge"].calls >= 1


def test_a_pydantic_model_is_filled() -> None:
    pydantic = pytest.importorskip("pydantic")
    point = pydantic.create_model("Point", x=(int, ...), y=(int, ...))
    model = Scripted('{"x": 1, "y": 2}')
    result = solve("Where is it?", model=model, kind=point, strategy="self_consistency(n=3)")
    assert result.parsed == point(x=1, y=2)
    assert result.task.kind == "json"
    assert json.loads(result.task.schema)["required"] == ["x", "y"]
    unfit = solve("Where?", model=Scripted('{"x": "a"}'), kind=point, strategy="greedy()")
    assert unfit.parsed is None


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    solve(strategy="greedy()")
    assert threading.active_count() == before


def test_a_failure_inside_comes_out_as_itself() -> None:
    def burst(event: Event) -> None:
        raise ZeroDivisionError("in a listener")

    with pytest.raises(ZeroDivisionError, match="in a listener"):
        solve(listen=burst)


# ------------------------------------------------------------------------------ simulated worlds


def test_a_vote_beats_one_answer_in_a_simulated_world() -> None:
    tasks = [task for task, _ in simulated_tasks(40, seed=5)]
    truth = [answer for _, answer in simulated_tasks(40, seed=5)]

    def right(strategy: str) -> int:
        results = collect(tasks, model="sim:arithmetic(skill=0.6)", strategy=strategy)
        return sum(r.answer == t for r, t in zip(results, truth, strict=True))

    assert right("self_consistency(n=16)") >= right("best_of(n=1)") + 6


def test_a_simulated_verifier_leads_a_beam() -> None:
    task, truth = simulated_tasks(1, seed=2)[0]
    result = solve(
        task, model="sim:arithmetic(skill=0.7, auc=0.99)", strategy="beam_search(branch=3)"
    )
    assert str(result.strategy) == "beam_search(branch=3, scorer=prm())"
    assert "verifier is at hand" in result.reason
    assert result.answer == truth
    assert result.roles["verifier"].calls > 0
