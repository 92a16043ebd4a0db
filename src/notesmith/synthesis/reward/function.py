"""The reward of a batch: gates, graded parts, and two factors that scale their mean.

total = novelty factor × diversity factor × Σ w·part / Σ w, each factor from 1 − weight to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from notesmith.config.filters import FilterConfig
from notesmith.config.rewards import RewardConfig
from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.lm.rollout import Reward, Rollout
from notesmith.metrics import fold_mention
from notesmith.overlap import OverlapIndex
from notesmith.synthesis.decode import Lexicon
from notesmith.synthesis.reward import parts as arithmetic
from notesmith.synthesis.reward.cases import Case, Task, cases_of_documents, cases_of_rollouts
from notesmith.synthesis.reward.context import Grams, context_grams
from notesmith.synthesis.reward.drift import Drift, drift_of
from notesmith.synthesis.reward.gates import Gates
from notesmith.synthesis.reward.judges import Judges
from notesmith.synthesis.reward.plan import PartPlan, demand, plan_parts
from notesmith.synthesis.reward.results import DocumentReward, DocumentRewards
from notesmith.synthesis.reward.user import UserReward, load_user_reward


class RewardModel:
    """Scores completions, and documents; remembers earlier completions in its archive."""

    def __init__(
        self,
        gold: Sequence[Document],
        config: RewardConfig,
        filters: FilterConfig,
        *,
        judges: Judges | None = None,
        task: Task | None = None,
    ) -> None:
        """Measure gold once.

        Args:
            gold: gold units, cut as the generator writes them; none only without ``task``.
            config: weights; a part of weight 0 is left out.
            filters: bounds of the gates.
            judges: callables; with ``task``, those of weighted parts must be there.
            task: what the generator is asked; None to score documents only.

        Raises:
            ConfigError: a weighted part lacks what it needs, no part has a weight, or a user's
                reward cannot be loaded.
        """
        self._gold, self._config = tuple(gold), config
        self._judges, self._task = judges or Judges(), task
        self._user = _load_all(config.user)
        if task is not None:
            demand(self._plan(has_request=True))
        self._lexicon = task.lexicon if task else _lexicon_of(gold)
        self._gates = Gates(gold, filters, all_requested=config.coverage == "gate")
        self._train = OverlapIndex(context_grams(doc) for doc in gold)
        self._archive: OverlapIndex[int] = OverlapIndex(limit=config.archive)
        rich = [doc for doc in gold if doc.entities]
        n_words = sum(len(doc.text.split()) for doc in rich)
        self._usual = sum(len(doc.entities) for doc in rich) / n_words if n_words else 0.0
        self._names = frozenset(
            (e.label, fold_mention(e.mention(doc.text))) for doc in gold for e in doc.entities
        )
        self._band: tuple[float, float, float, float] | None = None
        if "fluency" in self._plan(has_request=task is not None).weights:
            of_gold = self._judges.log_probs(self._gold)
            self._band = arithmetic.fluency_corners(of_gold, config.fluency_band)

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Reward]:
        """Reward completions in their order; texts that pass the gates join the archive.

        A completion's group is all of its prompt in ``rollouts``.

        Raises:
            StageError: a callable failed or gave something else than it should.
        """
        cases = self._cases(rollouts)
        plan = self._plan(has_request=True)
        rows = self._score(cases, [r.prompt for r in rollouts], plan, self._archive)
        return [Reward(row.total or 0.0, row.parts, row.gate) for row in rows]

    def score_documents(self, docs: Sequence[Document]) -> DocumentRewards:
        """Score labelled documents. What needs a request is left out; so is the archive.

        The committee has no say about approved names (gold's, without a task); all other labels
        are judged. Diversity is measured among ``docs``.
        """
        plan = self._plan(has_request=False)
        cases = cases_of_documents(docs, self._lexicon, self._gates)
        rows = self._score(cases, [0] * len(docs), plan, None)
        return DocumentRewards(tuple(rows), plan.left_out)

    def drift(self, rollouts: Sequence[Rollout]) -> Drift:
        """Statistics of completions, for the record of a training run; asks no judge.

        ``to_json()`` of it is what ``lm.rl`` wants of its ``drift``.
        """
        return drift_of(self._cases(rollouts), self._names)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs: the archive, as hashes. A JSON object without text."""
        return {"archive": [sorted(grams) for grams in self._archive.grams]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state()``."""
        texts = (frozenset(map(int, grams)) for grams in state["archive"])
        self._archive = OverlapIndex(texts, limit=self._config.archive)

    def _cases(self, rollouts: Sequence[Rollout]) -> list[Case]:
        if self._task is None:
            raise ConfigError("no task was given, so only documents can be scored")
        return cases_of_rollouts(rollouts, self._task, self._gates)

    def _plan(self, *, has_request: bool) -> PartPlan:
        names = [reward.part for reward in self._user]
        return plan_parts(
            self._config,
            self._judges,
            names,
            has_gold=bool(self._gold),
            has_request=has_request,
        )

    def _score(
        self,
        cases: Sequence[Case],
        groups: Sequence[Hashable],
        plan: PartPlan,
        archive: OverlapIndex[int] | None,
    ) -> list[DocumentReward]:
        passed = [i for i, case in enumerate(cases) if case.gate is None]
        docs = [case.doc for case in cases if case.gate is None and case.doc is not None]
        values = self._graded([cases[i] for i in passed], docs, plan)
        grams = [context_grams(doc) for doc in docs]
        known = [self._train] if archive is None else [self._train, archive]
        values |= factors_of(grams, [groups[i] for i in passed], plan, known)
        if archive is not None:
            for found in grams:
                archive.add(found)
        nothing = dict.fromkeys(values, 0.0)
        rows = [DocumentReward(case.id, 0.0, nothing, case.gate) for case in cases]
        for k, i in enumerate(passed):
            parts = {name: found[k] for name, found in values.items()}
            rows[i] = DocumentReward(docs[k].id, total_of(parts, plan), parts)
        return rows

    def _graded(
        self, cases: Sequence[Case], docs: Sequence[Document], plan: PartPlan
    ) -> dict[str, list[float]]:
        """Values of each weighted part, one a case; nothing is asked about no documents."""
        values: dict[str, list[float]] = {name: [] for name in plan.weights}
        if not docs:
            return values
        if "agreement" in values:
            cap = self._config.agreement_cap
            values["agreement"] = [
                arithmetic.agreement(
                    arithmetic.agreement_counts(
                        case.unasked, (*case.settled, *case.unknown), votes, case.n_repeated
                    ),
                    cap,
                )
                for case, votes in zip(cases, self._judges.votes(docs), strict=True)
            ]
        if "coverage" in values:
            values["coverage"] = [case.coverage for case in cases]
        if "density" in values:
            values["density"] = [case.density(self._usual) for case in cases]
        if "fluency" in values and self._band is not None:
            band = self._band
            values["fluency"] = [
                arithmetic.trapezoid(found, band) for found in self._judges.log_probs(docs)
            ]
        for reward in self._user:
            if reward.part in values:
                values[reward.part] = reward(docs)
        return values


def factors_of(
    grams: Sequence[Grams],
    groups: Sequence[Hashable],
    plan: PartPlan,
    known: Sequence[OverlapIndex[int]],
) -> dict[str, list[float]]:
    """Novelty (against ``known`` and the other groups) and distance to the rest of the group."""
    members: dict[Hashable, set[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, set()).add(i)
    batch = OverlapIndex(grams)
    values: dict[str, list[float]] = {name: [] for name in plan.factors}
    for i, (found, group) in enumerate(zip(grams, groups, strict=True)):
        own = members[group]
        if "novelty" in values:
            nearest = max(index.container(found).likeness for index in known)
            others = batch.container(found, besides=own).likeness
            values["novelty"].append(1 - max(nearest, others))
        if "diversity" in values:
            rest = own - {i}
            alike = batch.container(found, among=rest).likeness if rest else 0.0
            values["diversity"].append(1 - alike)
    return values


def total_of(parts: Mapping[str, float], plan: PartPlan) -> float | None:
    """Σ w·part / Σ w times each factor, 0 to 1; None where no part has a weight."""
    if not plan.weights:
        return None
    total = arithmetic.weighted_mean(parts, plan.weights)
    for name, weight in plan.factors.items():
        total *= arithmetic.scaled(parts[name], weight)
    return total


def _load_all(specs: Sequence[str]) -> tuple[UserReward, ...]:
    rewards = tuple(load_user_reward(spec) for spec in specs)
    twice = [name for name, n in Counter(reward.part for reward in rewards).items() if n > 1]
    if twice:
        raise ConfigError(f"two rewards are named {twice[0].removeprefix('user_')}; rename one")
    return rewards


def _lexicon_of(gold: Sequence[Document]) -> Lexicon:
    names: dict[str, list[str]] = {}
    for doc in gold:
        for ent in doc.entities:
            names.setdefault(ent.label, []).append(ent.mention(doc.text))
    return Lexicon.of(names)
