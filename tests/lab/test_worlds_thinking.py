"""What the chain world thinks, names at every step, and finds likely."""

from __future__ import annotations

import math
from statistics import fmean

import pytest

from cogitate.core.candidates import Score
from cogitate.core.flow import gather
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Embed, Generate, Loglikelihood
from cogitate.core.seeds import Seed
from cogitate.core.task import Message
from cogitate.drive import run
from cogitate.lab.worlds import (
    WAYS,
    ChainModel,
    Place,
    chains,
    finish_chance,
    preset,
    read_on,
    right_chance,
)
from cogitate.processes import Answer, Reasoning
from cogitate.rules import wilson
from cogitate.scorers import PTrue

SURE = 0.9995
WORLD = preset("thinking")
PROCESSES = pytest.mark.parametrize(
    "process", [Answer(), Reasoning()], ids=lambda p: type(p).__name__
)


def check(expected, hits):
    seen = wilson(sum(hits), len(hits), SURE)
    assert expected in seen, f"{expected:.4f} is not in {seen}"


def solved(world, process, problems, tries):
    """The artifacts of independent samples."""

    async def one(problem, k):
        seed = Seed(problem.number).at("sample", k)
        state = await process.start(problem.task, seed.at("start"))
        for step in range(30):
            if process.done(state):
                break
            state = await process.step(state, seed.at("step", step))
        return await process.render(state)

    async def every():
        return await gather(*(one(p, k) for p in problems for k in range(tries)))

    found = run(every(), ChainModel(world)).value
    return [found[i : i + tries] for i in range(0, len(found), tries)]


@PROCESSES
@pytest.mark.parametrize("name", ["thinking", "deceptive", "self_correcting"])
def test_step_by_step_and_at_once_have_the_stated_chance(process, name):
    world = preset(name)
    problems = chains(world, 60)
    rows = solved(world, process, problems, 25)
    expected = fmean(right_chance(world, p) for p in problems)
    rights = [a.answer == p.gold for p, row in zip(problems, rows, strict=True) for a in row]
    check(expected, rights)


@PROCESSES
def test_it_thinks_one_of_three_lengths_and_once(process):
    (row,) = solved(WORLD, process, chains(WORLD, 1), 90)
    lengths = [len(a.text.partition("</think>")[0].removeprefix("<think>").split()) for a in row]
    assert all(a.text.count("<think>") == a.text.count("</think>") == 1 for a in row)
    assert set(lengths) == set(WORLD.thoughts) == {30, 60, 120}
    for length in WORLD.thoughts:
        check(1 / 3, [seen == length for seen in lengths])


@pytest.mark.parametrize("words", [0, 30, 120, 240, 400])
@pytest.mark.parametrize("pieces", [1, 3])
def test_thinking_of_a_given_length_moves_the_odds_however_it_is_cut(words, pieces):
    engine, hits, problems = ChainModel(WORLD), [], chains(WORLD, 50)
    for problem in problems:
        prompt = Prompt.chat(*problem.task.messages).then("<think>\n")
        for part in range(pieces):
            share = words * (part + 1) // pieces - words * part // pieces
            prompt = prompt.then("so " * share)
        prompt = prompt.then("</think>\n\n")
        for seed in range(25):
            text = engine.write(Generate(prompt, seed)).text
            assert "think" not in text
            hits.append(read_on(problem, Place(), text).offset == 0)
    gain = WORLD.thinking_gain(words)
    check(fmean(finish_chance(WORLD, p, Place(), gain) for p in problems), hits)


def test_forced_to_go_on_it_thinks_more_and_a_closed_thought_stays_closed():
    (problem,) = chains(WORLD, 1)
    engine, prompt = ChainModel(WORLD), Prompt.chat(*problem.task.messages)
    first = engine.write(Generate(prompt, 4, stop=("</think>",)))
    assert (first.finish, first.text.startswith("<think>\n")) == ("stop", True)
    thought = first.text.removesuffix("</think>")
    forced = engine.write(Generate(prompt.then(thought).then("Wait"), 4, stop=("</think>",))).text
    assert forced.startswith(" ")
    assert len(forced.split()) >= 15
    closed = engine.write(Generate(prompt.then(first.text), 4)).text
    assert "<think>" not in closed
    assert closed.rpartition("#### ")[2].lstrip("-").isdigit()


def test_without_words_of_its_own_it_thinks_only_where_it_was_begun():
    world = preset("revising")
    (problem,) = chains(world, 1)
    engine, prompt = ChainModel(world), Prompt.chat(*problem.task.messages)
    assert "think" not in engine.write(Generate(prompt, 0)).text
    begun = engine.write(Generate(prompt.then("<think>\n"), 0)).text
    assert len(begun.partition("</think>")[0].split()) == world.thinking_best // 2


def test_what_stands_in_a_thought_is_no_step_of_the_solution():
    (problem,) = chains(WORLD, 1)
    value = problem.values[1]
    prompt = Prompt.chat(*problem.task.messages).then(f"<think>\nStep 1: 1 + 1 = {value}.\n#### 5")
    text = ChainModel(WORLD).write(Generate(prompt, 0)).text
    assert "Step 1: " in text.partition("</think>")[2]


def test_every_step_names_its_way_so_that_the_newest_alone_reveals_it():
    world = preset("deceptive", embedding_noise=0.05)
    problems = chains(world, 10)
    steps, ways = [], []
    for row in solved(world, Reasoning(), problems, 10):
        for artifact in row:
            way = read_on(problems[0], Place(), artifact.text).way
            steps += [step.strip() for step in artifact.steps[:-1]]
            ways += [way] * (len(artifact.steps) - 1)
    assert {WAYS.index(w) for w in WAYS[: world.ways]} == set(ways)

    async def asked():
        return await Embed(tuple(steps))

    vectors = run(asked(), ChainModel(world)).value
    nearest = [max(range(len(v)), key=v.__getitem__) for v in vectors]
    assert nearest == ways


# ------------------------------------------------------------------------------ likelihoods


@pytest.mark.parametrize("auc", [0.5, 0.8, 1.0])
def test_p_true_knows_right_from_wrong_by_the_judges_auc(auc):
    world = preset("medium", judge_auc=auc, padding=6)
    problems = chains(world, 60)
    rows = solved(preset("medium", padding=6), Answer(), problems, 12)
    wins = []
    for problem, row in zip(problems, rows, strict=True):
        rights = [a for a in row if a.answer == problem.gold]
        wrongs = [a for a in row if a.answer != problem.gold]
        shown = [*rights, *wrongs]
        for scorer in (PTrue(), PTrue(swapped=True)):
            scores = run(scorer(problem.task, shown), ChainModel(world)).value
            values = {a.text: s.value for a, s in zip(shown, scores, strict=True)}
            assert all(isinstance(s, Score) and 0 <= s.value <= 1 for s in scores)
        wins += [values[a.text] > values[b.text] for a, b in zip(rights, wrongs, strict=False)]
    assert len(wins) > 100
    if auc == 0.5:
        assert not any(wins), "a blind judge gives one half to all"
    else:
        check(auc, wins)


def test_a_right_answer_gets_likelier_with_every_right_step():
    world = preset("medium", steps=(4, 4))
    (problem,) = chains(world, 1)
    prompt, values, found = Prompt.chat(*problem.task.messages), problem.values, []
    for number in range(1, 6):
        asked = Loglikelihood(prompt, (f"#### {problem.answer}", f"#### {problem.answer + 1}"))
        right, wrong = run(_ask(asked), ChainModel(world)).value
        found.append(math.exp(right.logprob))
        assert wrong.logprob < right.logprob
        if number <= 4:
            prompt = prompt.then(f"Step {number}: so = {values[number]}.\n\n")
    expected = [finish_chance(world, problem, Place(k)) for k in range(5)]
    assert found == pytest.approx(expected)
    assert sorted(found) == found
    wrong = Prompt.chat(*problem.task.messages).then(f"Step 1: so = {values[1] + 3}.\n\n")
    asked = Loglikelihood(wrong, (f"#### {problem.answer + 3}", f"#### {problem.answer}"))
    stays, right = run(_ask(asked), ChainModel(world)).value
    assert (stays.logprob, right.logprob) == (0.0, pytest.approx(math.log(1e-12)))


def test_the_chances_of_all_numbers_sum_to_one():
    world = preset("medium")
    (problem,) = chains(world, 1)
    texts = tuple(f"#### {problem.answer + off}" for off in range(-60, 61))
    asked = Loglikelihood(Prompt.chat(*problem.task.messages), texts)
    found = run(_ask(asked), ChainModel(world)).value
    assert math.fsum(math.exp(one.logprob) for one in found) == pytest.approx(1.0)


async def _ask(request):
    return await request


def test_labels_without_a_verdict_to_give_are_words():
    (problem,) = chains(preset("medium"), 1)
    asked = Prompt.chat(Message("user", f"{problem.question} A or B?"))
    found = run(_ask(Loglikelihood(asked, ("A", "B"), labels=True)), ChainModel(WORLD)).value
    assert found[0] == found[1]
