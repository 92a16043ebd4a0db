"""spaCy's DocBin (``.spacy``), the corpus file of ``spacy train`` and ``spacy convert``.

Mentions are ``doc.ents``, which never overlap, and those of a span group (``doc.spans["sc"]``,
spancat's); a concept id is a span's ``kb_id``, an entity's id its ``id``. Tokens without a decision
on entities become masked. What spaCy has no place for is kept in ``doc.user_data["notesmith"]``
and given back to each mention that stands as it was written. Tokens are cut where a mention begins
or ends, so that none is lost to the tokenizer, and always join to the text. No code of a file is
run: extension attributes and other user data are left out. A message names the document by its
place in the file, counted from 1.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from notesmith.corpus.formats import jsonl
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Span
from notesmith.errors import ConfigError, CorpusError, MissingExtraError, shown_doc
from notesmith.files.read import Budget, read_bytes, unzlib
from notesmith.files.write import atomic_write_bytes
from notesmith.markup import nest

SUFFIX = ".spacy"
GROUP = "sc"
_OURS = "notesmith"


def claims(path: Path) -> bool:
    """Whether ``path`` is a DocBin by its name."""
    return path.suffix.lower() == SUFFIX


def read(path: Path, stem: str, tally: Tally, *, group: str = GROUP) -> Iterator[Document]:
    """Read the documents of one file; ``STEM-1``, ``STEM-2``, … are those without an id.

    Args:
        path: the file.
        stem: what documents without an id are named after.
        tally: counts what is left out.
        group: the span group that is read besides ``doc.ents``.

    Raises:
        MissingExtraError: spaCy is absent.
    """
    tokens, vocab = _require("spacy.tokens"), _require("spacy.vocab")
    data = read_bytes(path)
    with tally.dropping("file", str(path)):
        try:
            unzlib(data, Budget.unpacking("", len(data)))
            docs = list(tokens.DocBin().from_bytes(data).get_docs(vocab.Vocab()))
            # A string stands once in the file, however many tokens it is.
            budget = Budget.unpacking("", len(data))
            for doc in docs:
                budget.spend(sum(map(len, doc)))
        except CorpusError:
            raise
        except Exception as error:  # Those of spaCy, msgpack and numpy have no common root.
            raise CorpusError(
                f"no DocBin that spaCy can read ({type(error).__name__}); is the file cut off, "
                "or written by a later release?"
            ) from None
        for number, doc in enumerate(docs, 1):
            where = f"{path}:{number}"
            with tally.dropping("document", where):
                known = _known(doc, f"{stem}-{number}")
                _note_others(doc, group, tally)
                yield _merged(
                    known, _mentions(doc, group), f"{where}: {shown_doc(known.id)}", tally
                )


def _require(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError("spacy", "spacy") from error


def _note_others(doc: Any, group: str, tally: Tally) -> None:
    others = sum(len(spans) for name, spans in doc.spans.items() if name != group)
    tally.note("mentions of other span groups left out", others)
    tally.note("documents whose categories were left out", bool(doc.cats))
    foreign = any(name != _OURS for name in doc.user_data)
    tally.note("documents whose extensions or user data were left out", foreign)


def _known(doc: Any, name: str) -> Document:
    """What was written of a document, mentions included; one named ``name`` if it was not ours.

    Raises:
        CorpusError: the record does not fit the text.
    """
    ours = doc.user_data.get(_OURS)
    if ours is None:
        return Document(name, doc.text, masked=_undecided(doc))
    try:
        record = json.loads(ours)
        return jsonl.from_record({**record, "text": doc.text})
    except CorpusError as error:
        why = str(error)
    except (TypeError, ValueError, RecursionError):
        why = "no JSON object"
    raise CorpusError(f"user_data[{_OURS!r}] does not fit the document ({why}); remove it")


def _undecided(doc: Any) -> tuple[Span, ...]:
    """Ranges of tokens that are neither in nor outside an entity, if any token is decided."""
    ranges: list[Span] = []
    text = doc.text
    for token in doc:
        if token.ent_iob == 0:
            start, end = token.idx, token.idx + len(token)
            if ranges and not text[ranges[-1][1] : start].strip():
                start = ranges.pop()[0]
            ranges.append((start, end))
    return tuple(ranges) if doc.has_annotation("ENT_IOB") else ()


@dataclass(frozen=True, slots=True)
class _Mention:
    """A span of spaCy's, in characters; concept and id may be empty."""

    start: int
    end: int
    label: str
    concept: str
    id: str


def _mentions(doc: Any, group: str) -> list[_Mention]:
    """The entities, then what the group adds to them."""
    found: dict[tuple[int, int, str, str], _Mention] = {}
    try:
        for span in [*doc.ents, *doc.spans.get(group, ())]:
            mention = _Mention(span.start_char, span.end_char, span.label_, span.kb_id_, span.id_)
            key = (mention.start, mention.end, mention.label, mention.id)
            found.setdefault(key, mention)
    except (KeyError, ValueError, IndexError) as error:
        raise CorpusError(
            f"a span's label or place cannot be read ({type(error).__name__}); write the file anew"
        ) from None
    return list(found.values())


def _merged(known: Document, mentions: Sequence[_Mention], where: str, tally: Tally) -> Document:
    """``known`` with ``mentions``: those that stand as they were written keep their details."""
    written = {ent.id: ent for ent in known.entities}
    kept: dict[str, Entity] = {}
    new: list[_Mention] = []
    for mention in mentions:
        ent = written.get(mention.id)
        if ent and (ent.start, ent.end, ent.label) == (mention.start, mention.end, mention.label):
            same = mention.concept == _concept(ent)
            kept[ent.id] = ent if same else replace(ent, normalized=_concepts(mention))
        else:
            new.append(mention)
    entities = [kept[ent_id] for ent_id in written if ent_id in kept]
    ids = set(kept)
    for mention in sorted(new, key=lambda m: (m.start, -m.end)):
        with tally.dropping("mention", where):
            if not mention.label:
                raise CorpusError(f"[{mention.start}, {mention.end}) has no label; name one")
            moved = mention.id in written and mention.id not in ids
            name = mention.id if moved else _free(ids | written.keys())
            span = ((mention.start, mention.end),)
            ent = Entity(name, mention.label, span, normalized=_concepts(mention))
            replace(known, entities=(ent,), relations=())  # Checks that it fits the text.
            entities.append(ent)
            ids.add(name)
    relations = [rel for rel in known.relations if rel.head in ids and rel.tail in ids]
    tally.note("mentions that were changed or removed since writing", len(written) - len(kept))
    tally.note("relations of removed mentions left out", len(known.relations) - len(relations))
    return replace(known, entities=tuple(entities), relations=tuple(relations))


def _concept(ent: Entity) -> str:
    return ent.normalized[0] if ent.normalized else ""


def _concepts(mention: _Mention) -> tuple[str, ...]:
    return (mention.concept,) if mention.concept else ()


def _free(ids: set[str]) -> str:
    n = len(ids) + 1
    while (name := f"T{n}") in ids:
        n += 1
    return name


def write(
    docs: Sequence[Document], path: Path, *, language: str = "en", group: str = GROUP
) -> Counter[str]:
    """Write ``docs`` to one file; nothing is lost.

    The outermost mentions become ``doc.ents``. Where any overlap, all mentions of all documents
    stand in the span group too.

    Args:
        docs: the documents.
        path: the file.
        language: the code of the language whose tokenizer is used, without a model.
        group: the name of the span group.

    Raises:
        MissingExtraError: spaCy is absent.
        ConfigError: spaCy has no such language.
        CorpusError: a text is not Unicode.
        FileError: the file cannot be written.
    """
    try:
        nlp = _require("spacy").blank(language)
    except MissingExtraError:
        raise
    except (ImportError, ValueError) as error:
        raise ConfigError(f"spaCy has no tokenizer for language {language!r}") from error
    outermost = [_outermost(doc.entities) for doc in docs]
    flat = all(len(kept) == len(doc.entities) for kept, doc in zip(outermost, docs, strict=True))
    docbin = _require("spacy.tokens").DocBin(store_user_data=True)
    for doc, outer in zip(docs, outermost, strict=True):
        try:
            docbin.add(_made(doc, outer, nlp, None if flat else group))
        except UnicodeEncodeError:
            raise CorpusError(
                f"{shown_doc(doc.id)}: holds a lone surrogate; write the text anew"
            ) from None
    atomic_write_bytes(path, docbin.to_bytes())
    return Counter()


def _outermost(entities: Iterable[Entity]) -> list[Entity]:
    kept: list[Entity] = []
    for ent in nest(entities)[0]:
        if not kept or ent.start >= kept[-1].end:
            kept.append(ent)
    return kept


def _made(doc: Document, outer: Sequence[Entity], nlp: Any, group: str | None) -> Any:
    """spaCy's document, with what it has no place for as JSON."""
    tokens = [(token.idx, token.idx + len(token)) for token in nlp.tokenizer(doc.text)]
    words, spaces = _cut(doc, tokens)
    made = _require("spacy.tokens").Doc(nlp.vocab, words=words, spaces=spaces)

    def span(ent: Entity) -> Any:
        named = {"label": ent.label, "kb_id": _concept(ent), "span_id": ent.id}
        return made.char_span(ent.start, ent.end, **named)

    ents = [span(ent) for ent in outer]
    made.set_ents(ents, missing=_masked(made, doc, ents), default="outside")
    if group is not None:
        made.spans[group] = [span(ent) for ent in doc.entities]
    record = json.loads(jsonl.dumps(doc))
    del record["text"]
    made.user_data[_OURS] = json.dumps(record, ensure_ascii=False)
    return made


def _masked(made: Any, doc: Document, ents: Sequence[Any]) -> list[Any]:
    """One span for each token that touches a mask and is in no entity."""
    taken = {at for ent in ents for at in range(ent.start, ent.end)}
    # Of the masks that begin before a token ends, the one that reaches furthest touches it or none.
    starts = sorted(doc.masked)
    reach = list(accumulate((end for _, end in starts), max))
    masked = []
    for token in made:
        n = bisect_left(starts, (token.idx + len(token),))
        if token.i not in taken and n and reach[n - 1] > token.idx:
            masked.append(made[token.i : token.i + 1])
    return masked


def _cut(doc: Document, tokens: Sequence[Span]) -> tuple[list[str], list[bool]]:
    """Words, and whether a space follows each; every mention begins and ends with a word."""
    starts = {ent.start for ent in doc.entities}
    ends = {ent.end for ent in doc.entities}
    begun = {start for start, _ in tokens}
    cuts = {0, len(doc.text), *starts, *ends, *begun, *(end for _, end in tokens)}
    words: list[str] = []
    spaces: list[bool] = []
    for start, end in pairwise(sorted(cuts)):
        # The space between two tokens belongs to the first, unless a mention parts them.
        follows = doc.text[start:end] == " " and start not in begun
        if follows and not spaces[-1] and start not in starts and end not in ends:
            spaces[-1] = True
        else:
            words.append(doc.text[start:end])
            spaces.append(False)
    return words, spaces
