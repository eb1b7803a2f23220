"""Plants a claim file's fault into a copy of the package, and runs the claims there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cogitate
from cogitate.core.errors import InvalidInput

from .claim import Fault
from .registry import ClaimFile


def patched(package: Path, fault: Fault) -> None:
    """Apply a fault below a copy of the package.

    Raises:
        InvalidInput: where its text does not occur exactly once: the fault must follow the code.
    """
    path = package / fault.file
    text = path.read_text("utf-8") if path.is_file() else ""
    found = text.count(fault.was)
    if found != 1:
        raise InvalidInput(
            f"the fault in {fault.file} looks for {fault.was.strip().splitlines()[0]!r}, which occurs "
            f"{found} times there; it must occur once, so bring it up to date with the code"
        )
    path.write_text(text.replace(fault.was, fault.now), "utf-8")


def planted(found: ClaimFile, folder: Path, *, timeout_s: float = 600) -> dict[str, Any]:
    """Run the claims that a paper's fault must break, at their quick size, with the fault in place.

    Args:
        found: the paper's claims.
        folder: an empty one for the copy.
        timeout_s: for the whole run.

    Returns:
        What `cogitate reproduce --json` printed.

    Raises:
        InvalidInput: where the fault does not fit the code, or the run printed no JSON.
    """
    package = folder / "cogitate"
    shutil.copytree(
        Path(cogitate.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    patched(package, found.fault)
    only = [part for name in found.fault.breaks for part in ("--claim", name)]
    done = subprocess.run(
        [sys.executable, "-m", "cogitate", "reproduce", found.id, "--quick", "--json", *only],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise InvalidInput(
            f"with its fault planted, `reproduce {found.id}` printed no JSON: {done.stderr[-500:]}"
        ) from None
    return said | {"exit": done.returncode}
