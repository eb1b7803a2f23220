from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from cogitate.bench.tasks.files import MAX_LINE_BYTES, format_of, located, rows_of, sha256_of
from cogitate.core.errors import InvalidInput


def written(path: Path, text: str | bytes) -> Path:
    raw = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_rows_say_where_they_stand(tmp_path: Path, packed: str) -> None:
    lines = written(tmp_path / f"q.jsonl{packed}", '{"a": 1}\n\n{"a": 2}\n')
    assert list(rows_of(lines)) == [
        (f"q.jsonl{packed}, line 1", {"a": 1}),
        (f"q.jsonl{packed}, line 3", {"a": 2}),
    ]
    listed = written(tmp_path / f"q.json{packed}", '[{"a": 1}, {"a": 2}]')
    assert [where for where, _ in rows_of(listed)] == [f"q.json{packed}, row {i}" for i in (0, 1)]
    keyed = written(tmp_path / f"k.json{packed}", '{"x": {"a": 1}}')
    assert list(rows_of(keyed)) == [(f"k.json{packed}, entry 'x'", {"_key": "x", "a": 1})]
    table = written(tmp_path / f"q.csv{packed}", 'a,b\n1,"two\nlines"\n3,4\n')
    assert list(rows_of(table)) == [
        (f"q.csv{packed}, line 3", {"a": "1", "b": "two\nlines"}),
        (f"q.csv{packed}, line 4", {"a": "3", "b": "4"}),
    ]


def test_rows_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", '{"a": 1}\nnot JSON\n')
    rows = rows_of(path)
    assert next(rows)[1] == {"a": 1}
    with pytest.raises(InvalidInput, match="line 2: is not JSON"):
        next(rows)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("q.jsonl", "[1]", "q.jsonl, line 1: a JSON object was expected"),
        ("q.jsonl", "[" * 100_000, "line 1: is not JSON"),
        ("q.jsonl", '{"a": "' + "x" * MAX_LINE_BYTES + '"}', "line 1: longer than 1048576 bytes"),
        ("q.jsonl", '{"a": NaN}', "line 1: is not JSON .NaN is no number"),
        ("q.json", "[{}, Infinity]", "q.json: is not JSON .Infinity is no number"),
        ("q.json", "{", "q.json: is not JSON"),
        ("q.json", "3", "q.json: a JSON list of objects was expected"),
        ("q.json", "[{}, 3]", "q.json, row 1: a JSON object was expected"),
        ("q.csv", "a,b\n1\n", "q.csv, line 2: has not as many fields"),
        ("q.csv", "a,b\n1,2,3\n", "q.csv, line 2: has not as many fields"),
        ("q.csv", 'a\n"torn', "q.csv, after line .: cannot be read"),
        ("q.csv", b"a\n\xff\n", "cannot be read"),
        ("q.csv", "a\n" + "x" * (MAX_LINE_BYTES + 1), "q.csv, line 2: longer than"),
    ],
)
def test_what_is_malformed_is_named(
    tmp_path: Path, name: str, text: str | bytes, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        list(rows_of(written(tmp_path / name, text)))


@pytest.mark.parametrize("name", ["q.jsonl.gz", "q.json.gz", "q.csv.gz"])
def test_a_torn_or_false_archive_is_named(tmp_path: Path, name: str) -> None:
    rows = b"\n".join(
        json.dumps({"a": hashlib.sha256(bytes([i])).hexdigest()}).encode() for i in range(200)
    )
    whole = gzip.compress(rows)
    for torn in (whole[:-12], whole[:40] + b"\0" * 20 + whole[60:]):
        (tmp_path / name).write_bytes(torn)
        with pytest.raises(InvalidInput, match=f"{name}.*cannot be read"):
            list(rows_of(tmp_path / name))
        with pytest.raises(InvalidInput, match="cannot be read"):
            sha256_of(tmp_path / name)


def test_packing_does_not_change_the_checksum(tmp_path: Path) -> None:
    plain, packed = written(tmp_path / "a.jsonl", "{}\n"), written(tmp_path / "b.jsonl.gz", "{}\n")
    assert sha256_of(plain) == sha256_of(packed) == hashlib.sha256(b"{}\n").hexdigest()
    assert located(tmp_path / "a.jsonl.gz") == plain
    assert located(tmp_path / "b.jsonl") == packed
    assert located(tmp_path / "c.jsonl") is None


def test_a_name_tells_the_format() -> None:
    assert [format_of(Path(n)) for n in ("a.jsonl.gz", "a.json", "a.csv.gz", "a.parquet")] == [
        "jsonl", "json", "csv", "parquet"]  # fmt: skip
    with pytest.raises(InvalidInput, match="does not tell the format"):
        format_of(Path("a.txt"))


def test_parquet_is_read_in_pieces(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "q.parquet"
    parquet.write_table(pyarrow.table({"question": [str(i) for i in range(600)]}), path)
    rows = list(rows_of(path))
    assert rows[599] == ("q.parquet, row 599", {"question": "599"})
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InvalidInput, match="cannot be read"):
        list(rows_of(path))
