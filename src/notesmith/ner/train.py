"""Train the student: a fixed number of steps of AdamW over planned batches of like length."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from notesmith.config.student import IntegrationConfig, NerConfig
from notesmith.document import Document, labels_of
from notesmith.errors import ConfigError, StageError, shown_doc, shown_name
from notesmith.ner.attribute_head import attribute_loss, make_head
from notesmith.ner.attributes import choose_attributes
from notesmith.ner.batch import collate
from notesmith.ner.decode import WordScores
from notesmith.ner.dropout import training_dropout
from notesmith.ner.encoder import autocast, load_encoder, max_positions
from notesmith.ner.integrate import completion_step, plan_batches
from notesmith.ner.lessons import Lessons, lessons_of
from notesmith.ner.loss import tag_loss
from notesmith.ner.model import NerModel
from notesmith.ner.protocol import Student
from notesmith.ner.windows import Window, encode, relabelled
from notesmith.progress import OnProgress, Progress, silent

_log = logging.getLogger(__name__)
_HISTORY_EVERY = 25


@dataclass(frozen=True, slots=True)
class NerResult:
    """A trained student with its cost.

    ``history`` holds ``step``, mean ``loss`` since the last entry and learning ``rate``;
    ``tokens`` are word pieces trained on, padding not counted, those of a student that completes
    the made documents beforehand included; ``counts`` says what was flattened (see
    ``TaggedWords``), gold and made together; ``completed`` how many mentions were ``added`` to made
    documents, and how many ``masked`` there.
    """

    model: NerModel
    history: tuple[dict[str, float], ...]
    tokens: int
    seconds: float
    counts: Counter[str]
    completed: Counter[str]


def train_ner(
    gold: Sequence[Document],
    made: Sequence[Document] = (),
    *,
    config: NerConfig,
    labels: Sequence[str] | None = None,
    soft: Mapping[str, WordScores] = {},
    completer: Student | None = None,
    seed: int,
    on_progress: OnProgress = silent,
) -> NerResult:
    """Train on ``gold`` and ``made`` documents, joined as ``config.integration`` says.

    Without ``labels`` they are those of ``gold``: a label that made text alone has would be learnt
    against gold text in which nobody marked it. The number of optimizer steps is
    ``config.steps`` whatever the documents are, under one schedule of the learning rate.
    ``config.attributes`` are learnt from gold mentions, and from made ones whose kind of document
    carries them (see ``classes_to_learn``). A document whose id is in ``soft`` teaches these
    distributions over tags in the place of its entities; masks hold all the same.

    With the noise-aware loss (see ``tag_loss``) made documents teach their entities, each word
    weighted by its confidence (see ``word_confidence``); ``soft`` of a made document then is what
    says how sure its words are. Gold is learnt as ever.

    Made documents are completed (see ``complete``) before the training by ``completer``, or by a
    student of gold alone that is trained for it, with as many steps; or midway by the student
    itself. Those whose distributions are learnt have no use for it, and stay as they are.

    Raises:
        StageError: no labels or no words, an entity's label is not in ``labels``, or ``soft`` is of
            other words, of other labels, or of a document that is not there or there twice; the
            loss is noise-aware and nothing says how sure made documents are; no gold to complete
            by.
        ModelError: the encoder cannot be loaded.
        ConfigError: no gold mention has one of ``config.attributes``, or ``completer`` has other
            labels or nothing to do.
    """
    attributes = choose_attributes(gold, config.attributes or ())
    labels = tuple(labels) if labels is not None else _labels_of_gold(gold, made)
    if not labels:
        raise StageError(
            "there is nothing to learn: no document has an entity, and no labels given"
        )
    n_each = Counter(doc.id for doc in (*gold, *made))
    if wrong := next((name for name in soft if n_each[name] != 1), None):
        raise StageError(
            f"{shown_doc(wrong)}: has soft labels and is "
            + ("not there to learn from" if not n_each[wrong] else "there twice; rename one")
        )
    began = perf_counter()
    integration = config.integration
    lessons = lessons_of(made, soft, integration)
    tokens_before = 0
    if completer is not None:
        _check_completer(completer, labels, integration)
    if made and integration.complete == "before":
        if completer is None:
            completer, tokens_before = _student_of_gold(
                gold, config, labels, soft, seed=seed, on_progress=on_progress
            )
        scores = completer.predict_scores(made, on_progress=on_progress)
        lessons = lessons.complete(scores, labels, integration.complete_score).judge(scores)
    lessons.check()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        encoder = load_encoder(config.encoder, labels=labels)
        head = make_head(attributes, encoder.model.config.hidden_size) if attributes else None
        limit = max_positions(encoder.model)
        parts = [
            encode(
                docs,
                encoder.tokenizer,
                config,
                labels=labels,
                attributes=attributes,
                max_positions=limit,
                soft=distributions,
            )
            for docs, distributions in ((gold, soft), (made, lessons.soft))
        ]

        def windows_of(taught: Lessons) -> list[Window]:
            of_made = relabelled(parts[1], taught.docs, labels=labels, opinions=taught.opinions)
            return [*parts[0].windows, *of_made.windows]

        units = windows_of(lessons)
        plan = plan_batches(
            [len(w) for w in parts[0].windows],
            [len(w) for w in parts[1].windows],
            steps=config.steps,
            batch_size=config.batch_size,
            integration=integration,
            seed=seed,
            by_length=encoder.packed_from is None,
        )
        model = NerModel(encoder, labels, config, attributes, head)

        def windows_midway() -> list[Window]:
            nonlocal lessons
            scores = model.predict_scores(made)
            lessons = lessons.complete(scores, labels, integration.complete_score)
            return windows_of(lessons)

        at = completion_step(plan, len(parts[0].windows), integration)
        history, tokens = _fit(
            model,
            units,
            plan,
            midway=(at, windows_midway) if at is not None else None,
            seed=seed,
            on_progress=on_progress,
        )
    seconds = perf_counter() - began
    counts = parts[0].counts + parts[1].counts
    _log.info("trained %d steps on %d units in %.1f s", len(plan), len(units), seconds)
    tokens += tokens_before
    return NerResult(model, tuple(history), tokens, seconds, counts, lessons.completed)


def _check_completer(
    completer: Student, labels: tuple[str, ...], integration: IntegrationConfig
) -> None:
    if integration.complete != "before":
        raise ConfigError(
            "a completer has nothing to do; set ner.integration.complete to before, or give none"
        )
    if completer.labels != labels:
        raise ConfigError(
            f"the completer's labels are {', '.join(map(shown_name, completer.labels))}; those to "
            f"learn are {', '.join(map(shown_name, labels))}"
        )


def _student_of_gold(
    gold: Sequence[Document],
    config: NerConfig,
    labels: tuple[str, ...],
    soft: Mapping[str, WordScores],
    *,
    seed: int,
    on_progress: OnProgress,
) -> tuple[NerModel, int]:
    if not gold:
        raise StageError(
            "there is no gold to train a student of that completes the made documents; give a "
            "completer, or set ner.integration.complete to midway or no"
        )
    result = train_ner(
        gold,
        config=config.mentions_only(),
        labels=labels,
        soft={doc.id: soft[doc.id] for doc in gold if doc.id in soft},
        seed=seed,
        on_progress=on_progress,
    )
    return result.model, result.tokens


def _labels_of_gold(gold: Sequence[Document], made: Sequence[Document]) -> tuple[str, ...]:
    labels = labels_of(gold) or labels_of(made)
    if lacking := [shown_name(name) for name in labels_of(made) if name not in labels]:
        raise StageError(
            f"made documents have labels that gold lacks: {', '.join(lacking)}; rename or drop "
            "them as they are read (--label-map OLD=NEW), or name all labels to learn (--labels)"
        )
    return labels


def _fit(
    student: NerModel,
    units: Sequence[Window],
    plan: Sequence[Sequence[int]],
    *,
    midway: tuple[int, Callable[[], Sequence[Window]]] | None = None,
    seed: int,
    on_progress: OnProgress,
) -> tuple[list[dict[str, float]], int]:
    """Train on ``units``; ``midway`` are a step and what gives the units from this step on."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder, config, head = student.encoder, student.config, student.attribute_head
    model, pad = encoder.model, encoder.pad
    model.to(device).train()
    if head is not None:
        head.to(device).train()
    wanted = {"output_hidden_states": True} if head is not None else {}
    history: list[dict[str, float]] = []
    began, tokens = perf_counter(), 0
    dropout = training_dropout(model, p=config.dropout, seed=seed, device=device)
    with dropout, compact_embeddings(model, units, pad) as table:
        optimizer = _optimizer(model, head, config)
        # The table of embeddings is another one in here.
        parameters = [*model.parameters(), *(head.parameters() if head is not None else ())]
        base = [group["lr"] for group in optimizer.param_groups]
        total = torch.zeros((), device=device)
        for step, chosen in enumerate(plan):
            if midway is not None and step == midway[0]:
                with table.whole():
                    units = midway[1]()
                model.train()
                if head is not None:
                    head.train()
            factor = schedule(step, len(plan), config.warmup_ratio)
            for group, rate in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = rate * factor
            batch = collate(
                sorted((units[i] for i in chosen), key=len),
                pad=pad,
                pieces=config.pieces,
                packed_from=encoder.packed_from,
            )
            batch.inputs["input_ids"] = table.row_of[batch.inputs["input_ids"]]
            batch = batch.to(device)
            with autocast(device, config.bf16):
                out = model(**batch.inputs, **wanted)
                logits = batch.words(out.logits)
            loss = tag_loss(logits, batch)
            if head is not None and batch.mentions is not None:
                states = batch.words(out.hidden_states[-1])
                loss = loss + attribute_loss(head, student.attributes, states, batch.mentions)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
            tokens += batch.n_tokens
            done = step + 1
            if done % _HISTORY_EVERY == 0 or done == len(plan):
                since = done - int(history[-1]["step"] if history else 0)
                values = {"loss": float(total) / since, "rate": config.learning_rate * factor}
                total.zero_()
                history.append({"step": float(done), **values})
                on_progress(
                    Progress(
                        "ner", done, len(plan), "steps", tokens, perf_counter() - began, values
                    )
                )
    model.eval()
    if head is not None:
        head.eval()
    return history, tokens


def schedule(step: int, steps: int, warmup_ratio: float) -> float:
    """Factor of the learning rate at ``step`` (from 0): up linearly, then down linearly to 0."""
    warmup = round(warmup_ratio * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (steps - step) / max(steps - warmup, 1)


def _optimizer(model: Any, head: torch.nn.Linear | None, config: NerConfig) -> torch.optim.AdamW:
    """AdamW with no decay on biases and norms, and a rate of its own for the new heads."""
    prefix = model.base_model_prefix
    groups: dict[tuple[bool, bool], list[Any]] = {}
    for name, parameter in model.named_parameters():
        is_head = not name.startswith(f"{prefix}.")
        groups.setdefault((is_head, parameter.ndim > 1), []).append(parameter)
    for parameter in head.parameters() if head is not None else ():
        groups.setdefault((True, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.head_learning_rate if is_head else config.learning_rate,
                "weight_decay": config.weight_decay if decays else 0.0,
            }
            for (is_head, decays), parameters in groups.items()
        ],
        fused=True,
    )


@dataclass(frozen=True, slots=True)
class CompactTable:
    """The input embeddings of ``model`` while few rows of them are trained.

    ``row_of`` has for each token id its row in ``compact``; ``used`` are the ids of the rows.
    """

    model: Any
    full: torch.nn.Embedding
    compact: torch.nn.Embedding
    used: torch.Tensor
    row_of: torch.Tensor

    @contextmanager
    def whole(self) -> Iterator[None]:
        """The model takes any token in here, to predict with what it has learnt so far."""
        with torch.no_grad():
            self.full.weight[self.used] = self.compact.weight
        self.model.set_input_embeddings(self.full)
        try:
            yield
        finally:
            self.model.set_input_embeddings(self.compact)


@contextmanager
def compact_embeddings(model: Any, units: Sequence[Window], pad: int) -> Iterator[CompactTable]:
    """Train only the rows of the input embeddings that occur in ``units``.

    Half of a small encoder's weights are embeddings, of which a few hundred texts touch a tenth:
    the optimizer need not move the rest (plain AdamW would only shrink them by weight decay).
    On leaving, trained rows go back to their places.
    """
    full = model.get_input_embeddings()
    used = torch.tensor(sorted({pad, *(i for w in units for i in w.input_ids)}))
    row_of = torch.zeros(full.num_embeddings, dtype=torch.int64)
    row_of[used] = torch.arange(len(used))
    used = used.to(full.weight.device)
    compact = torch.nn.Embedding.from_pretrained(
        full.weight.detach()[used].clone(), freeze=False, padding_idx=int(row_of[pad])
    )
    model.set_input_embeddings(compact)
    try:
        yield CompactTable(model, full, compact, used, row_of)
    finally:
        with torch.no_grad():
            full.weight[used] = compact.weight
        model.set_input_embeddings(full)
