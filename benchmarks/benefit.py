"""The admission test of student benefit: does it predict what a real step of training does?

    python benchmarks/benefit.py TRAIN [--dev DEV] [--gold JSONL --made JSONL] [--out OUT.json]

Judges are trained on a draw of gold and its mention-replaced copies, one a fold. Then many groups
of sentences are judged and, from the judge's own weights, really trained on: gradient descent on
the head alone, and AdamW on the whole student with the second moments of its training. What that
does to 1 − soft F1 (and to strict F1) of documents nobody trained or judged by is ranked against
the predicted benefit. Besides real text there are copies with wrong labels, and text made by a
generator where ``--made`` names it (then ``--gold`` names the draw it was made from).

Admitted is what reaches a rank correlation of 0.3, its interval above 0, with the change of soft F1
by AdamW, over all groups and over those of honest text alone. The student's own loss and the
density of mentions stand beside it as rivals. Prints tables; ``--out`` gets numbers only, no text.
About ten minutes on one core that nobody else uses.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from notesmith.augmentation import gold_names, replace_mentions, shuffle_labels
from notesmith.cli.process import prepare
from notesmith.config import AugmentConfig, NerConfig, ReadingConfig
from notesmith.corpus import read_corpus
from notesmith.document import Document
from notesmith.metrics import score
from notesmith.ner.decode import best_tags
from notesmith.segments import cut, split
from notesmith.words import IGNORED, tag_words, to_entities, words

LABEL = "Disease"
ADMITTED = 0.3
WRONG = ("shuffled", "removed", "shifted")


def read(path: Path) -> list[Document]:
    """Documents with every label mapped to one."""
    return read_corpus(path, ReadingConfig(label_map={"*": LABEL}, on_problem="count")).docs


def sentences(docs: Sequence[Document]) -> list[Document]:
    """Each sentence of four words or more as a document."""
    parts = [cut(doc, span) for doc in docs for span in split(doc, "sentence")]
    return [part for part in parts if len(words(part.text)) >= 4]


def shift(doc: Document, rng: np.random.Generator) -> Document:
    """Widen each mention by the word before or after it, or cut its last word off."""
    spans = words(doc.text)
    moved = []
    for ent in doc.entities:
        inside = [i for i, (s, e) in enumerate(spans) if s < ent.end and e > ent.start]
        if not inside:
            continue
        first, last = inside[0], inside[-1]
        how = int(rng.integers(3))
        first -= how == 0 and first > 0
        last += how == 1 and last + 1 < len(spans)
        last -= how == 2 and last > first
        moved.append(replace(ent, spans=((spans[first][0], spans[last][1]),)))
    return doc.with_entities(moved)


@dataclass(frozen=True, slots=True)
class Material:
    """Gold, the documents that truth is taken on, reference texts, and groups with their kinds."""

    gold: list[Document]
    measured: list[Document]
    reference: list[Document]
    groups: list[tuple[str, list[Document]]]


class Truth:
    """Really trains a judge on a group and measures documents that it has not seen."""

    def __init__(self, member: Any, docs: Sequence[Document], known: Sequence[Document]) -> None:
        """Take a judge, the documents to measure on, and those it was trained on."""
        from influence import word_states

        self.member, self.docs = member, docs
        self.scores = word_states(member, docs)
        self.tags = np.concatenate([self.tag(d, s) for d, s in zip(docs, self.scores, strict=True)])
        self.known = known
        self.before = self.measure([s.probabilities for s in self.scores])

    def tag(self, doc: Document, scored: Any) -> Any:
        """Gold tags of the words of ``doc``."""
        return np.array(tag_words(doc, scored.words, self.member.labels).tags, np.int64)

    def measure(self, probabilities: Sequence[Any]) -> dict[str, float]:
        """1 − soft F1, 1 − strict F1, 1 − average precision of words, and the share marked.

        Average precision ranks the words by the odds of lying in a mention: neither confidence nor
        marking more or less moves it.
        """
        from influence import soft_f1_gradient

        predicted = [
            doc.with_entities(
                to_entities(best_tags(np.log(np.maximum(p, 1e-12))), s.words, self.member.labels)
            )
            for doc, s, p in zip(self.docs, self.scores, probabilities, strict=True)
        ]
        probs = np.concatenate(probabilities)
        kept = self.tags != IGNORED
        inside = self.tags[kept][np.argsort(probs[kept, 0], kind="stable")] > 0
        precision = np.cumsum(inside) / np.arange(1, len(inside) + 1)
        return {
            "soft": soft_f1_gradient(probs, self.tags).loss,
            "hard": 1 - score(self.docs, predicted).micro.f1,
            "rank": 1 - float(precision[inside].mean()),
            "marked": float((probs[kept].argmax(1) > 0).mean()),
        }

    def gain(self, probabilities: Sequence[Any]) -> dict[str, float]:
        """By how much each of them fell."""
        after = self.measure(probabilities)
        return {name: self.before[name] - after[name] for name in after}

    def head_step(self, group: Sequence[Document], rate: float, steps: int) -> dict[str, float]:
        """Gradient descent on the head, whose input does not change."""
        import copy

        import torch
        from influence import word_states

        head = copy.deepcopy(self.member.model.classifier)
        scored = word_states(self.member, group)
        hidden = torch.from_numpy(np.concatenate([s.hidden for s in scored]))
        tags = np.concatenate([self.tag(d, s) for d, s in zip(group, scored, strict=True)])
        optimizer = torch.optim.SGD(head.parameters(), lr=rate)
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(
                head(hidden), torch.from_numpy(tags), ignore_index=IGNORED
            ).backward()
            optimizer.step()
        with torch.no_grad():
            found = [head(torch.from_numpy(s.hidden)).softmax(-1).numpy() for s in self.scores]
        return self.gain(found)

    def prepare(self, config: NerConfig, seed: int, batches: int = 8) -> None:
        """Save the weights, and an optimizer that knows the gradients of gold and replacement."""
        import torch

        from notesmith.ner.train import _optimizer

        model = self.member.model
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.optimizer = _optimizer(model, config)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        rng = np.random.default_rng([seed, 5])
        for chosen in rng.permutation(len(self.known))[: batches * 24].reshape(batches, -1):
            self.backward([self.known[i] for i in chosen], config)
            for group in self.optimizer.param_groups:
                group["lr"] = 0.0
            self.optimizer.step()
        for state in self.optimizer.state.values():
            state["exp_avg"].zero_()
        self.state = {
            p: {k: v.clone() for k, v in s.items()} for p, s in self.optimizer.state.items()
        }
        torch.manual_seed(seed)

    def backward(self, docs: Sequence[Document], config: NerConfig) -> None:
        """Gradient of the mean cross-entropy a word, clipped as in training, without dropout."""
        import torch

        from notesmith.ner.batch import collate
        from notesmith.ner.encoder import autocast, max_positions
        from notesmith.ner.windows import encode

        encoder, model = self.member.encoder, self.member.model
        encoded = encode(
            docs,
            encoder.tokenizer,
            config,
            labels=self.member.labels,
            max_positions=max_positions(model),
        )
        batch = collate(
            sorted(encoded.windows, key=len),
            pad=encoder.pad,
            pieces=config.pieces,
            packed_from=encoder.packed_from,
        )
        self.optimizer.zero_grad()
        with autocast("cpu", config.bf16):
            logits = batch.words(model(**batch.inputs).logits)
        torch.nn.functional.cross_entropy(logits, batch.tags, ignore_index=IGNORED).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)

    def whole_step(
        self, group: Sequence[Document], config: NerConfig, share: float, steps: int
    ) -> dict[str, float]:
        """AdamW on all weights at ``share`` of the training rates; weights are put back after."""
        import torch

        for parameters, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            parameters["lr"] = rate * share
        for _ in range(steps):
            self.backward(group, config)
            self.optimizer.step()
        found = [s.probabilities for s in self.member.predict_scores(self.docs)]
        self.member.model.load_state_dict(self.weights)
        with torch.no_grad():
            for parameter, state in self.state.items():
                for name, value in state.items():
                    self.optimizer.state[parameter][name].copy_(value)
        return self.gain(found)


def correlate(a: Any, b: Any) -> Any:
    """Correlation of each row of ``a`` with that of ``b``; 0 where one is constant."""
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    size = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.where(size > 0, (a * b).sum(1) / np.maximum(size, 1e-30), 0.0)


def within(x: Any, kinds: Any) -> Any:
    """Ranks within each kind, centred, so that kinds do not differ."""
    from scipy.stats import rankdata

    found = np.zeros(len(x))
    for kind in set(kinds):
        rows = kinds == kind
        found[rows] = (rankdata(x[rows]) - 0.5) / rows.sum() - 0.5
    return found


def correlations(x: Any, y: Any, kinds: Any, seed: int, resamples: int = 2000) -> dict[str, Any]:
    """Spearman over all groups, over honest ones and within kinds, with bootstrap intervals."""
    from scipy.stats import rankdata

    honest = ~np.isin(kinds, [*WRONG, "mixed"])
    made = kinds == "made"
    rng = np.random.default_rng([seed, 9])
    sides = {
        "all": (x, y),
        "honest": (x[honest], y[honest]),
        "within": (within(x, kinds), within(y, kinds)),
        "within_honest": (
            within(x[honest], kinds[honest]),
            within(y[honest], kinds[honest]),
        ),
    }
    if made.any():
        sides["made"] = (x[made], y[made])
    found: dict[str, Any] = {}
    for name, (a, b) in sides.items():
        # Ranks are taken once: the resamples are of pairs of ranks.
        rows = rng.integers(len(a), size=(resamples, len(a)))
        draws = correlate(rankdata(a)[rows], rankdata(b)[rows])
        low, high = np.quantile(draws, [0.025, 0.975])
        middle = correlate(rankdata(a)[None], rankdata(b)[None])[0]
        found[name] = [round(float(v), 3) for v in (middle, low, high)]
    return found


def build_groups(
    pools: dict[str, list[Document]], n_groups: int, size: int, rng: np.random.Generator
) -> list[tuple[str, list[Document]]]:
    """Groups of one kind in turn, and mixed ones."""
    kinds = [*pools, "mixed"]
    groups = []
    for g in range(n_groups):
        kind = kinds[g % len(kinds)]
        if kind == "mixed":
            names = list(pools)
            docs = [
                pools[k][int(rng.integers(len(pools[k])))] for k in rng.choice(names, size=size)
            ]
        else:
            docs = [pools[kind][i] for i in rng.choice(len(pools[kind]), size=size, replace=False)]
        groups.append((kind, [replace(d, id=f"g{g}-{i}") for i, d in enumerate(docs)]))
    return groups


def replaced(kept: Sequence[Document], seed: int) -> list[Document]:
    """Mention-replaced copies, with names of the same documents only."""
    return replace_mentions(kept, gold_names(kept), config=AugmentConfig(), seed=seed)


def judges(
    gold: list[Document], config: NerConfig, folds: int, seed: int, cache: Path | None
) -> Any:
    """The committee of judges, from ``cache`` if it is there."""
    from notesmith.ner import Committee, load_ner, train_committee

    if cache is not None and (cache / "folds.json").exists():
        held = json.loads((cache / "folds.json").read_text("utf-8"))
        members = tuple(load_ner(cache / str(k)) for k in range(len(held)))
        return Committee(members, tuple(frozenset(ids) for ids in held))
    committee = train_committee(
        gold,
        lambda kept: replaced(kept, seed),
        config=config,
        n_members=folds,
        labels=[LABEL],
        seed=seed,
    )
    if cache is not None:
        for k, member in enumerate(committee.members):
            member.save(cache / str(k))
        held = [sorted(ids) for ids in committee.held_out]
        (cache / "folds.json").write_text(json.dumps(held), "utf-8")
    return committee


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("--dev", type=Path, help="where truth is measured; else more of train")
    parser.add_argument("--gold", type=Path, help="the draw, instead of a random one")
    parser.add_argument("--made", type=Path, help="text made from that draw")
    parser.add_argument("--documents", type=int, default=50)
    parser.add_argument("--measured", type=int, default=40, help="documents that truth is taken on")
    parser.add_argument("--groups", type=int, default=72)
    parser.add_argument("--size", type=int, default=24, help="sentences a group")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--scopes", default="head", help="of head, last-layer, all")
    parser.add_argument("--head-rate", type=float, default=0.1)
    parser.add_argument("--updates", type=int, default=3, help="optimizer steps on a group")
    parser.add_argument("--share", type=float, default=0.1, help="of the training rate, for AdamW")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--judges", type=Path, help="folder that keeps trained judges")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def draw(args: argparse.Namespace) -> Material:
    """Read the corpora and choose gold, the documents of truth, and pools of candidates by kind."""
    rng = np.random.default_rng(args.seed)
    train = read(args.train)
    shuffled = [train[i] for i in rng.permutation(len(train))]
    gold = read(args.gold) if args.gold else shuffled[: args.documents]
    ids = {doc.id for doc in gold}
    rest = [doc for doc in shuffled if doc.id not in ids]
    measured = (read(args.dev) if args.dev else rest)[: args.measured]
    ids = {doc.id for doc in measured}
    real = sentences([doc for doc in rest if doc.id not in ids])
    pools = {
        "real": real,
        "gold": sentences(gold),
        "replaced": sentences(replaced(gold, args.seed)),
        "shuffled": shuffle_labels(real, seed=args.seed),
        "removed": [doc.with_entities(()) for doc in real if doc.entities],
        "shifted": [shift(doc, rng) for doc in real if doc.entities],
    }
    reference = pools["replaced"]
    if args.made:
        made = [doc for doc in read(args.made) if len(words(doc.text)) >= 4]
        reference = made[::3]
        pools["made"] = [doc for i, doc in enumerate(made) if i % 3]
    groups = build_groups(pools, args.groups, args.size, rng)
    return Material(gold, measured, reference[:300], groups)


def predict(
    material: Material, committee: Any, scopes: Sequence[str]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Benefit of each group by every way of taking it, and processor seconds of 1,000 texts."""
    from influence import StudentBenefit

    texts = [doc for _, docs in material.groups for doc in docs]
    of_group = np.repeat(
        np.arange(len(material.groups)), [len(docs) for _, docs in material.groups]
    )
    n_words = np.array([max(len(words(doc.text)), 1) for doc in texts], float)
    ones = np.ones(len(texts))

    def mean(values: Any, weights: Any) -> Any:
        return np.bincount(of_group, weights * values) / np.bincount(of_group, weights)

    found: dict[str, Any] = {}
    cost: dict[str, float] = {}
    ways: list[tuple[Any, Any, Any]] = [
        ("head", loss, per)
        for loss in ("soft-f1", "cross-entropy")
        for per in ("word", "gradient")
        if "head" in scopes
    ]
    ways += [(scope, "soft-f1", "word") for scope in scopes if scope != "head"]
    for scope, of, per in ways:
        benefit = StudentBenefit.from_committee(
            committee, material.gold, loss=of, per=per, scope=scope
        )
        name, weights = f"{scope}, {of}, per {per}", n_words if per == "word" else ones
        start = time.process_time()
        raw = benefit.raw(texts)
        cost[name] = (time.process_time() - start) / len(texts) * 1000
        found[name] = mean(raw.values, weights)
        found[f"{name}, mean of folds"] = mean(raw.per_fold.mean(0), weights)
        found[f"{name}, own fold"] = mean(raw.per_fold[0], weights)
        if scope == "head":
            scaled = benefit.calibrate(material.reference)(texts)
            found[f"{name}, in [0, 1]"] = mean(np.array(scaled), ones)
    member = committee.members[0]
    loss = np.zeros(len(texts))
    for i, (doc, scored) in enumerate(zip(texts, member.predict_scores(texts), strict=True)):
        tags = np.array(tag_words(doc, scored.words, member.labels).tags)
        kept = np.flatnonzero(tags != IGNORED)
        if len(kept):
            loss[i] = -np.log(np.maximum(scored.probabilities[kept, tags[kept]], 1e-12)).mean()
    density = np.array([len(doc.entities) for doc in texts]) / n_words
    found["rival: low loss"] = -mean(loss, n_words)
    found["rival: high loss"] = mean(loss, n_words)
    found["rival: density"] = mean(density, n_words)
    return found, cost


def measure(
    material: Material, committee: Any, config: NerConfig, args: argparse.Namespace
) -> tuple[dict[str, list[float]], list[dict[str, float]], float]:
    """Gains of each group by real steps; losses before; processor seconds of 1,000 texts."""
    truths = []
    for member, held in zip(committee.members, committee.held_out, strict=True):
        kept = [doc for doc in material.gold if doc.id not in held]
        known = sentences([*kept, *replaced(kept, args.seed)])
        truths.append(Truth(member, material.measured, known))
    true: dict[str, list[float]] = {}
    for _, docs in material.groups:
        heads = [t.head_step(docs, args.head_rate, args.updates) for t in truths]
        for loss in heads[0]:
            true.setdefault(f"head, own, {loss}", []).append(heads[0][loss])
            true.setdefault(f"head, mean, {loss}", []).append(
                float(np.mean([h[loss] for h in heads]))
            )
    before = [t.before for t in truths]
    truths[0].prepare(config, args.seed)
    start = time.process_time()
    for _, docs in material.groups:
        for loss, value in truths[0].whole_step(docs, config, args.share, args.updates).items():
            true.setdefault(f"whole, {loss}", []).append(value)
    spent = (time.process_time() - start) / (len(material.groups) * args.size) * 1000
    return true, before, spent


def main() -> None:
    """Train judges, judge groups, train on groups, correlate."""
    args = arguments()
    prepare()
    import torch

    torch.set_num_threads(args.threads)
    began, processor = time.perf_counter(), time.process_time()
    material = draw(args)
    config = NerConfig(steps=args.steps, learning_rate=2e-4, encoder=args.encoder)
    committee = judges(material.gold, config, args.folds, args.seed, args.judges)
    trained = time.process_time() - processor
    predicted, cost = predict(material, committee, args.scopes.split(","))
    true, before, spent = measure(material, committee, config, args)
    kinds = np.array([kind for kind, _ in material.groups])
    names = sorted(set(kinds.tolist()))
    report: dict[str, Any] = {
        "arguments": {k: v for k, v in vars(args).items() if not isinstance(v, Path)},
        "made": bool(args.made),
        "groups": {kind: int((kinds == kind).sum()) for kind in names},
        "losses_before": before,
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
        "processor_seconds_of_judges": round(trained, 1),
        "processor_seconds_per_1000_texts": {
            k: round(v, 1) for k, v in {**cost, "true whole step": spent}.items()
        },
        "mean_gain_by_kind": {
            name: {kind: float(np.array(v)[kinds == kind].mean()) for kind in names}
            for name, v in true.items()
        },
    }
    spearmans = {
        target: {
            name: correlations(x, np.array(y), kinds, args.seed) for name, x in predicted.items()
        }
        for target, y in true.items()
    }
    print(json.dumps(report, indent=1))
    for target, rows in spearmans.items():
        print(f"\n| {target} | " + " | ".join(next(iter(rows.values()))) + " |")
        for name, sides in rows.items():
            cells = [f"{v:.2f} [{low:.2f}, {high:.2f}]" for v, low, high in sides.values()]
            print(f"| {name} | " + " | ".join(cells) + " |")
    for name, sides in spearmans["whole, soft"].items():
        # Groups with wrong labels must not carry it: honest text is what a generator is paid for.
        passed = (
            min(sides["all"][0], sides["honest"][0]) >= ADMITTED
            and min(sides["all"][1], sides["honest"][1]) > 0
        )
        print(f"{'passes' if passed else 'fails'} (≥ {ADMITTED}, all and honest groups): {name}")
    if args.out:
        values = {k: np.asarray(v).tolist() for k, v in predicted.items()}
        report |= {"spearman": spearmans, "kind": kinds.tolist(), "predicted": values, "true": true}
        args.out.write_text(json.dumps(report, indent=1), "utf-8")


if __name__ == "__main__":
    main()
