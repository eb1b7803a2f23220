"""Rows of data files: JSON lines, JSON and CSV, packed by gzip or not, and Parquet, with the place of each row."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, cast

from cogitate.core.errors import InvalidInput

FORMATS: Final = ("jsonl", "json", "csv", "parquet")
MAX_LINE_BYTES: Final = 1 << 20
"""Of a line of JSON lines, and of a field of CSV."""
MAX_JSON_BYTES: Final = 256 << 20
"""Of a whole JSON file, which is read at once."""
KEY: Final = "_key"
"""Under which a row of a JSON object of objects finds its own key."""

Row = Mapping[str, Any]


def located(path: Path) -> Path | None:
    """The file, packed or not: `x.jsonl.gz` also finds `x.jsonl`, and the other way round."""
    packed = path.suffix == ".gz"
    other = path.with_suffix("") if packed else path.with_name(path.name + ".gz")
    return next((held for held in (path, other) if held.is_file()), None)


def format_of(path: Path) -> str:
    """The format that a file name tells.

    Raises:
        InvalidInput: where it tells none.
    """
    name = path.name.removesuffix(".gz")
    for ending, format_name in (
        (".jsonl", "jsonl"),
        (".ndjson", "jsonl"),
        (".json", "json"),
        (".csv", "csv"),
        (".parquet", "parquet"),
    ):
        if name.endswith(ending):
            return format_name
    raise InvalidInput(
        f"{path.name}: its name does not tell the format; say which with format = one of "
        f"{', '.join(FORMATS)}"
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of the content, unpacked, so that packing does not change it.

    Raises:
        InvalidInput: where it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with unpacked(path) as content:
            while piece := content.read(1 << 16):
                digest.update(piece)
    except (EOFError, OSError, zlib.error) as problem:
        raise InvalidInput(
            f"{path.name}: cannot be read ({problem}); get the file again"
        ) from problem
    return digest.hexdigest()


def unpacked(path: Path) -> IO[bytes]:
    """The content, whether it is packed by gzip or not."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def rows_of(path: Path, format_name: str = "") -> Iterator[tuple[str, Row]]:
    """Each row with its place, such as `q.jsonl, line 3`; one at a time, except of JSON.

    Raises:
        InvalidInput: for a row that cannot be read, by its place.
    """
    readers = {"jsonl": _json_lines, "json": _json, "csv": _csv, "parquet": _parquet}
    yield from readers[format_name or format_of(path)](path)


def _json_lines(path: Path) -> Iterator[tuple[str, Row]]:
    number = 0
    try:
        with unpacked(path) as lines:
            while line := lines.readline(MAX_LINE_BYTES + 1):
                number += 1
                where = f"{path.name}, line {number}"
                if len(line) > MAX_LINE_BYTES:
                    raise InvalidInput(f"{where}: longer than {MAX_LINE_BYTES} bytes")
                if line.strip():
                    yield where, _object(line, where)
    except (EOFError, OSError, zlib.error) as problem:
        raise InvalidInput(
            f"{path.name}, after line {number}: cannot be read ({problem}); get the file again"
        ) from problem


def _object(line: bytes, where: str) -> Row:
    try:
        row = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        raise InvalidInput(f"{where}: is not JSON ({problem})") from problem
    return _mapping(row, where)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _mapping(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise InvalidInput(f"{where}: a JSON object was expected")
    return cast("dict[str, Any]", row)


def _json(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        with unpacked(path) as content:
            text = content.read(MAX_JSON_BYTES + 1)
    except (EOFError, OSError, zlib.error) as problem:
        raise InvalidInput(
            f"{path.name}: cannot be read ({problem}); get the file again"
        ) from problem
    if len(text) > MAX_JSON_BYTES:
        raise InvalidInput(
            f"{path.name}: longer than {MAX_JSON_BYTES} bytes; write it as JSON lines"
        )
    try:
        held = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        raise InvalidInput(f"{path.name}: is not JSON ({problem})") from problem
    if isinstance(held, dict):
        for key, row in cast("dict[str, Any]", held).items():
            where = f"{path.name}, entry {key[:40]!r}"
            yield where, {KEY: key, **_mapping(row, where)}
    elif isinstance(held, list):
        for number, row in enumerate(cast("list[Any]", held)):
            where = f"{path.name}, row {number}"
            yield where, _mapping(row, where)
    else:
        raise InvalidInput(f"{path.name}: a JSON list of objects was expected")


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    reader = None
    try:
        with unpacked(path) as content:
            lines = (line.decode("utf-8") for line in _bounded(content, path))
            reader = csv.DictReader(lines, strict=True)
            for row in reader:
                where = f"{path.name}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise InvalidInput(f"{where}: has not as many fields as the first line names")
                yield where, row
    except (EOFError, OSError, zlib.error, UnicodeDecodeError, csv.Error) as problem:
        after = reader.line_num if reader else 0
        raise InvalidInput(
            f"{path.name}, after line {after}: cannot be read ({problem}); get the file again"
        ) from problem


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InvalidInput(
            f"{path.name}: is Parquet; install cogitate[data] to read it, or convert it to JSON lines"
        ) from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    yield f"{path.name}, row {number}", row
                    number += 1
    except (OSError, ValueError) as problem:  # pyarrow's own errors are of these kinds
        raise InvalidInput(
            f"{path.name}, after row {number}: cannot be read ({problem}); get the file again"
        ) from problem


def _bounded(content: IO[bytes], path: Path) -> Iterator[bytes]:
    number = 0
    while line := content.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise InvalidInput(f"{path.name}, line {number}: longer than {MAX_LINE_BYTES} bytes")
        yield line
