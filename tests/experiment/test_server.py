"""A server writes for arms that are not tuned: here, or elsewhere with a recorded consent."""

import json
import re
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from notesmith.document import Document
from notesmith.errors import ConfigError, StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment import run_recipe, write_results
from notesmith.experiment.recipes import check_arms
from notesmith.forecast.checks import of_server, sends_to
from notesmith.lm.backends import server as backend
from notesmith.report.card import CardFacts, dataset_card
from notesmith.report.notes import honest_notes
from tests.lm.tiny import save_tiny

from .doubles import DOUBLES, tiny_recipe, write_notes

ARMS = [{"name": "gold"}, {"name": "prompted", "made": ["synthetic"], "tuned": False}]
INSTEAD = {name: run for name, run in DOUBLES.items() if name != "sample"}
TEXT = "The patient reports <Sign>{}</> and no {} since Monday.\n\nMore"


class Answering(ThreadingHTTPServer):
    """Answers completions, and keeps the requests; after ``most`` of them it fails."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.most = [], 10**6

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = self.server.requests
        asked.append((self.path, json.loads(body), dict(self.headers)))
        failed = len(asked) > self.server.most
        sign = ["cough", *re.findall("Sign: ([^|;\n]+)", asked[-1][1]["prompt"])][-1].strip()
        text = TEXT.format(sign, "abcdefghijklmnopqrstuvwxyz"[len(asked) % 26] * 5)
        choice = {"text": text, "finish_reason": "stop"}
        answer = json.dumps({"choices": [choice], "usage": {"completion_tokens": 9}}).encode()
        self.send_response(500 if failed else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


@pytest.fixture
def answering(socket_enabled):
    with Answering() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_notes(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny("llama", tmp_path_factory.mktemp("lm") / "tiny")


def served(paths, model, url, *, arms=ARMS, **sample):
    settings = {"server": url, "server_model": "big-model", "constrain": "none", "batch_size": 1}
    return tiny_recipe(
        paths,
        arm=arms,
        draws={"replicates": 1, "curve": []},
        lm={"model": str(model), "trim": False},
        synthesize={"shots": 2},
        sample=settings | sample,
        evaluate={"against": {}},
    )


def run(config, folder, **options):
    return run_recipe(config, folder, instead=INSTEAD, cache=folder / "cache", **options)


def test_a_server_on_this_machine_writes_what_an_arm_trains_on(
    paths, model, answering, tmp_path, monkeypatch
):
    monkeypatch.setenv("NOTESMITH_SERVER_KEY", "sk-plant")
    config = served(paths, model, answering.url)
    result = run(config, tmp_path / "run")
    assert result.n_left == 0 and len(answering.requests) == 8
    path, request, headers = answering.requests[0]
    assert path == "/v1/completions" and request["model"] == "big-model"
    assert request["stop"] == ["\n\n"] and "<Sign>" in request["prompt"]
    assert headers["Authorization"] == "Bearer sk-plant"
    (cell,) = (tmp_path / "run" / "cells" / "sample").iterdir()
    made = [candidate.result for candidate in files.load_candidates(cell)]
    assert all(isinstance(doc, Document) and doc.provenance.model == "big-model" for doc in made)
    assert any(doc.mentions() for doc in made) and not any("More" in doc.text for doc in made)
    assert not (tmp_path / "run" / "consents.json").exists()
    assert result.results.notices == write_results(tmp_path / "run").results.notices
    assert not any("were sent" in notice for notice in result.results.notices)
    assert result.results.served.name == "big-model" and result.results.lm.name == "double"
    assert "big-model, on a server, licence unknown" in dataset_card(result.results, CardFacts())
    written = [p for p in (tmp_path / "run").rglob("*") if p.is_file()]
    assert not any(b"sk-plant" in p.read_bytes() for p in written)
    assert answering.url not in (tmp_path / "run" / "results.json").read_text()


def test_text_that_is_there_is_not_asked_for_again_though_the_server_moved(
    paths, model, answering, tmp_path
):
    answering.most = 5
    with pytest.raises(StageError, match="answers 500"):
        run(served(paths, model, answering.url), tmp_path / "run")
    answering.most, answering.requests = 10**6, []
    moved = answering.url.replace("127.0.0.1", "localhost")
    assert run(served(paths, model, moved), tmp_path / "run").n_left == 0
    assert len(answering.requests) == 3


def test_elsewhere_it_is_sent_only_with_a_consent_that_is_recorded(
    paths, model, answering, tmp_path, monkeypatch
):
    """The name leads to a private address; what would be sent there is sent to a server here."""
    look_up = socket.getaddrinfo

    def found(host, port, *args, **options):
        if host == "gpu.example":
            return [(None, None, 0, "", ("10.0.0.5", port))]
        return look_up(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    connect = socket.create_connection
    here = (answering.server_address[0], answering.server_port)
    monkeypatch.setattr(
        backend.socket,
        "create_connection",
        lambda where, timeout: connect(here if where[0] == "10.0.0.5" else where, timeout),
    )
    config = served(paths, model, "http://gpu.example:8000/v1")
    for consent in (frozenset(), frozenset({"elsewhere.example"})):
        with pytest.raises(ConfigError, match=r"labelled documents.*--send-text-to gpu.example"):
            run(config, tmp_path / "run", consent=consent)
    assert answering.requests == [] and not (tmp_path / "run").exists()

    assert sends_to(config) == "gpu.example"
    problems = list(of_server(config))
    assert "--send-text-to gpu.example" in problems[0].what
    assert not any(problem.fatal for problem in problems)

    said = []
    options = {"consent": frozenset({"gpu.example"}), "tell": said.append}
    result = run(config, tmp_path / "run", **options)
    assert len(answering.requests) == 8
    assert "prompts with text of your documents go to gpu.example (model big-model)" in said
    record = json.loads((tmp_path / "run" / "consents.json").read_text())["consents"]
    assert [(c["host"], c["model"]) for c in record] == [("gpu.example", "big-model")]
    sentence = (
        "Prompts with text of the documents were sent to gpu.example (model big-model), by consent "
        f"recorded on {record[0]['when']}."
    )
    assert result.results.notices[0] == honest_notes(result.results)[0] == sentence
    assert sentence in dataset_card(result.results, CardFacts())
    assert sentence in result.report.read_text()

    run(config, tmp_path / "run", **options)
    assert json.loads((tmp_path / "run" / "consents.json").read_text())["consents"] == record


def test_the_plan_names_an_address_that_cannot_be_used(paths, model):
    (problem,) = of_server(served(paths, model, "localhost:8000"))
    assert problem.fatal and "must begin with http" in problem.what
    assert list(of_server(tiny_recipe(paths))) == []


@pytest.mark.parametrize(
    ("sample", "arms", "said"),
    [
        ({"server_model": None}, ARMS, "go together"),
        ({"server": None}, ARMS, "go together"),
        ({"constrain": "marks"}, ARMS, "set sample.constrain = 'none'"),
        ({}, [*ARMS, {"name": "tuned", "made": ["synthetic"]}], "arm 'tuned' has a tuned"),
    ],
)
def test_what_a_server_cannot_do_is_said(paths, model, sample, arms, said):
    with pytest.raises(ConfigError, match=said):
        check_arms(served(paths, model, "http://127.0.0.1:1/v1", arms=arms, **sample))
