"""Collect the results of a run: scores go to ``evaluate``, costs and counts stand beside them.

Works on whatever is finished, so that a run can be looked at before its end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from notesmith.config.recipe import RecipeConfig
from notesmith.errors import StageError
from notesmith.evaluate.assembly import assemble
from notesmith.evaluate.scores import CellScores
from notesmith.experiment.artefacts import MODEL
from notesmith.experiment.graph import Cell
from notesmith.experiment.labelled import mined_of, silver_of
from notesmith.experiment.machine import machine, versions
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.plan import SHIPPED, Plan, Target, scored_split
from notesmith.experiment.recipes import adapted_in, made_of
from notesmith.experiment.stages import (
    STAGES,
    adapt,
    coverage,
    filtered,
    gold,
    names,
    ner,
    rl,
    sample,
)
from notesmith.experiment.stages.common import load_scores
from notesmith.experiment.stages.score import Measured, is_score, students_of
from notesmith.experiment.store import CellStore
from notesmith.findings import OUT_OF_DRAW
from notesmith.results import (
    AdaptedEncoder,
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
        votes={arm.name: arm.votes for arm in config.arm if arm.votes > 1},
        adapted=adapted_in(config),
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
            "notices": (
                *sent,
                *(seal.notable if seal else ()),
                *_left_out(unique.values(), store),
                *_unscored(plan, store),
                *findings.notices,
            ),
        },
        recipe=config.name,
        created=created,
        kind=config.corpus.kind,
        corpus=corpus,
        made=tuple(made for target in _coverages(plan) if (made := _made(target, plan, store))),
        rl=tuple(run for target in _coverages(plan) if (run := _reinforced(target, store))),
        adapted=_adapted(plan, store),
        silver=silver_of(plan, store),
        mined=mined_of(plan, store),
        stages=_stages(unique, metrics),
        varied=_varied(config, corpus),
        seal=seal,
        versions=versions(),
        machine=Machine.model_validate(machine()),
        lm=next((row.lm for row in metrics.values() if row.lm), None),
        encoder=_encoder(metrics.values()),
        finished=Finished(
            scored=sum(store.state(target.cell) == "done" for target in plan.targets),
            planned=len(plan.targets),
        ),
        config=_shareable(config),
    )


def _seconds_per_draw(
    plan: Plan, store: CellStore, metrics: Mapping[str, Metrics], size: int
) -> float | None:
    """Computing time of a draw with all its arms; the mean of those that are whole, if any is."""
    draws: defaultdict[int, list[Target]] = defaultdict(list)
    for target in plan.targets:
        if target.size == size and not target.curve:
            draws[target.replicate].append(target)
    spent = [
        sum(metrics[key].seconds for key in keys if key in metrics)
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
    """Which folder below the run's holds the model of which arm, size and replicate."""
    found: list[dict[str, Any]] = []
    cross_fit = config.evaluate.protocol == "cross-fit"
    vote = {arm.name for arm in config.arm if arm.votes > 1}
    for target in plan.targets:
        if target.split == SHIPPED:
            kept = target.cell
        elif cross_fit or target.split != config.evaluate.split or target.arm in vote:
            continue
        elif is_score(target.cell):
            kept = students_of(target.cell)[0]
        else:
            continue
        model = store.folder(kept) / MODEL
        if store.verify(kept):
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
        students = [store.metrics_of(ner.STAGE, cell) for cell in students_of(target.cell)]
        yield replace(
            found,
            arm=target.arm,
            size=target.size,
            replicate=target.replicate,
            seconds=sum(student.training_seconds for student in students if student),
            tokens=sum(student.tokens for student in students if student),
        )


def _corpus(plan: Plan, store: CellStore) -> dict[str, CorpusCounts]:
    corpus: dict[str, CorpusCounts] = {}
    for target in plan.targets:
        if "train" not in corpus and "gold" in target.cell.inputs:
            drawn = store.metrics(target.cell.inputs["gold"])
            if drawn and drawn.corpus:
                corpus["train"] = drawn.corpus
        scored = store.metrics(target.cell)
        if target.split not in corpus and scored and scored.corpus:
            corpus[target.split] = scored.corpus
    return corpus


def _left_out(cells: Iterable[Cell], store: CellStore) -> tuple[str, ...]:
    """Sentences on documents that stand in two parts, as the first finished draw found them."""
    draws = (store.metrics_of(gold.STAGE, cell) for cell in cells if cell.stage == gold.STAGE)
    return next((found.left_out for found in draws if found), ())


def _unscored(plan: Plan, store: CellStore) -> Iterator[str]:
    """A sentence for each split where mentions touch masked text, which is not scored."""
    found: dict[str, tuple[int, int]] = {}
    for target in plan.targets:
        measured = store.metrics(target.cell)
        if is_score(target.cell) and isinstance(measured, Measured):
            gold, predicted = found.get(target.split, (0, 0))
            found[target.split] = (
                max(gold, measured.unscored_gold),
                max(predicted, measured.unscored_predictions),
            )
    for split, (gold, predicted) in found.items():
        if gold or predicted:
            of_gold = f"{gold:,} gold mention{'' if gold == 1 else 's'}"
            of_arm = f"up to {predicted:,} prediction{'' if predicted == 1 else 's'} of an arm"
            yield (
                f"On {split}, {of_gold} and {of_arm} touch masked text, whose labels are unknown: "
                "they are not scored."
            )


def _coverages(plan: Plan) -> list[Target]:
    return [target for target in plan.targets if target.cell.stage == coverage.STAGE]


def _made(target: Target, plan: Plan, store: CellStore) -> MadeText | None:
    """What a generator made in one draw; None before its filter is finished."""
    inputs = target.cell.inputs
    generators = {other.arm for other in _coverages(plan)}
    kept = store.metrics_of(filtered.STAGE, inputs["made"])
    if kept is None:
        return None
    sampled = store.metrics_of(sample.STAGE, inputs["made"].inputs["candidates"])
    proposed = store.metrics_of(names.STAGE, inputs["names"])
    covered = store.metrics_of(coverage.STAGE, target.cell)
    return MadeText(
        size=target.cell.size,
        replicate=target.cell.replicate,
        # The first arm that trains on the text stands for its generator.
        source=target.arm if len(generators) > 1 else "",
        asked=kept.asked,
        kept=kept.kept,
        dropped=kept.dropped,
        entities=kept.entities,
        masked=kept.masked,
        names=kept.names,
        new_names=kept.new_names,
        words=kept.words,
        requested_mentions=kept.requested_mentions,
        missing_mentions=kept.missing_mentions,
        tokens=sampled.tokens if sampled else 0,
        seconds=sampled.sampling_seconds if sampled else 0.0,
        approved_names=proposed.names if proposed else None,
        unseen_test_mentions_covered=covered.covered_by_made if covered else None,
        unseen_test_mentions_proposed=covered.covered_by_proposals if covered else None,
    )


def _reinforced(target: Target, store: CellStore) -> RlRun | None:
    """How the generator of a target learnt from rewards; None if it did not, or not yet."""
    model = target.cell.inputs["made"].inputs["candidates"].inputs.get("model")
    if model is None or model.stage != rl.STAGE:
        return None
    if (found := store.metrics_of(rl.STAGE, model)) is None:
        return None
    return RlRun(
        arm=target.arm,
        size=target.size,
        replicate=target.replicate,
        method=found.method,
        placebo=found.placebo,
        steps=found.steps,
        best_step=found.best_step,
        stopped=found.stopped,
        sampled_tokens=found.sampled_tokens,
        tokens=found.tokens,
        seconds=found.training_seconds,
        history=tuple(dict(row) for row in found.history),
    )


def _adapted(plan: Plan, store: CellStore) -> tuple[AdaptedEncoder, ...]:
    """The encoders that were adapted, in the order of the plan, with the arms that use them."""
    cells: dict[str, Cell] = {}
    arms: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for target in plan.targets:
        if not is_score(target.cell):
            continue
        for student in students_of(target.cell):
            for cell in student.inputs.values():
                if cell.stage == adapt.STAGE:
                    cells.setdefault(cell.key, cell)
                    arms[cell.key][target.arm] = None
    found = []
    for key, cell in cells.items():
        if (measured := store.metrics_of(adapt.STAGE, cell)) is None:
            continue
        found.append(
            AdaptedEncoder(
                arms=tuple(arms[key]),
                size=cell.size,
                replicate=cell.replicate,
                notes=measured.from_notes,
                gold=measured.from_gold,
                file=measured.from_file,
                held_out=measured.held_out,
                tokens=measured.tokens,
                seconds=measured.training_seconds,
                loss_before=measured.loss_before,
                loss_after=measured.loss_after,
            )
        )
    return tuple(found)


def _stages(unique: Mapping[str, Cell], metrics: Mapping[str, Metrics]) -> tuple[StageCost, ...]:
    rows: defaultdict[str, list[Metrics]] = defaultdict(list)
    for key, found in metrics.items():
        rows[unique[key].stage.name].append(found)
    table = []
    for stage in STAGES:
        if not rows[stage.name]:
            continue
        seconds = sum(row.seconds for row in rows[stage.name])
        tokens = sum(row.tokens for row in rows[stage.name])
        # Where a stage also loads and writes, its speed is that of the work itself.
        working = sum(row.working_seconds for row in rows[stage.name])
        table.append(
            StageCost(
                stage=stage.name,
                uses_lm=stage.uses_lm,
                cells=len(rows[stage.name]),
                seconds=round(seconds, 1),
                tokens=tokens,
                tokens_per_second=round(tokens / working, 1) if tokens and working else None,
                peak_memory_bytes=max(row.peak_memory_bytes for row in rows[stage.name]),
            )
        )
    return tuple(table)


def _encoder(metrics: Iterable[Metrics]) -> Model | None:
    """The encoder of which a cell tells first, with its licence."""
    said = next((row.encoder for row in metrics if row.encoder), None)
    if said is None:
        return None
    return said.model_copy(update={"licence": _ENCODER_LICENCES.get(said.name, _UNKNOWN)})
