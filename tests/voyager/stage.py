"""A HAProxy on what our reading of Voyager's operator renders, and what the decision core says that it answers."""

from __future__ import annotations

import http.client
import re
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple
from urllib.parse import urlsplit

from pinfeather.model.decide import Decision, Outcomes, Request, State, Table, outcomes
from pinfeather.model.document import Document
from pinfeather.model.services import LoadBalancer
from pinfeather.verify.binomial import bounds
from pinfeather.verify.voyager_cfg import Pod, rendered, server_cookie, variant_cookie
from tests.parts.haproxy import HAProxy
from tests.parts.servers import Servers

StartHAProxy = Callable[..., HAProxy]


class _Ports(dict[int, str]):
    """The variable that holds the real port of each port."""

    def __missing__(self, port: int) -> str:
        return f"port_{port}"


PORTS = _Ports({80: "web", 443: "websecure", 9898: "tcp"})
ASKED = 300


class Answer(NamedTuple):
    status: int
    server: str
    cookies: tuple[str, ...]


class Stage:
    """A HAProxy with servers behind it: each Service has the pods that `pods` names, and those of its EndpointSlices."""

    def __init__(self, start: StartHAProxy, servers: Servers, text: str, pods: Mapping[str, tuple[str, ...]]) -> None:
        made = {}
        for service, names in pods.items():
            addresses = [servers.at(name).rsplit(":", 1) for name in names]
            key = service if "/" in service else f"default/{service}"
            made[key] = [Pod(name, address, int(port)) for name, (address, port) in zip(names, addresses, strict=True)]
        self.servers = servers
        self.configuration = rendered(text, made, PORTS, servers.at)
        used = sorted(set(re.findall(r"\$\{(\w+)\}", self.configuration)))
        self.haproxy = start(self.configuration, used)

    def ask(self, request: Request, target: str | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.haproxy.port(request.entry_point or "web"), timeout=10)
        try:
            connection.putrequest(request.method, target or request.path + (f"?{request.query}" if request.query else ""), skip_host=True)
            connection.putheader("Host", request.host)
            for name, value in request.headers:
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            answer.read()
            cookies = tuple(value for name, value in answer.getheaders() if name.lower() == "set-cookie")
            return Answer(answer.status, answer.getheader("X-Server", ""), cookies)
        finally:
            connection.close()

    def again(self, request: Request, answer: Answer) -> Answer:
        """The same client, with the cookies that it was given."""
        pairs = "; ".join(cookie.partition(";")[0] for cookie in answer.cookies)
        headers = tuple(pair for pair in request.headers if pair[0] != "cookie")
        return self.ask(Request(request.host, request.path, request.method, (*headers, ("cookie", pairs)), entry_point=request.entry_point))


def expected(found: Outcomes, document: Document, pods: Mapping[str, tuple[str, ...]]) -> dict[Answer, Fraction]:
    """What the decision core says, in HAProxy's words: a reference to a Service is one of its pods."""
    shares: Counter[Answer] = Counter()
    for low, high, decision in found.parts:
        if decision.status != 200:
            shares[Answer(503, "", ())] += high - low  # HAProxy says so for no backend, too
            continue
        names = _servers(document, decision, pods)
        if not names:
            shares[Answer(503, "", ())] += high - low
        for pod, value in names:
            texts = []
            for binding in decision.set_cookies:
                own = binding.value not in document.services
                texts.append(server_cookie(binding.cookie, f"pod-{value}") if own else variant_cookie(binding.cookie, binding.value))
            shares[Answer(200, pod, tuple(sorted(texts)))] += (high - low) / len(names)
    return dict(shares)


def _servers(document: Document, decision: Decision, pods: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Who may answer, and what the pod is called: one that is known by its address is called so."""
    service = document.services[str(decision.service)]
    assert isinstance(service, LoadBalancer)
    ref = service.servers[0].kubernetes
    if ref is not None:
        return [(name, name) for name in pods[str(ref.service)]]
    place = urlsplit(str(decision.server_key))
    return [(place.netloc, str(place.hostname))]


def compare(stage: Stage, document: Document, request: Request, pods: Mapping[str, tuple[str, ...]]) -> list[Answer]:
    """Asks until each share has been seen, and holds it to what the core says."""
    wanted = expected(outcomes(Table.of(document), request, State()), document, pods)
    answers = [stage.ask(request) for _ in range(1 if len(wanted) == 1 else ASKED)]
    seen = Counter(answer._replace(cookies=tuple(sorted(answer.cookies))) for answer in answers)
    assert set(seen) <= set(wanted), f"{request}: {set(seen) - set(wanted)} is not among {set(wanted)}"
    for answer, share in wanted.items():
        low, high = bounds(len(answers), share)
        assert low <= seen[answer] <= high, f"{request}: {answer} came {seen[answer]} times of {len(answers)}, and not {share}"
    return answers
