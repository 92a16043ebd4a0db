"""The exported student predicts as the model does, without torch. Needs the extra ``onnx``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from notesmith.config import NerConfig
from notesmith.document import Document, Entity
from notesmith.errors import MissingExtraError, ModelError
from notesmith.models.manifest import write_manifest
from notesmith.ner import NerModel, export_onnx, load_ner, load_student, train_ner
from notesmith.ner import onnx_export as exporting
from notesmith.ner.decode import Decision
from notesmith.ner.onnx_model import MODEL_FILE, OnnxModel, load_onnx, softmax
from tests.ner.tiny import tiny_encoder

needs_onnx = pytest.mark.skipif(
    any(exporting.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="pip install 'notesmith[onnx]'",
)
TEXTS = (
    "Patient denies fever. No chest pain, severe cough.",
    "Asthma since 1999; given aspirin 5 mg daily.\r\n\r\nAcute fracture on the left.",
    "",
    "no-fever/cough " * 60,
    "na\u00efve \U0001f600 fever\x00 \u202fcough",
)
DOCS = [Document(str(i), text) for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> NerModel:
    folder = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    gold = [
        Document("a", "Patient denies fever.", (Entity("T1", "Problem", ((15, 20),)),)),
        Document("b", "Given aspirin daily.", (Entity("T1", "Drug", ((6, 13),)),)),
    ]
    config = NerConfig(
        encoder=str(folder), steps=40, learning_rate=3e-3, max_tokens=40, stride=10, bf16="no"
    )
    return train_ner(gold, config=config, seed=1).model


@pytest.fixture(scope="module")
def folder(model: NerModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx") / "model"
    assert export_onnx(model, folder) < 1e-4
    return folder


@needs_onnx
def test_predictions_are_equal(model: NerModel, folder: Path) -> None:
    exported = load_student(folder)
    assert isinstance(exported, OnnxModel)
    assert (exported.labels, exported.tags, exported.name) == (model.labels, model.tags, model.name)
    assert exported.predict(DOCS) == model.predict(DOCS)
    assert any(doc.entities for doc in exported.predict(DOCS))
    for mine, theirs in zip(exported.predict_scores(DOCS), model.predict_scores(DOCS), strict=True):
        assert mine.words == theirs.words
        np.testing.assert_allclose(mine.probabilities, theirs.probabilities, atol=1e-5)
    low = Decision({"Drug": 0.1})
    assert exported.predict(DOCS, decision=low) == model.predict(DOCS, decision=low)


@needs_onnx
def test_attributes_are_equal(model: NerModel, tmp_path: Path) -> None:
    gold = [
        Document("a", "Denies fever.", (Entity("T1", "Problem", ((7, 12),), ("negated",)),)),
        Document("b", "Had fever.", (Entity("T1", "Problem", ((4, 9),), ("Certainty=low",)),)),
    ]
    config = model.config.model_copy(update={"attributes": ("negated", "Certainty")})
    learnt = train_ner(gold, config=config, seed=1).model
    assert export_onnx(learnt, tmp_path / "out") < 1e-4
    exported = load_onnx(tmp_path / "out")
    found = exported.predict([*gold, *DOCS])
    assert [doc.entities[0].attributes for doc in found[:2]] == [("negated",), ("Certainty=low",)]
    assert found == learnt.predict([*gold, *DOCS])
    for mine, theirs in zip(
        exported.predict_scores(DOCS), learnt.predict_scores(DOCS), strict=True
    ):
        np.testing.assert_allclose(mine.attributes, theirs.attributes, atol=1e-4)


@needs_onnx
def test_batches_do_not_matter(folder: Path) -> None:
    exported = load_onnx(folder, threads=1)
    assert exported.predict(DOCS, batch_tokens=50) == exported.predict(DOCS)


@needs_onnx
def test_means_of_pieces_are_equal(model: NerModel, folder: Path) -> None:
    config = model.config.model_copy(update={"pieces": "mean"})
    mine = replace(load_onnx(folder), config=config).predict_scores(DOCS)
    theirs = replace(model, config=config).predict_scores(DOCS)
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


@needs_onnx
def test_the_export_runs_without_torch(folder: Path) -> None:
    code = (
        "import sys\nfrom notesmith.document import Document\n"
        "from notesmith.ner import load_student\n"
        f"load_student({str(folder)!r}).predict([Document('a', 'No fever.')])\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_onnx
def test_weights_are_asked_for_by_name(folder: Path) -> None:
    with pytest.raises(ModelError, match="exported to ONNX"):
        load_ner(folder)


@needs_onnx
def test_a_damaged_export_is_an_error(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / MODEL_FILE).write_bytes(b"x")
    write_manifest(broken)
    with pytest.raises(ModelError, match=r"model\.onnx or tokenizer\.json cannot be loaded"):
        load_onnx(broken)


@needs_onnx
def test_a_model_that_computes_otherwise_is_not_kept(
    model: NerModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        exporting, "_write", lambda model, path: shutil.copy(folder / MODEL_FILE, path)
    )
    monkeypatch.setattr(exporting, "TOLERANCE", 0.0)
    with pytest.raises(ModelError, match="its ONNX form differs"):
        export_onnx(model, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_names_its_extra(
    model: NerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'notesmith\[onnx\]'"):
        export_onnx(model, tmp_path / "out")


def test_weights_are_no_export(model: NerModel, tmp_path: Path) -> None:
    model.save(tmp_path / "weights")
    with pytest.raises(ModelError, match="not exported to ONNX"):
        load_onnx(tmp_path / "weights")
    assert isinstance(load_student(tmp_path / "weights"), NerModel)


def test_softmax_gives_probabilities() -> None:
    rows = softmax(np.array([[0, 0], [1000, 0]], np.float32))
    assert rows.tolist() == [[0.5, 0.5], [1, 0]]
