"""The results of one Label Studio annotation: regions, their choices and concepts, relations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from notesmith.corpus.formats.json_values import listed, offsets, plain, take_id
from notesmith.corpus.formats.label_studio_write import CONCEPT, SCORE
from notesmith.corpus.problems import Tally
from notesmith.document import Entity, Relation, Span
from notesmith.errors import CorpusError, OffsetError, shown_id

_NO_LABEL = "relation"
_DISPLAYED = re.compile(r"\\n|\s+")
_TYPES = frozenset(
    "brush choices datetime ellipse keypoint number pairwise paragraphlabels paragraphs polygon "
    "ranker rating rectangle taxonomy textarea timeserieslabels video videorectangle".split()
)


@dataclass(slots=True)
class _Region:
    span: Span
    labels: list[str]
    attributes: set[str] = field(default_factory=set)
    concepts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Results:
    """What the results of one annotation say of a text; they may stand in any order.

    ``is_utf16`` is the unit of the offsets; ``of_model`` keeps the scores of regions.
    """

    where: str
    text: str
    tally: Tally
    is_utf16: bool
    of_model: bool
    regions: dict[str, _Region] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def take(self, results: Sequence[Any]) -> None:
        """Read ``results``: regions, then what is said of them, then relations."""
        self.used = {str(x.get("id")) for x in results if isinstance(x, dict)}
        for i, result in sorted(enumerate(results), key=lambda pair: _rank(pair[1])):
            what = ("mention", "result", "relation")[_rank(result)]
            with self.tally.dropping(what, f"{self.where}: result {i}"):
                if not isinstance(result, dict) or not isinstance(result.get("value", {}), dict):
                    raise CorpusError("a result and its value must be objects")
                self._take(result, what)

    def _take(self, result: dict[str, Any], what: str) -> None:
        if what == "mention":
            self._region(result)
        elif what == "relation":
            self._relation(result)
        elif result.get("type") == "choices":
            self._choices(result)
        elif result.get("type") == "textarea" and result.get("from_name") == CONCEPT:
            region = self._region_of(result)
            if region is None:
                raise CorpusError("names no labelled region; add it, or remove this result")
            region.concepts += [x for x in _strings(result, "text") if x not in region.concepts]
        else:
            kind = result.get("type")
            known = kind if isinstance(kind, str) and kind in _TYPES else "unknown"
            self.tally.note(f"results of type {known} left out")

    def _region(self, result: dict[str, Any]) -> None:
        key = take_id([{"id": result.get("id")}]) or self._new_id("T", len(self.regions) + 1)
        labels = _strings(result, "labels")
        span = self._span(result.get("value", {}))
        region = self.regions.setdefault(key, _Region(span, []))
        if region.span != span:
            raise OffsetError(
                f"region {shown_id(key)} stands twice, at other offsets; number one anew"
            )
        self.tally.note("regions without a label left out", not labels and not region.labels)
        region.labels += [label for label in labels if label not in region.labels]
        score = plain({SCORE: result.get(SCORE)}).get(SCORE)
        if score is None:
            return
        if self.of_model and isinstance(score, int | float):
            region.attributes.add(f"{SCORE}={json.dumps(score)}")
        else:
            self.tally.note("scores of a model on an annotator's regions left out")

    def _span(self, value: Mapping[str, Any]) -> Span:
        start, end = offsets(value)
        if not 0 <= start < end:
            raise OffsetError(f"[{start}, {end}) is empty or negative; correct the offsets")
        units = _utf16(self.text) if self.is_utf16 else None
        length = len(self.text) if units is None else len(units) // 2
        if end > length:
            raise OffsetError(f"[{start}, {end}) is past end {length}; correct the offsets")
        here, there = fits(self.text, value)[:: -1 if self.is_utf16 else 1]
        if not here:
            hint = "correct the offsets, or annotate the region anew"
            if there:
                one, other = ("code points", "UTF-16 units")[:: -1 if self.is_utf16 else 1]
                hint = f"it does in {other}, where the file counts {one}: split the file"
            raise OffsetError(f"[{start}, {end}): the region's text does not stand there; {hint}")
        if self.is_utf16:
            start, end = _points(self.text, start), _points(self.text, end)
        found = self.text[start:end]
        # A line end as Label Studio writes it is no difference.
        as_exported = re.sub(r"[\r\n]", r"\\n", found)
        self.tally.note(
            "regions' texts that differ in white space (offsets kept)",
            written(value) not in (None, found, as_exported),
        )
        return start, end

    def _region_of(self, result: Mapping[str, Any]) -> _Region | None:
        return self.regions.get(take_id([{"id": result.get("id")}]) or "")

    def _choices(self, result: Mapping[str, Any]) -> None:
        name, values = result.get("from_name"), _strings(result, "choices")
        if not isinstance(name, str) or not name:
            raise CorpusError("choices need 'from_name', the name of the control")
        region = self._region_of(result)
        if region is not None:
            region.attributes |= {name if x == name else f"{name}={x}" for x in values}
        elif "start" in result.get("value", {}):
            raise CorpusError("choices of an unknown region; add it, or remove them")
        elif name in self.fields:
            self.tally.note("choices of documents that stand twice")
        elif values:
            self.fields[name] = values[0] if len(values) == 1 else values

    def _relation(self, result: Mapping[str, Any]) -> None:
        ends = [take_id([{"id": result.get(name)}]) for name in ("from_id", "to_id")]
        regions = [self.regions.get(key or "") for key in ends]
        direction = result.get("direction") or "right"
        if None in regions:
            raise CorpusError("a relation names an unknown region; add it, or remove the relation")
        if direction not in ("left", "right", "bi"):
            raise CorpusError("'direction' of a relation must be left, right or bi")
        if not all(region.labels for region in regions if region):
            self.tally.note("relations of regions without a label left out")
            return
        several = any(len(region.labels) > 1 for region in regions if region)
        self.tally.note("relations of regions with several labels, kept for the first", several)
        labels = _strings({"value": result}, "labels")
        self.tally.note(f"relations without a label, named {_NO_LABEL!r}", not labels)
        head, tail = [str(key) for key in (reversed(ends) if direction == "left" else ends)]
        for label in labels or [_NO_LABEL]:
            number = f"R{len(self.relations) + 1}"
            self.relations.append(Relation(number, label, head, tail, direction == "bi"))

    def entities(self) -> Iterator[Entity]:
        """The mentions: one for each label of a region."""
        for key, region in self.regions.items():
            self.tally.note("regions with several labels, a mention each", len(region.labels) > 1)
            for n, label in enumerate(region.labels):
                new = key if n == 0 else self._new_id(f"{key}_", n + 1)
                yield Entity(
                    new,
                    label,
                    (region.span,),
                    tuple(region.attributes),
                    tuple(region.concepts),
                )

    def _new_id(self, begin: str, n: int) -> str:
        """The first unused of ``begin`` and a number from ``n``."""
        while (new := f"{begin}{n}") in self.used:
            n += 1
        self.used.add(new)
        return new


def _rank(result: object) -> int:
    """Regions before what is said of them, relations last."""
    kind = result.get("type") if isinstance(result, dict) else None
    return 0 if kind == "labels" else 2 if kind == "relation" else 1


def _strings(result: Mapping[str, Any], name: str) -> list[str]:
    """The strings of a field of a result's value; the steps of a path are joined by ``/``."""
    values = result.get("value", {}).get(name) or []
    paths = [x if isinstance(x, list) else [x] for x in listed(values)]
    if not all(isinstance(step, str) for path in paths for step in path):
        raise CorpusError(f"{name!r} must be a list of strings")
    return ["/".join(path) for path in paths]


def written(value: Mapping[str, Any]) -> str | None:
    """The text that a region holds, if it does."""
    text = value.get("text")
    return text if isinstance(text, str) else None


def fits(text: str, value: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a region's text stands at its offsets: in code points, in UTF-16 units."""
    start, end = offsets(value)
    expected = written(value)

    def is_there(found: str, length: int) -> bool:
        return 0 <= start < end <= length and (expected is None or _same(found, expected))

    in_points = is_there(text[start:end], len(text))
    units = _utf16(text)
    if units is None:
        return in_points, in_points
    found = units[2 * start : 2 * end].decode("utf-16-le", "replace")
    return in_points, is_there(found, len(units) // 2)


@lru_cache(maxsize=4)
def _utf16(text: str) -> bytes | None:
    """``text`` in UTF-16; None where each character is one unit, as all of ASCII are."""
    units = text.encode("utf-16-le", "surrogatepass")
    return None if len(units) == 2 * len(text) else units


def _points(text: str, units: int) -> int:
    """The offset in code points of one in UTF-16 units."""
    encoded = _utf16(text)
    if encoded is None:
        return units
    try:
        return len(encoded[: 2 * units].decode("utf-16-le"))
    except UnicodeDecodeError:
        raise OffsetError(f"offset {units} splits a character; correct the offsets") from None


def _same(found: str, written: str) -> bool:
    return found == written or _DISPLAYED.sub("", found) == _DISPLAYED.sub("", written)
