"""For tests of your own searches, processes, scorers and engines: engines that need no model.

`FakeEngine`, `Scripted` and `Simulated` serve requests; `check_strategy` runs the conformance suite.
"""

from __future__ import annotations

from cogitate._conformance import CHECKS, Case, check_strategy
from cogitate.engines.fake import FakeEngine, Rates
from cogitate.engines.scripted import Scripted
from cogitate.engines.simulated import Simulated, simulated_tasks

__all__ = [
    "CHECKS",
    "Case",
    "FakeEngine",
    "Rates",
    "Scripted",
    "Simulated",
    "check_strategy",
    "simulated_tasks",
]
