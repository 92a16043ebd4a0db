"""Write a report's files: ``report.html``, examples, tables, figures and the draft for a paper."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from notesmith.errors import FileError
from notesmith.files.leftovers import sweep
from notesmith.files.write import atomic_file, atomic_write_text, make_folder
from notesmith.report.examples import ExampleSet
from notesmith.report.figures import all_figures
from notesmith.report.html import render_examples, render_report
from notesmith.report.methods import PaperFacts, draft_methods
from notesmith.report.tables import all_tables, to_csv, to_latex
from notesmith.results import Results

log = logging.getLogger(__name__)

METHODS = "methods.md"
REFERENCES = "references.bib"
# The last line of a draft: a draft that does not fit its own has been edited, and is its author's.
_SIGNED = "<!-- As written by notesmith: {} -->"


def write_report(results: Results, folder: Path, *, examples: ExampleSet | None = None) -> Path:
    """Write the report of ``results`` into ``folder``.

    ``report.html`` (written last), ``tables/*.csv``, ``tables/*.tex``, ``figures/*.svg``,
    ``methods.md`` and ``references.bib`` hold no note text. ``examples.html`` does, and is written
    only if ``examples`` are given.

    Returns:
        the path of ``report.html``.
    """
    make_folder(folder)
    for place in (folder, folder / "tables", folder / "figures"):
        sweep(place)
    for table in all_tables(results):
        atomic_write_text(folder / "tables" / f"{table.name}.csv", to_csv(table))
        atomic_write_text(folder / "tables" / f"{table.name}.tex", to_latex(table))
    for name, drawn in all_figures(results).items():
        atomic_write_text(folder / "figures" / f"{name}.svg", drawn.wide.standalone())
    if _is_edited(folder / METHODS):
        log.warning("%s was edited and is left as it is", folder / METHODS)
    else:
        write_methods(results, folder / METHODS)
    if examples is not None:
        atomic_write_text(folder / "examples.html", render_examples(examples))
    page = folder / "report.html"
    atomic_write_text(page, render_report(results))
    return page


def write_methods(results: Results, path: Path, *, facts: PaperFacts | None = None) -> Path:
    """Write the draft for a paper as ``path``, and ``references.bib`` beside it; returns ``path``.

    Args:
        results: the results.
        path: Markdown file to write.
        facts: what the run cannot know.

    Raises:
        FileError: a draft that was edited stands there.
    """
    if _is_edited(path):
        raise FileError(f"{path}: was edited; move it away, or name another file with --out")
    draft = draft_methods(results, facts)
    text = f"{draft.methods.rstrip()}\n\n{_SIGNED.format(_signature(draft.methods))}\n"
    # Both are on the disk before either has its name.
    with atomic_file(path) as methods, atomic_file(path.parent / REFERENCES) as references:
        for file, written in ((methods, text), (references, draft.bibtex)):
            file.write(written.encode())
            file.flush()
    return path


def _signature(methods: str) -> str:
    return hashlib.sha256(methods.strip().encode()).hexdigest()


def _is_edited(path: Path) -> bool:
    """Whether something stands there that is no draft as it was written."""
    if not path.exists():
        return False
    text, _, last = path.read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")
    return last != _SIGNED.format(_signature(text))
