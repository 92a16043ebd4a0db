"""A corpus into a running Label Studio and out again: does every mention come back where it was?

    pip install label-studio     # in an environment of its own
    LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true label-studio start --no-browser \
        --username a@b.example --password PASSWORD --user-token TOKEN
    python benchmarks/label_studio.py CORPUS --token TOKEN [--n 100] [--as-predictions]
        [--url http://localhost:8080]

Makes a project with the configuration that ``notesmith corpus convert`` writes, imports the
documents, and compares the project's JSON export with them: text, spans, labels, attributes,
concept ids, relations. With ``--as-predictions`` documents go in as predictions and none come out
until somebody submits them; run it again with ``--project ID`` then, which only exports and
compares. Text is sent to the server that is named, and nowhere else.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from notesmith.corpus import read_corpus
from notesmith.corpus.formats.label_studio_write import config_for, write
from notesmith.document import Document


class Server:
    """Label Studio's interface for programs."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of the answer."""
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=600) as answer:
            found: bytes = answer.read()
        return found

    def make_project(self, docs: list[Document], tasks: bytes) -> int:
        """A new project with the tasks; its number."""
        wanted = {
            "title": "notesmith round trip",
            "label_config": config_for(docs),
            "show_collab_predictions": True,
        }
        made = json.loads(self.call("POST", "/api/projects", json.dumps(wanted).encode()))
        said = json.loads(self.call("POST", f"/api/projects/{made['id']}/import", tasks))
        if said.get("task_count") is None:  # it is read in the background
            time.sleep(10)
        return int(made["id"])

    def export(self, project: int) -> bytes:
        """The project as JSON."""
        path = f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true"
        return self.call("GET", path)


def held(doc: Document) -> Any:
    """What must come back; ids of mentions and relations may be other ones."""
    mentions = {
        ent.id: (ent.label, ent.spans, frozenset(ent.attributes), frozenset(ent.normalized))
        for ent in doc.entities
    }
    relations = Counter(
        (
            rel.label,
            frozenset((mentions[rel.head], mentions[rel.tail]))
            if rel.symmetric
            else (mentions[rel.head], mentions[rel.tail]),
        )
        for rel in doc.relations
    )
    return doc.text, Counter(mentions.values()), relations


def main() -> None:
    """Import, export, compare, and print counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--token", required=True)
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--as-predictions", action="store_true")
    parser.add_argument("--project", type=int, help="compare with this one, and import nothing")
    args = parser.parse_args()
    server = Server(args.url, args.token)
    docs = list(read_corpus(args.corpus).docs[: args.n])
    with tempfile.TemporaryDirectory() as temporary:
        tasks, export = Path(temporary, "tasks.json"), Path(temporary, "export.json")
        lost = write(docs, tasks, as_predictions=args.as_predictions)
        project = args.project or server.make_project(docs, tasks.read_bytes())
        export.write_bytes(server.export(project))
        back = {} if args.as_predictions else {doc.id: doc for doc in read_corpus(export).docs}
    print(f"project {project}; not held by the format: {dict(+lost) or 'nothing'}")
    same = [doc for doc in docs if doc.id in back and held(back[doc.id]) == held(doc)]
    n_mentions = sum(len(doc.entities) for doc in docs)
    n_relations = sum(len(doc.relations) for doc in docs)
    print(f"{len(docs)} documents, {n_mentions} mentions, {n_relations} relations into the project")
    print(f"{len(back)} documents came back, {len(same)} of them as they were")
    there = [(doc, back[doc.id]) for doc in docs if doc.id in back]
    whole = sum(
        {(ent.label, ent.spans) for ent in doc.entities if len(ent.spans) == 1}
        <= {(ent.label, ent.spans) for ent in other.entities}
        for doc, other in there
    )
    print(f"{whole} with every mention of one span where it was")


if __name__ == "__main__":
    main()
