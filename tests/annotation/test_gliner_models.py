"""Tiny models of the real libraries gliner and gliner2, where these are installed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from notesmith.annotation.gliner_models import ENCODER_CONFIG, GLINER_CONFIG, load_gliner
from notesmith.annotation.gliner_tagger import UNREAD
from notesmith.annotation.mentions import MentionAnnotator
from notesmith.annotation.taggers import open_tagger
from notesmith.config import TaggerConfig
from notesmith.document import Document
from notesmith.errors import ConfigError, ModelError
from tests.ner.tiny import tiny_encoder

LABELS = ("Disease", "Drug")
MAP = {"lab value": ""}
PROMPTS = ["lab value", "disease", "drug"]
NOTE = "Chest \U0001f600 pain, aspirin \U0001d7d8 mg daily.\n\n\u0130 fever"
THRESHOLD = 0.4
WORDS, POSITIONS = 60, 128


def gliner_folder(at: Path) -> Path:
    gliner = pytest.importorskip("gliner", reason="pip install 'notesmith[gliner]'")
    encoder = tiny_encoder(at / "encoder", max_position_embeddings=POSITIONS)
    config = {"model_name": str(encoder), "hidden_size": 32, "max_width": 3, "max_len": WORDS}
    model = gliner.GLiNER.from_config(config, backbone_from_pretrained=False)
    model.save_pretrained(at / "model", safe_serialization=True)
    return at / "model"


def gliner2_folder(at: Path, architecture: str) -> Path:
    gliner2 = pytest.importorskip("gliner2", reason="pip install 'notesmith[gliner2]'")
    encoder = tiny_encoder(at / "encoder", max_position_embeddings=POSITIONS)
    config = gliner2.ExtractorConfig(model_name=str(encoder), architecture=architecture)
    gliner2.AutoExtractor.from_config(config).save_pretrained(str(at / "model"))
    return at / "model"


@pytest.fixture(scope="module", params=["gliner", "span", "boundary"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The kind of a library and a folder of its model."""
    import torch

    at = tmp_path_factory.mktemp(request.param)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        if request.param == "gliner":
            return "gliner", gliner_folder(at)
        return "gliner2", gliner2_folder(at, request.param)


@pytest.fixture(scope="module")
def annotator(model: Any) -> MentionAnnotator:
    found = opened(model)
    assert isinstance(found, MentionAnnotator)
    return found


def opened(model: Any, threshold: float = THRESHOLD) -> Any:
    kind, folder = model
    config = TaggerConfig(kind=kind, path=str(folder), label_map=MAP, threshold=threshold)
    return open_tagger(config, LABELS, gold=[])


def spans_in(annotator: MentionAnnotator, text: str) -> list[tuple[str, int, int]]:
    (doc,) = annotator.find([Document("1", text)], lambda progress: None)
    return [(ent.label, ent.start, ent.end) for ent in doc.entities]


def test_it_finds_what_the_library_finds(model: Any, annotator: MentionAnnotator) -> None:
    kind, folder = model
    (said,) = load_gliner(folder, kind).ask([NOTE], dict.fromkeys(PROMPTS, ""), THRESHOLD)
    surest = max(said, key=lambda one: one.score)
    ours = {"lab value": "", "disease": "Disease", "drug": "Drug"}
    found = spans_in(annotator, NOTE)
    assert 0 < len(found) <= len(said)
    assert set(found) <= {(ours[x.prompt], x.start, x.end) for x in said}
    if ours[surest.prompt]:
        assert (ours[surest.prompt], surest.start, surest.end) in found
    # Offsets are those of code points, and end where the text does, not in a full stop put there.
    assert all(NOTE[start:end].strip() == NOTE[start:end] for _, start, end in found)


def test_no_mention_is_less_sure_than_the_threshold(model: Any) -> None:
    sure = opened(model, threshold=0.999)
    assert spans_in(sure, NOTE) == []


def test_a_note_longer_than_the_window_is_read_to_its_end(annotator: MentionAnnotator) -> None:
    text = " ".join(f"Fever and pain, grade {i % 7}." for i in range(60))
    found = spans_in(annotator, text)
    reached = [max(0, *(end for _, _, end in found if end <= at)) for at in range(200, len(text))]
    assert max(at - end for at, end in zip(range(200, len(text)), reached, strict=True)) < 200
    table = "pneumonoultramicroscopic," * 40
    assert max(end for _, _, end in spans_in(annotator, table)) > len(table) - 100


def test_notes_do_not_depend_on_those_beside_them(annotator: MentionAnnotator) -> None:
    notes = [Document(str(i), NOTE[: 12 * (i + 1)]) for i in range(4)]
    together = [doc.mentions() for doc in annotator.predict(notes)]
    assert together == [annotator.predict([note])[0].mentions() for note in notes]


def test_words_without_tokens_do_not_move_mentions(
    annotator: MentionAnnotator, caplog: pytest.LogCaptureFixture
) -> None:
    before = annotator.counts[UNREAD]
    blank = "  Fever and   pain of the chest."
    marked = "\u200b Fever and \x02 pain of the chest."
    assert spans_in(annotator, marked) == spans_in(annotator, blank) != []
    assert annotator.counts[UNREAD] == before + 2
    assert "produced no subwords" not in caplog.text
    assert spans_in(annotator, "\u200b") == spans_in(annotator, "") == []


def test_labels_that_fill_the_window_are_refused(model: Any) -> None:
    kind, folder = model
    many = {f"kind of finding number {i}": "Drug" for i in range(30)}
    config = TaggerConfig(kind=kind, path=str(folder), label_map=many)
    with pytest.raises(ConfigError, match="31 prompts and their descriptions fill the window"):
        open_tagger(config, LABELS, gold=[])


def changed(model: Any, to: Path, **settings: Any) -> Path:
    """A copy of the model's folder, with ``settings`` in the configuration of its encoder."""
    kind, folder = model
    shutil.copytree(folder, to)
    at = to / (GLINER_CONFIG if kind == "gliner" else ENCODER_CONFIG)
    config = json.loads(at.read_text())
    (config["encoder_config"] if kind == "gliner" else config).update(settings)
    at.write_text(json.dumps(config))
    return to


def test_code_and_pickles_are_refused(model: Any, tmp_path: Path) -> None:
    import torch

    kind, _ = model
    asks = changed(model, tmp_path / "code", auto_map={"AutoModel": "code.Model"})
    (asks / "code.py").write_text("raise SystemExit('code of a model was run')")
    with pytest.raises(ModelError, match="'auto_map', which makes libraries load code"):
        load_gliner(asks, kind)
    pickled = changed(model, tmp_path / "pickle")
    (pickled / "model.safetensors").rename(pickled / "adapter.safetensors")
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no safetensors weights \(model\.safetensors\)"):
        load_gliner(pickled, kind)


def test_weights_that_are_not_there_are_not_made_up(model: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    kind, _ = model
    damaged = changed(model, tmp_path / "damaged")
    weights = load_file(damaged / "model.safetensors")
    del weights[min(weights)]
    save_file(weights, damaged / "model.safetensors")
    with pytest.raises(ModelError, match=r"weights are not in|cannot load this model"):
        load_gliner(damaged, kind)


def test_what_gliner_would_fetch_is_named(tmp_path: Path) -> None:
    folder = gliner_folder(tmp_path)
    config = json.loads((folder / GLINER_CONFIG).read_text())

    def refused(**settings: Any) -> str:
        (folder / GLINER_CONFIG).write_text(json.dumps(config | settings))
        with pytest.raises(ModelError) as caught:
            load_gliner(folder, "gliner")
        return str(caught.value)

    assert "lacks the configuration of its encoder, which gliner would fetch" in refused(
        encoder_config=None
    )
    bi_encoder = {"labels_encoder": "hub/name", "labels_encoder_config": config["encoder_config"]}
    assert "the tokenizer of its labels is elsewhere" in refused(**bi_encoder)
    assert "a model of relations or of free labels" in refused(relations_layer="biaffine")
