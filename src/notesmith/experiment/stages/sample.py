"""The stage of sampling: an arm's generator writes what was planned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from notesmith.config.fields import Config, part_of
from notesmith.config.generator import LmConfig, SteeringConfig
from notesmith.config.recipe import ArmConfig
from notesmith.config.student import NerConfig
from notesmith.document import Document
from notesmith.errors import StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import FORWARD, Amount, CorpusStats
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, Context, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import committee, names, rl, sft
from notesmith.experiment.stages.committee import Rewarding, judges_of
from notesmith.experiment.stages.common import (
    gold_in,
    labels_in,
    load_base,
    load_tuned,
    words_learnt,
)
from notesmith.experiment.stages.fold import share_of_train
from notesmith.lm.rollout import Rollout
from notesmith.synthesis.config import GenerationConfig
from notesmith.synthesis.generate import run_sample
from notesmith.synthesis.plan import GenerationPlan
from notesmith.synthesis.reinforce import best_of, reward_of
from notesmith.synthesis.steer import Steering, steering_of

if TYPE_CHECKING:
    from notesmith.lm.backends.server import ServerBackend
    from notesmith.lm.samples import Sample


class Settings(Config):
    """How much text is asked for, and how it is written and chosen.

    ``units_per_gold`` overrides ``units``. ``shots`` are gold examples in the prompts of a base
    model; 0 for a tuned one. ``lm`` is the base model, where it writes or judges; ``judge`` the
    students that decide on marks nobody asked for; ``rewarding`` chooses the best of ``best_of``;
    ``steering`` is there where quotas or concepts are.
    """

    generation: GenerationConfig
    units: int
    units_per_gold: float | None = None
    shots: int = 0
    best_of: int = 1
    lm: LmConfig | None = None
    judge: NerConfig | None = None
    rewarding: Rewarding | None = None
    steering: SteeringConfig | None = None


class Measured(Metrics):
    """Tokens and seconds of sampling; texts asked for, and those of an earlier attempt."""

    tokens: int
    sampling_seconds: float
    asked: int
    resumed: int

    @property
    def working_seconds(self) -> float:
        """Seconds of sampling."""
        return self.sampling_seconds


def cell(draw: Draw, arm: ArmConfig) -> Cell:
    """What the arm's generator writes."""
    config, outside = draw.config, draw.outside
    asked, is_chosen = config.synthesize, arm.best_of > 1
    needs_base = is_chosen or not arm.tuned
    given = draw.generator
    inputs = {"gold": draw.gold, "names": given or names.cell(draw)}
    fingerprints = draw.encoder(config.ner) if asked.agreement else {}
    if arm.tuned:
        tuned = given or (sft.cell(draw) if arm.rl is None else rl.cell(draw, arm.rl))
        inputs["model"] = tuned
    if is_chosen:
        inputs["committee"] = committee.cell(draw)
        fingerprints |= {"rewards": outside.rewards}
    if needs_base:
        fingerprints |= {"lm": outside.lm}
    if asked.concepts:
        fingerprints |= {"concepts": outside.concepts}
    return draw.cell(
        STAGE,
        Settings(
            generation=GenerationConfig.from_recipe(config),
            units=round(asked.units * arm.amount),
            units_per_gold=times(asked.units_per_gold, arm.amount),
            shots=0 if arm.tuned else asked.shots,
            best_of=arm.best_of,
            lm=config.lm if needs_base else None,
            judge=config.ner.mentions_only() if asked.agreement else None,
            rewarding=Rewarding.from_recipe(config) if is_chosen else None,
            steering=part_of(asked, SteeringConfig) if asked.quota or asked.concepts else None,
        ),
        inputs=inputs,
        fingerprints=fingerprints,
    )


def steering_in(config: Settings, context: Context) -> Steering | None:
    """What the requests of a cell are steered to."""
    if config.steering is None:
        return None
    return steering_of(config.steering, context.concepts)


def times(value: float | None, amount: float) -> float | None:
    """``value`` times ``amount``; None stays None."""
    return None if value is None else value * amount


def run(work: Work[Settings]) -> Measured:
    """Let the generator write what was planned; an interrupted run goes on."""
    gold, labels, config = gold_in(work), labels_in(work), work.config
    steering = steering_in(config, work.context)
    if steering and (unknown := sorted({*steering.quota, *steering.names()} - set(labels))):
        raise StageError(f"synthesize.quota or concepts: no document of train has {unknown}")
    annotator = None
    if config.judge is not None:
        from notesmith.ner.crossfit import train_committee

        annotator = train_committee(
            gold,
            config=config.judge,
            labels=labels,
            seed=work.seed,
            on_progress=work.on_progress,
        )
    log = files.SampleLog(work.scratch / "samples.jsonl")
    n_before = len(log.finished)
    base = config.lm if config.shots else None
    output = run_sample(
        load_tuned(work) if base is None else load_base(work, base, gold),
        gold,
        files.load_names(work.inputs["names"]),
        config.generation,
        units=config.units,
        units_per_gold=config.units_per_gold,
        labels=labels,
        seed=work.seed,
        shots=config.shots,
        steering=steering,
        n_each=config.best_of,
        choose=_chooser(work, gold),
        on_progress=work.on_progress,
        finished=log.finished,
        on_samples=log.append,
        annotator=annotator,
        server=_server(work),
    )
    files.save_candidates(output.candidates, work.out)
    return Measured(
        tokens=output.tokens,
        sampling_seconds=output.seconds,
        asked=len(output.candidates),
        resumed=n_before,
    )


def _server(work: Work[Settings]) -> ServerBackend | None:
    """The server that writes, where the recipe names one; None where the model here does."""
    from notesmith.lm.backends.server import ServerBackend, key_from_environment

    model = work.config.generation.sample.server_model
    if model is None:
        return None
    if (endpoint := work.context.server) is None:
        raise StageError("no server was allowed to be sent prompts")
    # A text ends at an empty line, behind which a model that saw examples writes another.
    return ServerBackend(endpoint, model, api_key=key_from_environment(), stop="\n\n")


def _chooser(
    work: Work[Settings], gold: Sequence[Document]
) -> Callable[[GenerationPlan, Sequence[Sample]], list[int]] | None:
    """Chooses, of each request's texts, the one of the highest reward; None where each has one."""
    config = work.config
    if config.rewarding is None or config.lm is None:
        return None
    n_each, rewarding = config.best_of, config.rewarding
    judges = judges_of(work, rewarding.reward, config.lm, gold)

    def choose(plan: GenerationPlan, samples: Sequence[Sample]) -> list[int]:
        rollouts = [
            Rollout(k // n_each, s.text, s.token_ids, s.ended) for k, s in enumerate(samples)
        ]
        model = reward_of(plan, rewarding.reward, rewarding.filters, judges=judges)
        return best_of(model(rollouts), n_each)

    return choose


def n_asked(cell: Cell, facts: CorpusStats) -> float:
    """Texts that a cell of this stage asks for."""
    config = STAGE.config_of(cell)
    if config.units_per_gold is None:
        return float(config.units)
    units = facts.train.written.n * share_of_train(cell, facts)
    return float(round(config.units_per_gold * units))


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """Texts asked for, and what judges them."""
    length = facts.train.written.mean_within(config.generation.length)
    words = n_asked(cell, facts) * config.best_of * length
    learnt = read = trained = 0.0
    students = 0
    if config.judge is not None:
        learnt, students = 3 * words_learnt(config.judge, facts), 3
    if config.rewarding is not None:
        # Every text is judged: by the committee, and for fluency by the base model.
        members = config.rewarding.reward.members
        read, students = read + members * words, students + members
        trained = words * FORWARD
    lms = 1 + (config.best_of > 1)
    return Amount(words, trained, 0.0, learnt, read, lms, students)


STAGE = Stage(
    "sample", version=4, config=Settings, metrics=Measured, run=run, cost=cost, peak="sampling"
)
