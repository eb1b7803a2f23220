"""The request that runs a program: source, input and files in; output and how it ended out."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal, get_args

from .errors import InvalidInput
from .requests import Request

Language = Literal["python", "c++"]
LANGUAGES = get_args(Language)

Ending = Literal["ok", "error", "timeout", "memory", "output", "killed", "compile"]
"""How a run ended.

`ok`: exit status 0. `error`: another status, or an exception. `timeout`: too much wall-clock or CPU time.
`memory`: too much memory. `output`: more than the cap. `killed`: by a signal that was not ours.
`compile`: it never ran, `stderr` has what the compiler said.
"""
ENDINGS = get_args(Ending)


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    """What one run may use; every limit is finite.

    Raises:
        InvalidInput: for a limit that is not a positive, finite number.
    """

    seconds: float = 10.0
    """Wall-clock from the start of the run to its end."""
    cpu_seconds: float = 10.0
    """CPU time of each process, rounded up to whole seconds."""
    memory_bytes: int = 512 << 20
    """Address space of each process, and resident memory of all together."""
    processes: int = 32
    """Processes and threads alive together."""
    file_bytes: int = 16 << 20
    """Size of one file."""
    open_files: int = 128
    """Descriptors of one process."""
    output_bytes: int = 1 << 20
    """Bytes on standard output, and on standard error; more ends the run."""
    tmp_bytes: int = 64 << 20
    """All files together."""

    def __post_init__(self) -> None:
        for name in ("seconds", "cpu_seconds"):
            # 1 and 1.0 are equal but print differently, and equal requests must have equal digests.
            object.__setattr__(self, name, float(getattr(self, name)))
        for field in fields(self):
            amount = getattr(self, field.name)
            if not math.isfinite(amount) or amount <= 0:
                raise InvalidInput(
                    f"{field.name}={amount} was asked for; a limit is a finite number above 0"
                )


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that lies in the run's working directory when it starts.

    Raises:
        InvalidInput: for a path that leaves the working directory.
    """

    path: str
    """Relative, with `/` between its parts."""
    text: str

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        wrong = path.is_absolute() or not path.parts or ".." in path.parts or "\0" in self.path
        if wrong or len(self.path) > 512:
            raise InvalidInput(
                f"a file at {self.path[:80]!r} was asked for; give a short relative path without '..'"
            )


@dataclass(frozen=True)
class Run:
    """What one run did.

    Text that is no UTF-8 has replacement characters in it. Nothing here names a path, user or process
    of the host. What the program printed is the program's word, not ours.
    """

    stdout: str
    stderr: str
    status: int
    """Exit status; minus the signal's number where a signal ended it."""
    ended: Ending
    finished: bool = False
    """The end sentinel: the source ran to its last line, rather than leaving early by an exit.

    Of a `harness` it cannot be forged by the program under test, which runs elsewhere; of a program itself
    it is good against accidents, because code that looks for it in its own process can find it.
    """
    value: str = ""
    """What a cell's last expression is worth, as a notebook shows it."""
    truncated: tuple[str, ...] = ()
    """`stdout`, `stderr`: which of them were cut at the cap."""


@dataclass(frozen=True)
class Execution:
    """The runs of one request, in the order of its inputs; one where it had none."""

    runs: tuple[Run, ...]
    harness: Run | None = None
    """What the harness did, where there was one: the verdict is its `finished`."""
    rebuilt: int = 0
    """Cells of the history that had to be run again, because their state was not held any more."""

    @property
    def run(self) -> Run:
        """The only run, or the first."""
        return self.runs[0]

    @property
    def passed(self) -> bool:
        """Whether the harness ran to its last line; without one, whether every run did and ended well."""
        if self.harness is not None:
            return self.harness.finished and self.harness.ended == "ok"
        return all(run.finished and run.ended == "ok" for run in self.runs)


@dataclass(frozen=True)
class Execute(Request[Execution]):
    """Run a program in a sandbox; the only way in which model-written code runs.

    Alone, `source` runs once with `stdin`, or once for each of `inputs`, each apart from the others. With
    a `harness`, both run apart and the harness calls the program's functions as `program.name(...)`: the
    program can neither read the harness nor change its verdict. As a `cell`, it continues the interpreter
    that ran the sources in `after`.

    Raises:
        InvalidInput: for an unknown language, or for parts that exclude each other.
    """

    reply_type: ClassVar[Any] = Execution

    source: str
    language: Language = "python"
    stdin: str = ""
    files: tuple[SourceFile, ...] = ()
    inputs: tuple[str, ...] = ()
    """Many standard inputs: one start, one run each."""
    harness: str = ""
    """Trusted Python source, such as tests, that calls the program's functions from outside."""
    cell: bool = False
    """Run as a notebook cell, whose last value is shown and whose state can be continued."""
    after: tuple[str, ...] = ()
    """For a cell: the sources before it, first to last; a state is named by its history alone."""
    limits: ExecutionLimits = ExecutionLimits()
    role: str = "sandbox"

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise InvalidInput(
                f"the language {self.language!r} was asked for; this runs {', '.join(LANGUAGES)}"
            )
        if self.after and not self.cell:
            raise InvalidInput("after= was given without cell=True; only a cell has a history")
        apart = [bool(self.inputs), bool(self.harness), self.cell]
        if sum(apart) > 1 or (self.stdin and (self.inputs or self.cell)):
            raise InvalidInput(
                "inputs, harness and cell exclude each other, and stdin goes with none but a harness"
            )
        if self.language != "python" and (self.harness or self.cell):
            raise InvalidInput(f"a harness or a cell was asked for in {self.language}; use Python")
