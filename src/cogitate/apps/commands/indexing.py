"""`cogitate index`: builds indices of passages, and asks them."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, console, print_json
from cogitate.core.errors import Failed, InvalidInput

if TYPE_CHECKING:
    from cogitate.core.usage import Usage
    from cogitate.engines.retrieval import Index


def register(subcommands: Any) -> None:
    """Add the subcommands."""
    command = add_command(
        subcommands,
        "index",
        "build an index of passages for retrieval, and ask it",
        "Indices serve the role `retriever` as index:FOLDER. By words (bm25, tfidf), by embeddings (dense), or both "
        "(hybrid); embeddings need a model for `embedder`, and queries must come from the same one.",
        "  cogitate index build passages.jsonl --kind bm25 --out wiki.index\n"
        "  cogitate index build passages.jsonl --kind hybrid --model embedder=openai:http://localhost:8000/v1#bge "
        "--out wiki.index\n"
        '  cogitate index ask wiki.index "Who founded the town?" --k 3',
    )
    inner = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    building = add_command(
        inner,
        "build",
        "make an index of a file of passages",
        "Passages are JSON lines with text, and where there are id, context (shown with it) and key (compared with "
        "queries in its place). The folder it writes is versioned, and every file of it is verified when it is read.",
        "  cogitate index build passages.jsonl.gz --kind tfidf --out steps.index",
    )
    building.add_argument("passages", type=Path, metavar="FILE", help="JSON lines, packed or not")
    building.add_argument(
        "--kind", default="bm25", choices=("bm25", "dense", "hybrid", "tfidf"), help="(bm25)"
    )
    building.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the index")
    building.add_argument(
        "--without",
        type=Path,
        metavar="FILE",
        help="leave out passages that share a run of 13 words with a question of this file",
    )
    _add_model(building)
    building.set_defaults(execute=execute_build)
    asking = add_command(
        inner,
        "ask",
        "the passages that fit a query",
        "What an index finds, with scores in the index's own range.",
        '  cogitate index ask wiki.index "Who founded the town?" --json',
    )
    asking.add_argument("index", type=Path, metavar="FOLDER")
    asking.add_argument("query", metavar="TEXT")
    asking.add_argument("--k", type=int, default=5, metavar="N", help="passages (5)")
    _add_model(asking)
    asking.set_defaults(execute=execute_ask)


def _add_model(command: Any) -> None:
    command.add_argument(
        "--model", action="append", metavar="embedder=SPEC", help="for dense and hybrid indices"
    )


def execute_build(chosen: argparse.Namespace) -> int:
    """Run `index build`."""
    from cogitate.engines.retrieval import read_entries, save

    corpus = read_entries(chosen.passages)
    left_out = 0
    if chosen.without is not None:
        from cogitate.bench.questions import read_questions

        kept = corpus.without([asked.text for asked in read_questions(chosen.without)])
        left_out, corpus = len(corpus) - len(kept), kept
    index, spent = asyncio.run(_built(chosen, corpus))
    save(index, chosen.out)
    told = {
        "index": str(chosen.out),
        "kind": chosen.kind,
        "passages": len(corpus),
        "left_out": left_out,
        "fingerprint": index.fingerprint,
        "usage": spent.as_dict(),
    }
    if chosen.json:
        print_json(told)
    else:
        console().print(
            f"{len(corpus)} passages in {chosen.out}"
            + (f", {left_out} left out" if left_out else "")
            + f"; use it as --model retriever=index:{chosen.out}",
            markup=False,
        )
    return 0


async def _built(chosen: argparse.Namespace, corpus: Any) -> tuple[Index, Usage]:
    from cogitate.assembly import load as configured
    from cogitate.assembly.models import named, open_spec
    from cogitate.core.usage import ZERO
    from cogitate.engines.retrieval import build, embed_corpus

    if chosen.kind in ("bm25", "tfidf"):
        return build(chosen.kind, corpus), ZERO
    configuration = configured()
    source = named(chosen.model, configuration).roles.get("embedder")
    if not isinstance(source, str):
        raise InvalidInput(
            f"a {chosen.kind} index needs a model that embeds; name it with --model embedder=SPEC"
        )
    embedder = await open_spec(source, configuration)
    try:
        vectors, spent = await embed_corpus(corpus, embedder)
        return build(chosen.kind, corpus, vectors, embedder.fingerprint), spent
    finally:
        await embedder.close()


def execute_ask(chosen: argparse.Namespace) -> int:
    """Run `index ask`."""
    reply = asyncio.run(_asked(chosen))
    if isinstance(reply, Failed):
        raise reply
    if chosen.json:
        print_json(
            [
                {"id": p.id, "text": p.text, "score": p.score, "context": p.context}
                for p in reply.value
            ]
        )
        return 0
    if not reply.value:
        console().print("nothing in the index fits")
    for passage in reply.value:
        console().print(f"{passage.score:8.4f}  {passage.id}", markup=False, style="bold")
        console().print(passage.text[:400], markup=False)
    return 0


async def _asked(chosen: argparse.Namespace) -> Any:
    from cogitate.assembly import load as configured
    from cogitate.assembly.models import named, opened
    from cogitate.core.retrieve import Retrieve

    configuration = configured()
    given: list[str] = chosen.model or []
    specs = [f"retriever=index:{chosen.index}", *given]
    if not any(spec.startswith("policy=") or "=" not in spec for spec in specs):
        specs.append("policy=fake")
    async with opened(named(specs, configuration), configuration) as models:
        request = Retrieve(chosen.query, chosen.k)
        [reply] = await models.router.choose(request).serve([request])
        return reply
