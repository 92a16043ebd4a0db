"""The results of one Label Studio annotation: regions, their choices and concepts, relations.

A region that cannot be read is unknown: its stretch is masked, or where even that cannot be known
the document is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from notesmith.corpus.formats.json_values import listed, offsets, plain, take_id
from notesmith.corpus.formats.label_studio_offsets import (
    Count,
    Readings,
    as_exported,
    meant,
    readings,
    written,
)
from notesmith.corpus.formats.label_studio_tasks import LABELS, kind_of
from notesmith.corpus.formats.label_studio_texts import tag_of
from notesmith.corpus.formats.label_studio_write import CONCEPT, SCORE
from notesmith.corpus.problems import Tally
from notesmith.document import Entity, Relation, Span
from notesmith.errors import CorpusError, OffsetError, shown_id, shown_name

_NO_LABEL = "relation"
_MARKUP = frozenset({"hypertextlabels", "paragraphlabels"})
_MASK = "or mask it (--on-problem count)"
_TYPES = frozenset(
    "brush choices datetime ellipse keypoint number pairwise paragraphs polygon ranker rating "
    "rectangle taxonomy textarea video videorectangle".split()
)


def refuse_other_regions(results: Sequence[Any], plain: Set[str]) -> None:
    """Refuse an annotation whose labelled regions are not all on plain text.

    Regions of images, sounds and the like are none of a text's where they lie on another tag than
    those of ``plain``, the tags with regions on plain text.

    Raises:
        CorpusError: a region is on HTML, on paragraphs, or may stand for mentions otherwise.
    """
    for i, result in enumerate(results):
        kind = kind_of(result)
        if kind is None or not kind.endswith(LABELS):
            continue
        value = result.get("value")
        is_markup = kind in _MARKUP or (isinstance(value, dict) and "startOffset" in value)
        is_media = kind != LABELS and not is_markup and plain and tag_of(result) not in plain
        if is_markup or (kind != LABELS and not is_media):
            what = "HTML or paragraphs" if is_markup else "something else"
            raise CorpusError(
                f"result {i}: a region of type {shown_name(kind)} lies on {what}, not on plain "
                "text; label the notes under a tag <Text> and export those, or leave such tasks "
                "out (--on-problem count)"
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

    ``ways`` are the possible ways of counting offsets; ``of_model`` keeps the scores of regions.
    Regions of the tags ``elsewhere`` lie on other texts, of which ``unread`` are not read at all.
    """

    where: str
    text: str
    tally: Tally
    ways: frozenset[Count]
    of_model: bool
    elsewhere: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    regions: dict[str, _Region] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    masked: set[Span] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    absent: dict[str, str] = field(default_factory=dict)
    """Regions that are no mention of this text, by id: ``masked``, ``elsewhere``, ``unread``."""

    def take(self, results: Sequence[Any]) -> None:
        """Read ``results``: regions, then what is said of them, then relations.

        Raises:
            CorpusError: a region may lie anywhere in the text, or a problem is to be raised.
        """
        self.used = {str(x.get("id")) for x in results if isinstance(x, dict)}
        numbered = sorted(enumerate(results), key=lambda pair: _rank(pair[1]))
        n_regions = sum(_rank(result) == 0 for result in results)
        for i, result in numbered[:n_regions]:
            try:
                self._region(result, i)
            except CorpusError as error:
                if error is self.tally.raised:
                    raise
                raise type(error)(f"result {i}: {error}") from None
        self._mask_unlabelled()
        for i, result in numbered[n_regions:]:
            what = "relation" if _rank(result) == 2 else "result"
            if tag_of(result) not in self.elsewhere:
                with self.tally.dropping(what, f"{self.where}: result {i}"):
                    self._take(result, what)

    def _take(self, result: dict[str, Any], what: str) -> None:
        if not isinstance(result.get("value", {}), dict):
            raise CorpusError("the value of a result must be an object")
        if what == "relation":
            self._relation(result)
        elif result.get("type") == "choices":
            self._choices(result)
        elif result.get("type") == "textarea" and result.get("from_name") == CONCEPT:
            region = self._region_of(result)
            if region is None and _id_of(result) in self.absent:
                return
            if region is None:
                raise CorpusError("names no labelled region; add it, or remove this result")
            region.concepts += [x for x in _strings(result, "text") if x not in region.concepts]
        else:
            kind = result.get("type")
            known = kind if isinstance(kind, str) and kind in _TYPES else "unknown"
            self.tally.note(f"results of type {known} left out")

    def _region(self, result: object, number: int) -> None:
        if not isinstance(result, dict) or not isinstance(result.get("value", {}), dict):
            raise CorpusError("a result and its value must be objects")
        key = _id_of(result) or self._new_id("T", len(self.regions) + 1)
        if (tag := tag_of(result)) in self.elsewhere:
            self.absent[key] = "unread" if tag in self.unread else "elsewhere"
            self.tally.note("regions on texts not asked for left out", tag in self.unread)
            return
        labels = _strings(result, LABELS)
        span = self._span(key, result.get("value", {}), f"{self.where}: result {number}")
        if span is None:
            self.absent[key] = "masked"
            return
        region = self.regions.setdefault(key, _Region(span, []))
        if region.span != span:
            raise OffsetError(
                f"region {shown_id(key)} stands twice, at other offsets; number one anew"
            )
        region.labels += [label for label in labels if label and label not in region.labels]
        score = plain({SCORE: result.get(SCORE)}).get(SCORE)
        if score is None:
            return
        if self.of_model and isinstance(score, int | float):
            region.attributes.add(f"{SCORE}={json.dumps(score)}")
        else:
            self.tally.note("scores of a model on an annotator's regions left out")

    def _span(self, key: str, value: Mapping[str, Any], where: str) -> Span | None:
        """The stretch of a region; None where it is unknown, and masked.

        Raises:
            OffsetError: it may lie anywhere.
        """
        start, end = offsets(value)
        named = f"region {shown_id(key)} [{start}, {end})"
        if not 0 <= start < end:
            raise OffsetError(f"{named} is empty or negative; correct the offsets")
        found = readings(self.text, value)
        span = meant(found, self.ways, has_text=written(value) is not None)
        if span is not None:
            self._note_differences(span, value, found)
            return span
        # Where it would lie without its text, and where its text stands.
        places = set((found or readings(self.text, {"start": start, "end": end})).values())
        if not places:
            raise OffsetError(f"{named} is past end {len(self.text)}; correct the offsets")
        if found:
            problem = (
                "it cannot be told whether characters beyond U+FFFF and line ends before it count "
                f"as one or two; give the regions their texts (value.text), {_MASK}"
            )
        else:
            problem = (
                "the region's text does not stand there; correct the offsets, annotate the region "
                f"anew, {_MASK}"
            )
            if text := written(value):
                places |= {m.span() for m in re.finditer(re.escape(text), self.text)}
        self.tally.mask("region", OffsetError(f"{where}: {named}: {problem}"))
        self.masked |= places
        return None

    def _mask_unlabelled(self) -> None:
        for key, region in list(self.regions.items()):
            if not region.labels:
                named = f"region {shown_id(key)} [{region.span[0]}, {region.span[1]})"
                problem = f"has no label; label it, remove it, {_MASK}"
                self.tally.mask("region", CorpusError(f"{self.where}: {named} {problem}"))
                self.masked.add(region.span)
                self.absent[key] = "masked"
                del self.regions[key]

    def _note_differences(self, span: Span, value: Mapping[str, Any], found: Readings) -> None:
        ways = [count for count, each in found.items() if each == span]
        self.tally.note(
            "regions with offsets in UTF-16 units, made code points", all(x.utf16 for x in ways)
        )
        self.tally.note(
            "regions with offsets that count CRLF as one character, made two",
            all(x.crlf_is_one for x in ways),
        )
        stretch = self.text[slice(*span)]
        # A line end as Label Studio writes it is no difference.
        self.tally.note(
            "regions' texts that differ in white space (offsets kept)",
            written(value) not in (None, stretch, as_exported(stretch)),
        )

    def _region_of(self, result: Mapping[str, Any]) -> _Region | None:
        return self.regions.get(_id_of(result) or "")

    def _choices(self, result: Mapping[str, Any]) -> None:
        name, values = result.get("from_name"), _strings(result, "choices")
        if not isinstance(name, str) or not name:
            raise CorpusError("choices need 'from_name', the name of the control")
        region = self._region_of(result)
        if region is not None:
            region.attributes |= {name if x == name else f"{name}={x}" for x in values}
        elif _id_of(result) in self.absent:
            return
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
        if direction not in ("left", "right", "bi"):
            raise CorpusError("'direction' of a relation must be left, right or bi")
        if None in regions:
            self._refuse_ends([self.absent.get(key or "") for key in ends], regions)
            return
        several = any(len(region.labels) > 1 for region in regions if region)
        self.tally.note("relations of regions with several labels, kept for the first", several)
        labels = _strings({"value": result}, "labels")
        self.tally.note(f"relations without a label, named {_NO_LABEL!r}", not labels)
        head, tail = [str(key) for key in (reversed(ends) if direction == "left" else ends)]
        for label in labels or [_NO_LABEL]:
            number = f"R{len(self.relations) + 1}"
            self.relations.append(Relation(number, label, head, tail, direction == "bi"))

    def _refuse_ends(self, absent: Sequence[str | None], regions: Sequence[_Region | None]) -> None:
        """Refuse or count a relation of which a region is no mention of this text."""
        if any(a is None and r is None for a, r in zip(absent, regions, strict=True)):
            raise CorpusError("a relation names an unknown region; add it, or remove the relation")
        if "masked" in absent:
            self.tally.note("relations of masked regions left out")
        elif None in absent and absent[0] != "elsewhere":  # The text of its other end counts it.
            raise CorpusError(
                "a relation joins regions of two texts, which are two documents; remove it, or "
                "leave it out (--on-problem count)"
            )

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
    """Regions, and what may be one, before what is said of them; relations last."""
    if not isinstance(result, dict):
        return 0
    return {LABELS: 0, "relation": 2}.get(kind_of(result) or "", 1)


def _id_of(result: Mapping[str, Any]) -> str | None:
    return take_id([{"id": result.get("id")}])


def _strings(result: Mapping[str, Any], name: str) -> list[str]:
    """The strings of a field of a result's value; the steps of a path are joined by ``/``."""
    values = result.get("value", {}).get(name) or []
    paths = [x if isinstance(x, list) else [x] for x in listed(values)]
    if not all(isinstance(step, str) for path in paths for step in path):
        raise CorpusError(f"{name!r} must be a list of strings")
    return ["/".join(path) for path in paths]
