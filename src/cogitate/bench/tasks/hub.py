"""Tasks from a data hub: one file of a repository at one revision, read like any other."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, Final

from cogitate.assembly.factory import task
from cogitate.assembly.spec import read
from cogitate.core.errors import Failed, InvalidInput

from .benchmark import Benchmark
from .definition import Data, Definition, Fields, check_definition

_REPOSITORY: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def from_hub(
    spec: str, *, cache: Path | None = None, offline: bool = False, any_version: bool = False
) -> Benchmark:
    """The task `hf:OWNER/NAME(file=…, revision=…, sha256=…, kind=…, question=…, answer=…)`.

    Args:
        spec: what follows `hf:`.
        cache: the hub's folder on this machine; by default its own.
        offline: look only there.
        any_version: take a file whose checksum is another than the one given.

    Raises:
        InvalidInput: for what is not pinned or does not fit, and for rows that are not as they should be.
        Failed: where the hub cannot be reached or has no such file.
    """
    from .registry import opened

    name, bracket, arguments = spec.strip().partition("(")
    if not _REPOSITORY.fullmatch(name.strip()):
        raise InvalidInput(f"hf:{name[:80]} names no repository; write hf:OWNER/NAME(file=…)")
    chosen = read(f"hub{bracket}{arguments}", "task", {"hub": hub})
    wanted: tuple[str, Definition] = chosen.for_kind("text")
    revision, made = wanted
    file = fetched(name.strip(), made.data.file, revision, cache=cache, offline=offline)
    full = f"hf:{name.strip()}{str(chosen).removeprefix('hub')}"
    placed = Definition(
        name=full,
        kind=made.kind,
        title=f"{name.strip()} from the hub",
        licence="see the repository's card",
        source=f"hub:{name.strip()} @ {revision[:12]}, {made.data.file}",
        data=Data(file.name, made.data.format, made.data.sha256),
        fields=made.fields,
        grader=made.grader,
        metric=made.metric,
        prompt=made.prompt,
        note="" if made.data.sha256 else "Pin the file with sha256= as well, which is shown here.",
        base=file.parent,
    )
    return opened(placed, any_version=any_version)


@task
def hub(
    kind: str,
    file: str,
    revision: str,
    sha256: str = "",
    answers: str = "text",
    question: str = "question",
    answer: str = "answer",
    id: str = "",
    after: str = "",
    options: str | tuple[str, ...] = "",
    grader: str = "answer",
    prompt: str = "",
    format: str = "",
) -> tuple[str, Definition]:
    """One file of a repository at one commit; the arguments are the fields of a task file."""
    if not _COMMIT.fullmatch(revision):
        raise InvalidInput(
            f"the revision {revision[:80]!r} was asked for; give the 40 digits of a commit, because names move"
        )
    made = Definition(
        name="hub",
        kind=answers,
        data=Data(file, format, sha256),
        fields=Fields(id=id, question=question, answer=answer, after=after, options=options or ()),
        grader=grader,
        prompt=prompt,
    )
    check_definition(made, "the hub task")
    return revision, made


def fetched(
    repository: str, file: str, revision: str, *, cache: Path | None = None, offline: bool = False
) -> Path:
    """The file, from the hub's folder on this machine or from the hub.

    Raises:
        InvalidInput: where `huggingface_hub` is not installed.
        Failed: where the file cannot be had.
    """
    try:
        package: Any = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise InvalidInput(
            f"the data {repository} lie on a hub; install cogitate[data] to load them, or write a task file "
            "beside a copy"
        ) from error
    try:
        found: str = package.hf_hub_download(
            repo_id=repository,
            filename=file,
            repo_type="dataset",
            revision=revision,
            cache_dir=cache,
            local_files_only=offline,
        )
    except Exception as error:  # the package's own errors differ by version
        said = re.sub(r"\w+://\S+", "(address)", (str(error).strip().splitlines() or [""])[0][:200])
        raise Failed(
            f"{file} could not be fetched from {repository}: {said or type(error).__name__}",
            "missing",
            transient=True,
        ) from error
    return Path(found)
