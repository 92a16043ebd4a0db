import json
import socket
import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest

from notesmith.config import SampleConfig
from notesmith.errors import ConfigError, MissingExtraError, StageError
from notesmith.lm.backends import seed_of, server
from notesmith.lm.backends.server import ServerBackend, key_from_environment, resolve
from notesmith.lm.backends.vllm import VllmBackend
from notesmith.lm.constrain import MarkConstraint
from notesmith.lm.samples import Sample
from tests.lm.tiny import save_tiny, tiny_lm

CONFIG = SampleConfig(batch_size=2, max_new_tokens=9)
RULE = MarkConstraint((5,), 6, (1,))


def resolving_to(monkeypatch, *addresses):
    def found(host, port, type):
        return [(None, type, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_needs_no_consent(monkeypatch, address):
    resolving_to(monkeypatch, address)
    assert resolve("http://somewhere:8000/v1/").path == "/v1"


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.4", "fd12::1", "8.8.8.8"])
def test_other_machines_need_consent(monkeypatch, address):
    resolving_to(monkeypatch, address)
    for consent in (frozenset(), frozenset({"other.example"})):
        with pytest.raises(ConfigError, match=r"consent with --send-text-to gpu\.example"):
            resolve("https://gpu.example/v1", consent=consent)
    endpoint = resolve("https://GPU.example/v1", consent=frozenset({"gpu.Example"}))
    assert (endpoint.address, endpoint.port, endpoint.is_local) == (address, 443, False)


def test_the_open_network_needs_tls(monkeypatch):
    resolving_to(monkeypatch, "8.8.8.8")
    with pytest.raises(ConfigError, match="use https"):
        resolve("http://gpu.example/v1", consent=frozenset({"gpu.example"}))


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "64:ff9b::a9fe:a9fe",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "::",
        "224.0.0.1",
    ],
)
def test_metadata_and_link_local_addresses_are_refused_even_with_consent(monkeypatch, address):
    resolving_to(monkeypatch, "127.0.0.1", address)
    with pytest.raises(ConfigError, match="which is refused"):
        resolve("http://metadata.example/v1", consent=frozenset({"metadata.example"}))


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "localhost:8000", "http://", "http://a:b@localhost/v1",
     "http://localhost/v1?key=1", "http://localhost:99999999/v1", "http://[::1/v1"],
)  # fmt: skip
def test_odd_urls_are_refused(url):
    with pytest.raises(ConfigError, match="the server's URL"):
        resolve(url)


class FakeConnection:
    """Answers in place of a server, and keeps the requests."""

    answers: ClassVar[list[tuple[int, bytes]]] = []
    requests: ClassVar[list[tuple[str, dict, dict]]] = []

    def __init__(self, endpoint, timeout):
        self.endpoint = endpoint

    def request(self, method, path, body, headers):
        self.requests.append((path, json.loads(body), headers))

    def getresponse(self):
        status, body = self.answers.pop(0)
        return SimpleNamespace(status=status, read=lambda limit: body[:limit])

    def close(self):
        pass


def completion(text, finish="stop", tokens=4):
    choice = {"text": text, "finish_reason": finish}
    return 200, json.dumps({"choices": [choice], "usage": {"completion_tokens": tokens}}).encode()


@pytest.fixture
def backend(monkeypatch):
    resolving_to(monkeypatch, "127.0.0.1")
    monkeypatch.setattr(server, "_PinnedConnection", FakeConnection)
    monkeypatch.setattr(server.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(FakeConnection, "answers", [])
    monkeypatch.setattr(FakeConnection, "requests", [])
    endpoint = resolve("http://localhost:8000/v1")
    return ServerBackend(endpoint, "m", api_key="sk-plant", stop="\n\n")


def test_a_server_writes_the_samples(backend):
    FakeConnection.answers += [completion("one"), completion("two", "length", 9)]
    config = CONFIG.model_copy(update={"batch_size": 1})
    result = backend.sample(["a", "b"], config, seed=7)
    assert result.samples == (Sample(0, "one", (), True), Sample(1, "two", (), False))
    assert result.tokens == 13
    path, request, headers = FakeConnection.requests[1]
    assert path == "/v1/completions"
    assert request == {
        "model": "m",
        "prompt": "b",
        "max_tokens": 9,
        "temperature": 0.9,
        "top_p": 0.95,
        "top_k": 64,
        "seed": seed_of(7, 1),
        "stop": ["\n\n"],
    }
    assert headers["Authorization"] == "Bearer sk-plant"


def test_finished_samples_are_not_asked_for(backend):
    FakeConnection.answers += [completion("two")]
    saved, seen = {0: Sample(0, "kept", (), True)}, []
    result = backend.sample(["a", "b"], CONFIG, seed=7, finished=saved, on_samples=seen.extend)
    assert [s.text for s in result.samples] == ["kept", "two"]
    assert [s.index for s in seen] == [1]


def test_a_busy_server_is_asked_again(backend):
    FakeConnection.answers += [(503, b""), (429, b""), completion("late")]
    assert backend.sample(["a"], CONFIG, seed=0).samples[0].text == "late"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((302, b"secret text"), "redirects, which is not followed"),
        ((500, b"secret text"), "answers 500"),
        ((200, b"secret text"), "sample 0: the server's answer is no completion"),
        ((200, b'{"choices": []}'), "sample 0: the server's answer is no completion"),
    ],
)
def test_a_servers_faults_show_no_text_and_no_key(backend, answer, message):
    FakeConnection.answers += [answer]
    with pytest.raises(StageError, match=message) as caught:
        backend.sample(["a prompt"], CONFIG, seed=0)
    shown = f"{caught.value!r} {caught.value.__cause__!r} {backend!r}"
    assert not any(word in shown for word in ("secret", "sk-plant", "a prompt"))


def test_the_key_comes_from_the_environment_and_is_not_shown(monkeypatch):
    assert key_from_environment() is None
    monkeypatch.setenv("NOTESMITH_SERVER_KEY", " sk-plant\n")
    assert key_from_environment() == "sk-plant"
    monkeypatch.setenv("NOTESMITH_SERVER_KEY", "sk\nplant")
    with pytest.raises(ConfigError, match="characters that no key has") as caught:
        key_from_environment()
    assert "plant" not in str(caught.value)


def test_backends_that_cannot_constrain_say_so(backend):
    for constraint in (RULE, [RULE]):
        with pytest.raises(StageError, match="server backend cannot constrain marks"):
            backend.sample(["a"], CONFIG, seed=0, constraint=constraint)


def test_vllm_is_an_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"notesmith\[vllm\]"):
        VllmBackend(None, save_tiny("llama", tmp_path / "model"))


def test_vllm_is_asked_for_the_same(monkeypatch, tmp_path):
    lm = tiny_lm("gemma3")
    asked = {}

    class Engine:
        def __init__(self, **options):
            asked["engine"] = options

        def generate(self, prompts, parameters, use_tqdm):
            asked["prompts"], asked["parameters"] = prompts, parameters
            ids = lm.encode("chest pain")
            ended = SimpleNamespace(token_ids=[*ids, lm.eos_ids[0]], finish_reason="stop")
            cut = SimpleNamespace(token_ids=ids, finish_reason="length")
            return [SimpleNamespace(outputs=[o]) for o in (ended, cut)]

    fake = SimpleNamespace(LLM=Engine, SamplingParams=lambda **options: options)
    monkeypatch.setitem(sys.modules, "vllm", fake)
    backend = VllmBackend(lm, save_tiny("llama", tmp_path / "model"))
    result = backend.sample(["The", "A"], CONFIG, seed=3)
    ids = tuple(lm.encode("chest pain"))
    assert result.samples == (
        Sample(0, "chest pain", ids, True),
        Sample(1, "chest pain", ids, False),
    )
    assert asked["engine"]["trust_remote_code"] is False
    assert asked["prompts"][1] == {"prompt_token_ids": lm.encode_prompts(["A"])[0]}
    assert asked["parameters"][1] == {
        "temperature": 0.9,
        "top_k": 64,
        "top_p": 0.95,
        "max_tokens": 9,
        "stop_token_ids": list(lm.eos_ids),
        "seed": seed_of(3, 1),
        "detokenize": False,
    }
