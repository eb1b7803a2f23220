"""One file per paper that shows it working: claims that anyone can run again."""

from __future__ import annotations

from .claim import (
    Check,
    Claim,
    Fault,
    Observed,
    Setting,
    exact,
    performance,
    planned,
    statistical,
)
from .page import papers_markdown, standing
from .planting import patched, planted
from .record import Recorded, recorded, status_of, whole_record, write
from .registry import ClaimFile, asked, claim_file, names
from .runner import Reproduction, reproduce, run_check

__all__ = [
    "Check",
    "Claim",
    "ClaimFile",
    "Fault",
    "Observed",
    "Recorded",
    "Reproduction",
    "Setting",
    "asked",
    "claim_file",
    "exact",
    "names",
    "papers_markdown",
    "patched",
    "performance",
    "planned",
    "planted",
    "recorded",
    "reproduce",
    "run_check",
    "standing",
    "statistical",
    "status_of",
    "whole_record",
    "write",
]
