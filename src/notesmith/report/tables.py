"""The report's tables: CSV for analysis, LaTeX with booktabs for papers; scores in points."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from notesmith.findings import Difference, Estimate, Worth
from notesmith.report import words
from notesmith.report.labelled import silver_means
from notesmith.report.made import made_means
from notesmith.results import Results

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns and rows; numbers stay numbers."""

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    points: frozenset[str] = frozenset()
    """Columns of scores, which LaTeX gives with one decimal."""


def all_tables(results: Results) -> list[Table]:
    """Every table that has rows."""
    made = [_arms(results), _comparisons(results), _labels(results), _attributes(results)]
    made += [_made(results), _silver(results), _stages(results)]
    return [table for table in made if table.rows]


def to_csv(table: Table) -> str:
    """Return the table as CSV with a header line; numbers have six significant digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(guarded, table.header))
    writer.writerows([_csv_cell(cell) for cell in row] for row in table.rows)
    return out.getvalue()


def to_latex(table: Table) -> str:
    """Return a ``table`` environment that needs the booktabs package."""
    numeric = [
        any(isinstance(row[i], (int, float)) for row in table.rows)
        for i in range(len(table.header))
    ]
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{escape_latex(table.caption)}}}",
        f"  \\begin{{tabular}}{{{''.join('r' if n else 'l' for n in numeric)}}}",
        "    \\toprule",
        f"    {' & '.join(escape_latex(h.replace('_', ' ')) for h in table.header)} \\\\",
        "    \\midrule",
        *(
            "    "
            + " & ".join(
                _latex_cell(cell, head in table.points)
                for head, cell in zip(table.header, row, strict=True)
            )
            + " \\\\"
            for row in table.rows
        ),
        "    \\bottomrule",
        "  \\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # These may follow the end of a row, where they would be its argument.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "–": "--",
}


def escape_latex(words_: str) -> str:
    """Return text that LaTeX prints as it stands, on one line."""
    return "".join(_LATEX.get(c, c if c.isprintable() else " ") for c in words_).strip()


def _latex_cell(cell: Cell, points: bool) -> str:
    if cell is None:
        return "--"
    if isinstance(cell, str):
        return escape_latex(cell)
    if points:
        return escape_latex(words.points(cell))
    return escape_latex(str(cell) if isinstance(cell, int) else f"{cell:.4g}")


def _csv_cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.6g}"
    return guarded(cell) if isinstance(cell, str) else str(cell)


# What a spreadsheet begins a formula with, in full width too, and what it passes over before one.
_BEFORE = r"[\s'\"`\u2018-\u201f]*"
_SIGN = r"[=+\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20]"
_FORMULA = re.compile(rf"(\A|;)({_BEFORE}{_SIGN})")


def guarded(text: str) -> str:
    """Return text on one line that no spreadsheet runs as a formula.

    A quote mark goes before what may begin one at the beginning or after a semicolon, which divides
    cells in some countries; white space and quotes may stand before the sign. What is not printable
    becomes a space.
    """
    line = "".join(c if c.isprintable() else " " for c in text)
    return _FORMULA.sub(r"\1'\2", line)


def _arms(results: Results) -> Table:
    extra = "precision recall lenient_f1 boundary_f1 seen_f1 unseen_f1 unseen_recall".split()
    beside = any(arm.beside for arm in results.arms)
    voting = any(arm.votes > 1 for arm in results.arms)
    other = "f1_on_other_documents"
    header = (
        *("gold_documents", "arm", *(("votes",) if voting else ()), "replicates"),
        *("f1", "f1_low", "f1_high", "f1_sd"),
        *(("scored_on", other) if beside else ()),
        *extra,
        "dev_f1",
    )
    rows = tuple(
        (
            arm.size,
            arm.name,
            *((arm.votes,) if voting else ()),
            arm.n_replicates,
            *_parts(arm.decided.f1),
            *((arm.decided_on, arm.beside.f1.mean if arm.beside else None) if beside else ()),
            *(getattr(arm.decided, name).mean for name in extra),
            arm.dev_f1.mean if arm.dev_f1 else None,
        )
        for arm in results.arms
    )
    return Table(
        "arms",
        f"{results.recipe}: scores of every arm on {results.split}, means over replicates",
        header,
        rows,
        frozenset(header[header.index("f1") :]),
    )


def _parts(estimate: Estimate) -> tuple[float | None, ...]:
    return (estimate.mean, estimate.low, estimate.high, estimate.sd)


def _comparisons(results: Results) -> Table:
    rows = tuple(
        (
            c.size,
            c.arm,
            c.against,
            c.n_replicates,
            c.delta,
            c.low,
            c.high,
            c.p,
            c.p_holm,
            c.worth.notes if c.worth else None,
            c.worth.low if c.worth else None,
            c.worth.high if c.worth else None,
            *(_hours(c.worth) if results.minutes_per_note else ()),
            c.step,
            c.scored_on,
            *_on_other(c.beside),
            c.claim,
        )
        for c in results.comparisons
    )
    hours = "worth_hours worth_hours_low worth_hours_high " if results.minutes_per_note else ""
    header = (
        "gold_documents arm against replicates delta low high p p_holm "
        f"worth_notes worth_low worth_high {hours}"
        "step scored_on other_delta other_low other_high claim"
    ).split()
    return Table(
        "comparisons",
        f"{results.recipe}: F1 differences with paired intervals",
        tuple(header),
        rows,
        frozenset({"delta", "low", "high", "other_delta", "other_low", "other_high"}),
    )


def _on_other(beside: Difference | None) -> tuple[float | None, ...]:
    return (beside.delta, beside.low, beside.high) if beside else (None, None, None)


def _hours(worth: Worth | None) -> tuple[float | None, ...]:
    spent = worth.hours if worth else None
    return (spent.notes, spent.low, spent.high) if spent else (None, None, None)


def _labels(results: Results) -> Table:
    rows = tuple(
        (arm.size, arm.name, label, s.support, s.precision, s.recall, s.f1)
        for arm in results.arms
        for label, s in arm.by_label.items()
    )
    header = ("gold_documents", "arm", "label", "support", "precision", "recall", "f1")
    return Table(
        "labels", f"{results.recipe}: scores by label", header, rows, frozenset(header[4:])
    )


def _attributes(results: Results) -> Table:
    scores = ("precision", "recall", "f1")
    rows = tuple(
        (
            arm.size,
            arm.name,
            name,
            found.end_to_end.support,
            *(getattr(part, key) for part in (found.on_found, found.end_to_end) for key in scores),
        )
        for arm in results.arms
        for name, found in arm.attributes.items()
    )
    columns = tuple(f"{part}_{key}" for part in ("on_found", "end_to_end") for key in scores)
    header = ("gold_documents", "arm", "attribute", "support", *columns)
    caption = f"{results.recipe}: scores by attribute, on mentions found and end to end"
    return Table("attributes", caption, header, rows, frozenset(columns))


def _made(results: Results) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for made in made_means(results):
        rows.append((made.size, made.source, "asked", made.asked))
        rows += [(made.size, made.source, f"dropped: {r}", n) for r, n in made.dropped.items()]
        rows.append((made.size, made.source, "kept", made.kept))
    return Table(
        "made",
        f"{results.recipe}: made text, means over replicates",
        ("gold_documents", "source", "step", "units"),
        tuple(rows),
    )


def _silver(results: Results) -> Table:
    scores = ("precision", "recall", "f1")
    amounts = ("known_notes", "notes", "left_out", "mentions", "doubtful_words")
    sizes = dict.fromkeys(each.size for each in results.silver)
    return Table(
        "labelled-notes",
        f"{results.recipe}: notes that annotators labelled, means over replicates",
        ("gold_documents", "arm", *scores, "calibration_error", *amounts),
        tuple(
            (
                *(size, row.arm, row.precision, row.recall, row.f1, row.calibration_error),
                *(row.known, row.notes, row.left_out, row.mentions, row.doubtful),
            )
            for size in sizes
            for row in silver_means(results, size=size)
        ),
        frozenset(scores),
    )


def _stages(results: Results) -> Table:
    return Table(
        "stages",
        f"{results.recipe}: cost",
        ("stage", "cells", "seconds", "tokens", "tokens_per_second", "peak_memory_bytes"),
        tuple(
            (s.stage, s.cells, s.seconds, s.tokens, s.tokens_per_second, s.peak_memory_bytes)
            for s in results.stages
        ),
    )
