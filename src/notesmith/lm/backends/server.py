"""Sample from a server that speaks OpenAI's completions protocol (vLLM, llama.cpp, Ollama ...).

Prompts hold labelled text, so a server off this machine needs the caller's consent. The address is
resolved once, checked and connected to as checked; redirects and proxies are not followed.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from notesmith.config.generator import SampleConfig
from notesmith.errors import ConfigError, StageError
from notesmith.lm.backends import refuse_constraint, seed_of
from notesmith.lm.samples import Constraints, OnSamples, Sample, SampleResult
from notesmith.progress import OnProgress, Progress, silent

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Where clouds serve credentials to whoever asks from inside, besides link-local addresses.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"))
)
# Six-to-four and NAT64 addresses hold an IPv4 address, which may be any.
_TUNNELS = tuple(map(ipaddress.ip_network, ("2002::/16", "64:ff9b::/96", "64:ff9b:1::/48")))
_MOST_BYTES = 64 << 20
_MOST_REQUESTS = 32
_TRIES = 3
_BUSY = (429, 502, 503)
KEY = "NOTESMITH_SERVER_KEY"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, resolved and allowed."""

    host: str
    port: int
    path: str
    tls: bool
    address: str

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return ipaddress.ip_address(self.address).is_loopback


def host_of(url: str) -> str:
    """The host that ``url`` names, in lower case.

    Raises:
        ConfigError: not a plain http(s) address.
    """
    return _parts(url).hostname or ""


def resolve(url: str, *, consent: frozenset[str] = frozenset()) -> Endpoint:
    """Check where ``url`` leads; ``consent`` names hosts besides this machine that text may go to.

    Raises:
        ConfigError: not a plain http(s) address, a refused one, or one that needs consent.
    """
    parts = _parts(url)
    host, tls = host_of(url), parts.scheme == "https"
    try:
        port = parts.port or (443 if tls else 80)
    except ValueError:
        raise ConfigError("the server's URL has a port that is none") from None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot resolve host {host!r}") from error
    addresses = [_plain(str(info[4][0])) for info in found]
    consented = host in {name.casefold() for name in consent}
    for address in addresses:
        _check(host, address, consent=consented, tls=tls)
    return Endpoint(host, port, parts.path.rstrip("/"), tls, str(addresses[0]))


def key_from_environment() -> str | None:
    """The server's API key, from the environment variable ``NOTESMITH_SERVER_KEY`` alone.

    Raises:
        ConfigError: it holds characters that a header cannot carry.
    """
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{KEY} holds characters that no key has")
    return key or None


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError("the server's URL is malformed") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("the server's URL must begin with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError("the server's URL may hold no user, password, query or fragment")
    return parts


def _plain(text: str) -> _Address:
    """Address without its zone, and out of its IPv6 coat if it is IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _check(host: str, address: _Address, *, consent: bool, tls: bool) -> None:
    tunnelled = any(address in net for net in _TUNNELS if net.version == address.version)
    odd = address.is_link_local or address.is_multicast or address.is_unspecified or tunnelled
    if odd or address in _METADATA:
        raise ConfigError(f"host {host!r} leads to {address}, which is refused")
    if address.is_loopback:
        return
    if not consent:
        raise ConfigError(
            f"host {host!r} is not this machine: prompts, which quote labelled documents of train "
            "and the notes to be labelled, would be sent there; where that is allowed, consent "
            f"with --send-text-to {host}"
        )
    if not tls and not address.is_private:
        raise ConfigError(f"host {host!r} is on the open network: use https")


class ServerBackend:
    """Completions of one model of a server; text only, so samples have no token ids."""

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        *,
        api_key: str | None = None,
        stop: str | None = None,
        timeout: float = 600.0,
    ) -> None:
        """Use ``model`` at ``endpoint``, whose path ends before ``/completions``, as in ``…/v1``.

        Text ends before ``stop``. A request may take ``timeout`` seconds, waiting for others
        included.
        """
        self.model = model
        self._endpoint, self._api_key = endpoint, api_key
        self._stop, self._timeout = stop, timeout

    def sample(
        self,
        prompts: Sequence[str],
        config: SampleConfig,
        *,
        seed: int,
        constraint: Constraints = None,
        on_progress: OnProgress = silent,
        finished: Mapping[int, Sample] | None = None,
        on_samples: OnSamples | None = None,
    ) -> SampleResult:
        """See ``notesmith.lm.sample.sample``; ``batch_size`` requests at a time, at most 32."""
        refuse_constraint(constraint, "server")
        started = time.perf_counter()
        done = {i: s for i, s in (finished or {}).items() if 0 <= i < len(prompts)}
        todo = [i for i in range(len(prompts)) if i not in done]
        tokens = 0
        for written in self._all(prompts, todo, config, seed):
            tokens += written.tokens
            done[written.sample.index] = written.sample
            if on_samples:
                on_samples([written.sample])
            seconds = time.perf_counter() - started
            on_progress(Progress("sample", len(done), len(prompts), "samples", tokens, seconds))
        samples = tuple(done[i] for i in range(len(prompts)))
        return SampleResult(samples, tokens, time.perf_counter() - started)

    def _all(
        self, prompts: Sequence[str], todo: Sequence[int], config: SampleConfig, seed: int
    ) -> Iterator[_Written]:
        with ThreadPoolExecutor(min(config.batch_size, _MOST_REQUESTS)) as pool:
            futures = [pool.submit(self._one, i, prompts[i], config, seed) for i in todo]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, index: int, prompt: str, config: SampleConfig, seed: int) -> _Written:
        request: dict[str, Any] = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": config.max_new_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "seed": seed_of(seed, index),
            **({"top_k": config.top_k} if config.top_k else {}),
            **({"stop": [self._stop]} if self._stop else {}),
        }
        body = self._post(json.dumps(request).encode())
        try:
            answer = json.loads(body)
            choice = answer["choices"][0]
            text, ended = str(choice["text"]), choice.get("finish_reason") == "stop"
            tokens = int((answer.get("usage") or {}).get("completion_tokens") or 0)
        except (ValueError, LookupError, TypeError, AttributeError):
            # The answer may hold text: neither it nor the error it caused is shown.
            raise StageError(f"sample {index}: the server's answer is no completion") from None
        return _Written(Sample(index, text, (), ended), tokens)

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        path = f"{self._endpoint.path}/completions"
        status = 0
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(2.0**attempt)
            connection = _PinnedConnection(self._endpoint, self._timeout)
            try:
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
                status = response.status
                answer = response.read(_MOST_BYTES + 1)
            except (OSError, http.client.HTTPException) as error:
                name = type(error).__name__
                raise StageError(f"the server at {self._endpoint.host} failed: {name}") from None
            finally:
                connection.close()
            if status == 200 and len(answer) <= _MOST_BYTES:
                return answer
            if status not in _BUSY:
                break
        why = "redirects, which is not followed" if 300 <= status < 400 else f"answers {status}"
        if status == 200:
            why = "answers with too much"
        raise StageError(f"the server at {self._endpoint.host} {why}")


@dataclass(frozen=True, slots=True)
class _Written:
    sample: Sample
    tokens: int


class _PinnedConnection(http.client.HTTPConnection):
    """Connects to the address that was checked, whatever the name resolves to by now."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        super().__init__(endpoint.host, endpoint.port, timeout=timeout)
        self._endpoint = endpoint

    def connect(self) -> None:
        """Open the socket, in TLS with the name's own certificate where it was https."""
        where = (self._endpoint.address, self._endpoint.port)
        self.sock = socket.create_connection(where, self.timeout)
        if self._endpoint.tls:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self._endpoint.host)
