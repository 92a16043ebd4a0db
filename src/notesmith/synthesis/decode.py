"""Labels by source: what was asked for counts, what was approved counts, the rest is unknown.

A mark around a requested or approved name is a label, with the attributes that are marked. An
approved name that stands unmarked is labelled, or masked where its attributes would be unknown. A
mark nobody asked for is masked: neither entity nor O, unless an annotator (a
cross-fitted committee) finds the same mention. The committee never vetoes a requested name: it
doubts precisely the new ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from notesmith.document import Document, Entity, Provenance, Span
from notesmith.filters.candidate import Candidate
from notesmith.markup import Fault, Marks, from_lm, parse
from notesmith.metrics import fold_mention
from notesmith.synthesis.requests import Request

Annotator = Callable[[Sequence[str]], list[Document]]
_MIN_FOUND = 4


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Approved names by folded form, and a pattern that finds them in text.

    ``carriers`` are labels whose mentions may carry an attribute that is asked for.
    """

    labels: Mapping[str, str]
    exact: Mapping[str, str]
    pattern: re.Pattern[str] | None
    carriers: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, names: Mapping[str, Sequence[str]], *, carriers: frozenset[str] = frozenset()
    ) -> Lexicon:
        """Collect names; one that stands under two labels is left out, as it decides nothing.

        Short names and abbreviations are matched with their case, longer ones without.
        """
        labels: dict[str, str] = {}
        exact: dict[str, str] = {}
        clash: set[str] = set()
        for label, found in names.items():
            for name in found:
                key = fold_mention(name)
                if labels.setdefault(key, label) != label:
                    clash.add(key)
                exact[key] = name
        for key in clash:
            del labels[key], exact[key]
        usable = sorted(
            (k for k in labels if len(k) >= _MIN_FOUND or exact[k].isupper()),
            key=lambda k: (-len(k), k),
        )
        alternatives = "|".join(re.escape(k).replace(r"\ ", r"\s+") for k in usable)
        pattern = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE) if usable else None
        return cls(labels, exact, pattern, carriers)

    def find(self, text: str) -> list[tuple[Span, str]]:
        """Ranges and labels of approved names in ``text``, leftmost longest."""
        if self.pattern is None:
            return []
        found: list[tuple[Span, str]] = []
        for match in self.pattern.finditer(text):
            key = fold_mention(match.group())
            # The pattern ignores case in ways that folding does not: a dotless i matches an i.
            name = self.exact.get(key)
            if name is None:
                continue
            is_abbreviation = len(key) < _MIN_FOUND + 2 and any(c.isupper() for c in name[1:])
            if match.group() == name or not is_abbreviation:
                found.append((match.span(), self.labels[key]))
        return found


def candidates_of(
    requests: Sequence[Request],
    texts: Sequence[str],
    ended: Sequence[bool],
    *,
    marks: Marks,
    lexicon: Lexicon,
    provenance: Provenance,
    annotator: Annotator | None = None,
    reserved: Sequence[str] = (),
) -> list[Candidate]:
    """Turn what the model wrote into candidates with labels by source.

    Args:
        requests: one a text.
        texts: marked text in the model's form, whole (a given beginning included).
        ended: whether the model ended the text itself.
        marks: the marks it uses.
        lexicon: approved names, gold included.
        provenance: of the documents; the pattern's id becomes their parent.
        annotator: decides on marks that nobody asked for.
        reserved: tokens that no text may hold; those that are marks are allowed.
    """
    own = set(marks.all)
    made: list[Candidate] = []
    for request, text, end in zip(requests, texts, ended, strict=True):
        doc_id = f"{provenance.stage or 'made'}-{request.id}"
        strays = [text.find(t) for t in reserved if t not in own and t in text]
        result = (
            Fault("unknown mark", min(strays))
            if strays
            else parse(from_lm(text, marks).strip(), marks, doc_id=doc_id)
        )
        if isinstance(result, Fault):
            made.append(
                Candidate(
                    doc_id,
                    text,
                    result,
                    end,
                    request.mentions,
                    requested_attributes=request.attributes,
                )
            )
            continue
        result = replace(
            result, provenance=replace(provenance, parents=(request.pattern.split(":")[0],))
        )
        doc, missing = label_by_source(result, request, lexicon)
        made.append(
            Candidate(
                doc_id,
                text,
                doc,
                end,
                request.mentions,
                missing,
                request.attributes,
                n_not_carried(doc, request),
            )
        )
    return _ask(made, annotator, marks) if annotator else made


def label_by_source(doc: Document, request: Request, lexicon: Lexicon) -> tuple[Document, int]:
    """Decide each mark; return the document and how many requested mentions it lacks."""
    wanted = [(label, fold_mention(mention)) for label, mention in request.mentions]
    left = list(wanted)
    kept: list[Entity] = []
    masked: list[Span] = list(doc.masked)
    for ent in doc.entities:
        key = (ent.label, fold_mention(ent.mention(doc.text)))
        if key in left:
            left.remove(key)
        if key in wanted or lexicon.labels.get(key[1]) == ent.label:
            kept.append(ent)
        else:
            masked.append((ent.start, ent.end))
    taken = [(e.start, e.end) for e in kept] + masked
    n = len(doc.entities)
    for (start, end), label in lexicon.find(doc.text):
        if any(start < e and s < end for s, e in taken):
            continue
        if label in lexicon.carriers:
            masked.append((start, end))
            continue
        n += 1
        kept.append(Entity(f"T{n}", label, ((start, end),)))
        if (label, key_ := fold_mention(doc.text[start:end])) in left:
            left.remove((label, key_))
    kept.sort(key=lambda e: (e.start, -e.end))
    return replace(doc, entities=tuple(kept), masked=tuple(sorted(masked))), len(left)


def n_not_carried(doc: Document, request: Request) -> int:
    """How many of the attributes asked for no such mention in ``doc`` carries."""
    if not request.attributes:
        return 0
    asked = zip(request.mentions, request.attributes, strict=True)
    wanted = Counter((label, fold_mention(m), a) for (label, m), own in asked for a in own)
    carried = Counter(
        (e.label, fold_mention(e.mention(doc.text)), a) for e in doc.entities for a in e.attributes
    )
    return (wanted - carried).total()


def _ask(made: list[Candidate], annotator: Annotator, marks: Marks) -> list[Candidate]:
    """Let the annotator decide masked marks: an entity where it finds exactly that range."""
    which = [i for i, c in enumerate(made) if isinstance(c.result, Document) and c.result.masked]
    docs = [d for i in which if isinstance(d := made[i].result, Document)]
    for i, doc, said in zip(which, docs, annotator([d.text for d in docs]), strict=True):
        found = {(e.start, e.end): e.label for e in said.entities}
        written = parse(from_lm(made[i].marked, marks).strip(), marks, doc_id=doc.id)
        assert isinstance(written, Document)
        marked = {(e.start, e.end): e.attributes for e in written.entities}
        agreed = [
            Entity(f"A{k}", found[span], (span,), marked[span])
            for k, span in enumerate(doc.masked)
            if span in found and span in marked
        ]
        entities = sorted([*doc.entities, *agreed], key=lambda e: (e.start, -e.end))
        masked = tuple(span for span in doc.masked if span not in found or span not in marked)
        made[i] = replace(made[i], result=replace(doc, entities=tuple(entities), masked=masked))
    return made
