"""Learning from rewards: what they are made of, and the three methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from notesmith.config.fields import Config, Count, Positive, Ratio


class RewardConfig(Config):
    """What the generator is rewarded for; a weight of 0 leaves a part out."""

    agreement: float = Field(
        default=1.0, ge=0, description="weight: spans nobody asked for agree with the NER committee"
    )
    agreement_cap: Ratio = Field(
        default=0.8,
        description="agreement above this is worth no more: full agreement rewards easy text",
    )
    fluency: float = Field(
        default=0.5, ge=0, description="weight: log-probability a token within gold's own band"
    )
    fluency_band: tuple[Ratio, Ratio] = Field(
        default=(0.05, 0.95), description="quantiles of gold's log-probability that bound the band"
    )
    density: float = Field(
        default=0.5, ge=0, description="weight: as many mentions a word as was asked"
    )
    coverage: Literal["gate", "part"] = Field(
        default="gate", description="a missing requested mention is a failed gate, or a graded part"
    )
    coverage_weight: float = Field(
        default=1.0, ge=0, description="weight of coverage where it is a part"
    )
    novelty: Ratio = Field(
        default=0.5,
        description="how far context novelty scales the rest: 0 not at all, 1 a copy earns nothing",
    )
    diversity: Ratio = Field(
        default=0.5, description="how far distance to the group's other texts scales the rest"
    )
    archive: Count = Field(
        default=2000, description="earlier completions that novelty is measured against"
    )
    members: Positive = Field(
        default=3, description="students in the committee, each blind to its own fold"
    )
    user: tuple[str, ...] = Field(
        default=(), description="own rewards: 'module:function' or 'file.py:function'"
    )
    user_weight: float = Field(default=1.0, ge=0, description="weight of each own reward")


class Learning(Config):
    """How the generator learns from rewards after fine-tuning, whatever the method."""

    steps: Positive = Field(
        default=100, description="optimizer steps; of a round, where there are rounds"
    )
    completions: Annotated[int, Field(ge=2)] = Field(default=8, description="completions a prompt")
    max_new_tokens: Positive = Field(default=64, description="tokens a completion at most")
    temperature: float = Field(default=1.0, gt=0, description="softmax temperature of rollouts")
    rollouts: Literal["own", "vllm"] = Field(
        default="own",
        description="what writes completions: this process, or vLLM beside it on the GPU, which "
        "needs sample.constrain = 'none'",
    )
    vllm_memory_ratio: Ratio = Field(default=0.3, description="share of GPU memory that vLLM takes")
    learning_rate: float = Field(default=5e-6, gt=0, description="peak rate of AdamW")
    lora_rank: Count = Field(default=0, description="rank of LoRA; 0 trains all weights")
    held_out: Positive = Field(
        default=64, description="prompts kept for choosing the best checkpoint"
    )
    collapse: Ratio = Field(
        default=0.5,
        description="stop where names, length or density leave what SFT had and what is asked for "
        "by this share",
    )
    save_every: Positive = Field(default=10, description="steps between states to resume from")
    placebo: bool = Field(
        default=False, description="shuffle rewards within the batch: must not help"
    )


class GrpoConfig(Learning):
    """Follow the gradient of the reward, drawing anew before each step."""

    method: Literal["grpo"] = Field(default="grpo", description="the method")
    prompts: Positive = Field(default=8, description="prompts a step")
    kl: float = Field(default=0.04, gt=0, description="weight of the KL to the fine-tuned model")
    normalise: Literal["mean", "std", "parts"] = Field(
        default="mean",
        description="advantage: less the group's mean; over its deviation; each part apart",
    )
    evaluate_every: Positive = Field(
        default=20, description="steps between looks at held-out prompts"
    )


class InRounds(Learning):
    """Draw for many prompts, learn from chosen completions, and so on."""

    rounds: Positive = Field(default=2, description="times it samples anew")
    prompts_per_round: Positive = Field(default=256, description="prompts a round")
    batch_size: Positive = Field(default=16, description="completions a step")


class BestOfNConfig(InRounds):
    """Fine-tune on the best completion of each prompt."""

    method: Literal["best-of-n"] = Field(default="best-of-n", description="the method")


class DpoConfig(InRounds):
    """Prefer the best completion of each prompt to the worst."""

    method: Literal["dpo"] = Field(default="dpo", description="the method")
    dpo_beta: float = Field(default=0.1, gt=0, description="strength of the pull to the reference")
    dpo_nll: float = Field(
        default=0.2,
        ge=0,
        description="weight of the preferred text's own loss, which keeps it likely",
    )


def _method(values: Any) -> Any:
    found = values.get("method", "grpo") if isinstance(values, Mapping) else None
    return getattr(values, "method", found)


RlConfig = Annotated[
    Annotated[GrpoConfig, Tag("grpo")]
    | Annotated[BestOfNConfig, Tag("best-of-n")]
    | Annotated[DpoConfig, Tag("dpo")],
    Discriminator(
        _method,
        custom_error_type="method",
        custom_error_message="Input should be a table whose method is 'grpo', 'best-of-n' or 'dpo'",
    ),
]
RL_METHODS: dict[str, type[GrpoConfig | BestOfNConfig | DpoConfig]] = {
    "grpo": GrpoConfig,
    "best-of-n": BestOfNConfig,
    "dpo": DpoConfig,
}
