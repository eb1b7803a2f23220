"""`cogitate bench run` on a world that notes every request outside the run, before it answers.

python bench_harness.py LOG [arguments of `cogitate`]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cogitate.apps.cli import main
from cogitate.core.protocols import Emit, silent
from cogitate.core.requests import Request
from cogitate.lab.worlds import ChainModel


def noting(log: Path) -> None:
    """Make worlds write the key of every request they are asked, one write a batch."""
    serve = ChainModel.serve
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def noted(self: ChainModel, batch: Sequence[Request[Any]], emit: Emit = silent) -> Any:
        if len(batch) > 1 or batch[0].body().get("max_tokens") != 1:  # the probe of an opened model
            os.write(out, "".join(f"{request.key()}\n" for request in batch).encode())
        return await serve(self, batch, emit)

    ChainModel.serve = noted  # pyright: ignore[reportAttributeAccessIssue]


if __name__ == "__main__":
    noting(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
