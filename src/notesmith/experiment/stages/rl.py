"""The stage of rewards: the fine-tuned generator learns from them."""

from __future__ import annotations

from notesmith.config.fields import Config
from notesmith.config.generator import LmConfig, SampleConfig
from notesmith.config.rewards import GrpoConfig, RlConfig
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import FORWARD, Amount, CorpusStats
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import History, Metrics
from notesmith.experiment.stages import committee, names, sft
from notesmith.experiment.stages.committee import Rewarding, judges_of
from notesmith.experiment.stages.common import gold_in, labels_in, load_tuned
from notesmith.synthesis.config import GenerationConfig
from notesmith.synthesis.reinforce import run_rl

# A step of GRPO puts each token through the policy with gradient and through the reference, some
# of it shared (docs/speed.md).
_GRPO = 0.75


class Settings(Config):
    """How the generator learns, from which rewards, and how text is asked for meanwhile."""

    rl: RlConfig
    rewarding: Rewarding
    generation: GenerationConfig
    lm: LmConfig


class Measured(Metrics):
    """Tokens trained on and sampled, and how the generator learnt.

    ``stopped`` names what collapsed, if anything; step 0 of ``history`` is the fine-tuned model.
    """

    tokens: int
    sampled_tokens: int
    training_seconds: float
    method: str
    placebo: bool
    steps: int
    best_step: int
    stopped: str | None
    history: History

    @property
    def working_seconds(self) -> float:
        """Seconds of learning, with sampling and rewards."""
        return self.training_seconds


def cell(draw: Draw, rl: RlConfig) -> Cell:
    """The fine-tuned generator after learning from rewards."""
    config = draw.config
    # Of sampling only where marks may stand is read: the rest is in [rl].
    sample = SampleConfig(constrain=config.sample.constrain)
    generation = GenerationConfig.from_recipe(config).model_copy(update={"sample": sample})
    return draw.cell(
        STAGE,
        Settings(
            rl=rl,
            rewarding=Rewarding.from_recipe(config),
            generation=generation,
            lm=config.lm,
        ),
        inputs={
            "gold": draw.gold,
            "names": names.cell(draw),
            "model": sft.cell(draw),
            "committee": committee.cell(draw),
        },
        fingerprints={"lm": draw.outside.lm, "rewards": draw.outside.rewards},
    )


def run(work: Work[Settings]) -> Measured:
    """Let the fine-tuned generator learn from rewards; an interrupted run goes on."""
    gold, config = gold_in(work), work.config
    reward = config.rewarding.reward
    result = run_rl(
        load_tuned(work),
        gold,
        files.load_names(work.inputs["names"]),
        config.rl,
        generation=config.generation,
        reward=reward,
        filters=config.rewarding.filters,
        judges=judges_of(work, reward, config.lm, gold),
        labels=labels_in(work),
        out=work.out / files.MODEL,
        seed=work.seed,
        work=work.scratch / "states",
        on_progress=work.on_progress,
    )
    return Measured(
        tokens=result.tokens,
        sampled_tokens=result.sampled_tokens,
        training_seconds=round(result.seconds, 3),
        method=config.rl.method,
        placebo=config.rl.placebo,
        steps=result.n_steps,
        best_step=result.best_step,
        stopped=result.stopped,
        history=result.history,
    )


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """Texts that it writes, has judged and learns from."""
    rl, units = config.rl, facts.train.written
    length = units.mean_within(config.generation.length)
    prompt = units.prompt_words / max(1, units.n)
    members = config.rewarding.reward.members
    if isinstance(rl, GrpoConfig):
        steps = rl.steps
        drawn = steps * rl.prompts * rl.completions
        trained = drawn * (length + prompt) * _GRPO
        looks = 2 + steps // rl.evaluate_every
    else:
        drawn = rl.rounds * rl.prompts_per_round * rl.completions
        pair = 2 if rl.method == "dpo" else 1
        trained = rl.steps * rl.rounds * rl.batch_size * (length + prompt) * pair
        looks = 1 + rl.rounds
    written = drawn + looks * rl.held_out
    # Rewards: the committee reads each text, the base model says how likely it is.
    return Amount(
        sampled=written * length,
        trained=trained + written * (length + prompt) * FORWARD,
        read=members * written * length,
        lms=2,
        students=members,
        saved_lms=1,
    )


STAGE = Stage(
    "rl",
    version=3,
    config=Settings,
    metrics=Measured,
    run=run,
    cost=cost,
    keeps="first",
    peak="rewarding",
)
