import csv
import io
import re

import pytest

from notesmith.report.tables import Table, all_tables, escape_latex, to_csv, to_latex

from .conftest import in_hours, out_of_draw, read, with_attributes, with_votes


def test_csv_holds_the_numbers(example):
    tables = {table.name: table for table in all_tables(example)}
    rows = list(csv.DictReader(io.StringIO(to_csv(tables["arms"]))))
    assert len(rows) == len(example.arms)
    for row, arm in zip(rows, example.arms, strict=True):
        assert float(row["f1"]) == pytest.approx(arm.decided.f1.mean, rel=1e-5)
        assert row["arm"] == arm.name
    rows = list(csv.DictReader(io.StringIO(to_csv(tables["comparisons"]))))
    assert {row["claim"] for row in rows} >= {"better", "worse", "demonstration"}
    assert set(tables) == {"arms", "comparisons", "labels", "made", "stages"}


def test_worth_has_columns_in_hours_where_minutes_are_known(results):
    in_hours(results, 12)
    tables = {table.name: table for table in all_tables(read(results))}
    rows = list(csv.DictReader(io.StringIO(to_csv(tables["comparisons"]))))
    row = next(r for r in rows if (r["against"], r["gold_documents"]) == ("replaced", "50"))
    # 31 notes at 12 minutes.
    assert (row["worth_notes"], row["worth_hours"], row["worth_hours_low"]) == ("31", "6.2", "1")
    assert row["claim"] == "better"


def test_both_sets_of_documents_have_columns(results):
    tables = {t.name: t for t in all_tables(read(out_of_draw(results)))}
    rows = list(csv.DictReader(io.StringIO(to_csv(tables["arms"]))))
    gold = next(r for r in rows if (r["arm"], r["gold_documents"]) == ("gold", "50"))
    assert gold["scored_on"] == "out-of-draw"
    assert float(gold["f1"]) - float(gold["f1_on_other_documents"]) == pytest.approx(1, abs=1e-3)
    rows = list(csv.DictReader(io.StringIO(to_csv(tables["comparisons"]))))
    row = next(r for r in rows if (r["against"], r["gold_documents"]) == ("replaced", "50"))
    assert (row["scored_on"], row["step"]) == ("out-of-draw", "1")
    assert float(row["delta"]) - float(row["other_delta"]) == pytest.approx(0.5, abs=1e-3)


def test_votes_have_a_column_where_an_arm_is_a_vote(example, results):
    def arms(found):
        table = next(table for table in all_tables(found) if table.name == "arms")
        return list(csv.DictReader(io.StringIO(to_csv(table))))

    assert "votes" not in arms(example)[0]
    votes = {(row["arm"], row["votes"]) for row in arms(read(with_votes(results)))}
    assert {("gold", "1"), ("gold, votes", "5")} <= votes


def test_attributes_have_a_table(results):
    with_attributes(results)
    tables = {table.name: table for table in all_tables(read(results))}
    rows = list(csv.DictReader(io.StringIO(to_csv(tables["attributes"]))))
    assert len(rows) == len(results["arms"])
    row = rows[0]
    assert (row["attribute"], row["support"]) == ("negated", "44")
    assert (row["on_found_f1"], row["end_to_end_f1"]) == ("84.7", "64.6")


def test_latex_tables_are_rectangular(example):
    for table in all_tables(example):
        latex = to_latex(table)
        assert latex.count("\\toprule") == latex.count("\\bottomrule") == 1
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", latex).group(1)
        body = [line for line in latex.splitlines() if line.endswith(r"\\")]
        assert len(body) == len(table.rows) + 1
        assert all(len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1 for line in body)
        bare = re.sub(r"\\[{}]", "", latex)
        assert bare.count("{") == bare.count("}")


def test_hostile_names(results):
    name = "50% & \\input{/etc/passwd} $x_1^2$ #~\n=1+1"
    results["arms"][0]["name"] = name
    table = next(t for t in all_tables(read(results)) if t.name == "arms")
    assert escape_latex("\\input{x}") == r"\textbackslash{}input\{x\}"
    assert "\\input" not in to_latex(table)
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert rows[0]["arm"] == name.replace("\n", " ")


def test_a_cell_is_no_formula():
    table = Table("t", "", ("a", "b"), (("=cmd()", -1.5), ("@x", None)))
    assert to_csv(table) == "a,b\n'=cmd(),-1.5\n'@x,\n"


@pytest.mark.parametrize("sign", "=+-@＝＋－＠−﹢﹣﹦﹫")
@pytest.mark.parametrize("before", ["", "  ", '"', "'", "\t", "\r", "\n", "\u2028", "\xa0", "“ "])
def test_no_sign_begins_a_cell_or_a_line(sign, before):
    cell = f"{before}{sign}cmd()"
    table = Table("t", "", ("a", cell), ((cell, f"x;{cell}"), (f"y\r\n{cell}", f"z\t{cell}")))
    made = to_csv(table)
    assert made.count("\n") == 3 and "\r" not in made and "\t" not in made
    cells = [cell for row in csv.reader(io.StringIO(made)) for cell in row]
    cells += [cell for line in made.splitlines() for cell in line.split(";")]
    assert len(cells) == 10
    assert not [cell for cell in cells if cell.strip(' "\xa0“')[:1] == sign]
    assert made.splitlines()[0].startswith("a,") and "'" in made


def test_a_row_of_latex_is_no_argument_of_the_row_before():
    latex = to_latex(Table("t", "", ("a",), (("[2cm] x",), ("*y",), ("a & b\\\\ c",))))
    assert "    {[}2cm{]} x \\\\" in latex and "    {*}y \\\\" in latex
    assert latex.count("\\\\\n") == 4 and latex.count("&") == latex.count("\\&") == 1
