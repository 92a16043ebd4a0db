"""Weights that are missing, of another shape or no numbers are errors; nothing random stands in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from notesmith.config import LmConfig, NerConfig
from notesmith.document import Document, Entity
from notesmith.errors import ModelError
from notesmith.lm.load import load_lm, open_folder
from notesmith.models import load as loading
from notesmith.models.manifest import MANIFEST, write_manifest
from notesmith.ner import load_ner, train_ner
from notesmith.ner.encoder import load_encoder
from tests.lm.tiny import save_tiny
from tests.ner.tiny import tiny_encoder

Weights = dict[str, torch.Tensor]
DOC = Document("a", "No fever.", (Entity("T1", "Problem", ((3, 8),)),))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("good")
    config = NerConfig(encoder=str(tiny_encoder(root / "encoder")), steps=2, batch_size=2)
    train_ner([DOC], config=config, seed=1).model.save(root / "student")
    lm = save_tiny("llama", root / "lm")
    for name in (MANIFEST, "notesmith.json"):
        (lm / name).unlink()
    return {what: root / what for what in ("encoder", "student", "lm")}


def changed(folder: Path, to: Path, change: Callable[[Weights], object]) -> Path:
    """A copy of ``folder`` with other weights; one of ours says that it was written so."""
    shutil.copytree(folder, to)
    weights = load_file(to / "model.safetensors")
    change(weights)
    save_file(weights, to / "model.safetensors", {"format": "pt"})
    if (to / MANIFEST).exists():
        write_manifest(to)
    return to


def edited(folder: Path, to: Path, name: str = "config.json", **values: object) -> Path:
    shutil.copytree(folder, to)
    old = json.loads((to / name).read_text())
    (to / name).write_text(json.dumps({**old, **values}))
    return to


def load(what: str, folder: Path) -> object:
    if what == "encoder":
        return load_encoder(str(folder), labels=["Problem"])
    return load_ner(folder) if what == "student" else open_folder(folder, device="cpu")


LAYER = {
    "encoder": "encoder.layer.1.output.dense.weight",
    "student": "bert.encoder.layer.1.output.dense.weight",
    "lm": "model.layers.1.mlp.up_proj.weight",
}


@pytest.mark.parametrize("what", LAYER)
def test_a_missing_weight_is_named(what, good, tmp_path):
    folder = changed(good[what], tmp_path / "m", lambda w: w.pop(LAYER[what]))
    with pytest.raises(ModelError, match=r"1 of \d+ weights are not in its files .*1\..*; it is"):
        load(what, folder)


@pytest.mark.parametrize("what", LAYER)
def test_another_prefix_loads_nothing_and_says_so(what, good, tmp_path):
    def rename(weights: Weights) -> None:
        for name in list(weights):
            weights[f"backbone.{name}"] = weights.pop(name)

    folder = changed(good[what], tmp_path / "m", rename)
    n = {"encoder": 37, "student": 39, "lm": 21}[what]
    with pytest.raises(ModelError, match=rf"{n} of \d+ weights are not in its files \(.*, …\)"):
        load(what, folder)


@pytest.mark.parametrize("what", LAYER)
def test_another_shape_is_an_error(what, good, tmp_path):
    def widen(weights: Weights) -> None:
        weights[LAYER[what]] = torch.zeros(3, 5)

    folder = changed(good[what], tmp_path / "m", widen)
    with pytest.raises(ModelError, match="m: ") as error:
        load(what, folder)
    assert "\n" not in str(error.value) and "mismatch" in str(error.value).lower()


@pytest.mark.parametrize("what", LAYER)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_an_error(what, value, good, tmp_path):
    folder = changed(good[what], tmp_path / "m", lambda w: w[LAYER[what]].view(-1)[3].fill_(value))
    with pytest.raises(ModelError, match="holds values that are no numbers"):
        load(what, folder)


@pytest.mark.parametrize("what", ["encoder", "lm"])
def test_a_model_of_which_a_part_would_be_left_out_is_an_error(what, good, tmp_path):
    """Half of the layers would load without a word, where the configuration asks for one."""
    folder = edited(good[what], tmp_path / "m", num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"\d+ weights in its files have no place"):
        load(what, folder)


def test_a_student_loads_exactly(good, tmp_path):
    folder = changed(good["student"], tmp_path / "a", lambda w: w.pop("classifier.bias"))
    with pytest.raises(ModelError, match=r"1 of 39 weights .* \(classifier\.bias\)"):
        load_ner(folder)
    folder = changed(good["student"], tmp_path / "b", lambda w: w.update(more=torch.ones(2)))
    with pytest.raises(ModelError, match=r"1 weights in its files have no place .*\(more\)"):
        load_ner(folder)


def test_heads_that_an_encoder_does_not_need_may_be_there_or_not(good, tmp_path):
    for i, change in enumerate(
        (
            lambda w: [w.pop(n) for n in list(w) if n.startswith("pooler")],
            lambda w: w.update({"cls.predictions.bias": torch.ones(2)}),
            lambda w: w.update({"embeddings.position_ids": torch.arange(128)[None]}),
        )
    ):
        load_encoder(str(changed(good["encoder"], tmp_path / str(i), change)), labels=["Problem"])


def test_a_head_of_other_labels_is_not_trained_on(good):
    """It would go on from weights that mean something else."""
    load_encoder(str(good["student"]), labels=["Problem"])
    with pytest.raises(ModelError, match="a tagging head of other labels; name the encoder"):
        load_encoder(str(good["student"]), labels=["Drug"])


def sharded(lm: Path, to: Path) -> Path:
    shutil.copytree(lm, to)
    weights = load_file(to / "model.safetensors")
    (to / "model.safetensors").unlink()
    where = {}
    for i, name in enumerate(weights):
        shard = f"model-0000{i % 2 + 1}-of-00002.safetensors"
        where[name] = shard
    for shard in set(where.values()):
        part = {name: weights[name] for name in where if where[name] == shard}
        save_file(part, to / shard, {"format": "pt"})
    index = {"metadata": {}, "weight_map": where}
    (to / "model.safetensors.index.json").write_text(json.dumps(index))
    return to


def test_shards_are_all_needed(good, tmp_path):
    folder = sharded(good["lm"], tmp_path / "m")
    assert torch.equal(
        open_folder(folder, device="cpu").model.lm_head.weight,
        open_folder(good["lm"], device="cpu").model.lm_head.weight,
    )
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        ModelError, match="1 of 2 files of weights are absent, the first 'model-00002"
    ):
        open_folder(folder)


@pytest.mark.parametrize("where", ["../m/x.safetensors", "/etc/passwd", 3, None, []])
def test_an_index_names_files_of_its_folder(where, good, tmp_path):
    folder = sharded(good["lm"], tmp_path / "m")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": where}}))
    with pytest.raises(ModelError, match="names no files of its folder"):
        open_folder(folder)


def test_a_file_that_is_cut_off_is_an_error(good, tmp_path):
    for n in (0, 5, 100, 4000):
        folder = shutil.copytree(good["lm"], tmp_path / str(n))
        os.truncate(folder / "model.safetensors", n)
        with pytest.raises(ModelError, match=r"model\.safetensors: damaged or cut off"):
            open_folder(folder)


def test_weights_are_floating_point(good, tmp_path):
    """A header whose type was changed would give whole numbers as weights."""
    folder = shutil.copytree(good["lm"], tmp_path / "m")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data.replace(b'"F32"', b'"I32"', 1))
    with pytest.raises(ModelError, match="is of type 'I32'; weights must be"):
        open_folder(folder)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_hidden_layers": 10**9}, "asks for 1000000000 (num_hidden_layers)"),
        ({"vocab_size": 10**9}, "asks for vocab_size = 1000000000"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised weights"),
        ({"model_type": "../bert"}, "names no type of model"),
        ({"model_type": None}, "names no type of model"),
        ({"model_type": "t5-of-tomorrow"}, "cannot be loaded: The checkpoint"),
    ],
)
def test_a_configuration_that_cannot_be(values, said, good, tmp_path):
    folder = edited(good["encoder"], tmp_path / "m", **values)
    with pytest.raises(ModelError) as error:
        load_encoder(str(folder), labels=["Problem"])
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", "\ud800", '{"a": 1e999999'])
def test_files_of_settings_that_cannot_be_read(text, good, tmp_path):
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        folder = shutil.copytree(good["lm"], tmp_path / name)
        (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(ModelError, match=r"cannot be (read|loaded)|holds no JSON object") as e:
            open_folder(folder)
        assert str(folder) in str(e.value) and "\n" not in str(e.value)


def test_a_file_too_large_to_be_one_of_a_model_is_not_read(good, tmp_path):
    folder = shutil.copytree(good["lm"], tmp_path / "m")
    with (folder / "tokenizer.json").open("r+b") as file:
        file.truncate(300 << 20)  # a hole, which takes no room
    with pytest.raises(ModelError, match=r"tokenizer\.json: larger than 256 MiB"):
        open_folder(folder)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(good, tmp_path):
    folder = shutil.copytree(good["lm"], tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer\.json is no file"):
        open_folder(folder)


def test_a_tokenizer_of_another_model_is_an_error(good, tmp_path):
    folder = shutil.copytree(good["encoder"], tmp_path / "m")
    other = tiny_encoder(tmp_path / "other", words=["pneumothorax", "oedema"])
    shutil.copy(other / "tokenizer.json", folder)
    with pytest.raises(ModelError, match=r"its tokenizer has token \d+ and its embedding \d+ rows"):
        load_encoder(str(folder), labels=["Problem"])


def test_a_parser_that_panics_is_one_line(tmp_path):
    class PanicException(BaseException):
        """As parsers written in Rust raise it."""

    class Loader:
        @staticmethod
        def from_pretrained(folder: Path, **options: object) -> None:
            raise PanicException("index out of bounds\nand more")

    with pytest.raises(ModelError, match=r"cannot be loaded: index out of bounds$"):
        loading.pretrained(Loader, tmp_path)


def test_while_a_model_loads_the_hubs_library_is_offline(tmp_path):
    from huggingface_hub import is_offline_mode

    class Loader:
        @staticmethod
        def from_pretrained(folder: Path, **options: object) -> bool:
            return is_offline_mode()

    assert loading.pretrained(Loader, tmp_path) is True
    assert not is_offline_mode()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("generation_config.json", {"eos_token_id": "end"}),
        ("generation_config.json", {"eos_token_id": [1, "x"]}),
        ("tokenizer_config.json", {"eos_token": None}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"a": 3}}),
        ("config.json", {"pad_token_id": 10**6}),
        ("config.json", {"hidden_act": "none-such"}),
        ("tokenizer.json", {"model": []}),
        ("tokenizer.json", {"model": {}}),
    ],
)
@pytest.mark.parametrize("trim", [True, False])
def test_odd_settings_of_a_language_model_are_one_line(name, values, trim, good, tmp_path):
    folder = edited(good["lm"], tmp_path / "m", name, **values)
    with pytest.raises(ModelError) as error:
        load_lm(LmConfig(model=str(folder), trim=trim), cache=tmp_path / "cache", device="cpu")
    assert "\n" not in str(error.value)


def test_a_language_models_folder_that_is_none(good, tmp_path):
    """What encoders say on one line, language models say too."""
    with pytest.raises(ModelError, match="a student, not a language model"):
        from notesmith.lm.folder import Card

        Card.read(good["student"])
    with pytest.raises(ModelError, match=r"not a model folder \(no config\.json\)"):
        (tmp_path / "empty").mkdir()
        open_folder(tmp_path / "empty")
    with pytest.raises(ModelError, match="there is no such model folder"):
        open_folder(tmp_path / "none")
