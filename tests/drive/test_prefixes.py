from cogitate.core.flow import gather
from cogitate.core.requests import Generate
from cogitate.core.seeds import Seed
from cogitate.drive import PrefixTokens, Router, run
from cogitate.engines.grading import Grader
from cogitate.lab.worlds import ChainModel, chains, preset
from cogitate.processes import Reasoning
from cogitate.rules.prefixes import prefix_tokens
from cogitate.scorers import ProcessReward
from cogitate.search import BeamSearch, BestOf, Solve


def heard(strategy, problems=2, prompts=False):
    world = preset("medium")
    kv = PrefixTokens(prompts)
    events = []

    def listen(event):
        events.append(event)
        kv(event)

    async def flow():
        return await gather(*(strategy(p.task, Seed(p.number)) for p in chains(world, problems)))

    engine = Router({"policy": (ChainModel(world),)}, [Grader(symbolic=False)])
    done = run(flow(), engine, listen=listen)
    return kv, events, done


def test_by_hand():
    nodes = {
        "a": (None, 1, 7),
        "b": (None, 1, 5),
        "aa": ("a", 2, 3),
        "ab": ("a", 2, 2),
        "ba": ("b", 2, 4),
        "aaa": ("aa", 3, 1),
        "aab": ("aa", 3, 1),
    }
    assert prefix_tokens(nodes) == (12, 12 + 9, 2 + 3 + 7)
    assert prefix_tokens(nodes, prompt=10) == (22, 31, 22)
    assert prefix_tokens({}) == ()


def test_trees_of_problems_side_by_side_are_kept_apart():
    kv, _, done = heard(Solve(Reasoning(), ProcessReward(), BeamSearch(2, 2)))
    assert len(kv.trees) == 2
    alone = [heard(Solve(Reasoning(), ProcessReward(), BeamSearch(2, 2)), 1)[0].trees[0]]
    assert kv.trees[:1] == tuple(alone)
    assert kv.total == sum(map(sum, kv.trees))
    # the first depth holds just what was generated there
    assert kv.trees[0][0] <= done.usage.tokens_out


def test_what_is_generated_is_counted_once_at_its_own_depth():
    kv, events, done = heard(Solve(Reasoning(), ProcessReward(), BeamSearch(1, 1)), 1)
    steps = [
        e.outcome.usage.tokens_out
        for e in events
        if type(e).__name__ == "Answered" and isinstance(e.request, Generate)
    ]
    # a line: each depth needs all before it
    assert kv.trees[0] == tuple(sum(steps[: i + 1]) for i in range(len(steps)))
    assert sum(steps) == done.usage.tokens_out


def test_the_prompt_may_be_counted():
    without = heard(Solve(Reasoning(), ProcessReward(), BestOf(1)), 1)[0].trees[0]
    told = heard(Solve(Reasoning(), ProcessReward(), BestOf(1)), 1, prompts=True)[0].trees[0]
    assert all(a > b for a, b in zip(told, without, strict=True))
