"""The main job: a recipe in, cells computed, results and report out; resumable at any moment."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from notesmith.config.recipe import RecipeConfig
from notesmith.corpus.names import read_names
from notesmith.corpus.parts import PARTS
from notesmith.errors import ConfigError, StageError
from notesmith.evaluate.seal import listed
from notesmith.experiment import collect
from notesmith.experiment.consent import consents_in, record_consent, server_of
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.engine import NONE, Census, OnCell, count, run_cells, unheard
from notesmith.experiment.examples import examples_of
from notesmith.experiment.folder import CELLS, KEEP, MODELS, check_folder, claim_folder
from notesmith.experiment.gate import Gate, Sealed, Told, seal_facts, sealed_recipe
from notesmith.experiment.graph import Context, OpenSplit, StageFunction, may_discard
from notesmith.experiment.lock import run_lock
from notesmith.experiment.models import have_models
from notesmith.experiment.plan import Plan, encoders_of, make_plan
from notesmith.experiment.recipes import RECIPE, Filters, corpus_path, load_saved, save_recipe
from notesmith.experiment.stages.adapt import MORE_NOTES
from notesmith.experiment.stages.common import read_parts
from notesmith.experiment.stages.notes import UNLABELLED
from notesmith.experiment.stages.tagger import fingerprint_annotators
from notesmith.experiment.store import CellStore
from notesmith.experiment.workers import working
from notesmith.files.checksums import canonical, hash_path
from notesmith.files.write import atomic_write_text
from notesmith.home import home
from notesmith.models.fingerprint import fingerprint_model
from notesmith.progress import OnProgress, silent
from notesmith.results import Results
from notesmith.synthesis.steer import steering_of

log = logging.getLogger(__name__)

# Paths of a run that are neither learnt from with labels nor held out.
_WITHOUT_LABELS = (UNLABELLED, MORE_NOTES)


@dataclass(frozen=True, slots=True)
class RunResult:
    """Where the run is, what it has to say so far, and what is left.

    ``results`` is None while nothing was scored; ``report`` is the page to open.
    """

    folder: Path
    results: Results | None
    report: Path | None
    n_computed: int
    n_left: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Status:
    """Cells of a run by stage: (finished, left), with an estimate of the seconds left.

    ``eta`` leaves out ``n_untimed`` cells, of stages of which none is finished.
    """

    folder: Path
    stages: Mapping[str, tuple[int, int]]
    n_done: int
    n_left: int
    eta: float
    n_untimed: int


def run_recipe(
    config: RecipeConfig,
    out: Path | str,
    *,
    only: Sequence[str] = (),
    max_minutes: float | None = None,
    keep_models: bool = False,
    another_opening: str = "",
    consent: frozenset[str] = frozenset(),
    is_preview: bool = False,
    jobs: int = 1,
    cache: Path | None = None,
    instead: Mapping[str, StageFunction] = NONE,
    on_progress: OnProgress = silent,
    on_cell: OnCell = unheard,
    tell: Told = lambda what: None,
) -> RunResult:
    """Run ``config`` in the folder ``out``, going on from what is finished there.

    Args:
        config: the recipe, resolved.
        out: the run folder; everything is written below it and ``cache``.
        only: ``stage=``, ``arm=``, ``size=`` or ``replicate=`` with values: run a part.
        max_minutes: stop between cells once this time is over.
        keep_models: keep the weights of every replicate, not of the first alone.
        another_opening: reason to open the test set though it was opened for another plan, here or
            in another run folder.
        consent: hosts other than this machine that prompts may be sent to, where ``sample.server``
            names one; it is recorded in the run folder and stands in the results.
        is_preview: ``config`` is what ``preview`` made: its scores mean nothing, and what it opens
            is not registered.
        jobs: cells to compute side by side, each in a process of its own.
        cache: folder for converted models; below ``$NOTESMITH_HOME`` if not given.
        instead: functions in the place of stages' own, by name: for tests.
        on_progress: told about work inside a cell.
        on_cell: told when a cell starts and is done.
        tell: told what was opened of the test set before.

    Raises:
        ConfigError: a path, an arm or a filter is wrong, or text would leave without consent.
        ModelError: a model is not on this machine, and ``config.hub`` does not allow to fetch it.
        SealError: the test set is sealed under another plan, or was opened for one.
        StageError: another process runs here, or a stage cannot do its work.
    """
    folder = Path(out)
    started = time.monotonic()
    config = have_models(config)
    paths = corpus_paths(config)
    # What cannot be asked for is said before any work.
    steering_of(config.synthesize, _names_in(config.synthesize.concepts))
    outside = fingerprints_of(config, paths)
    plan = make_plan(config, outside)
    targets = plan.select(Filters.parse(only))
    server = server_of(config, consent)
    claim_folder(folder)
    with run_lock(folder):
        gate = Gate(folder, config, paths, another=another_opening, is_preview=is_preview)
        gate.write_down(tell)
        save_recipe(config, folder)
        if given := record_consent(folder, server, config):
            tell(f"prompts with text of your documents go to {given.host} (model {given.model})")
        if keep_models:  # and whenever this folder is run again
            atomic_write_text(folder / KEEP, "")
        keep = (folder / KEEP).exists()
        store = CellStore(folder / CELLS)
        context = replace(
            context_of(config, paths, open_split=gate.open, cache=cache), server=server
        )
        side_by_side = working(jobs, store.root, context, instead)
        with side_by_side if jobs > 1 else nullcontext() as workers:
            ran = run_cells(
                targets,
                store=store,
                context=context,
                instead=instead,
                on_progress=on_progress,
                on_cell=on_cell,
                should_stop=_clock(started, max_minutes),
                may_discard=(lambda cell: False) if keep else may_discard,
                plan=plan.cells,
                workers=workers,
            )
        census = count(targets, store)
        written = _write(sealed_recipe(config, folder, paths), plan, store, folder)
    return RunResult(
        folder=folder,
        results=written[0],
        report=written[1],
        n_computed=len(ran.computed),
        n_left=len(census.left),
        seconds=time.monotonic() - started,
    )


def write_results(folder: Path | str, *, minutes_per_note: float | None = None) -> RunResult:
    """Write results and report of whatever is finished in a run folder, computing nothing.

    Args:
        folder: the run folder.
        minutes_per_note: of an annotator, for this report; as the recipe says if not given.

    Raises:
        ConfigError: the folder holds no run, or the minutes are not above 0.
        StageError: nothing was scored yet.
    """
    folder = Path(folder)
    run = _open_run(folder)
    plan, store, sealed = run.plan, run.store, run.sealed
    if minutes_per_note is not None:
        if not 0 < minutes_per_note < math.inf:
            raise ConfigError(f"minutes a note are {minutes_per_note:g}: give a number above 0")
        evaluate = sealed.config.evaluate.model_copy(update={"minutes_per_note": minutes_per_note})
        sealed = replace(sealed, config=sealed.config.model_copy(update={"evaluate": evaluate}))
    census = count(plan.cells, store)
    results, report = _write(sealed, plan, store, folder)
    if results is None:
        edited = (
            f" (edited since it was sealed: {listed(sealed.changed)})" if sealed.changed else ""
        )
        raise StageError(f"{folder}: nothing was scored yet{edited}; run the recipe first")
    return RunResult(folder, results, report, 0, len(census.left), 0.0)


def status_of(folder: Path | str) -> Status:
    """Count finished and missing cells of a run folder.

    Raises:
        ConfigError: the folder holds no run.
    """
    folder = Path(folder)
    run = _open_run(folder)
    plan, store = run.plan, run.store
    census: Census = count(plan.cells, store)
    done = Counter(cell.stage.name for cell in census.done)
    left = Counter(cell.stage.name for cell in census.left)
    order = [cell.stage.name for target in plan.cells for cell in target.walk()]
    return Status(
        folder=folder,
        stages={stage: (done[stage], left[stage]) for stage in dict.fromkeys(order)},
        n_done=len(census.done),
        n_left=len(census.left),
        eta=census.eta,
        n_untimed=census.n_untimed,
    )


def corpus_paths(config: RecipeConfig) -> dict[str, Path]:
    """The paths of train, dev, test and notes without labels that the recipe names."""
    return {split: corpus_path(value) for split, value in named_paths(config).items() if value}


def named_paths(config: RecipeConfig) -> dict[str, str | None]:
    """What the recipe says of these paths; of notes for encoders, only where an arm is adapted."""
    named = {name: getattr(config.corpus, name) for name in (*PARTS, UNLABELLED)}
    if any(arm.adapted for arm in config.arm):
        named[MORE_NOTES] = config.adapt.notes
    return named


def context_of(
    config: RecipeConfig,
    paths: Mapping[str, Path],
    *,
    open_split: OpenSplit,
    cache: Path | None = None,
) -> Context:
    """What stages need from outside.

    ``paths`` holds train, notes as ``corpus_paths`` names them, and by any other name what is held
    out.
    """
    return Context(
        train=paths["train"],
        held_out={k: path for k, path in paths.items() if k not in ("train", *_WITHOUT_LABELS)},
        open_split=open_split,
        cache=cache or home() / "cache",
        terms=_names_in(config.synthesize.names.term_lists),
        concepts=_names_in(config.synthesize.concepts),
        unlabelled=paths.get(UNLABELLED),
        more_notes=paths.get(MORE_NOTES),
    )


def fingerprints_of(config: RecipeConfig, paths: Mapping[str, Path]) -> Fingerprints:
    """Content hashes of corpora and models, and of which documents stand in two parts.

    Corpora are hashed as bytes, the file with their texts as a part of them. What ``paths`` has
    beside train, dev and test is held out too.

    Raises:
        ConfigError: train is the very file that dev or test is.
        CorpusError: a corpus cannot be read, or nothing is left of a part.
    """

    def corpus(split: str) -> str:
        found = hash_path(paths[split]) if split in paths else ""
        if not found or config.corpus.tasks is None:
            return found
        return canonical([found, hash_path(corpus_path(config.corpus.tasks))])

    held_out = paths.keys() - {*PARTS, *_WITHOUT_LABELS}
    hashes = {split: corpus(split) for split in PARTS}
    for split in ("dev", "test"):
        if hashes["train"] == hashes[split]:
            raise ConfigError(f"corpus.train and corpus.{split} are the same documents")
    return Fingerprints(
        **hashes,
        lm=fingerprint_model(config.lm.model),
        rewards=canonical([fingerprint_reward(spec) for spec in config.reward.user]),
        term_lists=_hashes(config.synthesize.names.term_lists),
        concepts=_hashes(config.synthesize.concepts),
        encoders={name: fingerprint_model(name) for name in encoders_of(config)},
        annotators=fingerprint_annotators(config),
        held_out={name: corpus(name) for name in paths if name in held_out},
        left_out=_left_out(config, paths),
        unlabelled=hash_path(paths[UNLABELLED]) if UNLABELLED in paths else "",
        more_notes=hash_path(paths[MORE_NOTES]) if MORE_NOTES in paths else "",
    )


def _left_out(config: RecipeConfig, paths: Mapping[str, Path]) -> dict[str, str]:
    """Hashes of the ids that each part loses; a part alone has nothing to lose."""
    if len(set(paths) & set(PARTS)) < 2:
        return {}
    found = read_parts(paths, config.corpus).left_out
    return {name: _hash(canonical(sorted(ids)).encode()) for name, ids in found.items()}


def _hashes(lists: Mapping[str, str]) -> str:
    return canonical({label: hash_path(corpus_path(path)) for label, path in lists.items()})


def fingerprint_reward(spec: str) -> list[str]:
    """What is known of a user's reward: its name, and a hash of its file where it names one."""
    path = Path(spec.rpartition(":")[0]).expanduser()
    return [spec, hash_path(path) if path.suffix == ".py" and path.is_file() else ""]


def _write(
    sealed: Sealed, plan: Plan, store: CellStore, folder: Path
) -> tuple[Results | None, Path | None]:
    created = datetime.now(tz=UTC).date().isoformat()
    try:
        results = collect.results_of(
            sealed.config,
            plan,
            store,
            created=created,
            seal=seal_facts(sealed),
            planned=sealed.replicates,
            sent=[consent.sentence for consent in consents_in(folder)],
        )
    except StageError as error:
        log.info("no results yet: %s", error)
        return None, None
    results.write(folder)
    models = collect.models_of(sealed.config, plan, store, folder)
    atomic_write_text(folder / MODELS, json.dumps(models, indent=1) + "\n")
    return results, _report(results, plan, store, folder)


def _report(results: Results, plan: Plan, store: CellStore, folder: Path) -> Path:
    """The page; its examples come from the first draw whose text was made."""
    from notesmith.report.writing import write_report

    return write_report(results, folder, examples=examples_of(plan, store))


@dataclass(frozen=True, slots=True)
class _Run:
    """A run folder: its recipe as it was sealed, the plan of that, and the cells."""

    sealed: Sealed
    plan: Plan
    store: CellStore


def _open_run(folder: Path) -> _Run:
    if not (folder / RECIPE).is_file():
        raise ConfigError(f"{folder}: no run here (no {RECIPE})")
    check_folder(folder)
    config = load_saved(folder)
    paths = corpus_paths(config)
    sealed = sealed_recipe(config, folder, paths)
    return _Run(
        sealed,
        make_plan(sealed.config, fingerprints_of(sealed.config, paths)),
        CellStore(folder / CELLS),
    )


def _names_in(lists: Mapping[str, str]) -> dict[str, list[str]]:
    """The user's names by label."""
    return {label: read_names(corpus_path(path)) for label, path in lists.items()}


def _clock(started: float, max_minutes: float | None) -> Callable[[], bool]:
    if max_minutes is None:
        return lambda: False
    end = started + 60 * max_minutes
    return lambda: time.monotonic() >= end


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
