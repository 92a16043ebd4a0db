"""Notes a second of ``notesmith annotate``, beside plain transformers; memory by notes.

Texts are made up here, of sentences from a list of words; no corpus is read. Students are the
packaged encoder with heads that learnt one step: what they find is chance, what they compute is
not. Each side labels the same texts in a process of its own, once. Processor seconds include
loading on all sides; seconds by the clock include it on ours alone:

* ``one``: ``annotate --model`` with one student, reading and writing of files included;
* ``committee``: the same with several students that vote;
* ``committee-exact``: the same with ``--exact``, in float32;
* ``pipeline``: ``pipeline("token-classification", aggregation_strategy="first", stride=64)`` of
  transformers on the weights of the one student;
* ``pipelines``: the same for each student of the committee in turn. Their votes are not counted,
  which a user's program would have to do.

Memory is the peak resident size of the process, with a student of the layers of the packaged one
and a hundredth of its width, so that many notes take minutes: what matters is whether it grows.

    python benchmarks/annotate.py [--n 100] [--students 5] [--chars 2000] [--threads 2]
        [--sides one committee pipeline] [--batch 8] [--memory 2000 20000]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from notesmith.document import Document, Entity

SIDES = ("one", "committee", "committee-exact", "pipeline", "pipelines")
WORDS = (
    "the patient was seen for severe mild chronic acute pain fever cough asthma fracture nausea "
    "of left right lung heart knee and denies any history with aspirin ibuprofen insulin given "
    "daily before after scan showed no new lesion follow up in two weeks if worse stable"
).split()
SIZE = {"hidden_size": 4, "num_attention_heads": 2, "intermediate_size": 16}


def text_of(rng: random.Random, chars: int) -> str:
    """Sentences of five to twenty words, ``chars`` characters together."""
    found = ""
    while len(found) < chars:
        found += " ".join(rng.choices(WORDS, k=rng.randint(5, 20))).capitalize() + ". "
    return found[:chars]


def write_notes(path: Path, n: int, chars: int) -> None:
    """``n`` notes as JSON lines."""
    rng = random.Random(n)
    with path.open("w", encoding="utf-8") as file:
        for i in range(n):
            file.write(json.dumps({"id": f"n{i}", "text": text_of(rng, chars)}) + "\n")


def make_committee(
    folder: Path, encoder: str, n: int, *, steps: int = 1, rate: float = 1e-3
) -> None:
    """A folder with ``n`` students that learnt little; one student where ``n`` is 1."""
    from notesmith.config import NerConfig
    from notesmith.ner import train_ner
    from notesmith.ner.votes import write_votes

    text = "Severe fever. " + " ".join(WORDS) + "."
    gold = [Document("g", text, (Entity("T1", "Problem", ((7, 12),)),))]
    config = NerConfig(encoder=encoder, steps=steps, head_learning_rate=rate)
    students = [train_ner(gold, config=config, seed=seed).model for seed in range(n)]
    if n == 1:
        students[0].save(folder)
    else:
        write_votes(folder, [student.save for student in students])


def make_narrow(folder: Path) -> None:
    """An encoder with the packaged one's layers and tokenizer, and hardly any width."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from notesmith.ner.encoder import locate_encoder

    source = locate_encoder("minilm")
    config = AutoConfig.from_pretrained(source, local_files_only=True, **SIZE)
    AutoModel.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, local_files_only=True).save_pretrained(folder)


def ours(model: Path, notes: Path, *, exact: bool) -> dict[str, float]:
    """Label ``notes`` as the command does, from files to files."""
    from notesmith.workflows.annotate import annotate

    with tempfile.TemporaryDirectory() as folder:
        made = annotate(notes, Path(folder) / "silver.jsonl", model=model, exact=exact)
    return {"seconds": made.seconds, "notes": made.summary.notes}


def plain(members: list[Path], notes: Path, batch: int) -> dict[str, float]:
    """The pipeline of transformers on each of ``members``, one after the other."""
    from transformers import AutoTokenizer, pipeline

    texts = [json.loads(line)["text"] for line in notes.read_text("utf-8").splitlines()]
    seconds = 0.0
    for member in members:
        tokenizer = AutoTokenizer.from_pretrained(member, local_files_only=True)
        most = json.loads((member / "config.json").read_text("utf-8"))["max_position_embeddings"]
        tokenizer.model_max_length = min(tokenizer.model_max_length, most)
        run: Any = pipeline(
            "token-classification",
            model=str(member),
            tokenizer=tokenizer,
            aggregation_strategy="first",
            stride=64,
        )
        began = time.perf_counter()
        run(texts, batch_size=batch)
        seconds += time.perf_counter() - began
    return {"seconds": seconds, "notes": len(texts)}


def side(name: str, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """What a process of its own was started for; peak memory in MiB with it."""
    from notesmith.cli.process import keep_few_kernels, prepare

    prepare()
    worked = time.process_time()
    if name == "make":
        make_committee(folder / "committee", "minilm", args.students)
        make_narrow(folder / "narrow-encoder")
        # Enough steps to find about as few mentions as a note has.
        make_committee(folder / "narrow", str(folder / "narrow-encoder"), 1, steps=40, rate=0.1)
        return {}
    committee = folder / "committee"
    members = sorted(committee.glob("member-*")) or [committee]
    notes = folder / "notes.jsonl"
    if name.startswith("pipeline"):
        found = plain(members[: 1 if name == "pipeline" else None], notes, args.batch)
    else:
        keep_few_kernels()
        model = {"one": members[0], "memory": folder / "narrow"}.get(name, committee)
        found = ours(model, notes, exact=name == "committee-exact")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**found, "processor_seconds": time.process_time() - worked, "peak_mib": peak}


def in_process(name: str, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """``side`` in a process of its own."""
    n = str(args.threads)
    variables = {"OMP_NUM_THREADS": n, "MKL_NUM_THREADS": n, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--side", name, "--folder", str(folder)]
    command += ["--students", str(args.students), "--batch", str(args.batch)]
    done = subprocess.run(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.rpartition("@")[2])
    return found


def main() -> None:
    """Run the sides one after the other and print a line each; or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--students", type=int, default=5)
    parser.add_argument("--chars", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--sides", nargs="*", choices=SIDES, default=list(SIDES))
    parser.add_argument("--memory", type=int, nargs="*", default=[])
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print("@", json.dumps(side(args.side, args.folder, args)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = partial(in_process, folder=folder, args=args)
        run("make")
        write_notes(folder / "notes.jsonl", args.n, args.chars)
        print(f"{args.n:,} notes of {args.chars:,} characters, {args.threads} threads")
        for name in args.sides:
            row = run(name)
            print(
                f"{name}: {row['notes'] / row['seconds']:.2f} notes/s by the clock; "
                f"{row['processor_seconds']:.1f} processor seconds, "
                f"{row['peak_mib']:.0f} MiB at the peak",
                flush=True,
            )
        for n in args.memory:
            write_notes(folder / "notes.jsonl", n, args.chars)
            row = run("memory")
            print(
                f"memory at {n:,} notes: {row['peak_mib']:.0f} MiB at the peak, "
                f"{row['seconds']:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
