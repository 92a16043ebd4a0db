"""The commands at a small scale: their own code, with tiny random models and few steps.

Replaced are the places where a model's name becomes a folder, what a hub gives, where the student's
steps become batches, where a recipe is handed to the pipeline, and what is looked at of the machine
and of pip. Of students of one shape the first alone is put into ONNX, and stands for the others.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer

from notesmith.cli.app import app
from notesmith.config import Learning, RecipeConfig
from notesmith.document import Document, Provenance
from notesmith.errors import NotesmithError
from notesmith.experiment import artefacts, bundle
from notesmith.experiment import run as running
from notesmith.experiment.engine import run_cells
from notesmith.experiment.folder import CELLS, claim_folder
from notesmith.experiment.models import have_models
from notesmith.experiment.plan import make_plan
from notesmith.experiment.recipes import Filters
from notesmith.experiment.stages import sample
from notesmith.experiment.stages.common import gold_in
from notesmith.filters.candidate import Candidate
from notesmith.forecast import checks, forecast
from notesmith.forecast.resources import Resources
from notesmith.init import write as init_write
from notesmith.lm import offline, source
from notesmith.models import hub
from notesmith.models.manifest import write_manifest
from notesmith.ner import encoder, onnx_export, train
from notesmith.workflows import annotate as annotating
from notesmith.workflows import settings
from notesmith.workflows import synthesize as synthesizing
from tests.lm.tiny import save_tiny
from tests.ner.tiny import tiny_encoder

COMMAND: Any = typer.main.get_command(app)
GIB = 2**30
MACHINE = Resources(cores=2, threads=2, memory=16 * GIB, free=12 * GIB)
_LEARNING = {
    **{"steps": 2, "rounds": 1, "prompts": 2, "prompts_per_round": 4, "completions": 2},
    **{"max_new_tokens": 8, "held_out": 2, "evaluate_every": 2, "save_every": 2},
}


def _little(table: Learning) -> dict[str, int]:
    known = type(table).model_fields
    return {name: value for name, value in _LEARNING.items() if name in known}


def shrunk(config: RecipeConfig) -> RecipeConfig:
    """``config`` with all its arms, one draw of its first size, and little of the rest.

    What is asked for stays a part of what the recipe asks for, so that other recipes stay others.
    """
    values = config.model_dump(mode="json", exclude_none=True)
    values["draws"] |= {
        "sizes": config.draws.sizes[:1],
        "curve": (),
        "replicates": 1,
        "replicates_by_size": {},
        "students": min(2, config.draws.students),
        "dev_documents": 4,
        "test_documents": 4,
        "out_of_draw_documents": min(4, config.draws.out_of_draw_documents),
    }
    values["sft"] |= {"epochs": 0.05, "batch_size": 4, "evaluations_per_epoch": 1}
    values["sft"]["replaced_copies"] = min(1, config.sft.replaced_copies)
    values["synthesize"]["units"] = max(1, config.synthesize.units // 300)
    values["synthesize"].pop("units_per_gold", None)
    values["synthesize"]["names"]["proposals"] = 4
    values["sample"] |= {"max_new_tokens": 8, "batch_size": 8}
    values["augment"]["copies"] = 1
    values["rl"] |= _little(config.rl)
    values["reward"]["members"] = 2
    values["annotate"]["students"] = min(2, config.annotate.students)
    values["evaluate"] |= {"resamples": 100, "folds": 2}
    for arm, whole in zip(values["arm"], config.arm, strict=True):
        if whole.rl is not None:
            arm["rl"] |= _little(whole.rl)
        arm["best_of"] = min(2, arm["best_of"])
        arm["votes"] = min(2, arm["votes"])
    return RecipeConfig.model_validate(values)


def shrunk_synthesis(*arguments: Any, **options: Any) -> RecipeConfig:
    """Settings of ``synthesize``, shrunk, that let gold with a few more words pass."""
    config = shrunk(settings.synthesis_settings(*arguments, **options))
    loose = config.filter.model_copy(update={"near_duplicate": 1.0, "copy_ratio": 1.0})
    return config.model_copy(update={"filter": loose})


def shrunk_annotation(**options: Any) -> RecipeConfig:
    """Settings of ``annotate`` with two students and short answers of a language model."""
    config = settings.annotation_settings(**options)
    by = config.annotate
    lm = by.lm.model_copy(update={"max_new_tokens": 8})
    few = by.model_copy(update={"students": min(2, by.students), "lm": lm})
    config = config.model_copy(update={"annotate": few})
    if not settings.uses_lm(by.by):
        return config
    little = {"epochs": 0.05, "batch_size": 4, "replaced_copies": 0}
    return config.model_copy(update={"sft": config.sft.model_copy(update=little)})


def write_gold_again(work: Any) -> sample.Measured:
    """In the place of a random model, of which nothing would be kept."""
    candidates = []
    for k, doc in enumerate(gold_in(work)[:20]):
        more = f"On day {work.seed % 1000 + k} as seen before: "
        moved = [
            replace(e, spans=tuple((a + len(more), b + len(more)) for a, b in e.spans))
            for e in doc.entities
        ]
        again = Document(f"r{k}", more + doc.text, tuple(moved), provenance=Provenance("synthetic"))
        candidates.append(Candidate(again.id, again.text, again))
    artefacts.save_candidates(candidates, work.out)
    n = len(candidates)
    return sample.Measured(tokens=0, sampling_seconds=0.0, asked=n, resumed=0)


def plan_only(
    config: RecipeConfig, out: Path | str, *, only: Sequence[str] = (), **options: Any
) -> NoReturn:
    """What ``run_recipe`` does before the first cell, at full scale; then the command ends well.

    Models and corpora are found and fingerprinted, arms and sources checked, all cells of the
    recipe planned, and what ``only`` names is among them.
    """
    config = have_models(config)
    plan = make_plan(config, running.fingerprints_of(config, running.corpus_paths(config)))
    plan.select(Filters.parse(only))
    raise typer.Exit


def share(there: Path, here: Path) -> None:
    """Link the files of finished cells that ``here`` lacks."""
    for cell in there.glob("*/*"):
        target = here / cell.relative_to(there)
        if len(cell.name) == 24 and not target.exists():
            shutil.copytree(cell, target, copy_function=os.link)


@contextlib.contextmanager
def small(folder: Path) -> Iterator[None]:
    """Everything that ``invoke`` runs inside is small; models are written below ``folder``."""
    lm = save_tiny("gemma3", folder / "lm", n_reserved=16)
    settings = json.loads((lm / "config.json").read_text())
    (lm / "config.json").write_text(json.dumps(settings | {"max_position_embeddings": 4096}))
    write_manifest(lm)
    bert = tiny_encoder(folder / "encoder", num_hidden_layers=1)
    cells = folder / "cells"
    cells.mkdir()
    locate, plan, run = encoder.locate_encoder, train.plan_batches, running.run_recipe
    put_into_onnx, in_onnx = onnx_export._write, {}

    def located(name: str) -> Path:
        return locate(name) if Path(name).is_dir() else bert

    def planned(*counts: Any, steps: int, **options: Any) -> Any:
        return plan(*counts, steps=-(-steps // 300), **options)

    def run_small(config: RecipeConfig, out: Path | str, **options: Any) -> Any:
        claim_folder(Path(out))
        # Runs share their cells, as those of one folder do: equal work is done once.
        share(cells, Path(out) / CELLS)
        # Workers would be new processes, in which nothing is small.
        result = run(shrunk(config), out, **{**options, "jobs": 1})
        share(Path(out) / CELLS, cells)
        return result

    def run_cells_small(targets: Any, **options: Any) -> Any:
        return run_cells(targets, **{**options, "instead": {"sample": write_gold_again}})

    def downloaded(hub_id: str, commit: str, to: Path) -> None:
        shutil.copytree(bert if "bert" in hub_id.lower() else lm, to, dirs_exist_ok=True)

    def put_into_onnx_once(outputs: Any, path: Path) -> None:
        shape = str({name: value.shape for name, value in outputs.named_parameters()})
        if shape not in in_onnx:
            put_into_onnx(outputs, path)
            in_onnx[shape] = path.read_bytes()
        path.write_bytes(in_onnx[shape])

    def fetched(requirements: Sequence[str], wheels: Path) -> None:
        (wheels / "notesmith.whl").write_bytes(b"")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTESMITH_HOME", str(folder / "home"))
        patch.setenv("COLUMNS", "120")
        patch.setattr(encoder, "locate_encoder", located)
        patch.setattr(source, "offline_folder", lambda name, *, cache: lm)
        patch.setattr(hub, "commit_of", lambda hub_id: "c" * 40)
        patch.setattr(hub, "download", downloaded)
        patch.setattr(train, "plan_batches", planned)
        patch.setattr(running, "run_recipe", run_small)
        patch.setattr(synthesizing, "synthesis_settings", shrunk_synthesis)
        patch.setattr(annotating, "annotation_settings", shrunk_annotation)
        patch.setattr(synthesizing, "run_cells", run_cells_small)
        patch.setattr(onnx_export, "_write", put_into_onnx_once)
        patch.setattr(onnx_export, "TOLERANCE", math.inf)
        patch.setattr(bundle, "fetch_wheels", fetched)
        patch.setattr(checks, "_installed", lambda name: True)
        patch.setattr(offline, "missing_for", lambda name: {})
        for module in (init_write, forecast):
            patch.setattr(module, "resources", lambda: MACHINE)
        patch.setattr(forecast, "free_disk", lambda path: 100 * GIB)
        yield


def invoke(words: Sequence[str]) -> None:
    """Run ``notesmith WORDS`` in this process; the test fails unless the exit code is 0."""
    line = f"notesmith {shlex.join(words)}"
    try:
        COMMAND(list(words), prog_name="notesmith")
    except NotesmithError as error:
        pytest.fail(f"{line}\nnotesmith: {error}", pytrace=False)
    except SystemExit as stopped:
        if stopped.code:
            pytest.fail(f"{line}\nexit code {stopped.code}", pytrace=False)
