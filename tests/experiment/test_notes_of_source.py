"""Notes of one source, as many words as another set has (``recipes/notes_of_source.py``)."""

import json
import lzma
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "recipes" / "notes_of_source.py"


def choose(folder, out, words):
    texts = folder / "texts.jsonl.xz"
    records = [{"source": "a", "text": f"note {i} " + "word " * 8} for i in range(40)]
    records += [{"source": "a", "text": "long " * 300}, {"source": "b", "text": "other note"}]
    with lzma.open(texts, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    command = [sys.executable, SCRIPT, texts, out, "--source", "a", "--words", str(words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_whole_notes_of_the_source_are_taken_until_the_words_are_reached(tmp_path):
    out = tmp_path / "notes.jsonl"
    assert choose(tmp_path, out, 105).returncode == 0
    notes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [note["id"] for note in notes] == [f"a-{i}" for i in range(1, 12)]
    assert len({note["text"] for note in notes}) == 11
    assert all(note["text"].startswith("note ") for note in notes)
    before = out.read_bytes()
    assert choose(tmp_path, out, 105).returncode == 0 and out.read_bytes() == before


def test_a_source_with_too_few_words_ends_without_a_file(tmp_path):
    ended = choose(tmp_path, tmp_path / "notes.jsonl", 5000)
    assert ended.returncode == 1 and "700 words; 5,000 are needed" in ended.stderr
    assert not (tmp_path / "notes.jsonl").exists()
