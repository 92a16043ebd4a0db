"""Opens what a recipe names, as far as that goes: what is wrong becomes a problem, not an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from notesmith.config.recipe import RecipeConfig
from notesmith.corpus.outside import LEFT_OUT, outside_of
from notesmith.corpus.parts import (
    PARTS,
    Unrepeated,
    keep_apart,
    scored_in_train,
    without_repeats,
)
from notesmith.corpus.reading import CorpusRead, check_named
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, NotesmithError
from notesmith.experiment.cost import SplitStats
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.plan import Plan, make_plan, scored_split
from notesmith.experiment.recipes import corpus_path
from notesmith.experiment.run import fingerprints_of, named_paths
from notesmith.experiment.stages.adapt import MORE_NOTES, NONE_LEFT, file_of
from notesmith.experiment.stages.common import read
from notesmith.experiment.stages.notes import (
    UNLABELLED,
    FileSettings,
    read_notes,
    stream_notes,
)
from notesmith.forecast import checks
from notesmith.forecast.checks import Problem
from notesmith.forecast.corpus_stats import held_out_stats, split_stats


@dataclass(frozen=True, slots=True)
class Opened:
    """Paths, documents and counts by split; the plan with its sources where it can be made.

    Documents are those that the run uses; ``left_out`` are sentences on those that it does not, as
    they stand in another part too.
    """

    paths: Mapping[str, Path]
    docs: Mapping[str, Sequence[Document]]
    left_out: tuple[str, ...]
    facts: Mapping[str, SplitStats]
    outside: Fingerprints | None
    plan: Plan | None
    problems: tuple[Problem, ...]


def open_recipe(config: RecipeConfig) -> Opened:
    """Read the corpora of ``config`` as a run does, check them, and expand the plan."""
    problems: list[Problem] = []
    paths = _paths(config, problems)
    as_read = _read(config, paths, problems)
    docs, left_out = _apart(as_read, problems)
    if config.evaluate.protocol == "cross-fit":
        left_out = [*left_out, *scored_in_train(docs.get("train", ()))]
    facts = {"train": split_stats(docs["train"])} if "train" in docs else {}
    facts |= held_out_stats(docs, config) if docs else {}
    if UNLABELLED in paths:
        notes = _notes(config, paths[UNLABELLED], as_read, problems)
        facts[UNLABELLED] = split_stats(notes.kept)
        left_out = [*left_out, *_repeats(notes.counts, "corpus.unlabelled")]
    if MORE_NOTES in paths:
        repeated: Counter[str] = Counter()
        more = _more_notes(config, paths[MORE_NOTES], as_read, problems, repeated)
        facts |= {MORE_NOTES: more} if more else {}
        left_out = [*left_out, *_repeats(repeated, MORE_NOTES)]
    problems += _of_corpora(config, docs, facts)
    outside = plan = None
    scored = scored_split(config)
    if "train" in facts and (scored in paths or scored in facts):
        try:
            outside = fingerprints_of(config, paths)
            plan = make_plan(config, outside)
        except NotesmithError as error:
            what = str(error).partition("; ")[0]
            if not any(what in problem.what for problem in problems):
                problems.append(Problem(str(error), "correct the recipe"))
    return Opened(paths, docs, tuple(left_out), facts, outside, plan, tuple(problems))


def _paths(config: RecipeConfig, problems: list[Problem]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for split, value in named_paths(config).items():
        if not value:
            if split == scored_split(config):
                problems.append(
                    Problem(
                        f"no {split} split: corpus.{split} is missing",
                        f"--set corpus.{split}=PATH, or divide: notesmith corpus split",
                    )
                )
            continue
        try:
            found[split] = corpus_path(value)
        except NotesmithError as error:
            option = split if split == MORE_NOTES else f"corpus.{split}"
            problems.append(Problem(str(error), f"correct {option}"))
    return found


def _read(
    config: RecipeConfig, paths: Mapping[str, Path], problems: list[Problem]
) -> dict[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    corpora: list[CorpusRead] = []
    paths = {part: paths[part] for part in PARTS if part in paths}
    for split, path in paths.items():
        try:
            corpus = read(path, config.corpus)
        except CorpusError as error:
            said = (
                "mend the record, or corpus.on_problem = 'count': a document that cannot be read "
                "is then left out, and a mention that cannot be read is masked, neither trained on "
                "nor scored; both are counted"
            )
            problems.append(Problem(f"{split}: {error}", said))
            continue
        found[split] = corpus.docs
        corpora.append(corpus)
        bad = [(k, n) for k, n in corpus.counts.items() if k.startswith(("dropped", "masked"))]
        if bad:
            said = ", ".join(f"{n:,} {what}" for what, n in bad)
            problems.append(
                Problem(f"{split}: while reading, {said}", "look at the files", fatal=False)
            )
    try:
        if len(corpora) == len(paths):
            check_named(config.corpus, corpora)
    except ConfigError as error:
        problems.append(Problem(str(error), "correct corpus.label_map or corpus.unknown"))
    return found


def _notes(
    config: RecipeConfig,
    path: Path,
    docs: Mapping[str, Sequence[Document]],
    problems: list[Problem],
) -> Unrepeated:
    """The notes of ``corpus.unlabelled`` that repeat no labelled document, and those that do."""
    try:
        notes = read_notes(path, config.corpus, FileSettings.from_recipe(config.corpus)).docs
    except (ConfigError, CorpusError) as error:
        what, _, remedy = str(error).partition("; ")
        problems.append(Problem(what, remedy or "correct corpus.unlabelled"))
        return Unrepeated([], [], Counter())
    found = without_repeats(notes, *docs.values())
    if not found.kept and not config.draws.unlabelled_documents:
        problems.append(
            Problem(
                f"no note of corpus.unlabelled is left: {len(notes):,} were read, and the text or "
                f"the patient of {len(found.dropped):,} stands in train, dev or test",
                "name other notes with corpus.unlabelled",
            )
        )
    return found


def _more_notes(
    config: RecipeConfig,
    path: Path,
    docs: Mapping[str, Sequence[Document]],
    problems: list[Problem],
    repeated: Counter[str],
) -> SplitStats | None:
    """Counts of the notes of ``adapt.notes`` that an encoder reads, which are read as a stream.

    ``repeated`` takes how many are left out by text and by patient.
    """
    table = config.adapt
    outside = outside_of(doc for part in docs.values() for doc in part)
    notes = stream_notes(path, config.corpus, file_of(table), Counter(), option=MORE_NOTES)
    n_documents = n_words = 0
    counts: Counter[str] = Counter()
    try:
        for doc in outside(islice(notes, table.most_notes), counts):
            n_documents, n_words = n_documents + 1, n_words + len(doc.text.split())
    except (ConfigError, CorpusError) as error:
        what, _, remedy = str(error).partition("; ")
        problems.append(Problem(what, remedy or f"correct {MORE_NOTES}"))
        return None
    repeated.update({what: counts[said] for what, said in LEFT_OUT.items() if counts[said]})
    if not n_documents:
        what, _, remedy = NONE_LEFT.partition("; ")
        problems.append(Problem(what, remedy))
    return SplitStats(n_documents, n_words, labels={})


def _repeats(counts: Counter[str], option: str) -> Iterator[str]:
    for what, n in sorted(counts.items(), reverse=True):
        yield (
            f"{n:,} of {option} {'is' if n == 1 else 'are'} left out, as "
            f"{'its' if n == 1 else 'their'} {what} stands in train, dev or test too."
        )


def _apart(
    docs: Mapping[str, Sequence[Document]], problems: list[Problem]
) -> tuple[Mapping[str, Sequence[Document]], list[str]]:
    try:
        found = keep_apart(docs)
    except CorpusError as error:
        what, _, remedy = str(error).partition("; ")
        problems.append(Problem(what, remedy))
        return docs, []
    return found.docs, found.sentences


def _of_corpora(
    config: RecipeConfig,
    docs: Mapping[str, Sequence[Document]],
    corpus: Mapping[str, SplitStats],
) -> Iterator[Problem]:
    if "train" not in corpus:
        return
    yield from checks.of_draws(config, corpus["train"])
    yield from checks.of_attributes(config, docs["train"])
    yield from checks.of_unknown(config, docs["train"])
    scored = scored_split(config)
    scored = scored if scored in docs else "train"
    yield from checks.of_ceiling(scored, docs[scored])
    for split in ("dev", "test"):
        if split in corpus:
            yield from checks.of_held_out(split, corpus[split], corpus["train"])
