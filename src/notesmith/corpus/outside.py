"""Notes that stand outside of other documents, as a stream; see ``parts`` for the same of lists."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from notesmith.corpus.parts import folded, patient_of
from notesmith.document import Document

LEFT_OUT = {
    "text": "notes left out, as their text is held out",
    "patient": "notes left out, as their patient is held out",
}
"""What ``outside_of`` counts."""


def outside_of(
    others: Iterable[Document],
) -> Callable[[Iterable[Document], Counter[str]], Iterator[Document]]:
    """A filter that passes documents whose text and patient stand in none of ``others``.

    Two texts are the same if they differ in white space alone. The filter counts what it leaves out
    under ``LEFT_OUT``. Texts of ``others`` are kept as hashes.
    """
    texts: set[bytes] = set()
    patients: set[str] = set()
    for doc in others:
        if text := folded(doc.text):
            texts.add(_hash(text))
        if (patient := patient_of(doc)) is not None:
            patients.add(patient)

    def outside(docs: Iterable[Document], counts: Counter[str]) -> Iterator[Document]:
        for doc in docs:
            if _hash(folded(doc.text)) in texts:
                counts[LEFT_OUT["text"]] += 1
            elif patient_of(doc) in patients:
                counts[LEFT_OUT["patient"]] += 1
            else:
                yield doc

    return outside


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
