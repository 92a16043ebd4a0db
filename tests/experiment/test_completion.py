"""A student's cell says how many mentions completion added to what its arm made."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from notesmith.config import NerConfig
from notesmith.document import Document, Entity, Provenance
from notesmith.experiment import artefacts as files
from notesmith.experiment.stages import ner
from notesmith.experiment.stages.common import INFO
from notesmith.progress import silent
from tests.ner.tiny import tiny_encoder

TEXT = "Severe cough today."


def test_mentions_added_to_made_documents_are_counted_in_the_cell(tmp_path: Path) -> None:
    cough = Entity("T1", "Sign", ((7, 12),))
    gold, made = tmp_path / "gold", tmp_path / "silver"
    for folder, docs in (
        (gold, [Document(f"g{i}", TEXT, (cough,)) for i in range(4)]),
        (made, [Document(f"m{i}", TEXT, provenance=Provenance("silver")) for i in range(3)]),
    ):
        folder.mkdir()
        files.save_docs(docs, folder)
    (gold / INFO).write_text(json.dumps({"labels": ["Sign"]}))
    encoder = tiny_encoder(tmp_path / "encoder")
    config = NerConfig(
        encoder=str(encoder),
        steps=40,
        batch_size=4,
        learning_rate=5e-3,
        bf16="no",
        integration={"complete": "before", "complete_score": 0.2},
    )
    (tmp_path / "out").mkdir()
    found = ner.run(
        SimpleNamespace(
            inputs={"gold": gold, "silver": made},
            out=tmp_path / "out",
            config=config,
            seed=1,
            on_progress=silent,
        )
    )
    assert found.flattened == {"completion_added": 3}
    assert (tmp_path / "out" / files.MODEL).is_dir()
