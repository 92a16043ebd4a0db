"""Short documents of which only places and labels matter."""

from notesmith.document import Document, Entity

TEXT = "zero one two three four five six seven"


def reading(*mentions, doc_id="n", text=TEXT, relations=(), **metadata):
    """A document with mentions LABEL:words or LABEL:words:attribute, T1, T2, … in this order."""
    ents = []
    for i, mention in enumerate(mentions, 1):
        label, words, *attributes = mention.split(":")
        start = text.index(words)
        ents.append(Entity(f"T{i}", label, ((start, start + len(words)),), tuple(attributes)))
    return Document(doc_id, text, tuple(ents), tuple(relations), metadata=metadata)


def shown(doc):
    """The mentions of a document as ``reading`` takes them."""
    return [":".join((e.label, e.mention(doc.text), *e.attributes)) for e in doc.entities]
