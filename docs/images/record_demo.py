"""Record `cogitate demo` as the picture in the README: python docs/images/record_demo.py"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from cogitate.apps.cli import main
from cogitate.apps.commands import demonstration

recorder = Console(record=True, width=104, markup=False, highlight=False, force_terminal=True)
demonstration.console = lambda **_: recorder
status = main(["demo"])
assert status == 0
target = Path(__file__).with_name("demo.svg")
# No web fonts: the picture must not fetch anything when it is looked at.
picture = recorder.export_svg(title="cogitate demo")
lines = [line for line in picture.splitlines() if "url(" not in line or "clip-path" in line]
target.write_text("\n".join(lines) + "\n", "utf-8")
print(target)
