"""The two stages of the generator: fine-tune on gold, then sample what was planned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from notesmith.config.generator import SftConfig
from notesmith.corpus.splits import hold_out
from notesmith.document import Document, Provenance
from notesmith.errors import StageError
from notesmith.filters.candidate import Candidate
from notesmith.markup import Marks
from notesmith.progress import OnProgress, silent
from notesmith.segments import Unit
from notesmith.synthesis.config import GenerationConfig, PromptConfig
from notesmith.synthesis.decode import Annotator, candidates_of
from notesmith.synthesis.names import NameSet
from notesmith.synthesis.plan import (
    GenerationPlan,
    begin_as,
    fully_labelled,
    marks_for,
    neighbour_of,
    plan_generation,
    request_for,
    three_parts,
    units_of,
)
from notesmith.synthesis.prompt import completion_of, prompt_of, values_in, whole_text
from notesmith.synthesis.steer import Steering

if TYPE_CHECKING:
    from notesmith.lm.backends.server import ServerBackend
    from notesmith.lm.load import LanguageModel
    from notesmith.lm.samples import Sample
    from notesmith.lm.training.sft import Example, SftResult


Choose = Callable[[GenerationPlan, Sequence["Sample"]], Sequence[int]]


@dataclass(frozen=True, slots=True)
class SampleOutput:
    """What the generator wrote, parsed and labelled by source, before any filter."""

    candidates: tuple[Candidate, ...]
    tokens: int
    seconds: float


def examples_of(
    units: Sequence[Document],
    *,
    neighbours: Sequence[Document],
    marks: Marks,
    config: PromptConfig,
    unit: Unit,
    labels: Sequence[str],
    seed: int,
) -> list[Example]:
    """Prompt and completion of each unit; ``neighbours`` are what grounded templates show."""
    from notesmith.lm.training.sft import Example

    rng = np.random.default_rng(seed)
    made: list[Example] = []
    for k, doc in enumerate(units):
        request = request_for(doc, marks, request_id=f"e{k}")
        completion = completion_of(doc, marks)
        if config.template == "neighbour":
            request = replace(request, neighbour=neighbour_of(doc, neighbours, marks, rng))
        elif config.template == "infill":
            before, middle, after = three_parts(completion, marks, rng)
            request = replace(request, before=before.strip(), after=after.strip())
            completion = middle
        prompt = prompt_of(request, config=config, unit=unit, labels=labels)
        made.append(Example(prompt, completion))
    return made


def run_sft(
    lm: LanguageModel,
    gold: Sequence[Document],
    config: SftConfig,
    prompt: PromptConfig,
    *,
    replaced: Sequence[Document] = (),
    labels: Sequence[str],
    out: Path,
    seed: int,
    on_progress: OnProgress = silent,
) -> SftResult:
    """Teach the model to write gold's units.

    Args:
        lm: the base model.
        gold: gold documents; a part is held out for early stopping. Units in which labels are
            unknown are left out.
        config: of the training.
        prompt: what prompts say.
        replaced: mention-replaced copies of gold documents, so that the model learns to copy what
            it is asked for; copies of held-out documents are left out by their parent's id.
        labels: all labels.
        out: folder that the tuned model is written to.
        seed: of the hold-out and the training.
        on_progress: told of training progress.

    Raises:
        StageError: there is nothing to learn from, or labels are unknown in every unit.
    """
    from notesmith.lm.training.sft import train_sft

    held = hold_out([doc for doc in gold if not doc.unknown], config.dev_ratio, seed)
    copies = [d for d in replaced if not held.intersection(d.provenance.parents)]
    units = units_of([*(d for d in gold if d.id not in held), *copies], config, lm)
    train = _learnt(fully_labelled(units), config)
    units = units_of([d for d in gold if d.id in held], config, lm)
    dev = _learnt([unit for unit in units if unit.is_fully_labelled], config)
    if not train:
        raise StageError("no gold unit to fine-tune on")
    marks = marks_for(lm, labels, values_in([*train, *dev], prompt.attributes))

    def examples(units: Sequence[Document], offset: int) -> list[Example]:
        return examples_of(
            units,
            neighbours=train,
            marks=marks,
            config=prompt,
            unit=config.unit,
            labels=labels,
            seed=seed + offset,
        )

    return train_sft(
        lm,
        examples(train, 0),
        examples(dev, 1),
        config,
        out=out,
        seed=seed,
        begin_as=begin_as(marks, lm) if config.mark_words else {},
        on_progress=on_progress,
    )


def _learnt(units: Sequence[Document], config: SftConfig) -> list[Document]:
    """Units that are not too short; all of them where each is."""
    return [unit for unit in units if len(unit.text.split()) >= config.min_words] or list(units)


def provenance_of(model: str, seed: int) -> Provenance:
    """Where text that ``model`` wrote comes from."""
    return Provenance("synthetic", model=model, stage="synthesize", seed=seed)


def run_sample(
    lm: LanguageModel,
    gold: Sequence[Document],
    names: NameSet,
    config: GenerationConfig,
    *,
    units: int,
    units_per_gold: float | None = None,
    labels: Sequence[str],
    seed: int,
    shots: int = 0,
    steering: Steering | None = None,
    n_each: int = 1,
    choose: Choose | None = None,
    on_progress: OnProgress = silent,
    finished: Mapping[int, Sample] | None = None,
    on_samples: Callable[[list[Sample]], None] | None = None,
    annotator: Annotator | None = None,
    server: ServerBackend | None = None,
) -> SampleOutput:
    """Plan requests from gold, let the model write them, and label by source.

    Args:
        lm: the model.
        gold: the gold documents that it was tuned on.
        names: approved new names.
        config: how text is asked for and written.
        units: texts asked for.
        units_per_gold: the same as a multiple of gold units; overrides ``units``.
        labels: all labels.
        seed: of the plan and the sampling.
        shots: gold examples that each prompt of a base model begins with; marks are then plain
            tags, and a text ends at an empty line. 0 for a tuned model.
        steering: quotas of labels and concepts that are asked for by name; more texts are asked for
            where these need more.
        n_each: texts written for each request.
        choose: of the texts of all requests, side by side, the number of one a request; needed
            where ``n_each`` is more than 1.
        on_progress: told of sampling progress.
        finished: samples of an interrupted run, by number.
        on_samples: given each batch of samples as it is done.
        annotator: a committee that decides on marks nobody asked for.
        server: writes in the place of ``lm``, which then only cuts gold into units.
    """
    from notesmith.lm.sample import sample
    from notesmith.lm.samples import until_empty_line

    patterns = units_of(gold, config.units, lm)
    n = round(units_per_gold * len(patterns)) if units_per_gold else units
    plan = plan_generation(
        lm,
        patterns,
        names,
        config,
        n=n,
        labels=labels,
        seed=seed,
        shots=shots,
        steering=steering,
    )
    write = partial(sample, lm) if server is None else server.sample
    made = write(
        [prompt for prompt in plan.prompts for _ in range(n_each)],
        config.sample,
        seed=seed,
        constraint=plan.constraint,
        on_progress=on_progress,
        finished=finished,
        on_samples=on_samples,
    )
    samples = [until_empty_line(s) if shots else s for s in made.samples]
    if choose is not None:
        samples = [samples[i] for i in choose(plan, samples)]
    writer = provenance_of(lm.name if server is None else server.model, seed)
    candidates = candidates_from(plan, samples, writer, annotator=annotator)
    return SampleOutput(tuple(candidates), made.tokens, made.seconds)


def candidates_from(
    plan: GenerationPlan,
    samples: Sequence[Sample],
    provenance: Provenance,
    *,
    annotator: Annotator | None = None,
) -> list[Candidate]:
    """What was written for the first requests of ``plan``, a sample each, labelled by source."""
    requests = plan.requests[: len(samples)]
    return candidates_of(
        requests,
        [whole_text(r, s.text) for r, s in zip(requests, samples, strict=True)],
        [s.ended for s in samples],
        marks=plan.marks,
        lexicon=plan.lexicon,
        provenance=provenance,
        annotator=annotator,
        reserved=plan.reserved,
    )
