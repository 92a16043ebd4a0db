"""Tiny models and students for the fault tests, every path that loads them, and damages."""

from __future__ import annotations

import io
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from unittest import mock

import torch

from notesmith.config import LmConfig, NerConfig
from notesmith.corpus import write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import NotesmithError
from notesmith.lm.backends.vllm import VllmBackend
from notesmith.lm.load import load_lm, open_folder
from notesmith.models.load import read_tokenizer
from notesmith.models.manifest import MANIFEST
from notesmith.ner import export_onnx, load_ner, load_student, train_ner
from notesmith.ner.encoder import load_encoder
from tests.lm.tiny import save_tiny
from tests.ner.tiny import tiny_encoder

DOCS = [
    Document("a", "Patient denies fever.", (Entity("T1", "Problem", ((15, 20),), ("negated",)),)),
    Document("b", "Patient has asthma.", (Entity("T1", "Problem", ((12, 18),)),)),
]


class Shelf:
    """A folder with an encoder, a language model (plain, and of ours), a student and an export."""

    def __init__(self, root: Path) -> None:
        torch.set_num_threads(1)
        self.root = root
        self.encoder = tiny_encoder(root / "encoder")
        self.lm = save_tiny("llama", root / "lm", chat=True)
        self.plain_lm = root / "plain-lm"
        shutil.copytree(self.lm, self.plain_lm)
        for name in (MANIFEST, "notesmith.json"):
            (self.plain_lm / name).unlink()
        config = NerConfig(
            encoder=str(self.encoder), steps=2, batch_size=2, attributes=("negated",)
        )
        model = train_ner(DOCS, config=config, seed=1).model
        self.student = root / "student"
        model.save(self.student)
        self.gold = root / "gold.jsonl"
        write_corpus(DOCS, self.gold)
        self.expected = [d.entities for d in model.predict(DOCS)]

    @cached_property
    def onnx(self) -> Path:
        """The student, exported: seconds, hence of full runs alone."""
        export_onnx(load_ner(self.student), self.root / "onnx")
        return self.root / "onnx"

    def copy(self, folder: Path, to: Path) -> Path:
        shutil.copytree(folder, to)
        return to


def lm_of(folder: Path, cache: Path) -> object:
    return load_lm(LmConfig(model=str(folder), trim=False), cache=cache, device="cpu")


def _vllm(folder: Path) -> object:
    with mock.patch.dict(sys.modules, {"vllm": mock.MagicMock()}):
        return VllmBackend(None, folder)


def _spacy(folder: Path) -> object:
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("notesmith", config={"model": str(folder)})
    return nlp("Patient denies fever.")


Load = Callable[[Path], object]
ENCODER_PATHS: dict[str, Load] = {
    "as an encoder": lambda f: load_encoder(str(f), labels=["Problem"]),
    "its tokenizer": lambda f: read_tokenizer(f),
}
LM_PATHS: dict[str, Load] = {
    "as a language model": lambda f: lm_of(f, f.parent / "cache"),
    "trimmed": lambda f: load_lm(LmConfig(model=str(f)), cache=f.parent / "cache"),
    "a folder as it is": lambda f: open_folder(f, device="cpu"),
    "its tokenizer": lambda f: read_tokenizer(f, as_written=True),
    "by vLLM": _vllm,
}
STUDENT_PATHS: dict[str, Load] = {
    "load_ner": load_ner,
    "load_student": load_student,
    "as an encoder": lambda f: load_encoder(str(f), labels=["Problem"]),
    "spaCy": _spacy,
}


@contextmanager
def answering_yes() -> Iterator[None]:
    """Whatever asks on the terminal hears yes."""
    with mock.patch.object(sys, "stdin", io.StringIO("y\n" * 100)):
        yield


def one_line(error: BaseException | None) -> bool:
    """Whether an error is one of ours and its message one line that is not too long to read."""
    return isinstance(error, NotesmithError) and "\n" not in str(error) and len(str(error)) < 700


def attempt(load: Callable[[], object]) -> BaseException | None:
    """What ``load`` raises, or None."""
    with answering_yes():
        try:
            load()
        except Exception as error:
            return error
    return None


def damages(rng: random.Random) -> dict[str, Callable[[Path], None]]:
    """Ways to damage a folder, each with the choices of ``rng``."""

    def files(folder: Path) -> list[Path]:
        return sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)

    def flip(folder: Path) -> None:
        path = rng.choice(files(folder))
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)

    def flip_unseen(folder: Path) -> None:
        path = rng.choice(files(folder))
        stat = path.stat()
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def cut(folder: Path) -> None:
        path = rng.choice(files(folder))
        os.truncate(path, rng.randrange(path.stat().st_size))

    def delete(folder: Path) -> None:
        rng.choice(files(folder)).unlink()

    def swap(folder: Path) -> None:
        one, other = rng.sample(files(folder), 2)
        held = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(held)

    def zero(folder: Path) -> None:
        path = rng.choice(files(folder))
        path.write_bytes(bytes(path.stat().st_size))

    def add(folder: Path) -> None:
        name = rng.choice(["generation_config.json", "added_tokens.json", "vocab.txt", "x/y.bin"])
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(path.read_bytes() + b" " if path.exists() else b"{}")

    return {
        "byte flipped in": flip,
        "byte flipped, size and time kept, in": flip_unseen,
        "file cut off in": cut,
        "file deleted from": delete,
        "two files exchanged in": swap,
        "file of zeros in": zero,
        "file added to": add,
    }
