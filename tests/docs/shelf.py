"""Files that the pages take for granted, by the names that they have there.

They are made of sentences of the packaged notes, with ``Problem`` called ``Disease`` as in the
pages. What a name stands for on one page alone is in ``OF_PAGE``, made where the page's commands
run; all others are made once and copied.
"""

from __future__ import annotations

import csv
import json
import lzma
import os
import shutil
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from notesmith.config import NerConfig, ReadingConfig
from notesmith.corpus import demo_corpus_path, read_corpus, write_corpus
from notesmith.corpus.doubtful import MAYBE
from notesmith.document import Document, Entity, Provenance
from notesmith.ner import train_ner
from notesmith.segments import cut, split
from tests.docs.pages import ROOT, blocks
from tests.docs.small import invoke
from tests.lm.tiny import save_tiny
from tests.ner.tiny import tiny_encoder

Maker = Callable[[Path], object]

PLACEHOLDERS = {
    **{"GOLD": "gold.jsonl", "PREDICTED": "predicted.jsonl", "TRAIN": "train.jsonl"},
    **{"FIRST": "first.jsonl", "SECOND": "second.jsonl", "FILE": "file.jsonl"},
    **{"FOLDER": "maccrobat", "RUN": "runs/ours"},
}


@cache
def sentences(part: str) -> tuple[Document, ...]:
    """Sentences with a mention, no two alike; the notes take turns."""
    found: dict[str, tuple[int, Document]] = {}
    for doc in read_corpus(
        demo_corpus_path() / part, ReadingConfig(label_map={"Problem": "Disease"})
    ).docs:
        for i, span in enumerate(split(doc, "sentence")):
            short = cut(doc, span, doc_id=f"{doc.id}-{i}")
            if short.entities and "\n" not in short.text and 6 <= len(short.text.split()) <= 30:
                found.setdefault(short.text, (i, replace(short, provenance=Provenance())))
    return tuple(doc for _, doc in sorted(found.values(), key=lambda pair: pair[0]))


TRAIN, DEV, TEST = sentences("train")[:100], sentences("dev")[:12], sentences("test")[:16]
NOTES = TRAIN[:70]


def corpus(docs: Sequence[Document], name: str = "jsonl") -> Maker:
    return lambda path: write_corpus(docs, path, format=name)


def published(docs: Iterable[Document], corpus: str) -> list[Document]:
    """The sentences as those of a public corpus: no two corpora share a document."""
    return [replace(doc, text=f"{doc.text} Taken from {corpus}.") for doc in docs]


def guess(docs: Iterable[Document], first: int = 0) -> list[Document]:
    """As somebody may read them who overlooks the last mention of every third."""
    return [
        doc.with_entities(doc.entities[:-1] if i % 3 == first else doc.entities)
        for i, doc in enumerate(docs)
    ]


def added_later(docs: Sequence[Document]) -> list[Document]:
    """Documents that all name an allergy, which is marked in the second half alone."""
    found = []
    for i, doc in enumerate(docs):
        start = len(doc.text) + 1
        allergy = Entity("T99", "Allergy", ((start, start + len("Penicillin")),))
        doc = replace(doc, text=f"{doc.text} Penicillin causes hives.")
        late = i >= len(docs) // 2
        found.append(doc.with_entities([*doc.entities, allergy]) if late else doc)
    return found


def parts(path: Path) -> None:
    for name, docs in {"train": TRAIN[:60], "dev": DEV, "test": TEST}.items():
        write_corpus(docs, path / f"{name}.jsonl")


def texts(path: Path) -> None:
    path.mkdir()
    for doc in DEV:
        (path / f"{doc.id}.txt").write_text(doc.text, encoding="utf-8")


def packed(path: Path) -> None:
    rows = [json.dumps({"id": doc.id, "text": doc.text}) + "\n" for doc in DEV]
    path.write_bytes(lzma.compress("".join(rows).encode()))


def columns(path: Path) -> None:
    table = {"note_id": range(1, len(DEV) + 1), "transcription": [doc.text for doc in DEV]}
    pq.write_table(pa.table(table), path)


def patients(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "patient", "kind"])
        rows.writerows([d.id, d.metadata["patient"], d.metadata["kind"]] for d in NOTES)


def student(path: Path) -> None:
    train_ner(TRAIN[:20], config=NerConfig(batch_size=8), seed=13).model.save(path)


def of_two(path: Path) -> None:
    """A Label Studio export in which two people have annotated every task."""
    corpus(TRAIN[:30], "label-studio")(path)
    others = path.with_name("other.json")
    corpus(guess(TRAIN[:30]), "label-studio")(others)
    tasks, second = (json.loads(p.read_text(encoding="utf-8")) for p in (path, others))
    for task, other in zip(tasks, second, strict=True):
        task["annotations"] += other["annotations"]
        for answer, who in zip(task["annotations"], ("anna", "ben"), strict=True):
            answer["completed_by"] = {"email": f"{who}@example.org"}
    path.write_text(json.dumps(tasks), encoding="utf-8")
    others.unlink()


def with_an_error(path: Path) -> None:
    """Gold in which one of four equal mentions was overlooked."""
    told = ("since Monday morning", "and rigors overnight", "after the second dose", "at home")
    fever = (Entity("T1", "Disease", ((0, 5),)),)
    docs = [Document(f"fever-{i}", f"Fever {what}.", fever) for i, what in enumerate(told)]
    docs[-1] = docs[-1].with_entities(())
    write_corpus([*TRAIN[:30], *docs], path)


def corrected(path: Path) -> None:
    """What Label Studio exports after somebody has accepted every suggestion in ``doubts``."""
    tasks = path.with_name("doubts") / "tasks.json"
    docs = [
        replace(doc, provenance=Provenance()).with_entities(
            replace(ent, label=ent.label.removeprefix(MAYBE)) for ent in doc.entities
        )
        for doc in read_corpus(tasks, ReadingConfig(predictions=True)).docs
    ]
    write_corpus(docs, path, format="label-studio")


def roles(path: Path) -> None:
    """Notes in which names of body parts lie inside those of problems."""
    text = "Left ankle fracture since May {}."
    spans = {"Problem": (0, 19), "Site": (0, 10), "Time": (20, 29)}
    ents = tuple(Entity(f"T{i}", x, (at,)) for i, (x, at) in enumerate(spans.items()))
    docs = [Document(f"n{i}", text.format(i), ents) for i in range(12)]
    write_corpus(docs[:8], path / "train.jsonl")
    write_corpus(docs[8:], path / "test.jsonl")


def run_of(recipe: str) -> Maker:
    return lambda path: invoke(["run", recipe, "--out", str(path)])


def block_of(page: str, language: str) -> Maker:
    """A maker of the file that the page shows whole."""
    (body,) = blocks(ROOT / page, language)
    return lambda path: path.write_text(body, encoding="utf-8")


def own_notes(path: Path) -> None:
    """Notes that no labelled document repeats, as plain texts."""
    path.mkdir()
    for i, doc in enumerate(DEV[:6]):
        (path / f"{i}.txt").write_text(f"On day {i}. {doc.text}", encoding="utf-8")


def of_a_tagger(path: Path) -> None:
    """Predictions of a tagger for ``own_notes``; it calls a disease PROBLEM."""
    docs = []
    for i, doc in enumerate(DEV[:6]):
        start = len(f"On day {i}. ")
        found = [
            replace(ent, label="PROBLEM", spans=tuple((a + start, b + start) for a, b in ent.spans))
            for ent in doc.entities
            if ent.label == "Disease"
        ]
        docs.append(Document(str(i), f"On day {i}. {doc.text}", tuple(found)))
    write_corpus(docs, path)


SHELF: dict[str, Maker] = {
    "gold.jsonl": corpus(DEV),
    "train.jsonl": corpus(TRAIN),
    "train": corpus(TRAIN, "brat"),
    "dev.jsonl": corpus(DEV),
    "new.jsonl": corpus(TEST),
    "test.jsonl": corpus(TEST),
    "file.jsonl": lambda path: write_corpus(read_corpus(demo_corpus_path() / "dev").docs, path),
    "made.jsonl": corpus(guess(TRAIN[70:80])),
    "kept.jsonl": corpus(guess(TRAIN[70:80])),
    **{f"{who}.jsonl": corpus(guess(DEV, i)) for i, who in enumerate(("predicted", "first"))},
    "second.jsonl": corpus(guess(DEV, 2)),
    "parts": parts,
    "notes.jsonl": corpus(NOTES),
    "notes": texts,
    "notes.jsonl.xz": packed,
    "export.parquet": columns,
    "export": corpus(NOTES, "brat"),
    "export.json": corpus(NOTES, "label-studio"),
    "patients.csv": patients,
    "train.tsv": corpus(NOTES, "conll"),
    "model": student,
    "student": student,
    "models/our-bert": tiny_encoder,
    "recipes/attributes.toml": partial(shutil.copyfile, ROOT / "recipes" / "attributes.toml"),
    "rare-diseases.txt": lambda path: path.write_text("gout\nsarcoidosis\n"),
    "models/base": partial(save_tiny, "gemma3"),
    "src/notesmith/demo": partial(shutil.copytree, demo_corpus_path()),
    "brat/anna": corpus(TRAIN[:30], "brat"),
    "brat/ben": corpus(guess(TRAIN[:30]), "brat"),
    "first/notes": corpus(TRAIN[:30], "brat"),
    "second/notes": corpus(guess(TRAIN[:30]), "brat"),
    "ours.toml": block_of("docs/tutorial.md", "toml"),
    "recipe.toml": block_of("docs/tutorial.md", "toml"),
    "runs/ours": run_of("ours.toml"),
    "runs/quickstart": run_of("quickstart"),
    "checks.py": block_of("docs/explanation/rewards.md", "python"),
}
for _docs, _names in (
    (TRAIN, ("NCBItrainset_corpus.txt", "CDR_TrainingSet.PubTator.txt", "maccrobat/train.jsonl")),
    (DEV, ("NCBIdevelopset_corpus.txt", "CDR_DevelopmentSet.PubTator.txt", "maccrobat/dev.jsonl")),
    (TEST, ("NCBItestset_corpus.txt", "CDR_TestSet.PubTator.txt", "maccrobat/test.jsonl")),
):
    SHELF |= {
        name: corpus(published(_docs, name[:4]), "jsonl" if name.endswith("l") else "pubtator")
        for name in _names
    }

OF_PAGE: dict[str, dict[str, Maker]] = {
    "docs/how-to/several-annotators.md": {"export.json": of_two},
    "docs/how-to/nested-mentions.md": {
        "roles/train.jsonl": lambda path: roles(path.parent),
        "roles/test.jsonl": lambda path: roles(path.parent),
    },
    "docs/how-to/labels-added-later.md": {
        "notes.jsonl": corpus(added_later(TRAIN[:30])),
        "gold.jsonl": corpus(added_later(DEV)),
        "predicted.jsonl": corpus(guess(added_later(DEV))),
    },
    "docs/how-to/annotate.md": {"notes": own_notes, "more-notes": own_notes},
    "docs/how-to/use-a-tagger.md": {"notes": own_notes, "predictions.jsonl": of_a_tagger},
    "docs/how-to/doubtful-gold.md": {"gold.jsonl": with_an_error, "export.json": corrected},
}


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where what the pages share is made once, and copied from."""

    folder: Path

    def bring(self, name: str, room: Path, *, page: str) -> bool:
        """Put the file or folder ``name`` into ``room``, or the folder that it is in.

        Returns:
            Whether there is such.
        """
        if own := OF_PAGE.get(page, {}).get(name):
            own(room / name)
            return True
        folders = [parent.as_posix() for parent in (Path(name), *Path(name).parents)]
        name = next((folder for folder in folders if folder in SHELF), "")
        if not name:
            return False
        self._make(name)
        copy(self.folder / name, room / name)
        self.bring_what_it_reads(name, room, page=page)
        return True

    def bring_what_it_reads(self, name: str, room: Path, *, page: str) -> None:
        """Put the corpora into ``room`` that the recipe ``name`` reads."""
        for more in read_by(room / name):
            if not (room / more).exists():
                self.bring(more, room, page=page)

    def _make(self, name: str) -> None:
        path = self.folder / name
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            for needed in ("ours.toml", "parts") if name == "runs/ours" else ():
                self._make(needed)
            SHELF[name](Path(name))
        finally:
            os.chdir(before)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def read_by(path: Path) -> list[str]:
    """What on the shelf a recipe, or the recipe of a run folder, reads."""
    recipe = path / "recipe.toml" if path.is_dir() else path
    if recipe.suffix != ".toml" or not recipe.is_file():
        return []
    named = tomllib.loads(recipe.read_text(encoding="utf-8"))["corpus"]
    paths = (named.get(split, "demo:") for split in ("train", "dev", "test"))
    return [path for path in paths if not path.startswith("demo:")]
