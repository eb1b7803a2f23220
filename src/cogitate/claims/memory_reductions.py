"""Paper 23: switches, the filter against leaks, the books of the tree, and the two stages of the coarse level."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace
from typing import Any, Final

from cogitate.core.events import Event, Noted
from cogitate.core.seeds import Seed
from cogitate.drive import Router, run
from cogitate.engines.retrieval import Corpus, Entry, Retriever, TfIdf
from cogitate.lab.worlds import RIDDLES, Riddle, WorldModel, remembered, riddles
from cogitate.processes import Reasoning, Recalled
from cogitate.rules.bandits import uct
from cogitate.search import UCT, MonteCarloTreeSearch, Solve

from .claim import Observed, Setting, exact
from .memory_trials import ITERATIONS, PRM, Recalling, recalled, recalling

PLAIN: Final = Solve(
    Reasoning(), PRM, MonteCarloTreeSearch(ITERATIONS, branch=3, depth=12, policy=UCT(1.0))
)
"""Tree search by the process reward model, with no memory at all."""
WORLD: Final = RIDDLES["riddles"]


def _differences(first: Recalling, second: Recalling) -> tuple[int, int]:
    """Requests of the policy and riddles that differ."""
    keys = [Counter(request.key() for request in found.asked) for found in (first, second)]
    texts = sum(a != b for a, b in zip(first.texts, second.texts, strict=True))
    return sum(((keys[0] - keys[1]) + (keys[1] - keys[0])).values()), texts


@exact(
    "with memory off it is tree search by the reward model",
    "Retrieval off reproduces PRM-MCTS node for node under the same seed",
    items=(1,),
)
def off(setting: Setting) -> Observed:
    count = setting.size(60, 15)
    plain = recalled(PLAIN, WORLD, count)
    found = recalled(recalling(problems=0, steps=0), WORLD, count)
    asked, texts = _differences(found, plain)
    return Observed(
        not asked and not texts and found.lookups == 0 and len(plain.asked) > 10 * count,
        f"{asked} of {len(plain.asked)} requests and {texts} of {count} riddles differ; {found.lookups} lookups",
        n=count,
    )


@exact(
    "what is never alike enough is never shown",
    "θ_f = 1.01 and θ_c = 1.01 → never retrieve → same as 1",
    items=(2,),
)
def never(setting: Setting) -> Observed:
    """The corpora are asked, and nothing of them is taken; the first try is the step."""
    count = setting.size(60, 10)
    plain = recalled(PLAIN, WORLD, count)
    found = recalled(recalling(at_least=1.01), WORLD, count)
    asked, texts = _differences(found, plain)
    return Observed(
        not asked and not texts and found.lookups > count,
        f"{asked} of {len(plain.asked)} requests and {texts} of {count} riddles differ after {found.lookups} lookups",
        n=count,
    )


@exact(
    "an empty corpus works, and no question finds itself",
    "Empty corpus works; corpus containing the test item is rejected by the leakage filter",
    items=(3,),
)
def leaks(setting: Setting) -> Observed:
    count = setting.size(40, 10)
    plain, empty = recalled(PLAIN, WORLD, count), recalled(recalling(), WORLD, count, "empty")
    _, texts = _differences(empty, plain)
    questions = [riddle.question for riddle in riddles(WORLD, count)]
    corpus = remembered(WORLD, 30)["problems"]
    tainted = Corpus(
        (*corpus.entries, *(Entry(f"t{i}", q.upper(), key=q) for i, q in enumerate(questions)))
    )
    kept = tainted.without(questions)
    return Observed(
        not texts and kept.digest == corpus.digest,
        f"{texts} of {count} riddles differ with nothing to remember; of {len(tainted)} entries with {count} test "
        f"questions among them {len(kept)} stay, {len(corpus)} of them others",
        n=count,
    )


@exact(
    "the books of the tree are right",
    "N(root) = number of backpropagated evaluations; Q in [0,1]; c_uct = 0 is greedy; unvisited first",
    items=(4,),
)
def books(setting: Setting) -> Observed:
    """Visits of the root's children sum to what was scored; the rule by itself for the rest."""
    count = setting.size(40, 10)
    found = recalled(recalling(), WORLD, count)
    wrong = trees = 0
    scored: Counter[str] = Counter()
    for told in found.notes:
        tree = told.at.partition("#")[0]
        if told.kind == "scored":
            scored[tree] += len(told.data["ids"])
        elif told.kind == "tree":
            trees += 1
            visits = dict(zip(told.data["ids"], told.data["visits"], strict=True))
            top = sum(n for id, n in visits.items() if "." not in str(id))
            values = [v for v in told.data["values"] if v is not None]
            wrong += top > scored[tree] or not all(0 <= v <= 1 for v in values)
            wrong += top < scored[tree] - 1  # the line that is taken to its end is not backed up
    greedy = uct([0.2, 0.9, 0.5], [3, 2, 4], 9, 0.0)
    unseen = uct([0.9, 0.0, 0.0], [5, 0, 0], 5, 1.0)
    right = greedy.index(max(greedy)) == 1 and unseen.index(max(unseen)) == 1
    return Observed(
        not wrong and trees == count and right and math.isinf(unseen[1]),
        f"{wrong} of {trees} trees keep wrong books; without exploration the best goes on, and what was never seen first",
        n=count,
    )


@exact(
    "by its description a problem of the same kind is found, by its words it is not",
    "Coarse retrieval by template finds same-template problems with different surface words when BM25 alone fails "
    "(two-stage test), provided they are in the candidate set; widen the set test",
    items=(5,),
)
def stages(setting: Setting) -> Observed:
    """Riddles and corpora share no name; every kind has about ten solved riddles."""
    count = setting.size(60, 20)
    by_words, alike = _shares(count)
    narrow, wide = _kinds_shown(count, 4), _kinds_shown(count, 60)
    return Observed(
        by_words < 0.4 and wide == 1.0 and narrow < wide,
        f"of the three best by words {by_words:.2f} are of the same kind ({alike:.2f} of the corpus are); of those shown "
        f"after the description {narrow:.2f} with 4 candidates, of which many hold none, and {wide:.2f} with 60",
        n=count,
    )


def _shares(count: int) -> tuple[float, float]:
    corpus = remembered(WORLD, 60)["problems"]
    index = TfIdf(corpus)
    hits, same = 0, 0
    for riddle in riddles(WORLD, count):
        title = WORLD.title(WORLD.kind_of(riddle.name))
        found = index.rank(riddle.question, 3)
        hits += sum(title in corpus.entries[place].context for place, _ in found)
        same += sum(title in entry.context for entry in corpus.entries)
    return hits / (3 * count), same / (len(corpus) * count)


def _kinds_shown(count: int, candidates: int) -> float:
    """The share of riddles for which only problems of their own kind are shown, and at least one."""
    corpus = remembered(WORLD, 60)["problems"]
    process = replace(recalling(steps=0).process, candidates=candidates)
    engine = Retriever({"problems": TfIdf(corpus)})
    right = 0
    for riddle in riddles(WORLD, count):
        shown = _shown(process, riddle, engine)
        title = WORLD.title(WORLD.kind_of(riddle.name))
        own = [e for e in corpus.entries if e.id in shown and title in e.context]
        right += bool(shown) and len(own) == len(shown)
    return right / count


def _shown(process: Recalled[Any], riddle: Riddle, engine: Retriever) -> frozenset[str]:
    ids: set[str] = set()

    def listen(event: Event) -> None:
        if isinstance(event, Noted) and event.kind == "recalled":
            ids.update(event.data["ids"])

    router = Router({"policy": (WorldModel(WORLD),), "retriever": (engine,)})
    run(process.start(riddle.task, Seed(0)), router, listen=listen)
    return frozenset(ids)


@exact(
    "more iterations never find less",
    "More iterations never lower the best PRM score found (monotone)",
    items=(7,),
)
def monotone(setting: Setting) -> Observed:
    count = setting.size(40, 10)
    ladder = (1, 2, 4, 8, 16) if not setting.quick else (1, 3, 8)
    best = [_best_seen(recalled(recalling(iterations=n), WORLD, count)) for n in ladder]
    falls = sum(
        later < before - 1e-12
        for one, more in itertools.pairwise(best)
        for before, later in zip(one, more, strict=True)
    )
    return Observed(
        not falls and all(len(row) == count for row in best),
        f"{falls} of {count * (len(ladder) - 1)} steps up the ladder of iterations {ladder} find less",
        n=count,
    )


def _best_seen(found: Recalling) -> list[float]:
    """The highest score of each riddle's tree, in the order of the riddles."""
    best: dict[str, float] = {}
    for told in found.notes:
        if told.kind == "scored":
            tree = told.at.partition("#")[0]
            values = [v for v in told.data["values"] if v is not None]
            best[tree] = max([best.get(tree, 0.0), *values])
    return [best[tree] for tree in sorted(best)]
