"""Collect the results of a run: scores go to ``evaluate``, costs and counts stand beside them.

Works on whatever is finished, so that a run can be looked at before its end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from notesmith.config import RecipeConfig
from notesmith.errors import StageError
from notesmith.evaluate.assembly import assemble
from notesmith.evaluate.scores import CellScores
from notesmith.experiment.artefacts import MODEL
from notesmith.experiment.graph import Cell
from notesmith.experiment.machine import machine, versions
from notesmith.experiment.plan import SHIPPED, Plan, Target, scored_split
from notesmith.experiment.recipes import made_of
from notesmith.experiment.stages import STAGES, coverage, rl
from notesmith.experiment.stages.common import load_scores
from notesmith.experiment.stages.score import is_score, students_of
from notesmith.experiment.store import CellStore
from notesmith.findings import OUT_OF_DRAW
from notesmith.results import (
    CorpusCounts,
    Finished,
    Machine,
    MadeText,
    Model,
    Results,
    RlRun,
    SealFacts,
    StageCost,
    without_folders,
)

VARIED = {
    "held-out": ("gold draw", "generator seed", "student seed"),
    "cross-fit": ("division into folds", "generator seed", "student seed"),
}
_ENCODER_LICENCES = {"minilm": "apache-2.0"}
_UNKNOWN = "see its model card"


def results_of(
    config: RecipeConfig,
    plan: Plan,
    store: CellStore,
    *,
    created: str,
    seal: SealFacts | None = None,
    planned: Mapping[int, int] | None = None,
    sent: Sequence[str] = (),
) -> Results:
    """The results of all finished cells of ``plan``.

    Args:
        config: the resolved recipe, as it was sealed.
        plan: its plan.
        store: where cells are.
        created: ISO date.
        seal: what is to be said of it (``gate.seal_facts``), where something was opened.
        planned: draws that were sealed, by size.
        sent: sentences on text that left the machine.

    Raises:
        StageError: nothing was scored yet.
    """
    split = scored_split(config)
    scores = list(_scores(plan, store))
    cells = [cell for cell in scores if cell.split == split]
    if not cells:
        raise StageError("nothing was scored yet; run the recipe first")
    main = config.draws.sizes[0]
    corpus = _corpus(plan, store)
    beyond = [cell for cell in scores if cell.split == OUT_OF_DRAW]
    unique = {cell.key: cell for target in plan.cells for cell in target.walk()}
    metrics = {key: found for key, cell in unique.items() if (found := store.metrics(cell))}
    findings = assemble(
        cells,
        config.evaluate,
        main_size=main if any(cell.size == main for cell in cells) else None,
        made=made_of(config),
        dev_cells=[cell for cell in scores if cell.split == "dev" and split != "dev"],
        # A draw of all of train leaves nothing to score.
        out_of_draw_cells=[cell for cell in beyond if len(cell.left_out) < cell.n_documents],
        planned=planned,
        pool=corpus["train"].documents if "train" in corpus else None,
        seconds_per_draw=_seconds_per_draw(plan, store, metrics, main),
        seed=config.draws.seed,
    )
    return Results(
        **dict(findings)
        | {
            # A part of the plan is about the arm of the whole, scored or awaited.
            "candidate": config.evaluate.candidate or findings.candidate,
            # What a reader must see before the figures.
            "notices": (*sent, *(seal.notable if seal else ()), *findings.notices),
        },
        recipe=config.name,
        created=created,
        kind=config.corpus.kind,
        corpus=corpus,
        made=tuple(made for target in _coverages(plan) if (made := _made(target, plan, store))),
        rl=tuple(run for target in _coverages(plan) if (run := _reinforced(target, store))),
        stages=_stages(unique, metrics),
        varied=_varied(config, corpus),
        seal=seal,
        versions=versions(),
        machine=Machine.model_validate(machine()),
        lm=_model(metrics, "lm"),
        encoder=_model(metrics, "encoder", _ENCODER_LICENCES),
        finished=Finished(
            scored=sum(store.state(target.cell) == "done" for target in plan.targets),
            planned=len(plan.targets),
        ),
        config=_shareable(config),
    )


def _seconds_per_draw(
    plan: Plan, store: CellStore, metrics: Mapping[str, Mapping[str, Any]], size: int
) -> float | None:
    """Computing time of a draw with all its arms; the mean of those that are whole, if any is."""
    draws: defaultdict[int, list[Target]] = defaultdict(list)
    for target in plan.targets:
        if target.size == size and not target.curve:
            draws[target.replicate].append(target)
    spent = [
        sum(metrics.get(key, {}).get("seconds", 0.0) for key in keys)
        for targets in draws.values()
        if all(store.state(target.cell) == "done" for target in targets)
        and (keys := {cell.key for target in targets for cell in target.cell.walk()})
    ]
    return sum(spent) / len(spent) if spent else None


def _varied(config: RecipeConfig, corpus: Mapping[str, CorpusCounts]) -> tuple[str, ...]:
    """What differs between replicates; draws that hold all of train are one and the same."""
    varied = VARIED[config.evaluate.protocol]
    same = "train" in corpus and config.draws.sizes[0] == corpus["train"].documents
    return tuple(what for what in varied if not (same and what == "gold draw"))


def _shareable(config: RecipeConfig) -> RecipeConfig:
    """The resolved recipe with paths cut to their last part: results may be shared.

    The address of a server is left out.
    """

    def last(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: last(each) for key, each in value.items()}
        if isinstance(value, list):
            return [last(each) for each in value]
        return without_folders(value) if isinstance(value, str) else value

    without = config.model_dump(mode="json", exclude={"sample": {"server"}})
    return RecipeConfig.model_validate(last(without))


def models_of(
    config: RecipeConfig, plan: Plan, store: CellStore, folder: Path
) -> list[dict[str, Any]]:
    """Which folder below the run's holds the student of which arm, size and replicate."""
    found: list[dict[str, Any]] = []
    cross_fit = config.evaluate.protocol == "cross-fit"
    for target in plan.targets:
        if target.split != (SHIPPED if cross_fit else config.evaluate.split):
            continue
        if cross_fit:
            student = target.cell
        elif is_score(target.cell):
            student = students_of(target.cell)[0]
        else:
            continue
        model = store.folder(student) / MODEL
        if store.verify(student):
            found.append(
                {
                    "arm": target.arm,
                    "size": target.size,
                    "replicate": target.replicate,
                    "folder": model.relative_to(folder).as_posix(),
                }
            )
    return found


def _scores(plan: Plan, store: CellStore) -> Iterator[CellScores]:
    """Scores of finished targets with the cost of training.

    Each stands under its own arm, as arms with equal work share a cell.
    """
    for target in plan.targets:
        if not is_score(target.cell) or not store.verify(target.cell):
            continue
        found = load_scores(store.folder(target.cell))
        costs = [store.metrics(student) for student in students_of(target.cell)]
        yield replace(
            found,
            arm=target.arm,
            size=target.size,
            replicate=target.replicate,
            seconds=sum(float(cost.get("training_seconds", 0.0)) for cost in costs),
            tokens=sum(int(cost.get("tokens", 0)) for cost in costs),
        )


def _corpus(plan: Plan, store: CellStore) -> dict[str, CorpusCounts]:
    corpus: dict[str, CorpusCounts] = {}
    for target in plan.targets:
        if "train" not in corpus and "gold" in target.cell.inputs:
            drawn = store.metrics(target.cell.inputs["gold"])
            if "corpus" in drawn:
                corpus["train"] = CorpusCounts(**drawn["corpus"])
        if target.split not in corpus and "corpus" in (scored := store.metrics(target.cell)):
            corpus[target.split] = CorpusCounts(**scored["corpus"])
    return corpus


def _coverages(plan: Plan) -> list[Target]:
    return [target for target in plan.targets if target.cell.stage == coverage.STAGE]


def _made(target: Target, plan: Plan, store: CellStore) -> MadeText | None:
    """What a generator made in one draw; None before its filter is finished."""
    coverage = target.cell
    generators = {other.arm for other in _coverages(plan)}
    filtered = coverage.inputs["made"]
    kept = store.metrics(filtered)
    if not kept:
        return None
    sampled = store.metrics(filtered.inputs["candidates"])
    covered = store.metrics(coverage)
    counts = (
        *("asked", "kept", "dropped", "entities", "masked", "names", "new_names", "words"),
        *("requested_mentions", "missing_mentions"),
    )
    return MadeText(
        size=coverage.size,
        replicate=coverage.replicate,
        # The first arm that trains on the text stands for its generator.
        source=target.arm if len(generators) > 1 else "",
        **{name: kept.get(name) for name in counts},
        tokens=sampled.get("tokens", 0),
        seconds=sampled.get("sampling_seconds", 0.0),
        approved_names=store.metrics(coverage.inputs["names"]).get("names"),
        unseen_test_mentions_covered=covered.get("covered_by_made"),
        unseen_test_mentions_proposed=covered.get("covered_by_proposals"),
    )


def _reinforced(target: Target, store: CellStore) -> RlRun | None:
    """How the generator of a target learnt from rewards; None if it did not, or not yet."""
    model = target.cell.inputs["made"].inputs["candidates"].inputs.get("model")
    if model is None or model.stage != rl.STAGE or not (found := store.metrics(model)):
        return None
    names = ("method", "placebo", "steps", "best_step", "stopped", "sampled_tokens", "tokens")
    return RlRun(
        arm=target.arm,
        size=target.size,
        replicate=target.replicate,
        **{name: found[name] for name in names},
        seconds=found["training_seconds"],
        history=found["history"],
    )


def _stages(unique: dict[str, Cell], metrics: dict[str, dict[str, Any]]) -> tuple[StageCost, ...]:
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for key, found in metrics.items():
        rows[unique[key].stage.name].append(found)
    table = []
    for stage in STAGES:
        if not rows[stage.name]:
            continue
        seconds = sum(row.get("seconds", 0.0) for row in rows[stage.name])
        tokens = sum(row.get("tokens", 0) for row in rows[stage.name])
        # Where a stage also loads and writes, its speed is that of the work itself.
        working = sum(_working_seconds(row) for row in rows[stage.name])
        table.append(
            StageCost(
                stage=stage.name,
                uses_lm=stage.uses_lm,
                cells=len(rows[stage.name]),
                seconds=round(seconds, 1),
                tokens=tokens,
                tokens_per_second=round(tokens / working, 1) if tokens and working else None,
                peak_memory_bytes=max(row.get("peak_memory_bytes", 0) for row in rows[stage.name]),
            )
        )
    return tuple(table)


def _working_seconds(row: dict[str, Any]) -> float:
    return float(row.get("sampling_seconds", row.get("training_seconds", row.get("seconds", 0.0))))


def _model(
    metrics: Mapping[str, Mapping[str, Any]], role: str, licences: Mapping[str, str] | None = None
) -> Model | None:
    """The model of which a cell tells first, with a licence of ``licences`` where these are."""
    said = next((row[role] for row in metrics.values() if role in row), None)
    if said is None:
        return None
    licence = {} if licences is None else {"licence": licences.get(said["name"], _UNKNOWN)}
    return Model.model_validate({**said, **licence})
