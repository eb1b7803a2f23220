"""How well and how fast indices find what answers a question, beside other libraries.

    python benchmarks/retrieval.py --data FOLDER                     FOLDER holds hotpotqa/; or set COGITATE_DATA
    python benchmarks/retrieval.py --model embedder=openai:http://localhost:8000/v1#bge
    python benchmarks/retrieval.py --local                           embeds with SmolLM2 through llama.cpp's server
    python benchmarks/retrieval.py --scale                           120,000 random vectors instead
    python benchmarks/retrieval.py --scale --write docs/guides/retrieval.md

The 100 questions of the HotpotQA distractor sample, and all their paragraphs, ten each, as one corpus; a question's two
supporting paragraphs are what is to be found. Without a model the dense rows use the fake engine's embedding, which
hashes words into a few dimensions: a floor, and no measure of dense retrieval. Peers are called as their own pages
show, with their own tokenizers: `pip install rank-bm25 scikit-learn`. Index seconds and queries a second are medians of
interleaved rounds; embedding is timed apart. Intervals are of 95 % over questions.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import importlib
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy

from cogitate.core.protocols import Engine
from cogitate.engines.retrieval import Bm25, Corpus, Dense, Entry, Hybrid, TfIdf, embed_corpus
from cogitate.rules import Interval, bootstrap, paired_bootstrap
from cogitate.testing import FakeEngine

FILE = "hotpotqa/distractor_sample_100.jsonl.gz"
DEPTHS = (1, 2, 5, 10, 20)
LOOKED = 5
"""The depth at which methods are compared."""
DIMENSIONS = 256
"""Of the fake embedding."""
Ask = Callable[[int], list[int]]
"""From a question's number to the places of the paragraphs found, best first."""


# ------------------------------------------------------------------------------------- the sample


@dataclass(frozen=True)
class Sample:
    """Questions, the paragraphs of all of them, and where the supporting ones are."""

    questions: tuple[str, ...]
    corpus: Corpus
    wanted: tuple[frozenset[int], ...]

    @property
    def texts(self) -> list[str]:
        return [entry.seen for entry in self.corpus.entries]


def sample(folder: Path) -> Sample:
    """The HotpotQA distractor sample."""
    path = folder / FILE
    if not path.is_file():
        sys.exit(f"{FILE} is not in {folder}: give --data FOLDER, or set COGITATE_DATA")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    told: dict[str, str] = {}
    for row in rows:
        for title, sentences in zip(
            row["context"]["title"], row["context"]["sentences"], strict=True
        ):
            told.setdefault(title, f"{title}. {''.join(sentences).strip()}")
    places = {title: at for at, title in enumerate(told)}
    return Sample(
        tuple(row["question"] for row in rows),
        Corpus(tuple(Entry(title, text) for title, text in told.items())),
        tuple(frozenset(places[t] for t in row["supporting_facts"]["title"]) for row in rows),
    )


# -------------------------------------------------------------------------------------- the methods


@dataclass(frozen=True)
class Embedded:
    """Vectors of a model, made before anything is timed."""

    name: str
    passages: Any
    questions: Sequence[Sequence[float]]
    seconds: float
    """For all passages."""


async def embedded(name: str, engine: Engine, held: Sample) -> Embedded:
    """Vectors of passages and questions."""
    start = time.perf_counter()
    passages, _ = await embed_corpus(held.corpus, engine)
    seconds = time.perf_counter() - start
    asked = Corpus(tuple(Entry(str(at), text) for at, text in enumerate(held.questions)))
    questions, _ = await embed_corpus(asked, engine)
    return Embedded(name, passages, questions.tolist(), seconds)


def methods(held: Sample, models: Sequence[Embedded]) -> dict[str, Callable[[], Ask]]:
    """Each method as a function that builds its index and gives one that asks it."""
    deepest = DEPTHS[-1]

    def asks(index: Any, vectors: Sequence[Any] | None = None) -> Ask:
        def ask(at: int) -> list[int]:
            vector = None if vectors is None else vectors[at]
            return [p for p, _ in index.rank(held.questions[at], deepest, vector)]

        return ask

    found: dict[str, Callable[[], Ask]] = {
        "BM25": lambda: asks(Bm25(held.corpus)),
        "TF-IDF": lambda: asks(TfIdf(held.corpus)),
    }
    for made in models:

        def dense(made: Embedded = made) -> Ask:
            return asks(Dense(held.corpus, made.passages, made.name), made.questions)

        def hybrid(made: Embedded = made) -> Ask:
            parts = (Bm25(held.corpus), Dense(held.corpus, made.passages, made.name))
            return asks(Hybrid(parts), made.questions)

        found[f"dense, {made.name}"] = dense
        found[f"hybrid with BM25, {made.name}"] = hybrid
    found["hybrid of BM25 and TF-IDF"] = lambda: asks(Hybrid((Bm25(held.corpus), TfIdf(held.corpus))))  # fmt: skip
    return found | peers(held)


def peers(held: Sample) -> dict[str, Callable[[], Ask]]:
    """What other libraries find; those that are not installed are named and left out."""
    deepest, found = DEPTHS[-1], dict[str, Callable[[], Ask]]()

    def best(scores: Any) -> list[int]:
        order = numpy.argsort(-numpy.asarray(scores), kind="stable")[:deepest]
        return [int(place) for place in order if scores[place] > 0]

    def has(module: str, package: str) -> Any:
        try:
            return importlib.import_module(module)
        except ImportError:
            print(f"{package} is left out: pip install {package}", file=sys.stderr)
            return None

    if (ranked := has("rank_bm25", "rank-bm25")) is not None:

        def okapi() -> Ask:
            index = ranked.BM25Okapi([text.lower().split(" ") for text in held.texts])
            return lambda at: best(index.get_scores(held.questions[at].lower().split(" ")))

        found["rank-bm25 (Okapi, split at blanks)"] = okapi
    if (sparse := has("bm25s", "bm25s")) is not None:

        def scored() -> Ask:
            index = sparse.BM25()
            index.index(
                sparse.tokenize(held.texts, stopwords="en", show_progress=False),
                show_progress=False,
            )

            def ask(at: int) -> list[int]:
                asked = sparse.tokenize(held.questions[at], stopwords="en", show_progress=False)
                places, scores = index.retrieve(asked, k=deepest, show_progress=False)
                pairs = zip(places[0].tolist(), scores[0].tolist(), strict=True)
                return [place for place, score in pairs if score > 0]

            return ask

        found["bm25s (own tokenizer, English stop words)"] = scored
    if (learned := has("sklearn.feature_extraction.text", "scikit-learn")) is not None:

        def weighted(**options: Any) -> Ask:
            made = learned.TfidfVectorizer(**options)
            rows = made.fit_transform(held.texts)
            return lambda at: best((rows @ made.transform([held.questions[at]]).T).toarray()[:, 0])

        found["scikit-learn TfidfVectorizer"] = weighted
        found["scikit-learn TfidfVectorizer, stop words, sublinear"] = lambda: weighted(
            stop_words="english", sublinear_tf=True
        )
    return found


@contextlib.asynccontextmanager
async def local_engine() -> AsyncGenerator[Engine]:
    """SmolLM2 behind llama.cpp's server on loopback, its last states averaged; no embedder by training."""
    from cogitate.engines.openai import Capabilities, OpenAICompatible
    from cogitate.engines.weights import located

    try:
        library: Any = importlib.import_module("xllamacpp")
    except ImportError:
        sys.exit("--local needs xllamacpp: pip install 'cogitate[local]'")
    path = located("smollm2")
    if path is None:
        sys.exit("--local needs the embedded model: cogitate models pull smollm2")
    given = library.CommonParams()
    given.model.path, given.port = str(path), free_port()
    given.n_ctx = given.n_batch = given.n_ubatch = 2048
    given.n_parallel, given.n_gpu_layers, given.verbosity = 1, 0, 0
    given.embedding, given.cpuparams.n_threads = True, 1
    given.pooling_type = library.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = library.Server(given)
    engine = OpenAICompatible(
        server.listening_address, "smollm2", capabilities=Capabilities(embeddings=True)
    )
    try:
        yield engine
    finally:
        await engine.close()
        del server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def models(chosen: argparse.Namespace, held: Sample) -> list[Embedded]:
    """The fake embedding, and those that were asked for."""
    from cogitate.assembly import load
    from cogitate.assembly.models import named, open_spec

    found = [await embedded("word hashes", FakeEngine(dimensions=DIMENSIONS), held)]
    if chosen.model:
        configuration = load()
        source = named(chosen.model, configuration).roles.get("embedder")
        if not isinstance(source, str):
            sys.exit("--model embedder=SPEC was expected")
        engine = await open_spec(source, configuration)
        try:
            found.append(await embedded(source, engine, held))
        finally:
            await engine.close()
    if chosen.local:
        async with local_engine() as engine:
            found.append(await embedded("SmolLM2-135M, averaged", engine, held))
    return found


# ---------------------------------------------------------------------------------------- measuring


@dataclass
class Row:
    """One method."""

    name: str
    found: list[list[int]]
    build: list[float]
    rate: list[float]

    def shares(self, wanted: Sequence[frozenset[int]], depth: int) -> list[float]:
        """Of each question the share of its paragraphs among the first so many."""
        return [
            len(set(places[:depth]) & held) / len(held)
            for places, held in zip(self.found, wanted, strict=True)
        ]

    def as_json(self, wanted: Sequence[frozenset[int]]) -> dict[str, Any]:
        """The public JSON form."""
        shares = {depth: self.shares(wanted, depth) for depth in DEPTHS}
        return {
            "name": self.name,
            "recall": {d: asdict(_interval(s)) for d, s in shares.items()},
            "both": {d: statistics.fmean(x == 1 for x in s) for d, s in shares.items()},
            "any": {d: statistics.fmean(x > 0 for x in s) for d, s in shares.items()},
            "index_seconds": statistics.median(self.build),
            "queries_per_second": statistics.median(self.rate),
        }


def measured(held: Sample, ways: dict[str, Callable[[], Ask]], rounds: int) -> list[Row]:
    """Every method, round by round."""
    rows = {name: Row(name, [], [], []) for name in ways}
    for _ in range(rounds):
        for name, build in ways.items():
            start = time.perf_counter()
            ask = build()
            built = time.perf_counter()
            found = [ask(at) for at in range(len(held.questions))]
            rows[name].rate.append(len(found) / (time.perf_counter() - built))
            rows[name].build.append(built - start)
            rows[name].found = found
    return list(rows.values())


def _interval(values: Sequence[float]) -> Interval:
    return bootstrap(values, 0, draws=2000)


def _shown(found: Interval, sign: str = "") -> str:
    return f"{found.value:{sign}.2f} [{found.low:{sign}.2f}, {found.high:{sign}.2f}]"


def quality(held: Sample, rows: Sequence[Row]) -> str:
    """Recall by depth, with intervals; and both or any of the two."""
    first = rows[0].shares(held.wanted, LOOKED)
    head = [f"recall@{depth}" for depth in DEPTHS]
    head += [f"both@{LOOKED}", "both@20", f"any@{LOOKED}", f"recall@{LOOKED} less BM25's"]
    lines = ["| | " + " | ".join(head) + " |", "| --- " * (len(head) + 1) + "|"]
    for row in rows:
        cells = [_shown(_interval(row.shares(held.wanted, depth))) for depth in DEPTHS]
        at, last = row.shares(held.wanted, LOOKED), row.shares(held.wanted, DEPTHS[-1])
        cells += [f"{statistics.fmean(x == 1 for x in some):.2f}" for some in (at, last)]
        cells.append(f"{statistics.fmean(x > 0 for x in at):.2f}")
        lead = paired_bootstrap(at, first, 0, draws=2000)
        cells.append("" if row is rows[0] else _shown(lead, "+"))
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def speed(rows: Sequence[Row], made: Sequence[Embedded]) -> str:
    """Seconds to index, and queries a second, one after the other."""
    lines = ["| | index, seconds | queries a second |", "| --- | --- | --- |"]
    for row in rows:
        build, rate = statistics.median(row.build), statistics.median(row.rate)
        lines.append(f"| {row.name} | {build:.3f} | {rate:,.0f} |")
    lines += [f"| embedding all passages, {model.name} | {model.seconds:.1f} | |" for model in made]
    return "\n".join(lines)


# --------------------------------------------------------------------------------------- the scale


def scale(count: int, dimensions: int, queries: int, rounds: int) -> list[dict[str, Any]]:
    """Every vector compared against the graph, on vectors of no structure and of a thousand clouds."""
    draw = numpy.random.default_rng(0)
    corpus = Corpus(tuple(Entry(f"e{at}", f"passage {at}") for at in range(count)))
    centres = draw.normal(size=(1000, dimensions))
    clouds = centres[draw.integers(0, 1000, count + queries)]
    kinds = {
        "no structure": draw.normal(size=(count + queries, dimensions)),
        "1,000 clouds": clouds + 0.5 * draw.normal(size=clouds.shape),
    }
    rows: list[dict[str, Any]] = []
    for kind, points in kinds.items():
        vectors, asked = points[:count].astype("float32"), points[count:].tolist()
        builds: dict[str, float] = {}
        indices: dict[str, Dense] = {}
        for name, below in (("every one", count + 1), ("graph", 0)):
            start = time.perf_counter()
            indices[name] = Dense(corpus, vectors, "random", brute_force_below=below)
            builds[name] = time.perf_counter() - start
        rates: dict[str, list[float]] = {name: [] for name in indices}
        found: dict[str, list[set[int]]] = {}
        for _ in range(rounds):
            for name, index in indices.items():
                start = time.perf_counter()
                places = [index.rank("", 10, vector) for vector in asked]
                rates[name].append(queries / (time.perf_counter() - start))
                found[name] = [{place for place, _ in one} for one in places]
        for name, index in indices.items():
            graph: Any = index._graph  # pyright: ignore[reportPrivateUsage]
            more = 0 if graph is None else int(graph.memory_usage)
            shares = [len(a & b) / 10 for a, b in zip(found["every one"], found[name], strict=True)]
            rows.append(
                {
                    "vectors": kind,
                    "way": name,
                    "recall@10": asdict(_interval(shares)),
                    "megabytes": (index.vectors.nbytes + more) / 1e6,
                    "build_seconds": builds[name],
                    "queries_per_second": statistics.median(rates[name]),
                }
            )
    return rows


def scale_table(rows: Sequence[dict[str, Any]]) -> str:
    """What the two ways cost and find."""
    lines = ["| vectors | compared with | recall@10 | memory, MB | build, seconds | queries a second |", "| --- " * 6 + "|"]  # fmt: skip
    for row in rows:
        recall = Interval(**row["recall@10"])
        lines.append(
            f"| {row['vectors']} | {row['way']} | {recall.value:.3f} [{recall.low:.3f}, {recall.high:.3f}] | "
            f"{row['megabytes']:.0f} | {row['build_seconds']:.2f} | {row['queries_per_second']:,.0f} |"
        )
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------ telling


def written(page: Path, name: str, told: str) -> None:
    """Put text between the two marks of a page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.read_text("utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{told}\n{end}{after}", "utf-8")


def hotpot(chosen: argparse.Namespace) -> None:
    """Recall and speed on the sample."""
    held = sample(chosen.data)
    made = asyncio.run(models(chosen, held))
    rows = measured(held, methods(held, made), chosen.rounds)
    if chosen.json:
        print(json.dumps([row.as_json(held.wanted) for row in rows], indent=1))
    else:
        print(quality(held, rows))
        print(speed(rows, made))
    if chosen.write:
        told = (
            f"{len(held.questions)} questions, {len(held.corpus)} paragraphs, two of them to be found for each question. "
            "*Recall* is the share of the two among the first k, *both* the share of questions with both, *any* that with "
            f"at least one. *Word hashes* is the fake engine's embedding of {DIMENSIONS} dimensions: a floor, not what a "
            "trained embedder finds."
        )
        timed = f"One query at a time, 20 passages each, medians of {chosen.rounds} rounds on two shared cores; embedding apart:"
        written(
            chosen.write,
            "hotpotqa",
            "\n\n".join(["", told, quality(held, rows), timed, speed(rows, made), ""]).strip(" "),
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("COGITATE_DATA", ".")), metavar="FOLDER"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", action="append", metavar="embedder=SPEC")
    parser.add_argument("--local", action="store_true", help="embed with SmolLM2, too")
    parser.add_argument("--scale", action="store_true", help="random vectors instead")
    parser.add_argument("--vectors", type=int, default=120_000)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page with the marks")
    chosen = parser.parse_args()
    if not chosen.scale:
        hotpot(chosen)
        return
    rows = scale(chosen.vectors, chosen.dimensions, chosen.queries, chosen.rounds)
    print(json.dumps(rows, indent=1) if chosen.json else scale_table(rows))
    if chosen.write:
        told = (
            f"{chosen.vectors:,} vectors of {chosen.dimensions} dimensions, {chosen.queries} queries, 10 passages each, "
            f"medians of {chosen.rounds} rounds:"
        )
        written(chosen.write, "scale", f"\n{told}\n\n{scale_table(rows)}\n")


if __name__ == "__main__":
    main()
