"""``notesmith corpus check``: find problems, and write doubtful labels for correction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from notesmith.ceiling import Ceiling, Layered, better_layers, ceiling, label_maps, remedies
from notesmith.cli.corpus import AsJson, read_splits
from notesmith.cli.reading import Metadata, PatientFrom, reads_documents
from notesmith.cli.screen import Screen, say, say_json
from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.check import CheckResult, Finding, check_corpus
from notesmith.corpus.parts import keep_apart
from notesmith.corpus.reading import CorpusRead
from notesmith.corpus.splits import find_splits, part_named
from notesmith.corpus.unknown import late_findings, revisit_findings
from notesmith.document import Document, labels_of
from notesmith.errors import ConfigError, CorpusError, FileError

_SHOWN = 10


@reads_documents()
def check(
    paths: Annotated[
        list[Path], typer.Argument(help="Corpora; one folder may hold train, dev and test.")
    ],
    options: ReadingConfig,
    metadata: Metadata = None,
    patient_from: PatientFrom = None,
    few_mentions: Annotated[
        int, typer.Option(help="Report labels with fewer mentions than this.")
    ] = 20,
    committee: Annotated[
        bool,
        typer.Option(
            "--committee", help="Train students on folds; list labels that they surely contradict."
        ),
    ] = False,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Least confidence of a listed contradiction.")
    ] = 0.9,
    members: Annotated[
        int, typer.Option(min=2, help="Students of the committee, one for each fold.")
    ] = 3,
    rounds: Annotated[
        int, typer.Option(min=1, help="Committees, each with other folds; their mean is used.")
    ] = 1,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="ner.FIELD=VALUE", help="Change a setting of the students; repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of folds and students.")] = 13,
    doubtful: Annotated[
        Path | None,
        typer.Option(help="Folder to make with doubtful documents to correct. It holds note text."),
    ] = None,
    tool: Annotated[
        Literal["label-studio", "brat", "inception", "uima"],
        typer.Option("--as", help="The tool that --doubtful is written for."),
    ] = "label-studio",
    all_findings: Annotated[
        bool, typer.Option("--all", help=f"Print all findings, not only {_SHOWN} of each check.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find problems that would do harm later; exit code 1 if one is serious."""
    if changes and not committee:
        raise ConfigError("--set is for the students of the committee; add --committee")
    if doubtful is not None and doubtful.exists():
        raise FileError(f"{doubtful}: exists already; name another folder with --doubtful")
    corpora = read_splits(paths, options, metadata, patient_from)
    for name, read in corpora.items():
        for what, n in read.counts.items():
            say(f"{name}: {n:,} {what}", err=True)
    splits = {name: read.docs for name, read in corpora.items()}
    result = check_corpus(splits, few_mentions=few_mentions)
    result = CheckResult([*result.findings, *late_findings(splits), *revisit_findings(splits)])
    if committee:
        doubts = _ask_committee(corpora, changes or [], confidence, members, rounds, seed)
        result = CheckResult([*result.findings, *doubts])
    apart = keep_apart(_by_part(splits), may_empty=True)
    every = [doc for docs in splits.values() for doc in docs]
    found = ceiling(every)
    layered = better_layers(every, found) if found.is_low else None
    if as_json:
        record = {
            "counts": result.counts,
            "left_out": {name: dict(one.counts) for name, one in apart.left_out.items()},
            "ceiling": _ceiling_record(found, layered),
            "findings": [finding.to_record() for finding in result.findings],
        }
        say_json(record)
    else:
        console = Screen(highlight=False, soft_wrap=True)
        _print_read(console, corpora)
        _print_findings(console, result, None if all_findings else _SHOWN)
        for sentence in apart.sentences:
            console.print(f"In init, plan and run: {sentence}")
        for name in apart.emptied:
            console.print(f"Nothing of {name} is left for them: name other documents (serious)")
        for line in _ceiling_lines(found, layered, paths[0]):
            console.print(line)
    if doubtful is not None:
        _write_doubtful(corpora, result, doubtful, tool)
    if result.n_serious or apart.emptied:
        raise typer.Exit(1)


def _print_read(console: Screen, corpora: Mapping[str, CorpusRead]) -> None:
    for name, read in corpora.items():
        n, labels = sum(len(doc.entities) for doc in read.docs), labels_of(read.docs)
        documents = f"{len(read.docs):,} document{'' if len(read.docs) == 1 else 's'}"
        mentions = f"{n:,} mention{'' if n == 1 else 's'}"
        of = f"{len(labels)} label{'' if len(labels) == 1 else 's'}"
        console.print(f"{name}: {documents}, {mentions} of {of}, read as {read.format}")


def _by_part(splits: Mapping[str, list[Document]]) -> dict[str, list[Document]]:
    """Documents by the parts that the names of files say, where each part stands once."""
    named = {name: part_named(name) or name for name in splits}
    once = len(set(named.values())) == len(named)
    return {named[name] if once else name: docs for name, docs in splits.items()}


def _ask_committee(
    corpora: dict[str, CorpusRead],
    changes: list[str],
    confidence: float,
    members: int,
    rounds: int,
    seed: int,
) -> list[Finding]:
    from notesmith.cli.train import moving_line, student_config
    from notesmith.corpus.committee import committee_findings

    config = student_config(changes)
    from notesmith.ner.judge import judge_held_out

    splits = {name: read.docs for name, read in corpora.items()}
    with moving_line() as on_progress:
        return committee_findings(
            splits,
            lambda docs: judge_held_out(
                docs,
                config=config,
                n_members=members,
                rounds=rounds,
                seed=seed,
                on_progress=on_progress,
            ),
            confidence=confidence,
        )


def _write_doubtful(
    corpora: dict[str, CorpusRead],
    result: CheckResult,
    path: Path,
    tool: Literal["label-studio", "brat", "inception", "uima"],
) -> None:
    from notesmith.corpus.doubtful import doubtful_documents, write_for_correction

    splits = {name: read.docs for name, read in corpora.items()}
    docs = doubtful_documents(splits, result.findings)
    every = [doc for docs in splits.values() for doc in docs]
    written: Literal["label-studio", "brat", "uima"] = "uima" if tool == "inception" else tool
    write_for_correction(docs, path, tool=written, labels=labels_of(every))
    say(f"{path}: {len(docs)} of {len(every)} documents for {tool} (holds note text)", err=True)


def _ceiling_record(found: Ceiling, layered: Layered | None) -> dict[str, Any]:
    record = found.to_record()
    if layered is not None:
        record |= {"layers": layered.layers, "f1_of_layers": round(layered.ceiling.f1, 2)}
    return record


def _ceiling_lines(found: Ceiling, layered: Layered | None, corpus: Path) -> Iterator[str]:
    """The best score that there can be and, where it is low, why and what to do."""
    if not found.n_mentions:
        yield "ceiling: no mention is labelled, so there is nothing to score."
        return
    yield f"ceiling: {found.sentence}"
    if not found.is_low:
        return
    for remedy in remedies(found, layered):
        yield f"  remedy: {remedy}."
    if layered is None:
        return
    with suppress(CorpusError):  # names that could be parts of two kinds
        corpus = find_splits(corpus).get("train", corpus)
    students = [f"student-{i}" for i in range(1, len(layered.layers) + 1)]
    for student, options in zip(students, label_maps(layered.layers), strict=True):
        yield f"    notesmith train {corpus} --out {student} {options}"
    notes = "NOTES"
    for i, student in enumerate(students):
        keep = " --keep" if i else ""
        yield f"    notesmith predict {student} {notes} --out found-{i + 1}.jsonl{keep}"
        notes = f"found-{i + 1}.jsonl"


def _print_findings(console: Screen, result: CheckResult, shown: int | None) -> None:
    by_check: dict[str, list[Finding]] = {}
    for finding in result.findings:
        by_check.setdefault(finding.check, []).append(finding)
    several = len({finding.split for finding in result.findings}) > 1
    for name, found in by_check.items():
        serious = " (serious)" if any(finding.serious for finding in found) else ""
        rest = f"; {shown} are shown, --all shows all" if shown and len(found) > shown else ""
        console.print(f"{name}{serious}: {len(found):,}{rest}")
        for finding in found[:shown]:
            console.print(f"  {_in_words(finding, with_split=several)}")
    if not result.findings:
        console.print("nothing found")


def _in_words(finding: Finding, *, with_split: bool) -> str:
    """Where and what a finding is, on one line."""
    span = f"[{finding.start}, {finding.end})" if finding.start >= 0 else ""
    place = [finding.split if with_split else "", finding.doc_id, finding.label]
    where = " ".join(filter(None, [*place, finding.entity_id, span]))
    return ": ".join(filter(None, [where, finding.detail]))
