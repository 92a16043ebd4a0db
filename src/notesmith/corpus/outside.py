"""Notes that stand outside of other documents, as a stream; see ``parts`` for the same of lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from notesmith.corpus.parts import Known
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
    under ``LEFT_OUT``.
    """
    known = Known.of(others)

    def outside(docs: Iterable[Document], counts: Counter[str]) -> Iterator[Document]:
        for doc in docs:
            if why := known.why(doc):
                counts[LEFT_OUT[why]] += 1
            else:
                yield doc

    return outside
