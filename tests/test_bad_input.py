"""Bad input through the command line: one clear line, a counted drop, and nothing half-written.

``docs/bad-input.md`` shows the same cases as a user meets them. Notes hold a planted name, which no
message may repeat.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from notesmith.cli import app as table
from notesmith.corpus import FORMATS
from notesmith.document import Document
from notesmith.errors import StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.graph import Cell, Context, Work
from notesmith.experiment.stages import gold, names
from notesmith.experiment.stages.common import INFO
from notesmith.results import SCHEMA
from tests.ner.tiny import tiny_encoder

NAME = "Quillfeather"
PUBTATOR = (
    f"1|t|{NAME} has fever.\n1|a|Denies chest pain.\n"
    "1\t17\t22\tfever\tSign\tD1\n1\t31\t41\tchest pain\tSign\tD2\n\n"
    f"2|t|Asthma of {NAME}.\n2|a|Since youth.\n2\t0\t6\tAsthma\tDisease\tD3\n"
)
GOOD = {"schema": 1, "id": "a", "text": f"{NAME} has fever."}
ENTITY = {"id": "T1", "label": "Sign", "spans": [[17, 22]]}


def line(**fields):
    return json.dumps({**GOOD, **fields}).encode() + b"\n"


def foreign(**fields):
    return json.dumps({"id": "a1", "text": GOOD["text"], **fields}).encode() + b"\n"


def tagged(tags):
    return (
        json.dumps({"id": "a1", "tokens": [NAME, "has", "fever"], "ner_tags": tags}).encode()
        + b"\n"
    )


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def notesmith(monkeypatch, capsys):
    """Run a command as the console script does; gives exit code and stderr."""

    def call(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["notesmith", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            table.run()
        out, said = capsys.readouterr()
        # ``show`` alone prints notes, and never here.
        assert NAME not in said + out
        return done.value.code or 0, said, out

    return call


@pytest.fixture
def one_line(notesmith):
    """Run a command that must fail with one line; gives the line."""

    def call(*arguments):
        code, said, _ = notesmith(*arguments)
        assert code == 1 and said.startswith("notesmith: ") and said.count("\n") == 1, said
        return said.removeprefix("notesmith: ").strip()

    return call


# Name of a file, its content, what is said, what is counted where counting is asked for.
FILES = {
    "a cut-off PubTator line": (
        *("c.pubtator", PUBTATOR[:-12].encode()),
        "c.pubtator:8: doc '2': a mention line has 6 filled columns; is the file cut off?",
        "1 masked: mention",
    ),
    "an offset past the end": (
        *("c.pubtator", PUBTATOR.replace("2\t0\t6", "2\t0\t600").encode()),
        "c.pubtator:8: doc '2': 'T1' [0, 600) is past end 36; correct the offsets",
        "1 masked: mention",
    ),
    "offsets of another text": (
        *("c.pubtator", PUBTATOR.replace("2\t0\t6", "2\t3\t9").encode()),
        "c.pubtator:8: doc '2': 'T1' [3, 9): the mention column differs from the text "
        "there; correct the offsets",
        "1 masked: mention",
    ),
    "overlapping CoNLL tags": (
        *(
            "c.conll",
            f"{NAME}\tO\n\nchest\tB-Sign|B-Body\npain\tI-Sign\n\ncough\tB-Sign\n".encode(),
        ),
        "c.conll:3: doc 'c-2': the tag is not O, B-LABEL, I-LABEL …; this format holds one flat "
        "tag a token (overlapping mentions need brat or jsonl)",
        "1 dropped: sentence with an unreadable line",
    ),
    "a tag that continues nothing": (
        *("c.conll", f"{NAME}\tO\nfever\tI-Sign\nand\tO\ncough\tB-Sign\n\n".encode()),
        "c.conll:2: doc 'c-1': I continues no mention of this label (read as IOB2); correct the "
        "tag, or name the scheme",
        "1 ill-formed tags read as the nearest legal ones",
    ),
    "invalid UTF-8": (
        *("c.jsonl", line(id="b", entities=[ENTITY]) + line().replace(b"fever", b"f\xe9ver")),
        "c.jsonl:2: byte 52 is not UTF-8; name its encoding, such as --encoding cp1252 "
        "(corpus.encoding in a recipe)",
        "1 dropped: line that is not UTF-8",
    ),
    "a cut-off JSON line": (
        *("c.jsonl", line(id="b", entities=[ENTITY]) + line()[:-9]),
        "c.jsonl:2: not JSON (Unterminated string starting at, column 34); is it cut off?",
        "1 dropped: record",
    ),
    "a JSON record of another shape": (
        *("c.jsonl", line(id="b", entities=[ENTITY]) + line(entities=NAME)),
        "c.jsonl:2: doc 'a': 'entities' must be a list",
        "1 dropped: record",
    ),
    "labels in a JSON field that no layout has": (
        *("c.jsonl", line(id="b") + foreign(annotations=[{"start": 17, "end": 22, "tag": "S"}])),
        "c.jsonl:2: no 'schema', and the layout of 'annotations' is not one that is read; write "
        'them as "spans": [{"start": 0, "end": 4, "label": "Drug"}]',
        "1 dropped: record",
    ),
    "JSON lines of two layouts": (
        *("c.jsonl", line(id="b") + foreign(label=[[17, 22, "Sign"]])),
        "c.jsonl:2: no 'schema', and the record has the layout of doccano; put such records in a "
        "file of their own",
        "1 dropped: record",
    ),
    "a JSON mention past the end": (
        *("c.jsonl", foreign(spans=[{"start": 17, "end": 99, "label": "Sign"}])),
        "c.jsonl:1: doc 'a1': spans[0]: [17, 99) is past end 23; correct the offsets (code "
        "points, end exclusive)",
        "1 masked: mention",
    ),
    "tags that are numbers": (
        *("c.jsonl", tagged(["O", "O", "B-Sign"]) + tagged([0, 0, 1])),
        "c.jsonl:2: doc 'a1': 'ner_tags' holds numbers, and JSON does not name them; write their "
        "names (B-LABEL …), or write Parquet with datasets (to_parquet), which keeps the names of "
        "a ClassLabel",
        "1 dropped: document",
    ),
    "one id twice": (
        *("c.jsonl", line(entities=[ENTITY]) + line()),
        "c.jsonl: doc 'a' stands twice with different content; rename or remove one",
        "1 dropped: second record of an id",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_is_one_line_or_a_counted_drop(case, place, notesmith, one_line):
    name, content, message, counted = FILES[case]
    (place / name).write_bytes(content)
    assert one_line("corpus", "convert", name, "out.jsonl") == message
    assert os.listdir(place) == [name]
    tags = ["--tags", "iob2"] if name == "c.conll" else []
    convert = ("corpus", "convert", name, "out.jsonl", "--on-problem", "count")
    code, said, out = notesmith(*convert, "--without-mentions", *tags)
    assert (code, said) == (0, "") and f"while reading: {counted}" in out
    assert sorted(os.listdir(place)) == [name, "out.jsonl"]


@pytest.mark.parametrize("command", ["stats", "check"])
def test_commands_that_only_read_say_the_same(command, place, one_line):
    (place / "c.jsonl").write_bytes(line(schema=9))
    said = one_line("corpus", command, "c.jsonl")
    assert said == "c.jsonl:1: schema 9 is not 1, the one this version reads; upgrade notesmith"


def test_an_empty_corpus(place, one_line):
    (place / "empty").mkdir()
    (place / "none.jsonl").write_bytes(b"\n")
    formats = ", ".join(FORMATS)
    said = f"empty: empty; formats are {formats} (--format)"
    assert one_line("corpus", "stats", "empty") == said
    nothing = "none.jsonl: no documents in format jsonl; name another path"
    assert one_line("corpus", "check", "none.jsonl") == nothing
    assert one_line("show", "none.jsonl") == nothing
    missing = one_line("corpus", "split", "nowhere", "out")
    assert missing == "nowhere: not found; name a corpus file or folder"
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            line(id="b2", text="Other."),
            "the predictions lack 1 document of gold: 'a'; the predictions have 1 document that "
            "gold lacks: 'b2'; give both sides the same documents, with the same ids",
        ),
        (
            line(text="other"),
            "doc 'a': the predictions have another text, which differs from offset 0 on (23 "
            "characters in gold, 5 there); predict the text of gold as it is",
        ),
        (b"", "other.jsonl: no documents in format jsonl; name another path"),
    ],
)
def test_predictions_for_other_documents(place, one_line, other, message):
    (place / "gold.jsonl").write_bytes(line(entities=[ENTITY]))
    (place / "other.jsonl").write_bytes(other)
    assert one_line("evaluate", "gold.jsonl", "other.jsonl") == message
    message = message.replace("the predictions", "the second predictions")
    assert one_line("evaluate", "gold.jsonl", "gold.jsonl", "other.jsonl") == message


def test_predictions_may_hold_no_mention_and_gold_may_not(place, notesmith, one_line):
    (place / "gold.jsonl").write_bytes(line(entities=[ENTITY]))
    (place / "none.jsonl").write_bytes(line())
    code, said, _ = notesmith("evaluate", "gold.jsonl", "none.jsonl", "--json")
    assert code == 0, said
    said = one_line("evaluate", "none.jsonl", "gold.jsonl")
    assert said.startswith("none.jsonl: the one document has no mention (read as jsonl); name the")
    for command in (["corpus", "check"], ["corpus", "stats"], ["train", "--out", "m"]):
        assert one_line(*command, "none.jsonl") == said
    code, said, _ = notesmith("corpus", "stats", "none.jsonl", "--without-mentions")
    assert code == 0, said


def test_options_that_name_a_label_that_nothing_has(place, one_line):
    (place / "gold.jsonl").write_bytes(line(entities=[ENTITY]))
    message = "the label map names Sing, which no document has; labels are Sign"
    mapped = ("--label-map", "Sing=Symptom")
    assert one_line("corpus", "convert", "gold.jsonl", "out.jsonl", *mapped) == message
    assert one_line("corpus", "stats", "gold.jsonl", *mapped) == message
    assert one_line("evaluate", "gold.jsonl", "gold.jsonl", *mapped) == message
    assert one_line("train", "gold.jsonl", "--out", "model", *mapped) == message
    message = "the list of unknown labels names Sing, which no document has; labels are Sign"
    assert one_line("corpus", "check", "gold.jsonl", "--unknown", "Sing") == message
    assert not (place / "out.jsonl").exists()


RECIPE = 'name = "x"\n[corpus]\ntrain = "gold.jsonl"\ntest = "test.jsonl"\n[[arm]]\nname = "gold"\n'
TERMS = ("--set", "synthesize.names.term_lists.Sign=names.txt", "--set")
RECIPES = [
    ("[corpus\n", [], "recipe 'r.toml' is not TOML: Expected ']' at the end of a table declara"),
    ("arm = 3\n" + RECIPE.partition("[[")[0], ["--arms", "gold"], "recipe 'r.toml': arm: Input"),
    (RECIPE, ["--set", "evaluate=3", "--arms", "gold"], "recipe 'r.toml': evaluate: Input shou"),
    (RECIPE, ["--set", "corpus.train=no"], "corpus path 'no': nothing is there"),
    (RECIPE, ["--set", "draws.frob=1"], "recipe 'r.toml': draws.frob: Extra inputs are not per"),
    (RECIPE, ["--arms", "silver"], "no arm 'silver'; the recipe has gold"),
    (RECIPE, [], "a draw of 50 documents was asked for and train holds 1; lower draws.sizes or"),
    (RECIPE, ["--set", "corpus.dev=gold.jsonl"], "corpus.train and corpus.dev are the same docum"),
    (RECIPE, ["--set", "corpus.train=c.jsonl"], "c.jsonl:1: not JSON (Unterminated string sta"),
    (RECIPE, [*TERMS, "draws.sizes=[1]"], "names.txt:2: byte 3 is not UTF-8; convert the file"),
]


@pytest.mark.parametrize(("recipe", "options", "message"), RECIPES)
def test_a_recipe_that_cannot_run(place, one_line, recipe, options, message):
    (place / "gold.jsonl").write_bytes(line(entities=[ENTITY]))
    other = line(id="other", text=f"{NAME} has fever again.", entities=[ENTITY])
    (place / "test.jsonl").write_bytes(other)
    (place / "c.jsonl").write_bytes(line()[:-9])
    (place / "names.txt").write_bytes(b"gout\ncaf\xe9\n")
    (place / "r.toml").write_text(recipe)
    assert one_line("run", "r.toml", *options).startswith(message)
    assert not list(place.rglob("*.tmp"))
    assert not (place / "runs" / "r" / "results.json").exists()


def test_names_for_a_label_that_train_lacks(place):
    """Said before the language model is loaded, not when a student meets the label."""
    context = Context(place, {}, lambda split: place, place, {"Drug": ["aspirin"]})
    draw = Cell(gold.STAGE)
    files.save_docs([Document("a", "Fever.")], place)
    (place / INFO).write_text('{"labels": ["Sign"]}')
    work = Work(Cell(names.STAGE, inputs={"gold": draw}), {"gold": place}, place, place, context)
    with pytest.raises(StageError, match=r"term_lists: no document of train has \['Drug'\]"):
        names.run(work)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "run: no results.json; finish the run first"),
        (f'{{"recipe": "{NAME}"', "run/results.json: is not JSON; write it again with notesmith"),
        ("[]", "run/results.json: holds no results"),
        ('{"schema": 7}', "run/results.json: is of another version of notesmith; write it again"),
        (
            f'{{"schema": {SCHEMA}, "recipe": "{NAME}"}}',
            "run/results.json: is damaged or was changed",
        ),
    ],
)
def test_cards_of_a_damaged_run(place, one_line, content, message):
    (place / "run").mkdir()
    if content is not None:
        (place / "run" / "results.json").write_text(content)
    assert one_line("card", "dataset", "run").startswith(message)
    assert not (place / "run" / "cards").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("corpus", "convert", "gold.jsonl", "new.jsonl"),
        ("corpus", "convert", "gold.jsonl", "out", "--to", "brat"),
        ("corpus", "convert", "gold.jsonl", "out", "--to", "inline"),
        ("corpus", "split", "gold.jsonl", "out"),
        ("show", "gold.jsonl", "--html", "out.html"),
    ],
)
def test_a_full_disk_leaves_what_was_there(place, monkeypatch, one_line, command):
    (place / "gold.jsonl").write_bytes(
        b"".join(line(id=f"n{i}", text=f"{GOOD['text']} {i}", entities=[ENTITY]) for i in range(4))
    )
    (place / "out.jsonl").write_text("old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert "disk full, not written; free some space and run again" in one_line(*command)
    assert sorted(os.listdir(place)) == ["gold.jsonl", "out.jsonl"]
    assert (place / "out.jsonl").read_text() == "old"


@pytest.mark.parametrize(
    "command",
    [
        ("corpus", "convert", "gold.jsonl", "mine"),
        ("corpus", "convert", "gold.jsonl", "gold.jsonl"),
        ("corpus", "split", "gold.jsonl", "mine"),
        ("corpus", "corrected", "gold.jsonl", "gold.jsonl", "--out", "mine.jsonl"),
        ("corpus", "adjudicate", "gold.jsonl", "--out", "mine.jsonl"),
        ("corpus", "agreement", "gold.jsonl", "--page", "mine.jsonl"),
        ("show", "gold.jsonl", "--html", "mine.jsonl"),
        ("predict", "model", "gold.jsonl", "--out", "mine.jsonl"),
        ("train", "gold.jsonl", "--out", "mine"),
        ("export", "model", "--out", "mine"),
        ("bundle", "mine.jsonl"),
        ("init", "gold.jsonl", "--out", "mine.jsonl"),
        ("run", "quickstart", "--out", "mine"),
    ],
)
def test_what_is_there_is_never_written_over(place, one_line, command):
    (place / "gold.jsonl").write_bytes(
        b"".join(line(id=f"n{i}", text=f"{GOOD['text']} {i}", entities=[ENTITY]) for i in range(4))
    )
    (place / "mine.jsonl").write_text("mine")
    (place / "mine").mkdir()
    (place / "mine" / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in place.rglob("*.*")}
    options = ("--to", "brat") if command[:2] == ("corpus", "convert") and "mine" in command else ()
    assert re.search(r"exists already|is not empty|stands there", one_line(*command, *options))
    assert {path: path.read_bytes() for path in place.rglob("*.*")} == before


def test_a_path_that_cannot_be(place, one_line, notesmith):
    (place / "gold.jsonl").write_bytes(line(entities=[ENTITY]))
    long = "x" * 300
    assert one_line("corpus", "stats", long) == f"{long}: File name too long; name another path"
    said = one_line("show", "gold.jsonl", "--html", "gold.jsonl/page.html")
    assert said == "gold.jsonl: is a file, a folder is needed; name another path"
    # Brackets are markup to the library that prints tables.
    (place / "[red]").mkdir()
    assert one_line("status", "[red]") == (
        "[red]: no run here, around or below; notesmith run RECIPE makes runs/RECIPE, or the "
        "folder that --out names"
    )
    code, _, out = notesmith(
        "corpus", "split", "gold.jsonl", "p", "--by", "[/x]", "--dev=0", "--test=0"
    )
    assert code == 0 and "divided by [/x]" in out


TRAIN = ("--set", "ner.encoder=encoder", "--set", "ner.steps=1", "--set", "ner.batch_size=1")


def test_students_of_bad_input(place, monkeypatch, notesmith):
    """One test, because it loads torch: damaged weights, a label not asked for, a full disk."""

    def last_line(*arguments):
        # Before it stand the libraries' own lines, which ``prepare`` silences in a real process.
        code, said, _ = notesmith(*arguments)
        assert code == 1, said
        return said.splitlines()[-1].removeprefix("notesmith: ")

    (place / "gold.jsonl").write_bytes(line(entities=[ENTITY]))
    tiny_encoder(place / "encoder")
    train = ("train", "gold.jsonl", "--out", "model", *TRAIN)
    said = last_line(*train, "--labels", "Drug")
    assert said == "--labels Drug: no document has this label; labels are Sign"
    with monkeypatch.context() as full:

        def fail(descriptor):
            raise OSError(errno.ENOSPC, "no")

        full.setattr(os, "fsync", fail)
        assert last_line(*train) == "model: disk full, not written; free some space and run again"
    weights = place / "encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    damaged = "encoder/model.safetensors: damaged or cut off; fetch or copy the model anew"
    assert last_line(*train) == damaged
    said = last_line("predict", "encoder", "gold.jsonl", "--out", "p.jsonl")
    assert said == (
        "encoder: not a notesmith model (no notesmith.json); name a folder that notesmith wrote"
    )
    said = last_line("predict", "nowhere", "gold.jsonl", "--out", "p.jsonl")
    assert said == "nowhere: not found; name a folder that notesmith wrote"
    said = last_line("predict", "gold.jsonl", "gold.jsonl", "--out", "p.jsonl")
    assert said == "gold.jsonl: is a file, not a model; name a folder that notesmith wrote"
    assert sorted(os.listdir(place)) == ["encoder", "gold.jsonl"]


def script(code, *arguments):
    code = f"import os, sys\n{code}\nfrom notesmith.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


BLOCKED = """
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {'torch', 'transformers', 'trl', 'peft', 'safetensors'}:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Absent())
"""


def test_a_missing_extra_prints_its_install_line(place):
    (place / "gold.jsonl").write_bytes(line(entities=[ENTITY]))
    done = script(BLOCKED, "train", "gold.jsonl", "--out", "model", "--set", "ner.encoder=.")
    assert done.returncode == 1
    assert done.stderr == (
        "notesmith: torch is not installed; install it with: pip install 'notesmith[models]'\n"
    )
    assert os.listdir(place) == ["gold.jsonl"]


INTERRUPTED = """
import signal
# A shell's background jobs ignore the interrupt, and so does what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
import notesmith.corpus.formats.brat_write as brat
write, written = brat.write_part, []
def interrupted(path, text):
    write(path, text)
    written.append(path)
    if len(written) == 3:
        os.kill(os.getpid(), {signal})
brat.write_part = interrupted
"""


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("SIGINT", 130, "notesmith: interrupted; nothing half-written is left\n"),
        ("SIGTERM", 143, ""),
        ("SIGKILL", -9, ""),
    ],
)
def test_an_interrupted_command_leaves_nothing_under_the_name(place, name, code, said):
    (place / "gold.jsonl").write_bytes(
        b"".join(line(id=f"n{i}", text=f"{GOOD['text']} {i}", entities=[ENTITY]) for i in range(4))
    )
    convert = ("corpus", "convert", "gold.jsonl", "out", "--to", "brat")
    done = script(INTERRUPTED.format(signal=int(signal.Signals[name])), *convert)
    assert (done.returncode, done.stderr) == (code, said)
    left = [entry for entry in os.listdir(place) if entry != "gold.jsonl"]
    # Nobody can tidy up after SIGKILL: a hidden folder stays, which no reader looks into.
    assert not left or (name == "SIGKILL" and left[0].startswith(".out."))
