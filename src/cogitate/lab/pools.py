"""Recorded samples of real language models, read from gzip JSON lines.

A pool file holds one JSON object a line, of three kinds: at most one header, first
(`{"format": "cogitate-pool/1", …}`), questions (`{"id", "question", "gold"}`) and samples
(`{"id", "k", "text", "tokens", "stop", "logprob_sum", "logprob_min", …}`). Header and questions may
be missing where every sample carries its `gold`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any, cast

from cogitate.core.errors import InvalidInput

FORMAT = "cogitate-pool/1"
SUFFIX = ".jsonl.gz"
STOPS = ("eos", "stop", "limit", "until")
MAX_LINE_BYTES = 1 << 20
MAX_BYTES = 1 << 30
MAX_SAMPLES = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One recorded completion."""

    k: int
    """Index among the samples of its question."""
    text: str
    tokens: int
    """Generated tokens."""
    stop: str
    """Why it ended; `limit` where the cap cut it."""
    logprob_sum: float
    """Natural log-probability of the generated tokens, before temperature."""
    logprob_min: float
    """That of the least likely generated token."""
    prompt_tokens: int = 0
    seed: int = 0
    logprobs: tuple[float, ...] = ()
    """That of each generated token, where the recording holds them."""

    @property
    def complete(self) -> bool:
        """Whether the model ended it by itself; what was cut never votes."""
        return self.stop != "limit"

    @property
    def logprob_mean(self) -> float:
        """Mean log-probability of a token; minus infinity where nothing was generated."""
        return self.logprob_sum / self.tokens if self.tokens else -math.inf


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its reference answer and what the model said."""

    id: int
    text: str
    """Empty where the recording does not hold it."""
    gold: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class About:
    """Where a pool comes from."""

    name: str
    model: str = ""
    task: str = ""
    kind: str = "number"
    """Kind of the answers, as of a task; decides extraction and grading."""
    licence: str = ""
    prompt: str = ""
    sampling: str = ""
    note: str = ""


@dataclass(frozen=True)
class Pool:
    """Questions with recorded samples."""

    about: About
    questions: tuple[Question, ...]

    @property
    def samples_each(self) -> int:
        """Samples that every question has at least."""
        return min(len(q.samples) for q in self.questions)

    @property
    def tokens_each(self) -> float:
        """Mean generated tokens a sample."""
        counts = [s.tokens for q in self.questions for s in q.samples]
        return sum(counts) / len(counts)


def packaged_pools() -> tuple[str, ...]:
    """Names of the pools that ship with the package.

    >>> packaged_pools()
    ('smollm2-wordproblems',)
    """
    names = (f.name for f in _recordings().iterdir())
    return tuple(sorted(n.removesuffix(SUFFIX) for n in names if n.endswith(SUFFIX)))


def open_pool(name_or_path: str | os.PathLike[str], max_samples: int = MAX_SAMPLES) -> Pool:
    """A packaged pool by name, or any recording by path.

    Raises:
        InvalidInput: when there is none, or a line of it is not as it should be; the message names
            file and line.

    >>> open_pool("smollm2-wordproblems").samples_each
    32
    """
    wanted = os.fspath(name_or_path)
    if wanted in packaged_pools():
        return _read(wanted, _recordings().joinpath(wanted + SUFFIX), max_samples)
    path = Path(wanted)
    if not path.is_file():
        raise InvalidInput(
            f"the pool {wanted!r} was asked for; it is neither a file nor one of the packaged pools"
            f" ({', '.join(packaged_pools())})"
        )
    return _read(path.name.removesuffix(".gz").removesuffix(".jsonl"), path, max_samples)


def write_pool(path: str | os.PathLike[str], pool: Pool) -> None:
    """Write a pool in the form that `open_pool` reads; equal pools give equal bytes."""
    import gzip

    with (
        Path(path).open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=9, mtime=0) as packed,
    ):
        for row in _rows(pool):
            packed.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _rows(pool: Pool) -> Iterator[dict[str, Any]]:
    about = {f.name: getattr(pool.about, f.name) for f in fields(About)}
    yield {"format": FORMAT} | {k: v for k, v in about.items() if v}
    for question in pool.questions:
        yield {"id": question.id, "question": question.text, "gold": question.gold}
        for sample in question.samples:
            held = {f.name: getattr(sample, f.name) for f in fields(Sample)}
            if not sample.logprobs:
                del held["logprobs"]
            yield {"id": question.id} | held


def _recordings() -> Traversable:
    return resources.files("cogitate.lab").joinpath("recordings")


# ------------------------------------------------------------------------------------- reading


def _read(name: str, file: Traversable | Path, max_samples: int) -> Pool:
    about = About(name)
    texts: dict[int, str] = {}
    golds: dict[int, str] = {}
    samples: dict[int, dict[int, Sample]] = {}
    count = 0
    for number, raw in _lines(file):
        row = _Row(file.name, number, raw)
        if "format" in raw:
            about = _about(row, name)
            continue
        key = row.whole("id")
        if "gold" in raw or key not in golds:
            gold = row.text("gold")
            if golds.setdefault(key, gold) != gold:
                raise row.wrong(f"question {key} has the gold answers {golds[key]!r} and {gold!r}")
        if "question" in raw:
            texts[key] = row.text("question")
            continue
        sample = _sample(row)
        if sample.k in samples.setdefault(key, {}):
            raise row.wrong(f"sample {sample.k} of question {key} is there twice")
        samples[key][sample.k] = sample
        count += 1
        if count > max_samples:
            raise row.wrong(f"more than {max_samples} samples; open it with a larger max_samples")
    questions = tuple(
        Question(key, texts.get(key, ""), golds[key], tuple(held[k] for k in sorted(held)))
        for key, held in samples.items()
    )
    if not questions:
        raise InvalidInput(f"{file.name}: a pool was asked for, but the file holds no sample")
    return Pool(about, questions)


def _lines(file: Traversable | Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line by line, so that memory is bounded by what the rows hold and not by the file."""
    import zlib

    number, read = 0, 0
    try:
        with file.open("rb") as raw:
            for number, line in enumerate(_unpacked(cast(IO[bytes], raw)), 1):
                read += len(line)
                if len(line) > MAX_LINE_BYTES or read > MAX_BYTES:
                    raise InvalidInput(
                        f"{file.name}, line {number}: longer than a recording may be"
                        f" ({MAX_LINE_BYTES} bytes a line, {MAX_BYTES} in all, unpacked)"
                    )
                if line.strip():
                    yield number, _object(file.name, number, line)
    except (EOFError, OSError, zlib.error) as problem:
        raise InvalidInput(
            f"{file.name}, after line {number}: cannot be read ({problem}); get the file again"
        ) from problem


def _unpacked(raw: IO[bytes]) -> Iterator[bytes]:
    import gzip

    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    source = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw
    while line := source.readline(MAX_LINE_BYTES + 1):
        yield line


def _object(file: str, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        raw = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise InvalidInput(f"{file}, line {number}: is not JSON ({problem})") from problem
    if not isinstance(raw, dict):
        raise InvalidInput(f"{file}, line {number}: a JSON object was expected")
    return cast("dict[str, Any]", raw)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _about(row: _Row, name: str) -> About:
    if row.text("format") != FORMAT:
        raise row.wrong(f"the format is {row.text('format')!r}; this version reads {FORMAT!r}")
    if row.number != 1:
        raise row.wrong("the header must be the first line")
    known = {f.name for f in fields(About)}
    return About(**{"name": name} | {k: row.text(k) for k in row.raw if k in known})


def _sample(row: _Row) -> Sample:
    stop = row.text("stop")
    if stop not in STOPS:
        raise row.wrong(f"stop is {stop!r}; it must be one of {', '.join(STOPS)}")
    return Sample(
        k=row.whole("k"),
        text=row.text("text"),
        tokens=row.whole("tokens"),
        stop=stop,
        logprob_sum=row.log("logprob_sum"),
        logprob_min=row.log("logprob_min"),
        prompt_tokens=row.whole("prompt_tokens", 0),
        seed=row.whole("seed", 0),
        logprobs=row.logs("logprobs"),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    file: str
    number: int
    raw: Mapping[str, Any]

    def wrong(self, what: str) -> InvalidInput:
        return InvalidInput(f"{self.file}, line {self.number}: {what}")

    def text(self, key: str) -> str:
        held = self._held(key)
        if not isinstance(held, str):
            raise self.wrong(f"{key} must be text")
        return held

    def whole(self, key: str, default: int | None = None) -> int:
        held = self.raw.get(key, default) if default is not None else self._held(key)
        if not isinstance(held, int) or isinstance(held, bool) or held < 0:
            raise self.wrong(f"{key} must be a whole number of at least 0")
        return held

    def logs(self, key: str) -> tuple[float, ...]:
        held = self.raw.get(key, [])
        if not isinstance(held, list):
            raise self.wrong(f"{key} must be a list of numbers")
        return tuple(self._log(key, value) for value in cast("list[Any]", held))

    def log(self, key: str) -> float:
        return self._log(key, self._held(key))

    def _log(self, key: str, held: Any) -> float:
        if not isinstance(held, int | float) or isinstance(held, bool):
            raise self.wrong(f"{key} must be a number")
        # a rounding above zero is the recorder's; a large one means something else was recorded
        if not math.isfinite(held) or held > 1e-3:
            raise self.wrong(f"{key} is {held}; a log-probability is finite and at most 0")
        return float(held)

    def _held(self, key: str) -> Any:
        if key not in self.raw:
            raise self.wrong(f"{key} is missing")
        return self.raw[key]


def with_questions(pool: Pool, texts: Mapping[int, str]) -> Pool:
    """The same pool with the question texts filled in, where known."""
    return Pool(
        pool.about,
        tuple(Question(q.id, texts.get(q.id, q.text), q.gold, q.samples) for q in pool.questions),
    )


def excerpt(pool: Pool, questions: int, about: About, root: int = 0) -> Pool:
    """A smaller pool whose questions are drawn by seed, without looking at any result."""
    from cogitate.core.seeds import Seed

    def place(question: Question) -> int:
        return Seed(root).at("excerpt", question.id).int()

    chosen: Iterable[Question] = sorted(pool.questions, key=place)[:questions]
    return Pool(about, tuple(sorted(chosen, key=lambda q: q.id)))
