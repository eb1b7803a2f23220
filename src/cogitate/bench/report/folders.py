"""The report of a run folder."""

from __future__ import annotations

from pathlib import Path

from cogitate.bench.folder import Folder, load

from .journals import journal_files, task_texts
from .sampling import QUESTIONS
from .writing import write


def report_folder(
    path: str | Path,
    out: str | Path | None = None,
    *,
    directory: Path | None = None,
    baseline: str = "",
    larger: str = "",
    questions: int = QUESTIONS,
) -> tuple[Path, Path]:
    """Write the report of a run folder, finished or not.

    Args:
        path: the run folder.
        out: where the report goes; by default into the run folder.
        directory: of the user's data, for the texts of the questions.
        baseline: the line that others are compared with, or part of it; by default a majority vote.
        larger: label of a model beside which the others stand at equal cost.
        questions: how many questions get a page of their own.

    Returns:
        The paths of the HTML and of the Markdown file.

    Raises:
        InvalidInput: where there is no run folder, or no such larger model in it.
        JournalError: where a journal is damaged.
    """
    folder = Folder.open(Path(path))
    journals = {
        entry.key: folder.journal(entry) for entry in folder.entries if entry.kind == "cell"
    }
    return write(
        load(folder.path),
        folder.path if out is None else out,
        journals=journal_files(journals),
        texts=task_texts(directory),
        baseline=baseline,
        larger=larger,
        questions=questions,
    )
