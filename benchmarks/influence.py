"""Student benefit: how far a step of training on a made text is predicted to help on gold.

It was to be a part of the generator's reward, and was not admitted. Each judge is a student trained
on gold *and* its mention-replaced copies, so that nothing is paid for what that cheap rival already
gives; it is asked about gold that it was not trained on. The first-order estimate follows TracIn
(Pruthi et al., "Estimating Training Data Influence by Tracing Gradient Descent", NeurIPS 2020), of
the head alone by default, whose gradients are known in closed form: one forward pass a judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from notesmith.config import NerConfig
from notesmith.document import Document
from notesmith.errors import ModelError, StageError
from notesmith.ner.batch import collate
from notesmith.ner.crossfit import Committee, Made, train_committee
from notesmith.ner.decode import WordScores, unread, word_rows
from notesmith.ner.encoder import autocast, max_positions
from notesmith.ner.model import NerModel
from notesmith.ner.windows import batches, encode
from notesmith.progress import OnProgress, silent
from notesmith.words import IGNORED, tag_words

Scope = Literal["head", "last-layer", "all"]
Loss = Literal["soft-f1", "cross-entropy"]
Per = Literal["word", "gradient"]
Floats = NDArray[np.float64]

_NUDGE = 0.005
"""Fall of the held-out loss that a finite step along its gradient is sized for."""
_WINDOWS = 32
_BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class WordStates(WordScores):
    """Scores of words, with row i of ``hidden`` (float32, last layer) that the head reads."""

    hidden: NDArray[np.float32] = field(kw_only=True)


def word_states(model: NerModel, docs: Sequence[Document]) -> list[WordStates]:
    """Tag probabilities and hidden states of every word.

    A word that the tokenizer drops (a control character) is surely O and has a zero state.
    """
    encoded = encode(docs, model.tokenizer, model.config, max_positions=max_positions(model.model))
    probabilities = unread(encoded.words, len(model.tags))
    states = word_rows(encoded.words, int(model.model.config.hidden_size))
    device = next(model.model.parameters()).device
    model.model.eval()
    for windows in batches(encoded.windows, _BATCH_TOKENS):
        batch = collate(
            windows,
            pad=model.encoder.pad,
            pieces=model.config.pieces,
            packed_from=model.encoder.packed_from,
        ).to(device)
        with torch.inference_mode(), autocast(device.type, model.config.bf16):
            out = model.model(**batch.inputs, output_hidden_states=True)
            probs = batch.words(out.logits).softmax(-1).cpu().numpy()
            hidden = batch.words(out.hidden_states[-1]).cpu().numpy()
        first = 0
        for window in windows:
            index, rows = list(window.word_index), slice(first, first + len(window.word_index))
            probabilities[window.doc][index] = probs[rows]
            states[window.doc][index] = hidden[rows]
            first = rows.stop
    return [
        WordStates(words, found, hidden=hidden)
        for words, found, hidden in zip(encoded.words, probabilities, states, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class SoftF1:
    """The loss 1 − soft F1, in [0, 1], and its gradient by logit (words × tags)."""

    loss: float
    gradient: Floats


def soft_f1_gradient(probabilities: NDArray[Any], tags: Sequence[int] | NDArray[Any]) -> SoftF1:
    """1 − soft F1 on words, all tags but O together, differentiated by the logits.

    With T the words whose gold tag is not O: tp = Σ_T p[gold], fp = Σ (1 − p[O]) − tp,
    fn = |T| − tp and soft F1 = 2 tp / (2 tp + fp + fn) = 2 tp / (Σ (1 − p[O]) + |T|). Its gradient
    by probability g becomes p ∘ (g − ⟨p, g⟩) by logit, word by word. Where nothing is marked and
    nothing is to mark the loss is 0.

    Args:
        probabilities: softmax of the logits, one row a word, column 0 for O.
        tags: gold tag of each word; ``IGNORED`` words count nowhere and get a zero row.

    Raises:
        ValueError: the numbers of rows and tags differ.
    """
    probs = np.asarray(probabilities, np.float64)
    gold = np.asarray(tags, np.int64)
    if len(probs) != len(gold):
        raise ValueError(f"{len(probs)} rows of probabilities, but {len(gold)} tags")
    counted = gold != IGNORED
    inside = counted & (gold != 0)
    rows = np.flatnonzero(inside)
    tp = float(probs[rows, gold[rows]].sum())
    total = float((1 - probs[counted, 0]).sum()) + len(rows)
    if total <= 0:
        return SoftF1(0.0, np.zeros_like(probs))
    # Loss = 1 − 2 tp / total; total falls by one a unit of p[O].
    by_prob = np.zeros_like(probs)
    by_prob[counted, 0] = -2 * tp / total**2
    by_prob[rows, gold[rows]] -= 2 / total
    by_logit = probs * (by_prob - (probs * by_prob).sum(1, keepdims=True))
    return SoftF1(1 - 2 * tp / total, by_logit)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What makes a student's probabilities honest: logits over ``temperature``, O by ``shift``.

    Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017) and a
    bias of O beside it. Both are a change of the head, so what is said of gradients still holds.
    """

    temperature: float = 1.0
    shift: float = 0.0

    def adjust(self, probabilities: NDArray[Any]) -> Floats:
        """Calibrated probabilities (words × tags)."""
        logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30)) / self.temperature
        logits[:, 0] += self.shift
        odds = np.exp(logits - logits.max(1, keepdims=True))
        found: Floats = odds / odds.sum(1, keepdims=True)
        return found


def fit_calibration(probabilities: NDArray[Any], tags: NDArray[np.int64]) -> Calibration:
    """Temperature, from 1/20 to 20, and shift with the least cross-entropy on words."""
    from scipy.optimize import minimize

    rows = np.flatnonzero(tags != IGNORED)
    logs = np.log(np.maximum(probabilities[rows].astype(np.float64), 1e-30))
    places = np.arange(len(rows)), tags[rows]

    def loss(x: Floats) -> tuple[float, Floats]:
        found = Calibration(float(np.exp(x[0])), float(x[1])).adjust(probabilities[rows])
        value = -np.log(np.maximum(found[places], 1e-30)).mean()
        found[places] -= 1
        by_log = -(found * logs).sum() / np.exp(x[0])
        return float(value), np.array([by_log, found[:, 0].sum()]) / len(rows)

    widest = float(np.log(20))
    bounds = [(-widest, widest), (-20.0, 20.0)]
    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Calibration(float(np.exp(found[0])), float(found[1]))


@dataclass(frozen=True, slots=True)
class HeadGradient:
    """Gradient of a student's held-out loss by its head: ``weight`` (tags × width), ``bias``.

    With a ``calibration`` the head is the calibrated one, in ``loss`` and in both gradients.
    """

    loss: float
    weight: Floats
    bias: Floats
    calibration: Calibration | None = None

    @property
    def norm(self) -> float:
        """Euclidean norm of both together."""
        return float(np.sqrt((self.weight**2).sum() + (self.bias**2).sum()))


@dataclass(frozen=True, slots=True)
class Benefits:
    """Unscaled benefits of texts: ``per_fold`` (judges × texts) and ``values``, one a text.

    A value is the mean over the judges less half their standard deviation (that of a population).
    In the unit of the judges' option ``per``; positive is predicted to help.
    """

    per_fold: Floats
    values: Floats


def fold_gradient(
    model: NerModel, docs: Sequence[Document], *, loss: Loss = "soft-f1"
) -> HeadGradient:
    """Gradient of the loss of ``model`` on ``docs``, which it was not trained on, by its head.

    ``soft-f1`` is 1 − soft F1. ``cross-entropy`` is a word's, of the student calibrated on these
    very ``docs``: there it can fall neither by more or less confidence nor by marking more, as the
    gradient along both is 0, but only by telling words apart.

    Raises:
        StageError: no word of ``docs`` lies in a mention, or a label is not among the model's.
        ModelError: the head is not one linear layer on the last hidden state.
    """
    scores = word_states(model, docs)
    tags = np.concatenate(_tags(model, docs, scores))
    _check_mentions(docs, tags)
    probs = np.concatenate([score.probabilities for score in scores])
    hidden = np.concatenate([score.hidden for score in scores]).astype(np.float64)
    _check_head(model, hidden, probs)
    if loss == "soft-f1":
        found = soft_f1_gradient(probs, tags)
        return HeadGradient(found.loss, found.gradient.T @ hidden, found.gradient.sum(0))
    calibration = fit_calibration(probs, tags)
    calibrated = calibration.adjust(probs)
    rows = np.flatnonzero(tags != IGNORED)
    error = errors(calibrated, tags) / len(rows)
    value = -np.log(np.maximum(calibrated[rows, tags[rows]], 1e-30)).mean()
    return HeadGradient(float(value), error.T @ hidden, error.sum(0), calibration)


def errors(probabilities: NDArray[Any], tags: NDArray[np.int64]) -> Floats:
    """Softmax less one-hot, the gradient of cross-entropy by logit; 0 where a word is ignored."""
    found = probabilities.astype(np.float64)
    rows = np.flatnonzero(tags != IGNORED)
    found[rows, tags[rows]] -= 1
    found[tags == IGNORED] = 0
    return found


def text_benefit(
    gradient: HeadGradient, score: WordStates, tags: NDArray[np.int64], *, per: Per
) -> float:
    """Σ eᵀ G h over the words of one text, by head; 0 where it has no word that counts.

    ``per="word"`` divides by the number of words: a step of gradient descent on their mean
    cross-entropy changes the held-out loss by −rate times this. ``per="gradient"`` divides by both
    gradients' norms: their cosine.
    """
    n_words = int((tags != IGNORED).sum())
    if not n_words:
        return 0.0
    probs = score.probabilities
    error = errors(gradient.calibration.adjust(probs) if gradient.calibration else probs, tags)
    weight, bias = error.T @ score.hidden.astype(np.float64), error.sum(0)
    product = float((weight * gradient.weight).sum() + bias @ gradient.bias)
    if per == "word":
        return product / n_words
    size = float(np.sqrt((weight**2).sum() + (bias**2).sum())) * gradient.norm
    return product / size if size > 0 else 0.0


class StudentBenefit:
    """Judges with their held-out gold; called with labelled texts, a benefit in [0, 1] for each.

    The scale is fixed by ``calibrate``: the normal distribution function with the median and the
    standard deviation of the reference texts' values. 0.5 is as good as the median reference text.
    Unlike ranks it keeps telling texts beyond the reference apart and does not blow up the noise
    where most values lie.

    No setting was admitted as a reward (``docs/explanation/student-benefit.md``).
    """

    def __init__(
        self,
        members: Sequence[NerModel],
        held_out: Sequence[Sequence[Document]],
        *,
        loss: Loss = "cross-entropy",
        per: Per = "gradient",
        scope: Scope = "head",
    ) -> None:
        """Take judges and, for each, gold documents that it was not trained on.

        Args:
            members: students trained on gold and mention replacement, of one set of labels.
            held_out: one list of gold documents a member.
            loss: held-out loss that a text shall lower (see ``fold_gradient``).
            per: see ``text_benefit``.
            scope: weights whose gradients are compared. Beyond the head a text takes two forward
                passes a judge in float32 (a central difference along the held-out gradient), and
                ``loss`` and ``per`` must be ``soft-f1`` and ``word``.

        Raises:
            StageError: no members, numbers or labels that differ, or held-out documents of a
                member without a mention or with a label that it does not know.
            ModelError: the head is not one linear layer on the last hidden state.
        """
        if not members or len(members) != len(held_out):
            raise StageError(f"{len(members)} judges, but {len(held_out)} held-out folds")
        if len({member.labels for member in members}) > 1:
            raise StageError("the judges know different labels")
        if scope != "head" and (loss, per) != ("soft-f1", "word"):
            raise StageError(
                f"scope {scope!r} knows loss 'soft-f1' per 'word', not {loss!r} {per!r}"
            )
        self.members = tuple(members)
        self.scope: Scope = scope
        self.per: Per = per
        self._centre: float | None = None
        self._spread = 1.0
        self._gradients: list[HeadGradient] = []
        self._directions: list[dict[str, torch.Tensor]] = []
        for member, docs in zip(members, held_out, strict=True):
            if scope == "head":
                self._gradients.append(fold_gradient(member, docs, loss=loss))
            else:
                self._directions.append(held_out_direction(member, docs, scope))

    @classmethod
    def from_committee(
        cls,
        committee: Committee,
        gold: Sequence[Document],
        *,
        loss: Loss = "cross-entropy",
        per: Per = "gradient",
        scope: Scope = "head",
    ) -> Self:
        """Judge with the members of ``committee``, each on its held-out part of ``gold``."""
        folds = [[doc for doc in gold if doc.id in ids] for ids in committee.held_out]
        return cls(committee.members, folds, loss=loss, per=per, scope=scope)

    def calibrate(self, reference: Sequence[Document]) -> Self:
        """Fix the scale by the benefits of ``reference`` and return the same object.

        The reference is honest text of the kind to be judged: what the generator writes before it
        is rewarded, filtered.

        Raises:
            StageError: fewer than ten texts, or all have the same benefit.
        """
        if len(reference) < 10:
            raise StageError(f"{len(reference)} reference texts; a scale needs 10 or more")
        values = self.raw(reference).values
        spread = float(values.std())
        if spread <= 0:
            raise StageError("the reference texts have one and the same benefit: no scale")
        self._centre, self._spread = float(np.median(values)), spread
        return self

    def __call__(self, docs: Sequence[Document]) -> list[float]:
        """Benefit of each of ``docs`` in [0, 1].

        Raises:
            StageError: not calibrated, or a document has a label that the judges do not know.
        """
        if self._centre is None:
            raise StageError("the benefit has no scale yet; call calibrate with reference texts")
        from scipy.special import ndtr

        return [float(ndtr((v - self._centre) / self._spread)) for v in self.raw(docs).values]

    def raw(self, docs: Sequence[Document]) -> Benefits:
        """Unscaled benefits of ``docs``, and those of each judge.

        Raises:
            StageError: a document has a label that the judges do not know.
        """
        rows = [
            self._by_head(i, docs) if self.scope == "head" else self._by_difference(i, docs)
            for i in range(len(self.members))
        ]
        per_fold = np.array(rows, np.float64).reshape(len(rows), len(docs))
        return Benefits(per_fold, per_fold.mean(0) - per_fold.std(0) / 2)

    def _by_head(self, i: int, docs: Sequence[Document]) -> list[float]:
        scores = word_states(self.members[i], docs)
        tags = _tags(self.members[i], docs, scores)
        return [
            text_benefit(self._gradients[i], score, row, per=self.per)
            for score, row in zip(scores, tags, strict=True)
        ]

    def _by_difference(self, i: int, docs: Sequence[Document]) -> list[float]:
        return slope(self.members[i], self._directions[i], docs).tolist()


def train_judges(
    gold: Sequence[Document],
    made: Made,
    *,
    config: NerConfig,
    labels: Sequence[str] | None = None,
    n_folds: int = 3,
    seed: int,
    loss: Loss = "cross-entropy",
    per: Per = "gradient",
    scope: Scope = "head",
    on_progress: OnProgress = silent,
) -> StudentBenefit:
    """Train one judge a fold of ``gold``, on the other folds and ``made``; not yet calibrated.

    ``made`` is what makes mention-replaced copies of the gold that it is given, or such copies
    with their parents (see ``train_committee``, whose errors it raises).
    """
    committee = train_committee(
        gold,
        made,
        config=config,
        n_members=n_folds,
        labels=labels,
        seed=seed,
        on_progress=on_progress,
    )
    return StudentBenefit.from_committee(committee, gold, loss=loss, per=per, scope=scope)


def held_out_direction(
    member: NerModel, docs: Sequence[Document], scope: Scope
) -> dict[str, torch.Tensor]:
    """Gradient of 1 − soft F1 on ``docs`` by the weights in ``scope``, by name.

    One forward pass for all probabilities, then one more with its backward, in float32.

    Raises:
        StageError: no word of ``docs`` lies in a mention, or a label is not among the model's.
    """
    exact = _exact(member)
    scores = exact.predict_scores(docs)
    tags = np.concatenate(_tags(exact, docs, scores))
    _check_mentions(docs, tags)
    loss = soft_f1_gradient(np.concatenate([score.probabilities for score in scores]), tags)
    first = np.cumsum([0, *(len(score.words) for score in scores)])
    model = exact.model
    chosen = _parameters(model, scope)
    sums = {name: torch.zeros_like(parameter) for name, parameter in chosen.items()}
    encoded = encode(docs, exact.tokenizer, exact.config, max_positions=max_positions(model))
    windows = sorted(encoded.windows, key=len)
    for start in range(0, len(windows), _WINDOWS):
        part = windows[start : start + _WINDOWS]
        rows = np.concatenate([loss.gradient[first[w.doc] + np.array(w.word_index)] for w in part])
        batch = collate(
            part,
            pad=exact.encoder.pad,
            pieces=exact.config.pieces,
            packed_from=exact.encoder.packed_from,
        ).to(next(model.parameters()).device)
        logits = batch.words(model(**batch.inputs).logits)
        by_logit = torch.from_numpy(rows).to(logits)
        found = torch.autograd.grad(logits, list(chosen.values()), by_logit, allow_unused=True)
        for name, value in zip(chosen, found, strict=True):
            if value is not None:
                sums[name] += value
    return sums


def slope(
    member: NerModel, direction: Mapping[str, torch.Tensor], docs: Sequence[Document]
) -> Floats:
    """Derivative of each text's mean cross-entropy a word along ``direction``, one a text.

    That is the product of the text's gradient with it, without any backward pass: half the
    difference of the losses after a small step either way.
    """
    exact = _exact(member)
    square = sum(float((value**2).sum()) for value in direction.values())
    if square == 0:
        return np.zeros(len(docs))
    step = _NUDGE / square
    losses: list[Floats] = []
    for sign in (1, -1):
        with _moved(exact.model, direction, sign * step):
            scores = exact.predict_scores(docs)
        losses.append(
            np.array(
                [
                    _cross_entropy(s, t)
                    for s, t in zip(scores, _tags(exact, docs, scores), strict=True)
                ]
            )
        )
    return (losses[0] - losses[1]) / (2 * step)


@contextmanager
def _moved(model: Any, direction: Mapping[str, torch.Tensor], step: float) -> Iterator[None]:
    parameters = dict(model.named_parameters())
    before = {name: parameters[name].detach().clone() for name in direction}
    with torch.no_grad():
        for name, value in direction.items():
            parameters[name].add_(value, alpha=step)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in before.items():
                parameters[name].copy_(value)


def _parameters(model: Any, scope: Scope) -> dict[str, Any]:
    """Weights by name: all, or the head with, for ``last-layer``, the encoder's last layer."""
    prefix = f"{model.base_model_prefix}."
    wanted: set[int] = set()
    if scope == "last-layer":
        stacks = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m)]
        if not stacks:
            raise ModelError("the encoder has no list of layers; use another scope")
        wanted = {id(p) for p in max(stacks, key=len)[-1].parameters()}
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if scope == "all" or not name.startswith(prefix) or id(parameter) in wanted
    }


def _exact(member: NerModel) -> NerModel:
    """The same student in float32: small differences drown in bfloat16."""
    return replace(member, config=member.config.model_copy(update={"bf16": "no"}))


def _tags(
    model: NerModel, docs: Sequence[Document], scores: Sequence[WordScores]
) -> list[NDArray[np.int64]]:
    return [
        np.array(tag_words(doc, score.words, model.labels).tags, np.int64)
        for doc, score in zip(docs, scores, strict=True)
    ]


def _check_mentions(docs: Sequence[Document], tags: NDArray[np.int64]) -> None:
    if not (tags > 0).any():
        raise StageError(f"{len(docs)} held-out documents hold no mention: nothing to judge by")


def _cross_entropy(score: WordScores, tags: NDArray[np.int64]) -> float:
    counted = np.flatnonzero(tags != IGNORED)
    if not len(counted):
        return 0.0
    picked = score.probabilities[counted, tags[counted]].astype(np.float64)
    return float(-np.log(np.maximum(picked, 1e-30)).mean())


def _check_head(model: NerModel, hidden: Floats, probabilities: NDArray[np.float32]) -> None:
    """Compare the head's own arithmetic on ``hidden`` with what the model said."""
    head = getattr(model.model, "classifier", None)
    reason = f"encoder {model.name!r}: its head is not one linear layer on the last hidden state"
    if not isinstance(head, torch.nn.Linear) or head.in_features != hidden.shape[1]:
        raise ModelError(f"{reason}; use scope 'last-layer'")
    weight = head.weight.detach().cpu().numpy().astype(np.float64)
    logits = hidden @ weight.T
    if head.bias is not None:
        logits += head.bias.detach().cpu().numpy()
    odds = np.exp(logits - logits.max(1, keepdims=True))
    own = odds / odds.sum(1, keepdims=True)
    # Words that the tokenizer dropped have a zero state; bfloat16 moves single words by a little.
    seen = hidden.any(axis=1)
    if np.abs(own - probabilities)[seen].mean() > 0.01:
        raise ModelError(f"{reason}; use scope 'last-layer'")
