"""Reports: what a run found, as one self-contained HTML file and as Markdown."""

from __future__ import annotations

from .folders import report_folder
from .journals import Journals, Texts, journal_files, no_journals, task_texts
from .sampling import QUESTIONS
from .writing import HTML, MARKDOWN, TIMING, write

__all__ = [
    "HTML",
    "MARKDOWN",
    "QUESTIONS",
    "TIMING",
    "Journals",
    "Texts",
    "journal_files",
    "no_journals",
    "report_folder",
    "task_texts",
    "write",
]
