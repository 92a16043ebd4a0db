"""Tell which document each sentence is of, so that both are resampled together.

    python recipes/sentence_documents.py test.tsv NCBItestset_corpus.txt test.jsonl

Writes the sentences as JSON lines with ``document`` in their metadata. The CoNLL edition of NCBI
Disease has no documents of its own. A sentence belongs to the document that holds its characters
(white space left out); one that several hold belongs to that of the sentence before it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document


def documents_of(sentences: list[Document], documents: list[Document]) -> list[str]:
    """The id of the document of each sentence.

    Raises:
        SystemExit: a sentence is in none of the documents.
    """
    texts = {doc.id: "".join(doc.text.split()) for doc in documents}
    found: list[str] = []
    for sentence in sentences:
        wanted = "".join(sentence.text.split())
        homes = [doc_id for doc_id, text in texts.items() if wanted in text]
        if not homes:
            raise SystemExit(f"sentence {sentence.id!r} is in no document")
        found.append(found[-1] if found and found[-1] in homes else homes[0])
    return found


def main() -> None:
    """Write the sentences with the documents they are of."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sentences", type=Path)
    parser.add_argument("documents", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    sentences = list(read_corpus(given.sentences).docs)
    homes = documents_of(sentences, list(read_corpus(given.documents).docs))
    both = zip(sentences, homes, strict=True)
    docs = [replace(doc, metadata={**doc.metadata, "document": home}) for doc, home in both]
    write_corpus(docs, given.out)
    print(f"{given.out}: {len(docs)} sentences of {len(set(homes))} documents")


if __name__ == "__main__":
    main()
