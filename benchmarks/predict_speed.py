"""Notes a second of ``notesmith predict``, beside plain transformers and spaCy; memory by notes.

Each side labels the same texts in a process of its own, once, after the model has loaded and a few
notes have gone through it:

* ``notesmith``: what the command does: read the notes twice, label them, write JSON lines;
* ``onnx``: the same from a folder of ``notesmith export``, where one is named;
* ``pipeline``: ``pipeline("token-classification", aggregation_strategy="first", stride=64)`` of
  transformers on the same folder. Without a stride it would read the beginning of a note alone;
* ``spacy``: ``nlp.pipe`` of a blank English pipeline with spaCy's own ``ner``: transitions on its
  default tok2vec, a small convolutional network, with untrained weights;
* ``spacy-encoder``: the same ``ner`` on a BERT of the model's size and vocabulary in the place of
  that network, by spacy-curated-transformers (``pip install spacy-curated-transformers``), with its
  default strided spans; only if it is installed. Weights are untrained, which costs as much.

Memory is the peak resident size of the command as a user runs it, on as many notes as named, the
texts repeated under new ids and cut to ``--memory-chars``: what matters is whether it grows.

    python benchmarks/predict_speed.py MODEL NOTES [--text-field F] [--n 200] [--threads 2]
        [--onnx FOLDER] [--pipeline-batch 1] [--memory 1000 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from notesmith.corpus.formats.json_values import NoteFields
from notesmith.corpus.formats.jsonl import dumps
from notesmith.corpus.labelling import Output, label_notes
from notesmith.corpus.notes import find_notes, survey
from notesmith.corpus.problems import Tally
from notesmith.document import Document
from notesmith.ner import Student, load_student

WARM = 8
CURATED = "spacy-curated-transformers"


def texts(path: Path, fields: NoteFields) -> Iterator[str]:
    """The texts of ``path``, without the empty ones."""
    for doc in find_notes(path, fields=fields)(Tally("count")):
        if doc.text.strip():
            yield doc.text


def write_notes(path: Path, source: list[str], n: int, *, chars: int | None = None) -> None:
    """``n`` notes from ``source``, repeated as needed, as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for i, text in enumerate(islice(cycle(source), n)):
            file.write(dumps(Document(f"n{i}", text[:chars])) + "\n")


def ours(student: Student, notes_path: Path) -> dict[str, float]:
    """What ``notesmith predict`` does once the model is loaded."""
    notes = find_notes(notes_path)
    student.predict(list(islice(notes(Tally()), WARM)))
    began, worked = time.perf_counter(), time.process_time()
    output = Output(notes_path.with_name(f"out-{os.getpid()}.jsonl"), "benchmark", student.labels)
    done = label_notes(notes, survey(notes), partial(student.predict), output)
    return measured(began, worked, done.n_docs, done.n_entities)


def plain(model: Path, notes_path: Path, batch: int) -> dict[str, float]:
    """The pipeline of transformers."""
    from transformers import AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    settings = json.loads((model / "config.json").read_text("utf-8"))
    tokenizer.model_max_length = min(
        tokenizer.model_max_length, settings["max_position_embeddings"]
    )
    run: Any = pipeline(
        "token-classification",
        model=str(model),
        tokenizer=tokenizer,
        aggregation_strategy="first",
        stride=64,
    )
    found = [doc.text for doc in find_notes(notes_path)(Tally())]
    run(found[:WARM])
    began, worked = time.perf_counter(), time.process_time()
    n_entities = sum(len(ents) for ents in run(found, batch_size=batch))
    return measured(began, worked, len(found), n_entities)


def spacy_ner(notes_path: Path, labels: list[str], encoder: Path | None = None) -> dict[str, float]:
    """spaCy's own NER, untrained: what it finds is chance, what it computes is not.

    With ``encoder`` it stands on a BERT of that folder's size and vocabulary.
    """
    import spacy
    from spacy.training import Example

    nlp = spacy.blank("en")
    on: dict[str, Any] = {}
    if encoder is not None:
        vocabulary = notes_path.with_name("vocab.txt")
        add_encoder(nlp, encoder, vocabulary)
        listener = {"@architectures": f"{CURATED}.LastTransformerLayerListener.v1"}
        pooling = {"@layers": "reduce_mean.v1"}
        width = json.loads((encoder / "config.json").read_text("utf-8"))["hidden_size"]
        on = {"model": {"tok2vec": {**listener, "width": width, "pooling": pooling}}}
    ner: Any = nlp.add_pipe("ner", config=on)
    for label in labels:
        ner.add_label(label)
    example = Example.from_dict(nlp.make_doc("Fever."), {"entities": [(0, 5, labels[0])]})
    nlp.initialize(lambda: [example])
    found = [doc.text for doc in find_notes(notes_path)(Tally())]
    list(nlp.pipe(found[:WARM]))
    began, worked = time.perf_counter(), time.process_time()
    n_entities = sum(len(doc.ents) for doc in nlp.pipe(found))
    return measured(began, worked, len(found), n_entities)


def add_encoder(nlp: Any, folder: Path, vocabulary: Path) -> None:
    """Put a BERT with the size and the vocabulary of ``folder`` before what follows."""
    from transformers import AutoTokenizer

    known = AutoTokenizer.from_pretrained(folder, local_files_only=True).get_vocab()
    vocabulary.write_text("\n".join(sorted(known, key=lambda piece: known[piece])) + "\n", "utf-8")
    size = json.loads((folder / "config.json").read_text("utf-8"))
    nlp.add_pipe(
        "curated_transformer",
        config={
            "model": {
                "@architectures": f"{CURATED}.BertTransformer.v1",
                "vocab_size": size["vocab_size"],
                "hidden_width": size["hidden_size"],
                "intermediate_width": size["intermediate_size"],
                "num_attention_heads": size["num_attention_heads"],
                "num_hidden_layers": size["num_hidden_layers"],
                "piece_encoder": {"@architectures": f"{CURATED}.BertWordpieceEncoder.v1"},
                "with_spans": {"@architectures": f"{CURATED}.WithStridedSpans.v1"},
            }
        },
    )
    nlp.config["initialize"]["components"]["curated_transformer"] = {
        "piecer_loader": {
            "@model_loaders": f"{CURATED}.WordpieceLoader.v1",
            "path": str(vocabulary),
            "lowercase": True,
        }
    }


def measured(began: float, worked: float, n_notes: int, n_entities: int) -> dict[str, float]:
    """Seconds since, by clock and by processor."""
    return {
        "seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - worked,
        "notes": n_notes,
        "entities": n_entities,
    }


def peak_mib(model: Path, notes_path: Path, threads: int) -> dict[str, float]:
    """Peak resident MiB of the command, and how long it took."""
    command = [sys.executable, "-c", "from notesmith.cli import main; main()", "predict"]
    command += [str(model), str(notes_path)]
    command += ["--out", str(notes_path.with_name("memory-out.jsonl"))]
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment(threads))
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"predict failed with {process.returncode}")
    return {"peak_mib": used.ru_maxrss / 1024, "seconds": time.perf_counter() - began}


def environment(threads: int) -> dict[str, str]:
    """This process's variables, with the number of threads set."""
    n = str(threads)
    return {**os.environ, "OMP_NUM_THREADS": n, "MKL_NUM_THREADS": n, "HF_HUB_OFFLINE": "1"}


def main() -> None:
    """Run the sides one after the other and print a table; or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("notes", type=Path)
    parser.add_argument("--text-field")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--onnx", type=Path)
    parser.add_argument("--pipeline-batch", type=int, default=1)
    parser.add_argument("--memory", type=int, nargs="*", default=[])
    parser.add_argument("--memory-chars", type=int, default=300)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print("@", json.dumps(side(args)))
        return
    fields = NoteFields(args.text_field)
    with tempfile.TemporaryDirectory() as temporary:
        source = list(islice(texts(args.notes, fields), max(args.n, 1000)))
        path = Path(temporary, "notes.jsonl")
        write_notes(path, source, args.n)
        sides = ["notesmith", *(["onnx"] if args.onnx else []), "pipeline", "spacy"]
        sides += ["spacy-encoder"] if find_spec("spacy_curated_transformers") else []
        print(
            f"{args.n} notes, {sum(map(len, source[: args.n])):,} characters, "
            f"{args.threads} threads"
        )
        for name in sides:
            row = run_side(name, args, path)
            print(
                f"{name}: {row['notes'] / row['seconds']:.1f} notes/s by the clock, "
                f"{row['notes'] / row['processor_seconds']:.1f} a processor second, "
                f"{row['entities']:.0f} entities",
                flush=True,
            )
        for n in args.memory:
            many = Path(temporary, "many.jsonl")
            write_notes(many, source, n, chars=args.memory_chars)
            row = peak_mib(args.model, many, args.threads)
            print(
                f"memory at {n:,} notes: {row['peak_mib']:.0f} MiB at the peak, "
                f"{row['seconds']:.0f} s",
                flush=True,
            )


def run_side(name: str, args: argparse.Namespace, path: Path) -> dict[str, float]:
    """One side in a process of its own."""
    model = args.onnx if name == "onnx" else args.model
    command = [sys.executable, __file__, str(model), str(path), "--side", name]
    command += ["--threads", str(args.threads), "--pipeline-batch", str(args.pipeline_batch)]
    done = subprocess.run(
        command, env=environment(args.threads), stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.rpartition("@")[2])
    return found


def side(args: argparse.Namespace) -> dict[str, float]:
    """What the process was started for."""
    from notesmith.cli.process import prepare

    if args.side == "notesmith":
        prepare()
        return ours(load_student(args.model), args.notes)
    if args.side == "onnx":
        from notesmith.ner.onnx_model import load_onnx

        prepare()
        return ours(load_onnx(args.model, threads=args.threads), args.notes)
    if args.side == "pipeline":
        return plain(args.model, args.notes, args.pipeline_batch)
    labels = json.loads((args.model / "notesmith.json").read_text("utf-8"))["labels"]
    return spacy_ner(args.notes, labels, args.model if args.side == "spacy-encoder" else None)


if __name__ == "__main__":
    main()
