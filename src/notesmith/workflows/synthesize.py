"""Synthesis by one call, from labelled documents to kept and dropped text; it can be resumed.

It computes one cell of ``experiment`` (the filter on the text of a generator of all gold) with the
cells that this one needs, and writes the result.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from notesmith.config.corpus import ReadingConfig
from notesmith.config.recipe import RecipeConfig
from notesmith.corpus.formats.jsonl import dumps, loads
from notesmith.document import Document, labels_of
from notesmith.errors import ConfigError, FileError, StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Draw, Fingerprints
from notesmith.experiment.engine import NONE, OnCell, run_cells, unheard
from notesmith.experiment.examples import examples_in
from notesmith.experiment.graph import Cell, StageFunction
from notesmith.experiment.models import have_models
from notesmith.experiment.recipes import preview
from notesmith.experiment.run import context_of, fingerprints_of
from notesmith.experiment.stages import SOURCES, given
from notesmith.experiment.stages import gold as drawing
from notesmith.experiment.stages.given import ABOUT, Generator, read_generator, tables_of
from notesmith.experiment.store import CellStore
from notesmith.files.write import scratch_beside
from notesmith.filters.candidate import Dropped
from notesmith.filters.run import HELD_OUT
from notesmith.home import home
from notesmith.progress import OnProgress, silent
from notesmith.report.html import render_examples
from notesmith.report.words import plural
from notesmith.workflows import beside as places
from notesmith.workflows import hours as timing
from notesmith.workflows.beside import Begun, Beside
from notesmith.workflows.request import Documents, Request, hash_of
from notesmith.workflows.settings import ARM, synthesis_settings, units_in
from notesmith.workflows.summary import Summary, card_of, summary_of

KIND = "synthesize"
SEED = 13
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Synthesized:
    """Kept documents, dropped ones with reason and match, and counts of both.

    ``files`` is None if no output was named. ``n_computed`` is 0 if all cells were finished before.
    ``seconds`` is the time of this call.
    """

    kept: tuple[Document, ...] = field(repr=False)
    dropped: tuple[Dropped, ...] = field(repr=False)
    summary: Summary
    files: Beside | None
    generator: Path | None
    n_computed: int
    seconds: float

    @property
    def counts(self) -> Mapping[str, int]:
        """Numbers of texts: ``kept``, then each reason for a drop, the most frequent first."""
        return {"kept": self.summary.kept, **self.summary.dropped}


def synthesize(
    gold: Documents,
    out: Path | str | None = None,
    *,
    n: int | None = None,
    hours: float | None = None,
    rl: bool = False,
    held_out: Sequence[Documents] = (),
    generator: Path | str | None = None,
    save_generator: Path | str | None = None,
    seed: int = SEED,
    changes: Sequence[str] = (),
    reading: ReadingConfig | None = None,
    is_preview: bool = False,
    hub: bool = False,
    instead: Mapping[str, StageFunction] = NONE,
    on_progress: OnProgress = silent,
    on_cell: OnCell = unheard,
    tell: Told = lambda what: None,
) -> Synthesized:
    """Make labelled text from ``gold``: tune a language model on it, let it write, filter the text.

    The same call goes on where an earlier one was stopped, and computes nothing if one finished.

    Args:
        gold: labelled documents, or the file or folder that holds them.
        out: the file to write, ending in ``.jsonl``. Other files are written beside it. If None,
            nothing is left on the disk.
        n: number of texts to ask for; filters keep a part of them.
        hours: the time to use on this machine; it determines how much is learnt and written.
        rl: whether the generator learns from rewards after fine-tuning.
        held_out: documents (or files of documents) that made text must not repeat, such as dev,
            test, or text made earlier.
        generator: folder of a saved generator; nothing is tuned then.
        save_generator: folder to make for the generator. It may know parts of gold by heart:
            guard it as you guard the notes.
        seed: root of all seeds; another one gives other text.
        changes: changes of the form ``a.b=VALUE``, as in a recipe.
        reading: how files of documents are read.
        is_preview: use a few documents and steps, to see that everything works.
        hub: whether models may be fetched from a model hub.
        instead: functions that replace those of stages, by name; for tests.
        on_progress: called about work inside a cell.
        on_cell: called when a cell starts and when it is done.
        tell: called with a line about what is going to be done.

    Raises:
        ConfigError: options or settings are wrong, or differ from those of the existing output.
        CorpusError: documents cannot be read, or none has a mention.
        FileError: something of the user's is in the place of a file to write.
        ModelError: a model is not on this machine, or the generator does not fit.
        StageError: a stage cannot do its work, or another process works on the same output.
    """
    started = time.monotonic()
    if is_preview and (hours or save_generator):
        raise ConfigError("a preview saves no generator and takes no hours; leave them out")
    if hours is not None and not math.isfinite(hours):
        raise ConfigError(f"--hours {hours:g}: give a number of hours")
    if generator and save_generator:
        raise ConfigError(f"{generator} is saved already; leave out --save-generator")
    with _place(out, is_preview=is_preview) as place:
        request = Request.of(
            place,
            gold,
            held_out,
            reading=reading or ReadingConfig(),
            generator=Path(generator) if generator else None,
            seed=seed,
        )
        save = Path(save_generator) if save_generator else None
        config = synthesis_settings(
            request.docs,
            str(request.paths["train"]),
            reading=request.reading,
            seed=seed,
            n=n,
            rl=rl,
            hub=hub,
            learns_all=hours is not None,
            generator=request.about,
            changes=changes,
        )
        config = have_models(preview(config) if is_preview else config)
        settings = request.settings(config, n=n, hours=hours)
        if request.is_of_other_gold:
            tell(
                "the generator was tuned on documents other than these; name those with "
                "--held-out, or text that repeats them is not detected"
            )
        with places.working_beside(place) as begun:
            if begun is None or not places.holds_work(place, begun):
                created = datetime.now(tz=UTC).date().isoformat()
                begun = places.begin(place, Begun(kind=KIND, created=created, settings=settings))
            places.refuse_other(place, begun, KIND, settings)
            request.write_documents()
            outside = fingerprints_of(config, request.paths)
            if hours is not None:
                if not begun.chosen:
                    chosen = _fitted(request, config, outside, hours, n, tell=tell)
                    begun = places.begin(place, begun.model_copy(update={"chosen": chosen}))
                config = timing.with_chosen(config, **begun.chosen)
            target = _target(config, outside, request)
            sampled = target.inputs["candidates"]
            is_saved = save is None or _is_saved(save, sampled.inputs["model"])
            wanted = [] if is_saved else [sampled.inputs["names"], sampled.inputs["model"]]
            is_finished = places.is_finished(place, begun)
            if not is_finished:
                speeds = timing.known_speeds(config, outside)
                expected = timing.Expected.of(config, request.docs, target, speeds)
                tell(_told(request, config, expected))
                on_cell = expected.telling(on_cell, target, places.store_of(place))
                wanted.append(target)
            ran = run_cells(
                wanted,
                store=places.store_of(place),
                context=replace(
                    context_of(config, request.paths, open_split=_shut), generator=request.generator
                ),
                instead=instead,
                on_progress=on_progress,
                on_cell=on_cell,
            )
            if not is_finished:
                begun = _publish(place, begun, config, target, request)
            if save is not None and not is_saved:
                _save(save, config, sampled, places.store_of(place), request)
            dropped = files.dropped_of(place.dropped.read_text(encoding="utf-8"))
            kept = place.kept.read_text(encoding="utf-8").split("\n")
        return Synthesized(
            kept=tuple(loads(line) for line in kept if line),
            dropped=tuple(dropped),
            summary=Summary.model_validate(begun.summary),
            files=place if out is not None else None,
            generator=save,
            n_computed=len(ran.computed),
            seconds=time.monotonic() - started,
        )


def _target(config: RecipeConfig, outside: Fingerprints, request: Request) -> Cell:
    """The cell of what the filters keep of the generator's text."""
    size = config.draws.sizes[0]
    drawn = drawing.cell(config, outside, size=size, replicate=0)
    draw = Draw(config, outside, size, 0, gold=drawn, sources=SOURCES)
    if request.generator is not None:
        draw = replace(draw, generator=given.cell(draw, request.generator))
    arm = next(arm for arm in config.arm if arm.name == ARM)
    return draw.made(arm.made[0], arm)


def _fitted(
    request: Request,
    config: RecipeConfig,
    outside: Fingerprints,
    hours: float,
    n: int | None,
    *,
    tell: Told,
) -> dict[str, Any]:
    speeds = timing.measured_speeds(config, request.docs, outside, tell=tell)
    found = timing.fit(
        config,
        request.docs,
        lambda changed: _target(changed, outside, request),
        speeds,
        hours,
        units=n,
    )
    return {"units": found.units, "epochs": found.epochs}


def _told(request: Request, config: RecipeConfig, expected: timing.Expected) -> str:
    """One line about what is going to be done."""
    n_drawn, n_all = config.draws.sizes[0], len(request.docs)
    line = f"gold: {plural(n_drawn, 'document')}"
    if n_drawn < n_all:
        line += f" of {n_all:,}"
    else:
        line += f", {plural(units_in(request.docs, config), config.sft.unit)}"
    line += f"; asks for {plural(config.synthesize.units, 'text')}"
    if request.generator is None:
        epochs = config.sft.epochs
        line += f" after {epochs:g} {'pass' if epochs == 1 else 'passes'} of fine-tuning"
    if expected.total is not None:
        where = "measured here" if expected.origin == "stored" else "of another machine"
        minutes = plural(max(1, round(expected.total / 60)), "minute")
        line += f"; about {minutes} by speeds {where}"
    return line


def _publish(
    place: Beside, begun: Begun, config: RecipeConfig, target: Cell, request: Request
) -> Begun:
    """Write the output and the files beside it from the finished cells."""
    store = places.store_of(place)
    folder = store.folder(target)
    summary = summary_of(target, store)
    # The filter records that held-out text was repeated, and nothing of that text.
    dropped = [
        replace(d, match="held-out text") if d.match == HELD_OUT else d
        for d in files.load_dropped(folder)
    ]
    contents = {
        place.kept: "".join(f"{dumps(doc)}\n" for doc in files.load_docs(folder)),
        place.dropped: files.dropped_text(dropped),
        place.page: render_examples(
            examples_in(target, store), beside=place.card.name, called="The dataset card"
        ),
        place.card: card_of(
            config,
            target,
            store,
            summary,
            created=begun.created,
            n_held_out=request.n_held_out,
            tuned_on=request.about.n_documents if request.about else None,
            is_of_other_gold=request.is_of_other_gold,
        ),
    }
    begun = begun.model_copy(update={"summary": summary.model_dump(mode="json")})
    return places.publish(place, begun, contents)


def _save(
    folder: Path, config: RecipeConfig, sampled: Cell, store: CellStore, request: Request
) -> None:
    model, proposed = sampled.inputs["model"], sampled.inputs["names"]
    arm = next(arm for arm in config.arm if arm.name == ARM)
    about = Generator(
        labels=labels_of(request.docs),
        gold=hash_of(request.docs),
        n_documents=len(request.docs),
        seed=config.draws.seed,
        is_rewarded=arm.rl is not None,
        model=model.key,
        tables=tables_of(config),
        names=files.load_names(store.folder(proposed)).to_json(),
    )
    given.save_generator(store.folder(model) / files.MODEL, about, folder)


def _is_saved(folder: Path, model: Cell) -> bool:
    """Whether the tuned ``model`` is saved in ``folder``; any other content is refused."""
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / ABOUT).exists() or read_generator(folder).model != model.key:
        raise FileError(f"{folder}: holds something else; name another with --save-generator")
    return True


@contextmanager
def _place(out: Path | str | None, *, is_preview: bool) -> Iterator[Beside]:
    """The paths beside ``out``, or those in a folder that is deleted at the end."""
    if out is not None:
        yield Beside.of(Path(out), is_preview=is_preview)
        return
    with scratch_beside(home() / KIND) as folder:
        yield Beside.of(folder / "made.jsonl", is_preview=is_preview)


def _shut(split: str) -> NoReturn:
    raise StageError(f"{split} is not opened: nothing is scored here")
