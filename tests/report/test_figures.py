from xml.etree import ElementTree

import pytest

from notesmith.report.figures import all_figures, funnel, learning_curve
from notesmith.report.made import made_means
from notesmith.report.strips import NARROW, WIDE, forest
from notesmith.report.svg import Scale, shorten, text, ticks

from .conftest import read

_SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>\"'&]]>\x00\x1b[31m"


def test_every_figure_is_wellformed_and_titled(example):
    figures = all_figures(example)
    assert {"forest-50", "difference-50", "seen-unseen-50", "learning-curve", "made-50"} <= set(
        figures
    )
    for drawn in figures.values():
        for figure in (drawn.wide, drawn.narrow):
            root = ElementTree.fromstring(figure.standalone())
            ids = {e.get("id") for e in root if e.tag in (f"{_SVG}title", f"{_SVG}desc")}
            assert set(root.get("aria-labelledby").split()) == ids
            assert root.get("role") == "img"
            assert all(e.text for e in root if e.tag == f"{_SVG}desc")


def test_nothing_is_drawn_outside_its_figure(example):
    for drawn in all_figures(example).values():
        for figure in (drawn.wide, drawn.narrow):
            root = ElementTree.fromstring(figure.standalone())
            for e in root.iter():
                for x in ("x", "x1", "x2", "cx"):
                    assert 0 <= float(e.get(x, 0)) <= figure.width
                for y in ("y", "y1", "y2", "cy"):
                    assert 0 <= float(e.get(y, 0)) <= figure.height


def test_means_stand_where_the_scale_says(example):
    root = ElementTree.fromstring(forest(example, 50).standalone())
    dots = [float(e.get("cx")) for e in root.iter(f"{_SVG}circle") if e.get("class") == "dot"]
    means = [arm.decided.f1.mean for arm in example.arms_at(50)]
    per_point = (dots[1] - dots[0]) / (means[1] - means[0])
    for dot, mean in zip(dots, means, strict=True):
        assert dot == pytest.approx(dots[0] + per_point * (mean - means[0]), abs=0.02)


def test_a_dot_a_replicate(example):
    root = ElementTree.fromstring(forest(example, 50).standalone())
    n = sum(e.get("class") == "rep" for e in root.iter(f"{_SVG}circle"))
    assert n == sum(len(arm.decided.f1.values) for arm in example.arms_at(50)) == 30


def test_hostile_names_are_text(results):
    for arm in results["arms"]:
        arm["name"] = arm["name"].replace("synthetic", HOSTILE)
    results["made"][0]["dropped"] = {HOSTILE: 3}
    results["candidate"] = results["candidate"].replace("synthetic", HOSTILE)
    for drawn in all_figures(read(results)).values():
        for figure in (drawn.wide, drawn.narrow):
            root = ElementTree.fromstring(figure.standalone())
            assert not list(root.iter("script")) + list(root.iter(f"{_SVG}script"))


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_curve_marks_the_worth(example, width):
    said = learning_curve(example, width=width)
    assert "worth about 55 more labelled notes [28, 145]" in said.description
    assert "+55 notes" in "".join(said.parts)


def test_no_curve_from_one_size(results):
    results["learning_curve"] |= {"sizes": [50], "f1": [60.0]}
    assert learning_curve(read(results)) is None


def test_the_curve_is_the_one_that_was_fitted(example):
    # Sixty points of the line, and none beyond the sizes that were trained.
    root = ElementTree.fromstring(learning_curve(example).standalone())
    fitted = next(e for e in root.iter(f"{_SVG}polyline") if e.get("class") == "line")
    assert len(fitted.get("points").split()) == 60


def test_the_funnel_goes_down_to_what_was_kept(example):
    (made,) = (m for m in made_means(example) if m.size == 50)
    root = ElementTree.fromstring(funnel(made).standalone())
    bars = [e for e in root.iter(f"{_SVG}rect") if "bar" in (e.get("class") or "")]
    ends = [float(e.get("x")) for e in bars[1:-1]]
    assert ends == sorted(ends, reverse=True)
    assert float(bars[-1].get("x")) + float(bars[-1].get("width")) == pytest.approx(ends[-1], abs=2)


def test_ticks_are_round_and_span_the_range():
    assert ticks(54.7, 75.3) == [50, 55, 60, 65, 70, 75, 80]
    assert ticks(3.0, 3.0)[0] <= 3.0 <= ticks(3.0, 3.0)[-1]
    assert Scale(0, 10, 100, 200)(25) == 200


def test_long_names_are_cut_and_controls_go():
    assert shorten("a" * 50, 10) == "aaaaaaaaa…"
    assert "\x1b" not in text(0, 0, "a\x1bb")
