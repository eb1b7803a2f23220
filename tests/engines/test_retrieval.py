import asyncio
import json
import math

import pytest

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Limits
from cogitate.core.requests import Embed, Generate, Reply
from cogitate.core.retrieve import Retrieve
from cogitate.core.usage import ZERO, Usage
from cogitate.engines.fake import FakeEngine
from cogitate.engines.retrieval import (
    Bm25,
    Corpus,
    Dense,
    Entry,
    Hybrid,
    Retriever,
    TfIdf,
    build,
    embed_corpus,
    load,
    read_entries,
    save,
)
from cogitate.rules.fusion import reciprocal_rank
from cogitate.rules.lexical import leaks, words

TEXTS = (
    "The river Aare flows through Bern",
    "Bern is a town on the Aare",
    "Apples grow on trees near the river",
    "A pear is no apple",
    "trees trees trees",
)
CORPUS = Corpus(tuple(Entry(f"p{i}", text) for i, text in enumerate(TEXTS)))
needs = pytest.importorskip


def asked(engine, *requests):
    return asyncio.run(engine.serve(list(requests)))


class Embedder:
    """The fake's vectors, counted."""

    serves = frozenset({Embed})
    limits = Limits(concurrency=1)

    def __init__(self, fingerprint="own", fail=False):
        self.fingerprint, self.fail, self.calls = fingerprint, fail, []
        self._fake = FakeEngine(dimensions=64)

    def ceiling(self, request):
        return Usage(tokens_in=sum(len(t) for t in request.texts), calls=1)

    async def serve(self, batch, emit=None):
        self.calls += batch
        if self.fail:
            failure = Failed("busy", "server", transient=True)
            failure.usage = Usage(tokens_in=7, calls=1)
            return [failure for _ in batch]
        replies = await self._fake.serve(batch)
        return [Reply(r.value, Usage(tokens_in=3, calls=1)) for r in replies]

    async def close(self):
        pass


def vectors(corpus=CORPUS):
    return asyncio.run(embed_corpus(corpus, Embedder()))[0]


def test_bm25_is_lucenes_formula():
    needs("bm25s")
    k1, b = 1.5, 0.75
    told = [words(t) for t in TEXTS]
    mean = sum(map(len, told)) / len(told)

    def score(text, query):
        total = 0.0
        for word in words(query):
            n = sum(word in t for t in told)
            idf = math.log(1 + (len(told) - n + 0.5) / (n + 0.5))
            tf = text.count(word)
            total += idf * tf / (tf + k1 * (1 - b + b * len(text) / mean))
        return total

    found = Bm25(CORPUS).rank("river trees", 5)
    by_hand = {i: score(t, "river trees") for i, t in enumerate(told)}
    assert [place for place, _ in found] == sorted(
        (i for i, s in by_hand.items() if s > 0), key=lambda i: (-by_hand[i], i)
    )
    assert all(value == pytest.approx(by_hand[place], rel=1e-5) for place, value in found)


def test_tf_idf_is_a_cosine():
    index = TfIdf(CORPUS)
    assert index.rank("trees trees trees", 1)[0] == (4, pytest.approx(1.0))
    found = index.rank("apples on trees", 5)
    assert [0 < s <= 1 for _, s in found] == [True] * len(found)
    assert found == sorted(found, key=lambda pair: (-pair[1], pair[0]))
    assert index.rank("zebra", 3) == []


@pytest.mark.parametrize("make", [TfIdf, pytest.param("bm25", id="Bm25")])
def test_an_index_by_words_survives_any_query(make):
    if make == "bm25":
        needs("bm25s")
        make = Bm25
    index = make(CORPUS)
    for query in ("", "   ", "?!", "\ud83d", "the " * 5000, "a" * 100_000):
        assert len(index.rank(query, 3)) <= 3
    assert make(Corpus((Entry("x", "!!!"),))).rank("x", 1) == []


def test_dense_is_exact_and_the_graph_nearly_so():
    numpy = needs("numpy")
    needs("usearch")
    rng = numpy.random.default_rng(0)
    held = rng.normal(size=(400, 16))
    corpus = Corpus(tuple(Entry(str(i), f"t{i}") for i in range(400)))
    exact = Dense(corpus, held, "m")
    graph = Dense(corpus, held, "m", brute_force_below=10)
    hits = 0
    for query in rng.normal(size=(30, 16)):
        cosines = held @ query / numpy.linalg.norm(held, axis=1) / numpy.linalg.norm(query)
        best = numpy.argsort(-cosines)[:10].tolist()
        assert [place for place, _ in exact.rank("", 10, query)] == best
        found = graph.rank("", 10, query)
        hits += len(set(best) & {place for place, _ in found})
        assert found[0][1] == pytest.approx(float(cosines[found[0][0]]), abs=1e-4)
    assert hits / 300 > 0.9
    assert "graph" in graph.fingerprint


@pytest.mark.parametrize("shape", [(4, 8), (5,), (0, 3)])
def test_vectors_must_belong_to_the_passages(shape):
    numpy = needs("numpy")
    with pytest.raises(InvalidInput, match="vectors of the shape"):
        Dense(CORPUS, numpy.ones(shape), "m")


def test_fusion_is_by_ranks():
    found = dict(reciprocal_rank([["a", "b", "c"], ["c", "a"]], k=60))
    assert found["a"] == pytest.approx(1 / 61 + 1 / 62)
    assert list(found) == ["a", "c", "b"]
    assert dict(reciprocal_rank([["a"], ["b"]], weights=[1, 3]))["b"] == pytest.approx(3 / 61)
    with pytest.raises(ValueError, match="weights"):
        reciprocal_rank([["a"]], weights=[1, 2])


def test_a_hybrid_finds_what_either_finds():
    needs("bm25s")
    needs("numpy")
    index = Hybrid((Bm25(CORPUS), Dense(CORPUS, vectors(), "own")))
    engine = Retriever({"all": index}, Embedder())
    [reply] = asked(engine, Retrieve("Bern Aare", k=2))
    assert {p.id for p in reply.value} == {"p0", "p1"}
    other = Corpus((Entry("z", "else"),))
    with pytest.raises(InvalidInput, match="of one corpus"):
        Hybrid((TfIdf(CORPUS), TfIdf(other)))


def test_a_batch_is_embedded_in_one_call_and_paid_for_once():
    needs("numpy")
    embedder = Embedder()
    engine = Retriever({"d": Dense(CORPUS, vectors(), "own"), "w": TfIdf(CORPUS)}, embedder)
    replies = asked(
        engine,
        Retrieve("river", 2, "w"),
        Retrieve("Bern on the Aare", 1, "d"),
        Retrieve("apple", 1, "d"),
        Retrieve("Bern on the Aare", 1, "d"),
    )
    assert len(embedder.calls) == 1
    assert [r.usage for r in replies] == [ZERO, Usage(tokens_in=3, calls=1), ZERO, ZERO]
    assert replies[1].value == replies[3].value
    assert engine.ceiling(Retrieve("four", 1, "d")).tokens_in == 4
    assert engine.ceiling(Retrieve("four", 1, "w")) == ZERO


def test_a_failed_embedding_costs_once_and_harms_nothing_else():
    needs("numpy")
    engine = Retriever(
        {"w": TfIdf(CORPUS), "d": Dense(CORPUS, vectors(), "own")}, Embedder(fail=True)
    )
    lost, found, more = asked(
        engine, Retrieve("a", 1, "d"), Retrieve("river", 1, "w"), Retrieve("b", 1, "d")
    )
    assert (lost.kind, lost.transient, lost.usage.tokens_in) == ("server", True, 7)
    assert more.usage == ZERO
    assert found.value[0].id == "p0"


def test_another_models_vectors_are_refused():
    needs("numpy")
    index = Dense(CORPUS, vectors(), "own")
    with pytest.raises(InvalidInput, match="use the same model"):
        Retriever({"d": index}, Embedder("other"))
    with pytest.raises(InvalidInput, match="no model embeds"):
        Retriever({"d": index})
    with pytest.raises(InvalidInput, match="without an index"):
        Retriever({})
    with pytest.raises(Failed, match="vector of 64"):
        index.rank("x", 1, [1.0, 2.0])


def test_what_cannot_be_served_is_said():
    engine = Retriever({"w": TfIdf(CORPUS)})
    unknown, none, other = asked(
        engine, Retrieve("x", 1, "nope"), Retrieve("x", 0), Generate(Prompt.raw("x"), seed=0)
    )
    assert "there are w" in unknown.reason
    assert none.kind == "form"
    assert other.kind == "unserved"


@pytest.mark.parametrize("kind", ["bm25", "tfidf", "dense", "hybrid"])
def test_files_bring_back_the_same_index(kind, tmp_path):
    if kind != "tfidf":
        needs("bm25s")
        needs("numpy")
    held = vectors() if kind in ("dense", "hybrid") else None
    index = build(kind, CORPUS, held, "own" if held is not None else "")
    save(index, tmp_path / "i")
    again = load(tmp_path / "i")
    assert again.fingerprint == index.fingerprint
    query = None if held is None else held[0]
    assert again.rank("river Bern", 3, query) == index.rank("river Bern", 3, query)
    assert [p.name for p in tmp_path.iterdir()] == ["i"]
    with pytest.raises(InvalidInput, match="is there already"):
        save(index, tmp_path / "i")


def test_the_same_passages_make_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save(TfIdf(CORPUS), tmp_path / name)
    files = [sorted((p.name, p.read_bytes()) for p in (tmp_path / n).iterdir()) for n in "ab"]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "passages.jsonl.gz").write_bytes(b"x"), "should have SHA-256"),
        (lambda f: (f / "passages.jsonl.gz").unlink(), "lacks its file"),
        (lambda f: (f / "index.json").write_text("[]"), "is no manifest"),
        (lambda f: (f / "index.json").unlink(), "has no index.json"),
        (lambda f: changed(f, version=99), "reads version 1"),
        (lambda f: changed(f, files={}), "should list passages"),
        (lambda f: changed(f, files={"../../etc/passwd": "0"}), "should list passages"),
        (lambda f: changed(f, passages=9), "holds 5 passages and says 9"),
        (lambda f: changed(f, kind="magic"), "of the kind 'magic'"),
    ],
)
def test_a_spoilt_index_is_refused_in_one_sentence(spoil, said, tmp_path):
    save(TfIdf(CORPUS), tmp_path / "i")
    spoil(tmp_path / "i")
    with pytest.raises(InvalidInput, match=said):
        load(tmp_path / "i")


def changed(folder, **values):
    path = folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_vectors_are_never_unpickled(tmp_path):
    numpy = needs("numpy")
    save(Dense(CORPUS, vectors(), "own"), tmp_path / "i")
    path = tmp_path / "i" / "vectors.npy"
    with path.open("wb") as file:
        numpy.save(file, numpy.array([{"a": 1}], dtype=object), allow_pickle=True)
    import hashlib

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = json.loads((tmp_path / "i" / "index.json").read_text())
    changed(tmp_path / "i", files=manifest["files"] | {"vectors.npy": digest})
    with pytest.raises(InvalidInput, match="cannot be read"):
        load(tmp_path / "i")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"text": "a"}\n[1]\n', "line 2: a JSON object"),
        ('{"text": "a"}\n{"id": "b"}\n', "line 2: has no text"),
        ('{"text": 3}\n', "line 1: text must be text"),
        ('{"id": "x", "text": "a"}\n{"id": "x", "text": "b"}\n', "'x' occurs twice"),
        ("nonsense\n", "line 1: is not JSON"),
        ("\n", "holds none"),
    ],
)
def test_malformed_passages_name_their_line(text, said, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=said):
        read_entries(path)


def test_no_question_finds_itself():
    question = (
        "Ann has three apples and buys four more at the market on a sunny Monday morning. How many?"
    )
    corpus = Corpus(
        (
            Entry("same", question.upper()),
            Entry("step", "3 + 4 = 7", context=question),
            Entry(
                "part",
                "It is said that Ann has three apples and buys four more at the market on a sunny day",
            ),
            Entry("other", "Ann has apples"),
        )
    )
    assert [e.id for e in corpus.without([question]).entries] == ["other"]
    assert not leaks("short text", ["another short text"])
