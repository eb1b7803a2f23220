from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from cogitate.assembly import Configuration
from cogitate.assembly.models import open_spec
from cogitate.assembly.worlds import WORLDS
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.flow import gather
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Embed, Generate, JsonSchema, Sampling, ScoreSteps
from cogitate.core.seeds import Seed
from cogitate.core.task import Message
from cogitate.drive import run
from cogitate.lab.worlds import (
    BanditWorld,
    Pair,
    PairsWorld,
    TreeWorld,
    WorldModel,
    bandits,
    coverage,
    pairs,
    trees,
    uniform_regret,
)
from cogitate.processes import Answer, Reasoning
from cogitate.rules import wilson
from cogitate.scorers import ProcessReward
from cogitate.search import BeamSearch, BestOf

SURE = 0.9995
PROCESSES = pytest.mark.parametrize(
    "process", [Answer(), Reasoning()], ids=lambda p: type(p).__name__
)


def check(expected, hits):
    seen = wilson(sum(hits), len(hits), SURE)
    assert expected in seen, f"{expected:.4f} is not in {seen}"


def answers(world, process, tasks, tries):
    """The extracted answers by task, each of an independent sample."""

    async def one(task, seed):
        state = await process.start(task, seed.at("start"))
        for step in range(40):
            if process.done(state):
                break
            state = await process.step(state, seed.at("step", step))
        return (await process.render(state)).answer

    async def every():
        flows = [one(t, Seed(i).at("sample", k)) for i, t in enumerate(tasks) for k in range(tries)]
        found = await gather(*flows)
        return [found[i : i + tries] for i in range(0, len(found), tries)]

    return run(every(), WorldModel(world)).value


def asked(problem):
    return Prompt.chat(*problem.task.messages)


# ------------------------------------------------------------------------------------ trees


@PROCESSES
def test_samples_find_the_planted_leaf_by_chance_alone(process):
    world = TreeWorld(branching=2, depth=3)
    problems = trees(world, 60)
    found = answers(world, process, [t.task for t in problems], 24)
    golds = [t.gold(world) for t in problems]
    check(world.chance, [a == g for row, g in zip(found, golds, strict=True) for a in row])
    sets = [row[i : i + 4] for row in found for i in range(0, 24, 4)]
    owners = [g for g in golds for _ in range(6)]
    leaves = [int(a) for row in found for a in row]
    for leaf in range(8):
        check(1 / 8, [a == leaf for a in leaves])
    check(coverage(world.chance, 4), [g in s for s, g in zip(sets, owners, strict=True)])


def test_only_the_planted_leaf_scores_one_and_guidance_leads_to_it():
    world = TreeWorld(branching=3, depth=3, guidance=1.0)
    (tree,) = trees(world, 1)
    best = tree.planted(world)
    paths = [[a, b, c] for a in range(3) for b in range(3) for c in range(3)]
    assert [p for p in paths if world.value(tree, p) == 1.0] == [best]
    assert world.value(tree, best[:2]) > world.value(tree, [best[0], (best[1] + 1) % 3])
    blind = TreeWorld(branching=3, depth=3, guidance=0.0)
    assert sorted(blind.value(tree, p) for p in paths)[-2] < 0.9
    assert blind.value(tree, tree.planted(blind)) == 1.0


@pytest.mark.parametrize(("guidance", "found"), [(1.0, 20), (0.0, 0)], ids=["guided", "blind"])
def test_a_beam_finds_the_optimum_where_scores_lead_to_it(guidance, found):
    world = TreeWorld(branching=4, depth=6, guidance=guidance)
    hits = 0
    for number, tree in enumerate(trees(world, 20)):
        flow = BeamSearch(width=2, branch=24)
        seen = run(_best(flow, tree, number), WorldModel(world)).value
        hits += seen == tree.gold(world)
    assert abs(hits - found) <= 2


async def _best(search, problem, number):
    process = Reasoning()
    scorer = _Seen(process, ProcessReward())
    ranking = await search(process, scorer, problem.task, Seed(number))
    return (await process.render(ranking.best.state)).answer


class _Seen:
    """Scores states by their artifacts."""

    def __init__(self, process, scorer):
        self.process, self.scorer = process, scorer

    async def __call__(self, task, states):
        return await self.scorer(task, [await self.process.render(s) for s in states])


# ---------------------------------------------------------------------------------- bandits


def test_pulls_pay_by_the_means_of_their_arms():
    world = BanditWorld(arms=3, best=0.8, gap=0.5)
    engine = WorldModel(world)
    pulls, paid = Counter(), {1: [], 2: [], 3: []}
    (bandit,) = bandits(world, 1)
    for seed in range(3000):
        text = engine.write(Generate(asked(bandit), seed=seed)).text
        (payoff,) = world.scores(ScoreSteps(asked(bandit), (text,)))
        arm = int(text.rpartition("#### ")[2])
        pulls[arm] += 1
        paid[arm].append(payoff)
    for arm, mean in enumerate(world.means(bandit), start=1):
        check(1 / 3, [True] * pulls[arm] + [False] * (3000 - pulls[arm]))
        check(mean, paid[arm])
    assert sorted(world.means(bandit)) == [pytest.approx(0.3), pytest.approx(0.3), 0.8]


def test_an_arm_that_is_named_is_pulled_and_a_ticket_pays_the_same_twice():
    world = BanditWorld()
    (bandit,) = bandits(world, 1)
    told = asked(bandit).turn(Message("user", "Pull arm 4."))
    texts = {WorldModel(world).write(Generate(told, seed=s)).text for s in range(20)}
    assert len(texts) == 20
    assert all(text.endswith("#### 4") for text in texts)
    once = [world.scores(ScoreSteps(asked(bandit), (t,))) for t in sorted(texts)]
    assert once == [world.scores(ScoreSteps(asked(bandit), (t,))) for t in sorted(texts)]
    assert len(set(once)) == 2


def test_regret_by_closed_form_and_in_simulation():
    world = BanditWorld(arms=4, best=0.7, gap=0.3)
    each, pulls, engine = 6, 60, WorldModel(world)
    rightly, regrets = [], []
    for bandit in bandits(world, 300):
        sums = []
        for arm in range(1, 5):
            told = asked(bandit).turn(Message("user", f"Pull arm {arm}."))
            texts = [engine.write(Generate(told, seed=s)).text for s in range(each)]
            sums.append(sum(world.scores(ScoreSteps(asked(bandit), (t,)))[0] for t in texts))
        tied = [arm for arm, total in enumerate(sums, start=1) if total == max(sums)]
        chosen = tied[bandit.number % len(tied)]
        rightly.append(chosen == bandit.best_arm(world))
        made = [arm for arm in range(1, 5) for _ in range(each)] + [chosen] * (pulls - 4 * each)
        regrets.append(world.regret(bandit, made))
    check(world.commits_rightly(each), rightly)
    mean = sum(regrets) / len(regrets)
    spread = math.sqrt(sum((r - mean) ** 2 for r in regrets) / len(regrets) / len(regrets))
    assert abs(mean - world.explore_then_commit(each, pulls)) < 3.5 * spread
    everything = world.explore_then_commit(15, 60)
    assert everything == pytest.approx(uniform_regret([0.7, 0.4, 0.4, 0.4], 60))


# ------------------------------------------------------------------------------------ pairs


def forced(world, pair, looks, seed):
    """A verdict after so many cues to think again."""
    engine, prompt = WorldModel(world), asked(pair)
    for look in range(looks + 1):
        said = engine.write(Generate(prompt, seed=seed * 100 + look, stop=("</think>",)))
        assert said.finish == "stop"
        thought = said.text.removesuffix("</think>")
        prompt = prompt.then(thought + ("Wait" if look < looks else "</think>"))
    return engine.write(Generate(prompt, seed=seed)).text.strip()


@pytest.mark.parametrize("looks", [0, 1, 3])
def test_forced_thinking_is_the_two_state_chain(looks):
    world = PairsWorld(first=0.55, corrects=0.4, spoils=0.1)
    hits = [
        forced(world, pair, looks, 37 * i + seed) == f"Answer: {pair.gold}"
        for i, pair in enumerate(pairs(30))
        for seed in range(20)
    ]
    check(world.right_after(looks), hits)
    assert world.right_after(50) == pytest.approx(world.limit)


@PROCESSES
def test_a_judgement_is_right_as_often_as_stated(process):
    world, problems = PairsWorld(first=0.7), pairs(40)
    found = answers(world, process, [p.task for p in problems], 25)
    check(0.7, [a == p.gold for row, p in zip(found, problems, strict=True) for a in row])


def test_a_judge_with_a_place_it_likes():
    world = PairsWorld(first=0.7, position_bias=0.4)
    for letter, start in (("A", 0), ("B", 1)):
        problems = pairs(80)[start::2]
        found = answers(world, Answer(), [p.task for p in problems], 25)
        assert {p.gold for p in problems} == {letter}
        check(world.right_after(0, letter), [a == letter for row in found for a in row])
    one = pairs(1)[0]
    assert (one.swapped.gold, one.swapped.swapped) == ("B", one)


def test_scores_of_verdicts_have_their_auc():
    world, wins = PairsWorld(auc=0.75), []
    for pair in pairs(1500):
        other = "B" if pair.gold == "A" else "A"
        right, wrong = (
            world.scores(ScoreSteps(asked(pair), (f"Answer: {letter}",)))[0]
            for letter in (pair.gold, other)
        )
        wins.append(right > wrong)
    check(0.75, wins)
    assert world.scores(ScoreSteps(asked(pairs(1)[0]), ("Let me see.",))) == (0.5,)


# ------------------------------------------------------------------------------- all of them

WORLDS_HERE = (
    (TreeWorld(), trees(TreeWorld(), 1)[0]),
    (BanditWorld(), bandits(BanditWorld(), 1)[0]),
    (PairsWorld(), pairs(1)[0]),
)
EACH = pytest.mark.parametrize(("world", "problem"), WORLDS_HERE, ids=["tree", "bandit", "pairs"])


@EACH
def test_replies_are_functions_of_the_request(world, problem):
    prompt, engine = asked(problem), WorldModel(world)
    texts = [engine.write(Generate(prompt, seed=s)).text for s in range(20)]
    assert texts == [WorldModel(world).write(Generate(prompt, seed=s)).text for s in range(20)]
    assert len(set(texts)) > 1
    greedy = Sampling(temperature=0)
    assert len({engine.write(Generate(prompt, s, sampling=greedy)).text for s in range(9)}) == 1
    cut = engine.write(Generate(prompt, 3, max_tokens=4))
    assert (cut.tokens, cut.finish) == (4, "limit")
    assert texts[3].startswith(cut.text)
    done = engine.write(Generate(prompt.then(texts[3]), 0))
    assert (done.text, done.finish) == ("", "eos")


@EACH
def test_what_is_no_problem_gets_one_sentence(world, problem):
    engine = WorldModel(world)
    with pytest.raises(Failed, match=r"knows only its own problems, such as .*; ask one of them$"):
        engine.write(Generate(Prompt.raw("What is 2 + 2?"), 0))
    with pytest.raises(Failed, match="constraint") as refused:
        engine.write(Generate(asked(problem), 0, constraint=JsonSchema("{}")))
    assert refused.value.kind == "unsupported"

    async def embed():
        return await Embed(("a",))

    with pytest.raises(Failed, match="serves Embed"):
        run(embed(), engine)


@EACH
def test_usage_stays_below_its_ceiling(world, problem):
    engine = WorldModel(world)

    async def both():
        said = await Generate(asked(problem), 0, max_tokens=5)
        return await ScoreSteps(asked(problem), (said.text,))

    found = run(both(), engine)
    assert (found.usage.tokens_out, found.usage.calls) == (5, 2)
    ceiling = engine.ceiling(Generate(asked(problem), 0, max_tokens=5))
    assert found.usage.tokens_in >= ceiling.tokens_in > 0


@pytest.mark.parametrize("name", ["tree", "bandit", "pairs"])
def test_specs_open_them(name):
    engine = _now(open_spec(f"sim:{name}(seed=3)", Configuration()))
    assert isinstance(engine, WorldModel)
    assert "seed=3" in engine.fingerprint
    assert name in WORLDS


def _now(coroutine):
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


@pytest.mark.parametrize(
    "make",
    [
        lambda: TreeWorld(depth=0),
        lambda: TreeWorld(guidance=1.5),
        lambda: BanditWorld(best=0.2, gap=0.3),
        lambda: PairsWorld(first=2),
        lambda: pairs(-1),
        lambda: trees(TreeWorld(), 1, seed=1000),
        lambda: bandits(BanditWorld(), -1),
    ],
)
def test_what_cannot_be_is_refused(make):
    with pytest.raises(InvalidInput, match="asked for"):
        make()


def test_best_of_pulls_finds_a_paying_ticket_more_often_than_one():
    world = BanditWorld(arms=5, best=0.7, gap=0.3)
    engine, paid = WorldModel(world), {1: [], 4: []}
    for number, bandit in enumerate(bandits(world, 150)):
        for n in paid:
            scorer = _Seen(Answer(), ProcessReward())
            found = run(BestOf(n)(Answer(), scorer, bandit.task, Seed(number)), engine).value
            paid[n].append(found.best.value == 1.0)
    mean = (0.7 + 4 * 0.4) / 5
    check(mean, paid[1])
    check(1 - (1 - mean) ** 4, paid[4])


def test_pairs_differ_in_what_they_offer():
    found = pairs(200)
    assert len({p.question for p in found}) == 200
    assert all(p.one + p.other in (p.first, p.second) and p.first != p.second for p in found)
    assert found[:7] == pairs(7)
    assert isinstance(found[0], Pair)


def test_a_path_ends_at_the_first_step_that_does_not_follow():
    (tree,) = trees(TreeWorld(), 1)
    steps = ["Level 1: take branch 2.", "Level 2: take branch 3."]
    assert tree.path("\n\n".join(steps)) == [1, 2]
    assert tree.path("\n\n".join(reversed(steps))) == []
    assert tree.path(steps[0] + "Level 2: take branch 4.") == [1]
    assert tree.path(steps[0] + steps[0]) == [1]


def test_a_verdict_stands_until_a_cue_asks_for_another_look():
    world = PairsWorld(corrects=1.0, spoils=1.0)
    (pair,) = pairs(1)
    begun = asked(pair).then("<think>\nIt looks like B.\n")
    engine = WorldModel(world)
    assert engine.write(Generate(begun, 0)).text == "</think>\n\nAnswer: B"
    again = engine.write(Generate(begun.then("Wait"), 0)).text
    assert again == " Once more. It looks like A.\n</think>\n\nAnswer: A"


@EACH
def test_equal_seeds_draw_apart_at_different_prompts(world, problem):
    engine = WorldModel(world)
    prompts = [Prompt.chat(Message("system", f"{i}"), *problem.task.messages) for i in range(30)]
    assert len({engine.write(Generate(p, seed=1)).text for p in prompts}) > 1


@EACH
def test_the_last_problem_of_a_prompt_is_the_one_that_counts(world, problem):
    other = replace(problem, number=problem.number + 1)
    both = Prompt.chat(Message("user", f"{other.question}\n\n{problem.question}"))
    steps = (WorldModel(world).write(Generate(asked(problem), seed=5)).text,)
    found = [world.scores(ScoreSteps(p, steps)) for p in (both, asked(problem), asked(other))]
    assert found[0] == found[1]
    many = [f"Ticket {i} for arm 1." for i in range(40)]
    many += [f"Level 1: take branch {i}." for i in (1, 2, 3)] + [
        f"Answer: A{' ' * i}" for i in range(9)
    ]
    apart = [[world.scores(ScoreSteps(p, (s,))) for s in many] for p in (both, asked(other))]
    assert apart[0] != apart[1]
