from __future__ import annotations

import pytest

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Embed, Generate, Reply, Sampling, ScoreSteps
from cogitate.core.task import Message, Task
from cogitate.testing import Simulated, simulated_tasks

TASKS = simulated_tasks(200, seed=3)


def now(coroutine):
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def final(engine, task, seed):
    return engine.write(Generate(Prompt.chat(*task.messages), seed=seed)).text.split("#### ")[1]


def accuracy(engine, tasks=TASKS, samples=5):
    hits = [final(engine, task, seed) == gold for task, gold in tasks for seed in range(samples)]
    return sum(hits) / len(hits)


def test_tasks_are_nested_and_reproducible():
    assert simulated_tasks(8, seed=3) == TASKS[:8]
    assert simulated_tasks(8, seed=4) != TASKS[:8]
    assert len({task.question for task, _ in TASKS}) == 200
    easy, hard = simulated_tasks(5, difficulty=1), simulated_tasks(5, difficulty=9)
    assert {t.question.count("Then") for t, _ in easy} == {1}
    assert {t.question.count("Then") for t, _ in hard} == {9}


@pytest.mark.parametrize("skill", [0.3, 0.6, 0.9])
def test_skill_is_the_share_of_right_solutions(skill):
    assert accuracy(Simulated(skill=skill)) == pytest.approx(skill, abs=0.05)


def test_skill_falls_with_difficulty_and_one_is_perfect():
    hard = simulated_tasks(200, difficulty=6)
    assert accuracy(Simulated(skill=0.6), hard) == pytest.approx(0.36, abs=0.06)
    assert accuracy(Simulated(skill=1.0), TASKS) == 1.0


def test_the_attractor_gathers_mistakes():
    def most_common_mistake(engine):
        shares = []
        for task, gold in simulated_tasks(40, difficulty=1):
            wrong = [x for x in (final(engine, task, s) for s in range(40)) if x != gold]
            if wrong:
                shares.append(max(map(wrong.count, wrong)) / len(wrong))
        return sum(shares) / len(shares)

    assert most_common_mistake(Simulated(skill=0.2, attractor=1.0)) == 1.0
    assert most_common_mistake(Simulated(skill=0.2, attractor=0.0)) < 0.3


def test_step_by_step_is_as_good_as_one_shot():
    engine, hits = Simulated(skill=0.6), 0
    for number, (task, gold) in enumerate(TASKS):
        prompt = Prompt.chat(Message("system", "Steps."), *task.messages)
        finish, steps = "stop", 0
        while finish == "stop":
            done = engine.write(Generate(prompt, seed=1000 * number + steps, stop=("\n\n",)))
            prompt, finish, steps = prompt.then(done.text, done.ids), done.finish, steps + 1
        assert steps == 4
        hits += prompt.prefill.endswith(f"#### {gold}")
    assert hits / len(TASKS) == pytest.approx(0.6, abs=0.1)


def test_greedy_ignores_the_seed_and_cuts_are_prefixes():
    engine, prompt = Simulated(), Prompt.chat(*TASKS[0][0].messages)
    greedy = Sampling(temperature=0)
    assert len({engine.write(Generate(prompt, s, sampling=greedy)).text for s in range(5)}) == 1
    assert len({engine.write(Generate(prompt, s)).text for s in range(9)}) > 1
    full, cut = (engine.write(Generate(prompt, 1, max_tokens=cap)) for cap in (100, 7))
    assert full.text.startswith(cut.text)
    assert (full.finish, cut.finish) == ("eos", "limit")


@pytest.mark.parametrize(
    ("auc", "low", "high"), [(0.5, 0.44, 0.56), (0.8, 0.74, 0.86), (1.0, 1.0, 1.0)]
)
def test_the_verifier_has_the_given_auc(auc, low, high):
    engine, right, wrong = Simulated(skill=0.3, auc=auc), [], []
    for task, gold in TASKS:
        prompt = Prompt.chat(*task.messages)
        for seed in range(2):
            text = engine.write(Generate(prompt, seed)).text
            steps = tuple(text.split("\n\n"))
            scores = now(engine.serve([ScoreSteps(prompt, steps)]))[0].value
            assert len(scores) == len(steps) == 4
            (right if text.endswith(f"#### {gold}") else wrong).append(scores[-1])
    wins = sum((r > w) + 0.5 * (r == w) for r in right for w in wrong)
    assert low <= wins / (len(right) * len(wrong)) <= high


def test_an_oracle_blames_the_first_wrong_step():
    task = Task.of("Ann has 10 pens. Then Ann gets 5 more. Then Ann gives away 3. How many pens?")
    steps = ("10 + 5 = 16.\n\n", "16 - 3 = 13.\n\n", "#### 13")
    right = ("10 + 5 = 15.\n\n", "15 - 3 = 12.\n\n", "#### 12")
    engine, prompt = Simulated(auc=1.0), Prompt.chat(*task.messages)
    assert engine.scores(ScoreSteps(prompt, steps)) == (0.05, 0.05, 0.05)
    assert engine.scores(ScoreSteps(prompt, right)) == (0.95, 0.95, 0.95)


def test_other_worlds_are_refused():
    engine = Simulated()
    stranger, embed = now(engine.serve([Generate(Prompt.raw("Why?"), 0), Embed(("a",))]))
    assert isinstance(stranger, Failed)
    assert isinstance(embed, Failed)
    assert "knows only its own word problems" in str(stranger)
    ok = now(engine.serve([Generate(Prompt.raw(TASKS[0][0].question), 0)]))[0]
    assert isinstance(ok, Reply)
    assert (
        ok.usage.tokens_out
        == ok.value.tokens
        <= engine.ceiling(Generate(Prompt.raw("?"), 0)).tokens_out
    )
    with pytest.raises(InvalidInput, match="skill lies above 0"):
        Simulated(skill=0)
    with pytest.raises(InvalidInput, match="between 1 and 40"):
        simulated_tasks(3, difficulty=0)
