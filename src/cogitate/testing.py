"""For tests of your own searches, processes, scorers and engines: engines that need no model."""

from __future__ import annotations

from cogitate.engines.fake import FakeEngine, Rates
from cogitate.engines.scripted import Scripted
from cogitate.engines.simulated import Simulated, simulated_tasks

__all__ = ["FakeEngine", "Rates", "Scripted", "Simulated", "simulated_tasks"]
