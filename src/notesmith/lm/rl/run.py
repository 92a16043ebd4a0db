"""One run of reinforcement learning, whatever its method: draws, rewards, record, best weights.

It draws completions and has them rewarded, looks at held-out prompts, keeps the best weights, stops
a collapse, counts and reports. The steps are taken in ``steps``. History and progress hold numbers,
never text.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from notesmith.config.generator import SampleConfig
from notesmith.config.rewards import RlConfig
from notesmith.errors import StageError
from notesmith.lm.load import LanguageModel
from notesmith.lm.rollout import Reward, RewardFunction, Rollout
from notesmith.lm.samples import Constraints, SampleResult
from notesmith.lm.training.loop import multiplies_bf16
from notesmith.lm.training.processes import Processes
from notesmith.progress import OnProgress, Progress

if TYPE_CHECKING:
    from torch import Tensor

# Streams of random numbers; each is a function of the run's seed and a counter.
ROLLOUTS, PLACEBO, HELD_OUT, PROMPTS, LESSONS, STEPS, LORA = range(7)
# What ``drift`` may return that stops a run; the same after "asked_" is what the prompts ask for.
WATCHED = ("distinct_names", "words", "density")
_LOOKS_AWAY = 2
# Nats a token from the reference at which a policy has left it, whatever it earns: learning that
# helps moves it by a few tenths.
_MOST_KL = 1.0
# What progress shows of the history, with the parts of the reward after it.
_SHOWN = (
    *("reward", "pass_ratio", "kl", "held_out_reward", "held_out_pass_ratio", "held_out_kl"),
    *("length", "drift_density", "drift_distinct_names", "loss"),
)

DriftFunction = Callable[[Sequence[Rollout]], Mapping[str, float]]


class RewardState(Protocol):
    """A reward that remembers: its memory as a JSON object, and back."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class Policy(Protocol):
    """The model in training, as a run sees it."""

    def sample(
        self, prompts: Sequence[str], config: SampleConfig, *, seed: int, constraint: Constraints
    ) -> SampleResult: ...

    def weights(self) -> dict[str, Tensor]: ...

    def kl(self, rollouts: Sequence[Rollout]) -> float: ...


def seed_at(seed: int, stream: int, step: int) -> int:
    """A seed of 32 bits for one use of randomness."""
    return int(np.random.SeedSequence([seed, stream, step]).generate_state(1)[0])


@dataclass(frozen=True, slots=True)
class Drawn:
    """Completions, ``n`` of each prompt side by side, and their rewards."""

    rollouts: tuple[Rollout, ...]
    rewards: tuple[Reward, ...]
    n: int

    @property
    def totals(self) -> NDArray[np.float64]:
        """Rewards ``(groups, n)``."""
        return np.array([r.total for r in self.rewards], dtype=np.float64).reshape(-1, self.n)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which completions failed a gate, ``(groups, n)``."""
        return np.array([r.gate is not None for r in self.rewards]).reshape(-1, self.n)

    @property
    def parts(self) -> NDArray[np.float64]:
        """Parts ``(groups, n, n_parts)``; NaN where a completion that passed lacks one.

        A reward without parts is its own only part.
        """
        names = self.part_names
        if not names:
            return self.totals[:, :, None]
        rows = [
            [r.parts.get(name, np.nan if r.gate is None else 0.0) for name in names]
            for r in self.rewards
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, self.n, len(names))

    @property
    def part_names(self) -> list[str]:
        """Names of all parts, sorted."""
        return sorted({name for r in self.rewards for name in r.parts})

    def means(self) -> dict[str, float]:
        """Mean reward, parts and length (tokens), and the share that passed the gates."""
        parts = self.parts.reshape(len(self.rewards), -1)
        return {
            "reward": float(self.totals.mean()),
            "pass_ratio": float(1 - self.failed.mean()),
            "length": float(np.mean([len(r.token_ids) for r in self.rollouts])),
            **{f"part_{k}": float(np.nanmean(parts[:, i])) for i, k in enumerate(self.part_names)},
        }


@dataclass(eq=False)
class Run:
    """One run: what it draws, records and keeps. ``prompts[n_prompts:]`` are held out."""

    lm: LanguageModel
    prompts: Sequence[str]
    n_prompts: int
    reward: RewardFunction
    config: RlConfig
    seed: int
    constraint: Constraints
    on_progress: OnProgress
    drift: DriftFunction | None
    memory: RewardState | None
    processes: Processes
    history: list[dict[str, float]] = field(init=False, default_factory=list)
    n_steps: int = field(init=False, default=0)
    best_step: int = field(init=False, default=0)
    best_weights: dict[str, Tensor] | None = field(init=False, default=None)
    best_reward: float = field(init=False, default=-np.inf)
    tokens: int = field(init=False, default=0)
    sampled_tokens: int = field(init=False, default=0)
    stopped: str | None = field(init=False, default=None)
    # Held-out means at step 0, and for how many looks on end something has been away from them.
    baseline: dict[str, float] = field(init=False, default_factory=dict)
    away: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.constraint) if isinstance(self.constraint, Sequence) else len(self.prompts)
        if n != len(self.prompts):
            raise StageError(f"{n} constraints for {len(self.prompts)} prompts, held-out included")
        self._seconds, self._started = 0.0, time.monotonic()
        # Seconds of each draw since this process began.
        self._draws: list[float] = []
        self._first_memory = self._remember()

    @property
    def seconds(self) -> float:
        """Seconds of work so far, those before an interruption included."""
        return self._seconds + time.monotonic() - self._started

    @property
    def key(self) -> str:
        """Hash of what a state must share with the run that resumes from it."""
        inputs = [self.config.model_dump(), self.seed, self.n_prompts, *self.prompts]
        text = json.dumps([self.lm.fingerprint, *inputs], ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def prompts_at(self, first: int, n: int) -> list[int]:
        """Prompts ``first`` to ``first + n`` of an endless sequence that uses all alike."""
        size = self.n_prompts
        epochs = range(first // size, (first + n - 1) // size + 1)
        order = [np.random.default_rng([self.seed, PROMPTS, e]).permutation(size) for e in epochs]
        start = first - epochs[0] * size
        return [int(i) for i in np.concatenate(order)[start : start + n]]

    def draw(self, policy: Policy, step: int, indexes: Sequence[int]) -> Drawn:
        """Completions of some prompts, and their rewards."""
        n, began = self.config.completions, time.monotonic()
        rows = [i for i in indexes for _ in range(n)]
        drawn = self._draw(policy, rows, n, ROLLOUTS, step)
        self._draws.append(time.monotonic() - began)
        return drawn

    def _draw(self, policy: Policy, rows: Sequence[int], n: int, stream: int, step: int) -> Drawn:
        rules = self.constraint
        found = policy.sample(
            [self.prompts[i] for i in rows],
            SampleConfig(
                max_new_tokens=self.config.max_new_tokens,
                temperature=self.config.temperature,
                top_k=0,
                top_p=1.0,
                # As the loss is computed, for both are to be of one policy.
                bf16="yes" if multiplies_bf16(self.lm) else "no",
            ),
            seed=seed_at(self.seed, stream, step),
            constraint=[rules[i] for i in rows] if isinstance(rules, Sequence) else rules,
        )
        self.sampled_tokens += found.tokens
        rollouts = tuple(
            Rollout(prompt, s.text, s.token_ids, s.ended)
            for prompt, s in zip(rows, found.samples, strict=True)
        )
        rewards = self.processes.from_main(
            lambda: check_rewards(self.reward(rollouts), len(rollouts))
        )
        if self.config.placebo:
            order = np.random.default_rng([self.seed, PLACEBO, stream, step])
            rewards = tuple(rewards[i] for i in order.permutation(len(rewards)))
        return Drawn(rollouts, rewards, n)

    def record(self, step: int, drawn: Drawn, more: Mapping[str, float]) -> None:
        """Put the means of what was drawn into the history."""
        drifts = self.processes.from_main(lambda: self._drifts(drawn.rollouts))
        self.history.append({"step": float(step), **drawn.means(), **more, **drifts})

    def look(self, step: int, policy: Policy) -> None:
        """Measure on held-out prompts; keep the weights if they are the best, stop a collapse.

        Weights whose completions have drifted too far are no candidates, whatever they earn.
        """
        held_out = range(self.n_prompts, len(self.prompts))
        if not held_out:
            self.best_step, self.best_weights = step, policy.weights() if step else None
            return
        with self._same_memory():
            drawn = self._draw(policy, held_out, 1, HELD_OUT, 0)
        means = self.processes.from_main(
            lambda: {
                **drawn.means(),
                **self._drifts(drawn.rollouts),
                "kl": policy.kl(drawn.rollouts),
            }
        )
        found = {f"held_out_{name}": value for name, value in means.items()}
        self.history.append({"step": float(step), **found})
        self.baseline = self.baseline or found
        away = self._away_from_start(found)
        if not away and found["held_out_reward"] > self.best_reward:
            self.best_reward, self.best_step = found["held_out_reward"], step
            self.best_weights = policy.weights() if step else None
        at_once = [name for name in away if name in ("pass_ratio", "kl")]
        lasting = [name for name in away if self.away[name] >= _LOOKS_AWAY]
        self.stopped = next(iter([*at_once, *lasting]), None)

    def _away_from_start(self, found: Mapping[str, float]) -> list[str]:
        """What has left its place too far; counts for how many looks on end.

        Its place is from the value at step 0 to the value that is asked for: to do as it is told
        is what the policy learns, and no collapse.
        """
        start, share = self.baseline, self.config.collapse
        away: list[str] = []
        for name in WATCHED:
            before = start.get(f"held_out_drift_{name}")
            if not before:
                continue
            asked = found.get(f"held_out_drift_asked_{name}", before)
            low, high = sorted((before, asked))
            now = found.get(f"held_out_drift_{name}", before)
            if not low * (1 - share) <= now <= high * (1 + share):
                away.append(name)
        if found["held_out_pass_ratio"] < 0.5 * start["held_out_pass_ratio"]:
            away.append("pass_ratio")
        if found["held_out_kl"] > _MOST_KL:
            away.append("kl")
        self.away = {name: self.away.get(name, 0) + 1 for name in away}
        return away

    def _drifts(self, rollouts: Sequence[Rollout]) -> dict[str, float]:
        found = self.drift(rollouts) if self.drift else {}
        return {f"drift_{name}": float(value) for name, value in found.items()}

    def report(self, done: int, total: int, *, draws_left: int | None = None) -> None:
        """Tell the latest of what a person watches; the history holds the rest.

        ``draws_left``: where draws are few and long, how many are to come.
        """
        latest = {k: v for row in self.history for k, v in row.items()}
        parts = sorted(k for k in latest if k.startswith("part_"))
        values = {k: latest[k] for k in (*_SHOWN, *parts) if k in latest}
        left = None
        if draws_left is not None and done:
            drawn = sum(self._draws)
            left = (self.seconds - drawn) * (total - done) / done
            left += draws_left * drawn / max(1, len(self._draws))
        self.on_progress(
            Progress("rl", done, total, "steps", self.tokens, self.seconds, values, left)
        )

    def _remember(self) -> str | None:
        return json.dumps(self.memory.state()) if self.memory else None

    def _recall(self, memory: str | None) -> None:
        if self.memory and memory is not None:
            self.memory.restore(json.loads(memory))

    @contextmanager
    def _same_memory(self) -> Iterator[None]:
        """Let the reward see what it saw first, and forget what it sees."""
        now = self._remember()
        self._recall(self._first_memory)
        try:
            yield
        finally:
            self._recall(now)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs besides the policy: plain values and tensors."""
        own = {name: getattr(self, name) for name in _KEPT}
        return {
            **own,
            "seconds": self.seconds,
            "memory": self._remember(),
            "first_memory": self._first_memory,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state()``."""
        for name in _KEPT:
            setattr(self, name, state[name])
        self._seconds, self._started = state["seconds"], time.monotonic()
        self._first_memory = state["first_memory"]
        self._recall(state["memory"])


_KEPT = (
    *("history", "n_steps", "best_step", "best_weights", "best_reward"),
    *("tokens", "sampled_tokens", "stopped", "baseline", "away"),
)


def check_rewards(rewards: Sequence[Reward], n: int) -> tuple[Reward, ...]:
    """Raise rather than learn from rewards that cannot be meant.

    Raises:
        StageError: another number of rewards, one that is not a number, or a failed gate that
            earns something.
    """
    if len(rewards) != n:
        raise StageError(f"the reward function gave {len(rewards)} rewards for {n} completions")
    for i, reward in enumerate(rewards):
        values = {"total": reward.total, **reward.parts}
        for name, value in values.items():
            if not np.isfinite(value):
                raise StageError(f"reward of completion {i}: {name} is {value}, not a number")
        if reward.gate is not None and any(values.values()):
            raise StageError(f"completion {i} failed gate {reward.gate!r} but its reward is not 0")
    return tuple(rewards)
