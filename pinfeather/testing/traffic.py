"""Documents in which requests arrive: few hosts and paths that overlap, plain values, servers that are there.

`strategies.documents()` is for texts and shapes; most of its routes lead nowhere. Laws about decisions need documents in
which routes contend for the same requests, splits nest, clients are bound on two levels and middlewares stand in the way.
"""

from __future__ import annotations

from hypothesis import assume
from hypothesis import strategies as st

from pinfeather.model.build import build
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree

_HOSTS = ("a.io", "b.io", "x.a.io", "*.a.io")
_PATHS: tuple[Tree, ...] = ({"prefix": "/"}, {"prefix": "/a"}, {"prefix": "/a/b"}, {"exact": "/a"}, {"regex": "^/a"})
_LEAVES: tuple[Tree, ...] = (
    {"cookie": {"name": "canary", "value": "v2"}},
    {"cookie": {"name": "canary", "regex": "^v[23]$"}},
    {"header": {"name": "X-Canary", "value": "always"}},
    {"header": {"name": "X-Canary", "regex": "^a"}},
    {"query": {"name": "v", "value": "2"}},
    {"method": "POST"},
    {"client_ip": "10.0.0.0/8"},
    {"host_regex": "^[ab]\\.io$"},
    {"path": {"prefix": "/a"}},
    {"not": {"header": {"name": "X-Bot", "value": "yes"}}},
)
_MIDDLEWARES: dict[str, Tree] = {
    "door": {"basic_auth": {"users": ["a:{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0="]}},
    "office": {"ip_allow_list": {"source_ranges": ["10.0.0.0/8"]}},
    "slim": {"compress": {}},
    "both": {"chain": {"middlewares": ["office", "slim"]}},
    "strange": {"other": {"kind": "buffering", "config": {"maxRequestBodyBytes": 1000}}},
}


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A whole document; nearly every one can be said by Traefik's file, but for a field here and there."""
    services: dict[str, Tree] = {}
    for number in range(draw(st.integers(1, 3))):
        services[f"s{number}"] = _some(
            draw,
            {"servers": [{"url": f"http://10.0.{number}.{at}:80"} for at in range(draw(st.integers(1, 3)))]},
            {"sticky": {"cookie": {"name": draw(st.sampled_from(["srv", f"srv{number}"]))}}, "middlewares": ["slim"]},
        )
    for level in range(draw(st.integers(0, 2))):
        entries = _entries(draw, tuple(services))
        services[f"split{level}"] = _some(draw, {"split": entries}, {"sticky": {"cookie": {"name": f"level{level}"}}, **_odd(draw)})
    tree: Tree = {
        "pinfeather": "v1",
        "entry_points": {"web": 80, "websecure": 443},
        "routes": [_route(draw, f"r{number}", tuple(services)) for number in range(draw(st.integers(1, 4)))],
        "services": services,
        "middlewares": _MIDDLEWARES,
    }
    document, _ = build(tree)
    assume(document is not None)
    assert document is not None
    return document


def _some(draw: st.DrawFn, always: dict[str, Tree], further: dict[str, Tree]) -> dict[str, Tree]:
    return always | {name: value for name, value in further.items() if draw(st.booleans())}


def _odd(draw: st.DrawFn) -> dict[str, Tree]:
    """What few targets can say; seldom, so that not every document loses something."""
    if draw(st.integers(0, 5)):
        return {}
    return {"when_down": draw(st.sampled_from(["fail", "redraw"])), "weight_zero": draw(st.sampled_from(["drop", "keep"]))}


def _entries(draw: st.DrawFn, names: tuple[str, ...]) -> Tree:
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    weights = [draw(st.sampled_from([0, 1, 1, 10, 90])) for _ in chosen]
    return [{"to": name, "weight": weight or int(at == 0)} for at, (name, weight) in enumerate(zip(chosen, weights, strict=True))]


def _when(draw: st.DrawFn) -> Tree:
    leaves = draw(st.lists(st.sampled_from(_LEAVES), min_size=1, max_size=3))
    return leaves[0] if len(leaves) == 1 else {draw(st.sampled_from(["all", "any"])): leaves}


def _route(draw: st.DrawFn, name: str, services: tuple[str, ...]) -> Tree:
    to = st.sampled_from(services)
    hosts: list[Tree] = [*draw(st.lists(st.sampled_from(_HOSTS), min_size=1, max_size=2, unique=True))]
    passed: list[Tree] = [*draw(st.lists(st.sampled_from(tuple(_MIDDLEWARES)), min_size=1, max_size=2, unique=True))]
    route = _some(
        draw,
        {"name": name},
        {
            "hosts": hosts,
            "path": draw(st.sampled_from(_PATHS)),
            "priority": draw(st.sampled_from([1, 5, 7])),
            "entry_points": [draw(st.sampled_from(["web", "websecure"]))],
            "middlewares": passed,
        },
    )
    if not draw(st.integers(0, 3)):
        route["match"] = _when(draw)
    if not draw(st.integers(0, 3)):
        route["tls"] = {}
    canaries: list[Tree] = []
    for _ in range(draw(st.integers(0, 2))):
        odd: dict[str, Tree] = {"binds": True} if not draw(st.integers(0, 5)) else {}
        canaries.append(_some(draw, {"when": _when(draw), "to": draw(to), **odd}, {"priority": draw(st.sampled_from([2, 5, 9]))}))
    route["canaries"] = canaries
    if draw(st.booleans()):
        return {**route, "to": draw(to)}
    split = {**route, "split": _entries(draw, services), **_odd(draw)}
    if not draw(st.integers(0, 5)):
        split["order"] = "binding_first"
    return _some(draw, split, {"sticky": {"cookie": {"name": f"variant-{name}"}}})
