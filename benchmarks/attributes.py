"""Learn negation as an attribute: the student's second head beside a rule and "always affirmed".

    python benchmarks/attributes.py NEGEX_TESTKIT --out cells.jsonl [--seeds 2] [--steps 300]

NEGEX_TESTKIT is the folder of github.com/chapmanbe/negex that holds ``negex.python``: 2,376
mentions in sentences of 120 reports. Sentences of a report that differ only in which mention they
show are one document. Five folds by report; one line of JSON a finished cell (fold, seed), and a
second run goes on where the first stopped. ``--plain`` trains without the attribute, for the
mentions alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from notesmith.cli.process import prepare
from notesmith.config import NerConfig
from notesmith.document import Document, Entity
from notesmith.metrics import PRFScore, score, score_attributes

NEGATED = "negated"
FOLDS = 5
_WINDOW = 40
"""Words that a trigger reaches at most, in the rule."""


def read(folder: Path) -> tuple[list[Document], int]:
    """Documents of lower-case text with their mentions, and how many rows had none to place.

    A row shows its mention in capitals, which an uncased encoder does not see; lower case makes
    rows of one sentence equal, and gives nothing away.
    """
    path = folder / "negex.python" / "Annotations-1-120.txt"
    with path.open(encoding="latin-1", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    found: dict[tuple[str, str], dict[tuple[int, int], bool]] = {}
    lost = 0
    for row in rows:
        text, concept = row["Sentence"], row["Concept"].strip()
        at = text.find(concept.upper())
        at = text.lower().find(concept.lower()) if at < 0 else at
        if at < 0 or len(text.lower()) != len(text):
            lost += 1
            continue
        mentions = found.setdefault((row["Report No."], text.lower()), {})
        mentions[at, at + len(concept)] = row["Negation"].startswith("Neg")
    docs: list[Document] = []
    for i, ((report, text), mentions) in enumerate(found.items()):
        entities = [
            Entity(f"T{k}", "Finding", (span,), (NEGATED,) if negated else ())
            for k, (span, negated) in enumerate(sorted(mentions.items()), 1)
        ]
        metadata = {"patient": report}
        docs.append(Document(f"s{i}", text, tuple(entities), metadata=metadata))
    return docs, lost


def rule(folder: Path) -> Callable[[str, Entity], bool]:
    """A rule in the manner of NegEx, with its triggers.

    A mention is negated if a trigger stands before it (or one of those that follow stands after
    it), with no word that ends its reach in between. Longer phrases go first, and pseudo-negations
    ("no increase") hide the triggers in them.
    """
    lines = (folder / "negex.python" / "negex_triggers.txt").read_text("latin-1").splitlines()
    kinds: dict[str, str] = {}
    for line in lines:
        phrase, _, kind = line.strip().rpartition("\t")
        if phrase.strip():
            kinds[" ".join(phrase.lower().split())] = kind.strip("[] ")
    longest_first = sorted(kinds, key=len, reverse=True)
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b")

    def negated(text: str, ent: Entity) -> bool:
        found = [
            (m.start(), m.end(), kinds[m[0]])
            for m in pattern.finditer(re.sub(r"\s", " ", text))
            if m.end() <= ent.start or m.start() >= ent.end
        ]
        before = [hit for hit in found if hit[1] <= ent.start]
        for _, end, kind in reversed(before):
            if kind == "CONJ" or len(text[end : ent.start].split()) > _WINDOW:
                break
            if kind == "PREN":
                return True
        for start, _, kind in (hit for hit in found if hit[0] >= ent.end):
            if kind == "CONJ" or len(text[ent.end : start].split()) > _WINDOW:
                break
            if kind == "POST":
                return True
        return False

    return negated


def folds(docs: Sequence[Document]) -> list[set[str]]:
    """Reports of each fold: every fifth, in the order of the file."""
    reports = list(dict.fromkeys(str(doc.metadata["patient"]) for doc in docs))
    return [set(reports[k::FOLDS]) for k in range(FOLDS)]


def f1(gold: Sequence[Document], says: Callable[[Document, Entity], bool]) -> PRFScore:
    """Counts of ``negated`` on gold mentions."""
    pairs = [(NEGATED in ent.attributes, says(doc, ent)) for doc in gold for ent in doc.entities]
    return PRFScore(
        sum(want and have for want, have in pairs),
        sum(have and not want for want, have in pairs),
        sum(want and not have for want, have in pairs),
    )


def measure(
    train: Sequence[Document], test: Sequence[Document], config: NerConfig, seed: int
) -> dict[str, Any]:
    """Train on ``train`` and count on ``test``."""
    from notesmith.ner import train_ner
    from notesmith.ner.attributes import best_values

    result = train_ner(train, config=config, seed=seed)
    model = result.model
    predicted = model.predict(test)
    counts = {"mentions": score(test, predicted).micro}
    if config.attributes:
        own = {doc.id: s for doc, s in zip(test, model.predict_scores(test), strict=True)}

        def says(doc: Document, ent: Entity) -> bool:
            scores = own[doc.id]
            rows = [s < ent.end and e > ent.start for s, e in scores.words]
            assert scores.attributes is not None
            return NEGATED in best_values(scores.attributes[rows], model.attributes)

        found = score_attributes(test, predicted)[NEGATED]
        counts |= {
            "gold": f1(test, says),
            "found": PRFScore.sum(found.on_found),
            "end": PRFScore.sum(found.end_to_end),
        }
    return {"seconds": result.seconds} | {name: [c.tp, c.fp, c.fn] for name, c in counts.items()}


def show(name: str, cells: Sequence[dict[str, Any]], part: str) -> None:
    """Micro-F1 over the folds of each seed, their mean and range."""
    by_seed: dict[int, list[PRFScore]] = {}
    for cell in cells:
        if part in cell:
            by_seed.setdefault(cell["seed"], []).append(PRFScore(*cell[part]))
    totals = [PRFScore.sum(own) for own in by_seed.values() if len(own) == FOLDS]
    if totals:
        f1s = [100 * total.f1 for total in totals]
        p, r = (
            100 * statistics.mean(getattr(total, rate) for total in totals)
            for rate in ("precision", "recall")
        )
        print(
            f"{name:45} F1 {statistics.mean(f1s):.1f} ({min(f1s):.1f} to {max(f1s):.1f}, "
            f"{len(f1s)} seeds), P {p:.1f}, R {r:.1f}"
        )


def main() -> None:
    """Run the cells that are missing, then print what all of them say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("testkit", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="learn mentions alone")
    args = parser.parse_args()
    prepare()
    import torch

    torch.set_num_threads(args.threads)
    docs, lost = read(args.testkit)
    n_mentions = sum(len(doc.entities) for doc in docs)
    n_negated = sum(NEGATED in ent.attributes for doc in docs for ent in doc.entities)
    print(f"{len(docs)} documents, {n_mentions} mentions, {n_negated} negated, {lost} rows lost")
    negated = rule(args.testkit)
    for name, says in {
        "always affirmed": lambda doc, ent: False,
        "rule in the manner of NegEx": lambda doc, ent: negated(doc.text, ent),
    }.items():
        c = f1(docs, says)
        print(f"{name:45} F1 {100 * c.f1:.1f}, P {100 * c.precision:.1f}, R {100 * c.recall:.1f}")
    text = args.out.read_text("utf-8") if args.out.exists() else ""
    cells = [json.loads(line) for line in text.splitlines()]
    done = {(cell["seed"], cell["fold"]) for cell in cells}
    config = NerConfig(steps=args.steps, attributes=() if args.plain else (NEGATED,))
    for seed in range(1, args.seeds + 1):
        for fold, held in enumerate(folds(docs)):
            if (seed, fold) in done:
                continue
            test = [doc for doc in docs if doc.metadata["patient"] in held]
            train = [doc for doc in docs if doc.metadata["patient"] not in held]
            cells.append({"seed": seed, "fold": fold, **measure(train, test, config, seed)})
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(cells[-1]) + "\n")
    show("student: mentions", cells, "mentions")
    show("student: negated, on gold mentions", cells, "gold")
    show("student: negated, on mentions found exactly", cells, "found")
    show("student: mention, label and negated", cells, "end")
    if cells:
        seconds = statistics.mean(cell["seconds"] for cell in cells)
        print(f"training took {seconds:.0f} s a student")


if __name__ == "__main__":
    main()
