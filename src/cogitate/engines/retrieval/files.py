"""Index files: a folder with a manifest, versioned and verified by hashes."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from cogitate.core.errors import InvalidInput

from .corpus import Corpus, read_entries, write_entries
from .dense import Dense, Hybrid
from .index import Index
from .lexical import Bm25, TfIdf

VERSION: Final = 1
Kind = Literal["bm25", "dense", "hybrid", "tfidf"]
KINDS: Final = get_args(Kind)
_MANIFEST: Final = "index.json"
_PASSAGES: Final = "passages.jsonl.gz"
_VECTORS: Final = "vectors.npy"


@dataclass(frozen=True, slots=True)
class _Manifest:
    kind: Kind
    passages: int
    embedder: str
    files: Mapping[str, str]
    """File name to SHA-256."""


def build(kind: Kind, corpus: Corpus, vectors: Any = None, embedder: str = "") -> Index:
    """An index of a kind.

    Args:
        kind: `bm25`, `tfidf`, `dense`, or `hybrid`: BM25 and embeddings fused.
        corpus: its passages.
        vectors: for `dense` and `hybrid`, of shape (passages, dimensions).
        embedder: fingerprint of the model that made them.

    Raises:
        InvalidInput: for an unknown kind, an empty corpus, or vectors that are missing.
    """
    if kind not in KINDS:
        raise InvalidInput(
            f"an index of the kind {kind!r} was asked for; there are {', '.join(KINDS)}"
        )
    if not len(corpus):
        raise InvalidInput("an index of no passages was asked for; give at least one")
    if kind in ("dense", "hybrid") and (vectors is None or not embedder):
        raise InvalidInput(
            f"a {kind} index needs vectors of its passages and the fingerprint of the model that made them; "
            "embed_corpus makes them"
        )
    match kind:
        case "bm25":
            return Bm25(corpus)
        case "tfidf":
            return TfIdf(corpus)
        case "dense":
            return Dense(corpus, vectors, embedder)
        case "hybrid":
            return Hybrid((Bm25(corpus), Dense(corpus, vectors, embedder)))


def save(index: Index, folder: Path) -> None:
    """Write an index; the folder is there whole, or not at all.

    Raises:
        InvalidInput: where the folder is there already.
    """
    if folder.exists():
        raise InvalidInput(f"{folder} is there already; name another folder, or remove it first")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        write_entries(draft / _PASSAGES, index.corpus.entries)
        dense = _dense_of(index)
        if dense is not None:
            numpy: Any = importlib.import_module("numpy")
            with (draft / _VECTORS).open("wb") as file:
                numpy.save(file, dense.vectors, allow_pickle=False)
        manifest = {
            "format": "cogitate-index",
            "version": VERSION,
            "kind": _kind_of(index),
            "passages": len(index.corpus),
            "embedder": dense.embedder if dense is not None else "",
            "files": {path.name: _sha256(path) for path in sorted(draft.iterdir())},
        }
        (draft / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def load(folder: Path) -> Index:
    """Read an index whose every file is as its manifest says; lexical parts are made anew.

    Raises:
        InvalidInput: for another format or version, or a file that is missing or changed.
    """
    manifest = _manifest(folder)
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise InvalidInput(f"the index {folder.name} lacks its file {name}; build it anew")
        if (found := _sha256(path)) != digest:
            raise InvalidInput(
                f"{name} of the index {folder.name} should have SHA-256 {digest[:12]}…, but has "
                f"{found[:12]}…; build the index anew"
            )
    corpus = read_entries(folder / _PASSAGES)
    if len(corpus) != manifest.passages:
        raise InvalidInput(
            f"the index {folder.name} holds {len(corpus)} passages and says {manifest.passages}"
        )
    return build(manifest.kind, corpus, _vectors(folder, manifest), manifest.embedder)


def _vectors(folder: Path, manifest: _Manifest) -> Any:
    if manifest.kind not in ("dense", "hybrid"):
        return None
    numpy: Any = importlib.import_module("numpy")
    try:
        return numpy.load(folder / _VECTORS, allow_pickle=False)
    except (OSError, ValueError) as problem:
        raise InvalidInput(
            f"{_VECTORS} of the index {folder.name} cannot be read ({problem}); build it anew"
        ) from problem


def _manifest(folder: Path) -> _Manifest:
    path = folder / _MANIFEST
    if not path.is_file():
        raise InvalidInput(f"{folder} holds no index: it has no {_MANIFEST}; build one first")
    try:
        raw: Any = json.loads(path.read_text("utf-8"))
        if raw["format"] != "cogitate-index":
            raise KeyError("format")
        if raw["version"] != VERSION:
            raise InvalidInput(
                f"the index {folder.name} has version {raw['version']}, and this package reads version "
                f"{VERSION}; build it anew"
            )
        files = {str(name): str(digest) for name, digest in raw["files"].items()}
        kind, count = cast(Kind, raw["kind"]), int(raw["passages"])
        embedder = str(raw["embedder"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise InvalidInput(
            f"{_MANIFEST} of the index {folder.name} is no manifest of an index ({problem})"
        ) from problem
    needed = {_PASSAGES, _VECTORS} if kind in ("dense", "hybrid") else {_PASSAGES}
    if set(files) != needed:
        raise InvalidInput(
            f"the index {folder.name} should list {', '.join(sorted(needed))}, and lists "
            f"{', '.join(sorted(files)) or 'nothing'}"
        )
    return _Manifest(kind, count, embedder, files)


def _kind_of(index: Index) -> Kind:
    match index:
        case Bm25():
            return "bm25"
        case TfIdf():
            return "tfidf"
        case Dense():
            return "dense"
        case Hybrid(indices=(Bm25(), Dense())):
            return "hybrid"
        case _:
            raise InvalidInput(
                f"an index {index.fingerprint} was to be saved; files hold {', '.join(KINDS)}"
            )


def _dense_of(index: Index) -> Dense | None:
    if isinstance(index, Hybrid):
        return next((part for part in index.indices if isinstance(part, Dense)), None)
    return index if isinstance(index, Dense) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
