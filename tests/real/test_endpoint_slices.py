"""Several servers a Service: EndpointSlices with real addresses, a real API server, a real Traefik, and servers in a network namespace.

There is no controller: the EndpointSlices are what the format `ingressroute` emits for servers by URL, or, where the document refers to
Services, what a controller would write of their pods.
"""

from __future__ import annotations

import ipaddress
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from pinfeather.model.build import build
from pinfeather.model.noun import Tree
from pinfeather.testing.traefik import Answer, Traefik
from pinfeather.translators import builtin
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import KubernetesApi
from tests.parts.network_namespace import PORT, RANGES, ROOT, NamedServer, NetworkNamespace, ip, namespaces
from tests.parts.network_namespace import network_namespace as network_namespace
from tests.parts.proxies import until
from tests.required import VARIABLE, missing, skip_if_netns_is_left_out

HOST = "shop.example"
NAMES = {"shop-v1": ("shop-v1-a", "shop-v1-b", "shop-v1-c"), "shop-v2": ("shop-v2-a",)}
WEIGHTS = {"shop-v1": 9, "shop-v2": 1}
OFTEN = 60
"""Visitors without a cookie: a whole number of turns of the weights, and of the servers below them. A flat draw would be another one."""
STAY = 5
"""Visits of somebody who is not to be moved."""
CHECKED: dict[str, Tree] = {"passive_health_check": {"failure_window": "2s", "max_failed_attempts": 1}}
"""A server that failed once is left out for two seconds."""
_ROUTE: dict[str, Tree] = {"name": "shop", "hosts": [HOST], "entry_points": ["web"]}
SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: web, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-x7k2p, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
endpoints: {endpoints}
ports: [{{name: web, port: {port}, protocol: TCP}}]
"""


class Visitor:
    """Keeps the cookies that it is given, as a browser does."""

    def __init__(self, running: Traefik, cookies: Mapping[str, str] | None = None) -> None:
        self.cookies = dict(cookies or {})
        self.given: list[str] = []
        """The names of the cookies of the last answer."""
        self._running = running

    def visit(self) -> str:
        """Who answers; where nobody does, Traefik's status."""
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self._running.request(host=HOST, headers=[("Cookie", kept)] if kept else [])
        pairs = [line.partition(";")[0].partition("=") for line in answer.all("Set-Cookie")]
        self.cookies |= {name: value for name, _, value in pairs}
        self.given = [name for name, _, _ in pairs]
        return _who(answer)

    def visits(self) -> set[str]:
        """Who answers, time and again; and no cookie may be given."""
        found = set[str]()
        for _ in range(STAY):
            found.add(self.visit())
            assert self.given == []
        return found


class Shop:
    """A document, deployed; the Traefik that serves it; and its servers."""

    def __init__(self, kubernetes: KubernetesApi, running: Traefik, servers: Mapping[str, tuple[NamedServer, ...]]) -> None:
        self.kubernetes = kubernetes
        self.running = running
        self.servers = servers
        self.tree: dict[str, Tree] = {}
        """The document that is in force."""

    @property
    def lost(self) -> NamedServer:
        """The server that the tests take away."""
        return self.servers["shop-v1"][0]

    def by_url(self, more: Mapping[str, Tree] | None = None, without: Iterable[NamedServer] = ()) -> dict[str, Tree]:
        """The document with the servers' own addresses."""
        return _document({name: _urls(servers, without) for name, servers in self.servers.items()}, more or {})

    def of_one(self, without: Iterable[NamedServer] = ()) -> dict[str, Tree]:
        """The document in which everybody comes to the first service."""
        return {**_document({"shop-v1": _urls(self.servers["shop-v1"], without)}, {}), "routes": [{**_ROUTE, "to": "shop-v1"}]}

    def deploy(self, tree: dict[str, Tree]) -> None:
        """What `ingressroute` makes of it, applied, and in force."""
        translator = builtin.load("ingressroute")
        document, findings = build(tree)
        assert document is not None, findings
        for file in translator.emit(document, translator.options()).files():
            self.kubernetes.apply(file.text)
        self.kubernetes.in_force(self.running)
        self.tree = tree

    def deploy_by_reference(self) -> None:
        """The document that names Services, which others have made: they and their slices are as a controller writes them."""
        for name, servers in self.servers.items():
            endpoints = json.dumps([{"addresses": [each.host], "conditions": _conditions()} for each in servers])
            self.kubernetes.apply(SERVICE.format(name=name, endpoints=endpoints, port=PORT))
        self.deploy(_document({name: [{"kubernetes": {"service": name, "port": 80}}] for name in self.servers}, {}))

    def say_of_the_lost(self, conditions: Mapping[str, bool] | None) -> None:
        """What a controller writes of that pod; None: it is there no more. It is in force then."""
        every = [(each, conditions if each is self.lost else _conditions()) for each in self.servers["shop-v1"]]
        endpoints = [{"addresses": [each.host], "conditions": said} for each, said in every if said is not None]
        path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/shop-v1-x7k2p"
        self.kubernetes.request("PATCH", path, json.dumps({"endpoints": endpoints}), "application/merge-patch+json")
        self.kubernetes.in_force(self.running)

    def spread(self) -> Counter[str]:
        """Who answers those who come for the first time."""
        return Counter(_who(self.running.request(host=HOST)) for _ in range(OFTEN))

    def visitors(self) -> dict[str, Visitor]:
        """One visitor of each server, by the server's name."""
        found: dict[str, Visitor] = {}
        for _ in range(OFTEN):
            visitor = Visitor(self.running)
            found.setdefault(visitor.visit(), visitor)
        assert sorted(found) == sorted(name for names in NAMES.values() for name in names)
        return found


def _document(servers: Mapping[str, list[Tree]], more: Mapping[str, Tree]) -> dict[str, Tree]:
    split: list[Tree] = [{"to": name, "weight": weight} for name, weight in WEIGHTS.items()]
    services: Tree = {name: {"servers": each, "sticky": _sticky("server"), **more} for name, each in servers.items()}
    routes: Tree = [{**_ROUTE, "split": split, "sticky": _sticky("variant")}]
    return {"pinfeather": "v1", "entry_points": {"web": 8000}, "routes": routes, "services": services}


def _urls(servers: Iterable[NamedServer], without: Iterable[NamedServer]) -> list[Tree]:
    return [{"url": each.url} for each in servers if each not in without]


def _sticky(name: str) -> Tree:
    return {"cookie": {"name": name, "http_only": True}}


def _conditions(*, ready: bool = True, serving: bool = True, terminating: bool = False) -> dict[str, bool]:
    return {"ready": ready, "serving": serving, "terminating": terminating}


def _is_moved(bound: Visitor) -> str:
    """Who answers him now: another server of the same version, for which he is given a cookie, and which he stays with."""
    version = bound.cookies["variant"]
    beside = bound.visit()
    assert beside in NAMES["shop-v1"][1:]
    assert (bound.given, bound.cookies["variant"]) == (["server"], version)
    assert bound.visits() == {beside}
    return beside


def _all_stay(visitors: Mapping[str, Visitor]) -> None:
    assert all(visitor.visits() == {name} for name, visitor in visitors.items())


def _who(answer: Answer) -> str:
    return next(iter(answer.all("X-Server")), str(answer.status))


@pytest.fixture
def shop(network_namespace: NetworkNamespace, kubernetes: KubernetesApi, traefik: StartTraefik) -> Shop:
    """Nothing is deployed yet."""
    servers = {service: tuple(network_namespace.server(name) for name in names) for service, names in NAMES.items()}
    return Shop(kubernetes, traefik({}, arguments=kubernetes.arguments("kubernetescrd")), servers)


@pytest.fixture(params=["by URL", "by reference"])
def served(shop: Shop, request: pytest.FixtureRequest) -> Shop:
    """A document is in force: with the servers' addresses, or with references to Services that others have made."""
    if request.param == "by reference":
        shop.deploy_by_reference()
    else:
        shop.deploy(shop.by_url())
    return shop


def test_the_weights_are_kept_and_servers_come_in_turn(served: Shop) -> None:
    counted = served.spread()
    turns = OFTEN // sum(WEIGHTS.values())
    fair = {name: turns * WEIGHTS[service] // len(names) for service, names in NAMES.items() for name in names}
    assert counted.keys() == fair.keys()
    assert all(abs(counted[name] - fair[name]) <= 1 for name in fair), counted


def test_who_has_the_cookies_stays_and_who_has_none_is_spread(served: Shop) -> None:
    visitors = served.visitors()
    assert all(set(visitor.cookies) == {"variant", "server"} for visitor in visitors.values())
    _all_stay(visitors)
    of_v1 = [visitors[name].cookies for name in NAMES["shop-v1"]]
    assert len({each["variant"] for each in of_v1}) == 1
    assert len({each["server"] for each in of_v1}) == len(of_v1)
    to_the_version = {"variant": of_v1[0]["variant"]}  # the server is drawn, then
    halfway = [Visitor(served.running, to_the_version) for _ in range(OFTEN)]
    assert {visitor.visit() for visitor in halfway} == set(NAMES["shop-v1"])
    assert all(visitor.given == ["server"] for visitor in halfway)


def test_the_clients_of_a_server_that_stops_are_moved_and_all_others_stay(shop: Shop) -> None:
    """Traefik notices by itself: the document has a passive health check."""
    shop.deploy(shop.by_url(CHECKED))
    visitors = shop.visitors()
    moved = visitors.pop(shop.lost.name)
    before = dict(moved.cookies)
    with shop.lost.stopped():
        assert moved.visit() == "502"
        beside = _is_moved(moved)
        _all_stay(visitors)
    shop.running.wait(lambda: shop.lost.name in shop.spread(), f"{shop.lost.name} being asked again")
    assert moved.visits() == {beside}  # nobody is moved back
    assert Visitor(shop.running, before).visits() == {shop.lost.name}


def test_without_a_health_check_they_are_not_moved(shop: Shop) -> None:
    """What the test above would see if Traefik did nothing; `pinfeather lint` says so of such a document."""
    shop.deploy(shop.by_url())
    visitors = shop.visitors()
    with shop.lost.stopped():
        assert visitors[shop.lost.name].visits() == {"502"}
        assert visitors["shop-v2-a"].visits() == {"shop-v2-a"}
    assert visitors[shop.lost.name].visits() == {shop.lost.name}


def test_a_server_that_the_document_gives_up_is_left_and_no_one_else_is_moved(shop: Shop) -> None:
    shop.deploy(shop.by_url())
    visitors = shop.visitors()
    moved = visitors.pop(shop.lost.name)
    shop.deploy(shop.by_url(without=[shop.lost]))
    assert shop.spread().keys() == visitors.keys()
    _is_moved(moved)
    _all_stay(visitors)


@pytest.mark.parametrize(
    ("conditions", "stays", "takes_new"),
    [
        (_conditions(), True, True),
        ({}, True, True),  # nothing said is ready
        (_conditions(ready=False, terminating=True), True, False),  # a pod that is asked to end
        (_conditions(ready=False, serving=False, terminating=True), False, False),
        (_conditions(ready=False, serving=False), False, False),  # a pod whose readiness probe fails
        (None, False, False),
    ],
)
def test_what_a_controller_says_of_a_pod(shop: Shop, conditions: Mapping[str, bool] | None, stays: bool, takes_new: bool) -> None:
    """Who is bound to it, and who comes for the first time; everybody else stays where he is."""
    shop.deploy_by_reference()
    visitors = shop.visitors()
    shop.say_of_the_lost(conditions)
    assert (shop.lost.name in shop.spread()) is takes_new
    bound = visitors.pop(shop.lost.name)
    if stays:
        assert bound.visits() == {shop.lost.name}
    else:
        _is_moved(bound)
    _all_stay(visitors)


def test_the_format_knows_the_cookies_before_anybody_is_given_one(served: Shop) -> None:
    """`identity` of `ingressroute` says what Traefik really sets; which servers a Service has, only the cluster knows."""
    document, _ = build(served.tree)
    assert document is not None
    translator = builtin.load("ingressroute")
    known = translator.identity(document, translator.options())
    visitors = served.visitors()
    for service, servers in served.servers.items():
        for server in servers:
            given = visitors[server.name].cookies
            assert given["variant"] == known.variants["shop", service]
            assert given["server"] == known.servers.get((service, server.url), given["server"])
    addresses = {(service, server.url) for service, servers in served.servers.items() for server in servers}
    assert known.servers.keys() == (addresses if "url" in json.dumps(served.tree) else set())


def _verified(shop: Shop, document: Tree, folder: Path, identify: str) -> tuple[int, str]:
    """The exit code of `pinfeather verify`, and what it says."""
    path = folder / "shop.yaml"
    path.write_text(json.dumps(document))
    words = ["verify", str(path), "--url", f"web=http://127.0.0.1:{shop.running.port()}", "--identify", identify, "--rate", "1000"]
    done = subprocess.run([sys.executable, "-m", "pinfeather", *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_verify_finds_what_the_document_says_and_what_it_does_not(served: Shop, tmp_path: Path) -> None:
    """By the names that the servers say."""
    code, said = _verified(served, served.tree, tmp_path, "header:X-Server")
    assert code == 0, said
    assert "It behaves as the document says." in said
    assert all(f"{name} is {service}" in said for service, names in NAMES.items() for name in names)
    wrong = json.loads(json.dumps(served.tree).replace('"weight": 9', '"weight": 1'))
    code, said = _verified(served, wrong, tmp_path, "header:X-Server")
    assert code == 1, said
    assert re.search(r"shop-v2 answered \d+ of 196: outside of 64 to 132", said), said


def test_verify_tells_the_servers_of_one_service_by_their_cookies(shop: Shop, tmp_path: Path) -> None:
    """Each of the three by its URL; and one that the cluster does not have is missed."""
    document = shop.of_one()
    shop.deploy(document)
    code, said = _verified(shop, document, tmp_path, "cookie")
    assert code == 0, said
    assert all(f"server={server.url}" in said for server in shop.servers["shop-v1"])
    shop.deploy(shop.of_one(without=[shop.lost]))
    code, said = _verified(shop, document, tmp_path, "cookie")
    assert code == 1, said
    assert f"{shop.lost.url} answered 0 of" in said


# The namespace itself --------------------------------------------------------------------------------------------------


def _links() -> set[str]:
    return {str(one["ifname"]) for one in json.loads(ip("-json", "link", "show"))}


def _fail_inside(other: NetworkNamespace, pids: list[str]) -> None:
    with other:
        assert any(ipaddress.ip_address(other.server("a").host) in whole for whole in RANGES)
        assert other.name in namespaces()
        assert other.outside in _links()
        pids += ip("netns", "pids", other.name).split()
        raise KeyboardInterrupt


def test_nothing_is_left_of_a_namespace_even_after_a_failure(network_namespace: NetworkNamespace, tmp_path: Path) -> None:
    other, pids = NetworkNamespace(tmp_path), list[str]()
    with pytest.raises(KeyboardInterrupt):
        _fail_inside(other, pids)
    assert len(pids) == 1
    assert not Path("/proc", pids[0]).exists()
    assert other.name not in namespaces()
    assert other.outside not in _links()


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.parts.network_namespace import NetworkNamespace, namespaces
with NetworkNamespace(Path(sys.argv[1])) as made:
    made.server("a")
    print(made.name, made.outside, made.name in namespaces(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_has_left_is_swept_by_the_next(network_namespace: NetworkNamespace, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    name, outside, was_there = done.stdout.split()  # a run beside this one may have swept it by now
    assert was_there == "True"
    with NetworkNamespace(tmp_path):
        assert name not in namespaces()
        assert network_namespace.name in namespaces()  # its maker runs
    until(lambda: outside not in _links())  # the system takes a namespace's links away a little later


@pytest.mark.parametrize(
    ("asked", "ends", "words"),
    [
        ("", pytest.skip.Exception, "^a part is not here$"),
        ("all", pytest.fail.Exception, "a part is not here, and PINFEATHER_REQUIRE=all wants it"),
        ("all-but-netns", pytest.fail.Exception, "a part is not here, and PINFEATHER_REQUIRE=all-but-netns wants it"),
        ("everything", pytest.fail.Exception, "PINFEATHER_REQUIRE=everything is not known: write all or all-but-netns"),
    ],
)
def test_what_is_missing_is_skipped_or_fails(monkeypatch: pytest.MonkeyPatch, asked: str, ends: type[BaseException], words: str) -> None:
    monkeypatch.setenv(VARIABLE, asked)
    with pytest.raises(ends, match=words):
        missing("a part")


def test_the_namespace_is_left_out_only_where_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "all")
    skip_if_netns_is_left_out()
    monkeypatch.setenv(VARIABLE, "all-but-netns")
    with pytest.raises(pytest.skip.Exception, match="PINFEATHER_REQUIRE=all-but-netns leaves out the network namespace"):
        skip_if_netns_is_left_out()
