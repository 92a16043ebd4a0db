from __future__ import annotations

import fcntl
import itertools
import json
import math
import os
import random
import stat
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from notesmith.config import AdaptConfig, NerConfig
from notesmith.document import Document, Entity
from notesmith.errors import FileError, ModelError, StageError
from notesmith.models.load import read_masked_lm, read_tokenizer
from notesmith.ner import blocks, mlm_train, train_ner
from notesmith.ner.adapt import ABOUT, Adapted, adapt_encoder, work_folder
from notesmith.ner.blocks import Masking, Order, Special
from notesmith.ner.mlm_head import compact_vocabulary, masked_loss
from notesmith.ner.packing import enable_packing, position_offset
from notesmith.progress import Progress, silent
from tests.ner.tiny import tiny_encoder

WORDS = "the patient has pain fever cough asthma in left right chest after aspirin daily".split()
SMALL = AdaptConfig(block_tokens=32, batch_tokens=256, epochs=4, learning_rate=3e-3, bf16="no")


def notes(n: int = 60, seed: int = 0) -> list[str]:
    """Notes in which each word settles the next."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        at = rng.randrange(len(WORDS))
        words = [WORDS[(at + j) % len(WORDS)] for j in range(20 + i % 7)]
        found.append(" ".join([*words, str(i)]))
    return found


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def adapt(encoder: Path, out: Path, config: AdaptConfig = SMALL, **options) -> Adapted:
    values = {"texts": notes(), "seed": 3, **options}
    texts = values.pop("texts")
    return adapt_encoder(iter(texts), encoder=str(encoder), config=config, out=out, **values)


@pytest.fixture(scope="module")
def adapted(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    config = SMALL.model_copy(update={"epochs": 20.0})
    return adapt(encoder, tmp_path_factory.mktemp("adapted") / "out", config)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def special_of(encoder: Path) -> Special:
    return Special.of(read_tokenizer(encoder), "tiny")


def test_the_encoder_learns_what_words_follow(adapted: Adapted) -> None:
    assert adapted.losses[-1].loss < adapted.losses[adapted.before].loss - 0.3
    assert adapted.counts["notes"] == 60
    assert [m.tokens for m in adapted.losses] == sorted(m.tokens for m in adapted.losses)
    assert adapted.losses[-1].tokens == adapted.tokens
    assert not work_folder(adapted.folder).exists()


def test_the_folder_serves_a_student_and_transformers(adapted: Adapted) -> None:
    from transformers import AutoModelForMaskedLM

    doc = Document("a", "patient denies fever.", (Entity("T1", "Problem", ((15, 20),)),))
    config = NerConfig(encoder=str(adapted.folder), steps=2)
    assert train_ner([doc], config=config, seed=1).model.labels == ("Problem",)
    plain, info = AutoModelForMaskedLM.from_pretrained(adapted.folder, output_loading_info=True)
    assert plain.dtype == torch.float32
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_a_head_that_is_there_goes_on(adapted: Adapted, tmp_path: Path) -> None:
    again = adapt(adapted.folder, tmp_path / "again")
    assert again.before == 0
    assert again.losses[0].loss == pytest.approx(adapted.losses[-1].loss, abs=1e-4)


def test_the_same_command_does_nothing_again(adapted: Adapted) -> None:
    before = weights(adapted.folder)
    config = SMALL.model_copy(update={"epochs": 20.0})
    encoder = Path(json.loads((adapted.folder / ABOUT).read_text())["encoder"])
    again = adapt(encoder, adapted.folder, config)
    assert not again.is_new
    assert (again.losses, again.before, again.tokens) == (
        adapted.losses,
        adapted.before,
        adapted.tokens,
    )
    assert weights(adapted.folder).keys() == before.keys()
    for changes in ({"texts": notes(61)}, {"seed": 4}):
        with pytest.raises(FileError, match="was made of other notes, or with other settings"):
            adapt(encoder, adapted.folder, config, **changes)


def test_what_is_written_holds_no_text(adapted: Adapted) -> None:
    said = (adapted.folder / "README.md").read_text() + (adapted.folder / ABOUT).read_text()
    assert not [word for word in ("fever", "asthma", "aspirin", "chest") if word in said]
    assert "It may know parts of the notes by heart." in said
    assert {stat.S_IMODE(p.stat().st_mode) for p in adapted.folder.iterdir()} == {0o600}


def test_work_goes_on_after_a_kill_as_if_there_was_none(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlm_train, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(mlm_train, "_REPORT_EVERY", 5)
    whole = adapt(encoder, tmp_path / "whole")

    def die(progress: Progress) -> None:
        if progress.unit == "steps" and progress.done == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(encoder, tmp_path / "cut", on_progress=die)
    work = work_folder(tmp_path / "cut")
    assert {p.name for p in work.iterdir()} >= {"learnt.tokens", "held-out.tokens"}
    assert not [p for p in work.rglob("*") if p.is_file() and p.stat().st_mode & 0o077]
    done: list[int] = []
    cut = adapt(encoder, tmp_path / "cut", on_progress=lambda p: done.append(p.done))
    assert done[0] == 15  # from the state of step 10
    assert cut.losses == whole.losses
    expected = weights(tmp_path / "whole")
    found = weights(tmp_path / "cut")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not work.exists()


def test_what_cannot_be_gone_on_from_is_deleted(encoder: Path, tmp_path: Path) -> None:
    def cut_off():
        yield from notes()[:30]
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        adapt_encoder(cut_off(), encoder=str(encoder), config=SMALL, out=tmp_path / "out", seed=3)
    assert not list(tmp_path.iterdir())


def test_a_kill_while_notes_are_read_costs_the_reading(encoder: Path, tmp_path: Path) -> None:
    work = work_folder(tmp_path / "out")
    work.mkdir()
    (work / "begun").write_text("another")
    (work / "learnt.tokens").write_bytes(b"12345")
    assert adapt(encoder, tmp_path / "out").counts["notes"] == 60


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 4}, "with another encoder, other settings or another seed"),
        ({"config": SMALL.model_copy(update={"epochs": 5.0})}, "other settings"),
        ({"texts": notes(59)}, "was begun with other notes; remove it"),
    ],
)
def test_a_state_of_other_work_is_refused(
    encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    said: str,
) -> None:
    monkeypatch.setattr(mlm_train, "_SAVE_EVERY", 0.0)

    def die(progress: Progress) -> None:
        if progress.unit == "steps" and progress.done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(encoder, tmp_path / "out", on_progress=die)
    with pytest.raises(StageError, match=said):
        adapt(encoder, tmp_path / "out", **changes)
    assert adapt(encoder, tmp_path / "out").is_new


def test_two_processes_do_not_share_the_work(encoder: Path, tmp_path: Path) -> None:
    work = work_folder(tmp_path / "out")
    work.mkdir()
    with (work / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StageError, match="another process works there"):
            adapt(encoder, tmp_path / "out")


def test_folders_of_others_are_left_alone(encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(FileError, match="exists already; name another folder"):
        adapt(encoder, tmp_path / "out")
    work = work_folder(tmp_path / "new")
    work.mkdir()
    (work / "thesis.txt").write_text("mine")
    with pytest.raises(FileError, match="is not of notesmith"):
        adapt(encoder, tmp_path / "new")
    assert [p.read_text() for p in tmp_path.rglob("thesis.txt")] == ["mine", "mine"]


@pytest.mark.parametrize("texts", [[], [""], ["fever"], ["fever", "cough"]])
def test_too_few_notes_are_refused(encoder: Path, tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(StageError, match=r"word pieces to (learn from|measure).*give more notes"):
        adapt(encoder, tmp_path / "out", texts=texts)


def test_a_tagger_is_refused(encoder: Path, tmp_path: Path) -> None:
    doc = Document("a", "fever", (Entity("T1", "Problem", ((0, 5),)),))
    config = NerConfig(encoder=str(encoder), steps=1)
    train_ner([doc], config=config, seed=1).model.save(tmp_path / "student")
    with pytest.raises(ModelError, match="holds a tagging head of other labels"):
        adapt(tmp_path / "student", tmp_path / "out")


def test_an_infinite_loss_stops(encoder: Path, tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"learning_rate": 1e38, "clip_norm": 1e38, "head_first": 0.0})
    with pytest.raises(StageError, match=r"the loss is no number at step \d+: lower"):
        adapt(encoder, tmp_path / "out", config)


def test_notes_in_an_unknown_script_are_refused(encoder: Path, tmp_path: Path) -> None:
    texts = [f"{'κρύωμα ' * 40}{'α' * i}" for i in range(1, 5)]
    with pytest.raises(StageError, match="no word piece that the encoder knows; name an encoder"):
        adapt(encoder, tmp_path / "out", texts=texts)


def test_blocks_of_unknown_pieces_alone_do_not_stop_the_training(
    encoder: Path, tmp_path: Path
) -> None:
    config = SMALL.model_copy(update={"batch_tokens": 32, "epochs": 1.0})
    found = adapt(encoder, tmp_path / "out", config, texts=[*notes(6), "κρύωμα " * 400])
    assert all(math.isfinite(each.loss) for each in found.losses)


def test_a_new_head_has_its_own_rate_from_the_first_step(encoder: Path, tmp_path: Path) -> None:
    """Also where it does not learn alone first: other rates make other weights."""
    config = SMALL.model_copy(update={"tokens": 600, "head_first": 0.0})
    adapt(encoder, tmp_path / "one", config)
    adapt(encoder, tmp_path / "two", config.model_copy(update={"head_learning_rate": 1e-9}))
    name = "cls.predictions.transform.dense.weight"
    one, two = (weights(tmp_path / folder)[name] for folder in ("one", "two"))
    assert not torch.equal(one, two)


@pytest.mark.parametrize(
    ("share", "warmup", "factor"),
    [(0.0, 0.1, 0.1), (0.05, 0.1, 0.5), (0.1, 0.1, 1.0), (1.0, 0.1, 0.0), (0.0, 0.002, 1.0)],
)
def test_the_rate_rises_to_its_peak_and_falls_to_0(
    share: float, warmup: float, factor: float
) -> None:
    assert mlm_train.rate_factor(share, warmup) == pytest.approx(factor)


def test_hours_say_how_long(encoder: Path, tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"hours": 0.5 / 3600})
    seen: list[Progress] = []
    found = adapt(encoder, tmp_path / "out", config, on_progress=seen.append)
    assert 0.5 <= found.seconds < 5
    assert seen[-1].unit == "seconds"
    assert seen[-1].tokens == found.tokens


def test_tokens_say_how_much(encoder: Path, tmp_path: Path) -> None:
    found = adapt(encoder, tmp_path / "out", SMALL.model_copy(update={"tokens": 1000}))
    assert 1000 <= found.tokens < 1000 + 256


def test_a_new_head_learns_alone_at_first(encoder: Path, tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"tokens": 240 * 5, "head_first": 0.9})
    adapt(encoder, tmp_path / "out", config)
    before, after = weights(encoder), weights(tmp_path / "out")
    same = [
        n for n in before if n.startswith("encoder") and torch.equal(before[n], after[f"bert.{n}"])
    ]
    assert len(same) == sum(n.startswith("encoder") for n in before)
    assert float(after["cls.predictions.bias"].abs().max()) > 0


def test_bfloat16_leaves_float32_weights(encoder: Path, tmp_path: Path) -> None:
    exact = adapt(encoder, tmp_path / "exact")
    half = adapt(encoder, tmp_path / "half", SMALL.model_copy(update={"bf16": "yes"}))
    assert {w.dtype for w in weights(tmp_path / "half").values()} == {torch.float32}
    assert half.losses[-1].loss == pytest.approx(exact.losses[-1].loss, rel=0.05)


def test_pieces_that_no_note_holds_stay_as_they_were(encoder: Path, tmp_path: Path) -> None:
    adapt(encoder, tmp_path / "out")
    tokenizer = read_tokenizer(encoder)
    before = weights(encoder)["embeddings.word_embeddings.weight"]
    after = weights(tmp_path / "out")["bert.embeddings.word_embeddings.weight"]
    ids = tokenizer.convert_tokens_to_ids(["fracture", "##oma", "fever", "[MASK]"])
    assert [torch.equal(before[i], after[i]) for i in ids] == [True, True, False, False]


def test_the_loss_is_that_of_the_plain_model(encoder: Path) -> None:
    model, is_new = read_masked_lm(encoder)
    model.eval()
    assert is_new
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(5, 90, size=(4, 16)))
    places, targets = torch.tensor([2, 17, 40, 63]), torch.tensor([7, 8, 9, 10])
    with torch.inference_mode():
        logits = model(input_ids=ids).logits.flatten(0, 1)[places]
        expected = torch.nn.functional.cross_entropy(logits, targets)
        side_by_below = masked_loss(model, ids, places, targets, packed_from=None)
        assert enable_packing(model)
        packed = masked_loss(model, ids, places, targets, packed_from=position_offset(model))
    assert float(side_by_below) == pytest.approx(float(expected), abs=1e-5)
    assert float(packed) == pytest.approx(float(expected), abs=1e-4)


def test_a_compact_vocabulary_scores_as_the_whole_one(encoder: Path) -> None:
    model, _ = read_masked_lm(encoder)
    model.eval()
    with torch.no_grad():
        model.get_output_embeddings().bias.normal_()
    ids = torch.arange(10, 26).reshape(1, 16)
    with torch.inference_mode():
        whole = model(input_ids=ids).logits[0]
    used = np.arange(5, 40)
    with compact_vocabulary(model, used) as row_of, torch.inference_mode():
        few = model(input_ids=row_of[ids]).logits[0]
    torch.testing.assert_close(few, whole[:, 5:40])
    with torch.inference_mode():
        torch.testing.assert_close(model(input_ids=ids).logits[0], whole)


def test_words_are_masked_whole_and_marks_never(encoder: Path) -> None:
    tokenizer, special = read_tokenizer(encoder), special_of(encoder)
    text = "fractureosis of asthmaitis xyz " * 200
    ids = np.array([tokenizer(text)["input_ids"]])
    masking = Masking.of(tokenizer, special, np.unique(ids), n_ids=200, ratio=0.3, whole_words=True)
    seen, places = masking.draw(ids, np.random.default_rng(0))
    chosen = set(places.tolist())
    pieces = tokenizer.convert_ids_to_tokens(ids[0].tolist())
    for i, piece in enumerate(pieces):
        if piece.startswith("##"):
            assert (i in chosen) == (i - 1 in chosen)
    assert not chosen & {0, len(pieces) - 1}
    assert np.array_equal(np.delete(seen[0], places), np.delete(ids[0], places))
    assert 0.26 < len(chosen) / len(pieces) < 0.34
    fate = Counter(
        "mask" if new == special.mask else "same" if new == old else "other"
        for new, old in zip(seen[0][places], ids[0][places], strict=True)
    )
    assert fate["mask"] / len(places) == pytest.approx(0.8, abs=0.05)
    assert fate["other"] / len(places) == pytest.approx(0.09, abs=0.04)
    single = Masking.of(tokenizer, special, np.unique(ids), n_ids=200, ratio=0.3, whole_words=False)
    apart = set(single.draw(ids, np.random.default_rng(0))[1].tolist())
    assert any((i in apart) != (i - 1 in apart) for i, p in enumerate(pieces) if p[:2] == "##")


def test_each_pass_goes_through_all_blocks_in_another_order() -> None:
    order = Order(1005, width=100, batch=5, seed=0)
    passes = [sorted(order.starts(2 * i) + order.starts(2 * i + 1)) for i in range(2)]
    for starts in passes:
        assert [b - a for a, b in itertools.pairwise(starts)] == [100] * 9
        assert 0 <= starts[0] <= 5
    assert order.starts(0) != order.starts(2)
    assert order.starts(3) == Order(1005, width=100, batch=5, seed=0).starts(3)


def test_repeats_are_left_out_and_a_part_is_held_out(encoder: Path, tmp_path: Path) -> None:
    texts = notes(200)
    blocks.write_streams(
        [*texts, *(f" {text}\n" for text in texts[:50])],
        tmp_path,
        tokenizer=read_tokenizer(encoder),
        special=special_of(encoder),
        held_out_ratio=0.1,
        on_progress=silent,
    )
    about = blocks.read_written(tmp_path)
    assert (about.n_notes, about.n_repeated) == (250, 50)
    assert 8 <= about.n_held_out <= 35
    tokenizer = read_tokenizer(encoder)
    streams = blocks.read_streams(tmp_path, tokenizer=tokenizer, block_tokens=32)
    total = sum(len(tokenizer(t, add_special_tokens=False)["input_ids"]) + 1 for t in texts)
    assert len(streams.learnt) + len(streams.held_out) == total
    first = tokenizer(texts[0], add_special_tokens=False)["input_ids"]
    assert streams.held_out[: len(first)].tolist() == first
    assert {oct(os.stat(p).st_mode & 0o777) for p in tmp_path.iterdir()} == {"0o600"}
