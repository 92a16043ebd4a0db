import pytest
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.corpus import write_corpus
from notesmith.document import Document, Entity, Relation
from notesmith.report.show import select, terminal_text

TEXT = "Started zorvimab 40 mg for heart failure; denies fever."


def _entity(i, label, mention, *attributes):
    start = TEXT.index(mention)
    return Entity(i, label, ((start, start + len(mention)),), attributes)


DOC = Document(
    "n1",
    TEXT,
    (
        _entity("T1", "Drug", "zorvimab"),
        _entity("T2", "Dose", "40 mg"),
        _entity("T3", "Problem", "heart failure"),
        _entity("T4", "Site", "heart"),
        _entity("T5", "Problem", "fever", "negated"),
    ),
    (Relation("R1", "drug-dose", "T1", "T2"),),
)


def test_plain_text_brackets_mentions():
    shown = terminal_text(DOC, plain=True).plain
    assert (
        "Started [zorvimab|Drug] [40 mg|Dose] for [[heart|Site] failure|Problem]; denies" in shown
    )
    assert "[fever|Problem negated]" in shown
    assert "drug-dose: zorvimab → 40 mg" in shown


def test_colours_are_per_label():
    shown = terminal_text(DOC)
    at = shown.plain.index("zorvimab")
    styles = {span.style for span in shown.spans if span.start <= at < span.end}
    other = shown.plain.index("fever")
    assert styles.isdisjoint(s.style for s in shown.spans if s.start <= other < s.end)


def test_a_note_cannot_steer_the_terminal():
    doc = Document("a\x1b]0;x\x07", "b\x1b[2Jc", ())
    assert "\x1b" not in terminal_text(doc, plain=True).plain


def test_select_by_id_and_limit():
    docs = [Document(str(i), "x") for i in range(5)]
    assert [d.id for d in select(docs, limit=2)] == ["0", "1"]
    assert [d.id for d in select(docs, ids=["3"])] == ["3"]
    assert len(select(docs)) == 5


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "notes.jsonl"
    write_corpus([DOC, Document("n2", "Well <b>today</b>.")], path)
    return path


def test_the_command_prints_documents(corpus):
    result = CliRunner().invoke(app, ["show", str(corpus), "--limit", "1"])
    assert result.exit_code == 0
    assert "[zorvimab|Drug]" in result.output
    assert "1 of 2 documents" in result.output


def test_the_command_writes_a_page(corpus, tmp_path):
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["show", str(corpus), "--html", str(page)])
    assert result.exit_code == 0
    html = page.read_text("utf-8")
    assert "do not share" in html
    assert "Well &lt;b&gt;today&lt;/b&gt;." in html
    assert page.stat().st_mode & 0o777 == 0o600


def test_an_unknown_id_is_an_error(corpus):
    result = CliRunner().invoke(app, ["show", str(corpus), "--id", "n9"])
    assert result.exit_code == 1
    assert "n9" in str(result.exception)
