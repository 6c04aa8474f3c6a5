"""Documents for property tests: every noun of HTTP and TCP routing, with the texts that formats trip over.

`documents()` draws whole documents that build; what a format cannot say of them is its `supports` table's business. The
trees are made so that they fit together, so hardly any draw is thrown away.
"""

from __future__ import annotations

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pinfeather.model.build import build
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree

Trees = SearchStrategy[Tree]
Fields = dict[str, Trees]

HOSTILE = (
    "{{ env `HOME` }}", "{{`{{`}}", "{{{", "}}", "a`b", 'say "x"', "it's", "back\\slash", "# no comment", "on", "y", "null", "~", "1e3",
    "0o17", "012", "1_000", "22:22", "- a", "? k", "a: b", "*a", "&a", "!t", "%d", "@at", "%{x}", "[0]", "{}", "ünï", "日本", "🦢", "a,b",
    "a b", "=", "<<", "true", "|", ">", "${x}", "$1", "2001-12-14",
)  # fmt: skip
"""Texts that mean something to YAML, TOML, Go templates or rules."""
_PLAIN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=8)
_ANY = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="║\ufeff"), min_size=1, max_size=12)
texts: SearchStrategy[str] = st.sampled_from(HOSTILE) | _PLAIN | _ANY
"""Printable texts without blanks at their ends."""
names: SearchStrategy[str] = (_PLAIN | texts).map(lambda text: text.replace("@", "-").strip() or "x")
tokens: SearchStrategy[str] = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8)
numbers = st.integers(1, 1000)
booleans = st.booleans()
durations = st.sampled_from(["5s", "500ms", "90s", "1us", "36000s"])
_HOSTS = st.sampled_from(["a.io", "b.io", "*.a.io", "shop.example.com", "xn--bcher-kva.example", "10.0.0.1"])
_PATHS = st.sampled_from(["/", "/a", "/a/b", "/a`b", '/"', "/{{x", "/ü", "/a b"]) | _PLAIN.map(lambda text: f"/{text}")
_REGEXES = st.sampled_from(["^a", "b+$", "[a-z]+", "x|y", "(?i)ab", r"\d{2}", "a.b", r"\.", "a`b", '"', "{{", "", "(?:)"])
_NETWORKS = st.sampled_from(["10.0.0.1", "10.0.0.0/8", "2001:db8::/32", "::1"])
_PROVIDERS = st.sampled_from(["x@docker", "api@internal", "s@kubernetescrd"])


def optional(required: Fields, further: Fields) -> Trees:
    """A mapping with all of the first fields and some of the others."""
    return st.fixed_dictionaries(dict(required), optional=dict(further))


def _one_of(fields: Fields) -> Trees:
    return st.one_of([optional({name: value}, {}) for name, value in fields.items()])


def _lists(values: SearchStrategy[str], low: int = 0, high: int = 3) -> Trees:
    return st.lists(values, min_size=low, max_size=high, unique=True)


def _named(values: Trees, high: int = 2) -> SearchStrategy[dict[str, Tree]]:
    return st.dictionaries(names, values, max_size=high)


_cookie_values = texts.filter(lambda text: ";" not in text)
_path_match = _one_of({"exact": _PATHS, "prefix": _PATHS, "regex": _REGEXES})
_value = _one_of({"value": st.just("") | texts, "regex": _REGEXES})


def _with_name(name: SearchStrategy[str], value: Trees) -> Trees:
    return st.tuples(name, value).map(lambda pair: {"name": pair[0], **(pair[1] if isinstance(pair[1], dict) else {})})


_leaves = _one_of(
    {
        "host": _HOSTS | st.just("*"),
        "host_regex": _REGEXES,
        "path": _path_match,
        "method": st.sampled_from(["GET", "post", "PURGE"]),
        "header": _with_name(tokens, _value),
        "cookie": _with_name(tokens, _one_of({"value": _cookie_values, "regex": _REGEXES})),
        "query": _with_name(texts, _value),
        "client_ip": _NETWORKS,
    }
)


def _trees(leaves: Trees) -> Trees:
    return st.recursive(
        leaves,
        lambda inner: _one_of(
            {"all": st.lists(inner, min_size=1, max_size=3), "any": st.lists(inner, min_size=1, max_size=3), "not": inner}
        ),
        max_leaves=6,
    )


matches = _trees(_leaves)
_tcp_leaves = _one_of({"sni": _HOSTS | st.just("*"), "sni_regex": _REGEXES, "alpn": st.sampled_from(["h2", "x`y"]), "client_ip": _NETWORKS})
_tls_extra: Fields = {
    "resolver": texts,
    "domains": st.lists(optional({"main": _HOSTS}, {"sans": _lists(_HOSTS)}), max_size=2),
    "secret": texts,
    "issuer": optional({"name": texts}, {"kind": st.sampled_from(["Issuer", "ClusterIssuer"])}),
}
_metadata = optional(
    {}, {"namespace": texts, "object": texts, "labels": _named(texts), "annotations": _named(texts), "dns": _named(texts, 1)}
)
_observability = optional({}, {"access_logs": booleans, "metrics": booleans, "tracing": booleans, "trace_verbosity": st.just("minimal")})


def cookies(prefix: str) -> Trees:
    """Cookies that browsers take; `prefix` keeps the names of two levels apart."""
    made = optional(
        {"name": tokens.map(lambda token: f"{prefix}{token}")},
        {
            "max_age": st.integers(-1, 10**6),
            "secure": booleans,
            "http_only": booleans,
            "same_site": st.sampled_from(["none", "lax", "strict"]),
            "path": st.sampled_from(["/", "/a", ""]),
            "domain": st.sampled_from(["a.io", ""]),
            "hash": st.sampled_from(["md5", "sha", "index"]),
        },
    )
    return made.map(lambda tree: {**tree, "secure": True} if isinstance(tree, dict) and tree.get("same_site") == "none" else tree)


def _sticky(prefix: str) -> Trees:
    return optional({"cookie": cookies(prefix)}, {})


_health_check = optional(
    {"path": _PATHS},
    {
        "interval": durations, "unhealthy_interval": durations, "timeout": durations, "method": st.just("HEAD"), "status": st.just(204),
        "port": st.integers(1, 65535), "scheme": st.sampled_from(["http", "https"]), "hostname": texts, "mode": st.just("grpc"),
        "follow_redirects": booleans, "headers": st.dictionaries(tokens, texts, max_size=2),
    },
)  # fmt: skip
_ONE_HOST = _HOSTS.filter(lambda host: "*" not in host)
_urls = st.builds(
    "{}://{}:{}{}".format,
    st.sampled_from(["http", "https", "h2c"]),
    _ONE_HOST,
    st.integers(1, 65535),
    st.sampled_from(["", "/", "/base"]),
)
_servers = st.lists(
    optional({"url": _urls}, {"weight": st.integers(1, 9), "preserve_path": booleans})
    | optional(
        {
            "kubernetes": optional(
                {"service": _PLAIN, "port": st.sampled_from([80, 8080, "http"])},
                {"namespace": st.sampled_from(["default", "other"]), "scheme": st.sampled_from(["http", "https", "h2c"])},
            )
        },
        {},
    )
    | optional({"container": optional({}, {"name": _PLAIN, "port": st.sampled_from([80, 8080]), "scheme": st.just("https")})}, {})
    | optional({"url": _urls}, {}),
    max_size=3,
)


def _load_balancers(middlewares: tuple[str, ...], transports: tuple[str, ...]) -> Trees:
    further: Fields = {
        "sticky": _sticky("s-"),
        "health_check": _health_check,
        "passive_health_check": optional({}, {"failure_window": durations, "max_failed_attempts": st.integers(1, 9)}),
        "strategy": st.sampled_from(["wrr", "p2c", "hrw", "leasttime"]),
        "pass_host_header": booleans,
        "flush_interval": durations,
        "middlewares": _references(middlewares),
        "metadata": _metadata,
    }
    if transports:
        further["servers_transport"] = st.sampled_from(transports)
    return optional({"servers": _servers}, further)


def _references(known: tuple[str, ...]) -> Trees:
    return _lists(st.sampled_from(known) | _PROVIDERS if known else _PROVIDERS, 0, 2)


@st.composite
def _entries(draw: st.DrawFn, services: tuple[str, ...]) -> Tree:
    chosen = draw(st.lists(st.sampled_from(services) | _PROVIDERS, min_size=1, max_size=3, unique=True))
    weights = [draw(st.integers(0, 100)) for _ in chosen]
    weights[0] = weights[0] or 1
    return [
        draw(optional({"to": st.just(to), "weight": st.just(weight)}, {"binds": booleans}))
        for to, weight in zip(chosen, weights, strict=True)
    ]


def _splits(prefix: str) -> Fields:
    return {
        "sticky": _sticky(prefix),
        "when_down": st.sampled_from(["fail", "redraw"]),
        "weight_zero": st.sampled_from(["keep", "drop"]),
    }


_SOURCE: Fields = {"sticky": st.sampled_from([{"source_address": {}}, {"source_address": {"size": 1000, "lifetime": "60s"}}])}


_MIDDLEWARES: Fields = {
    "redirect_scheme": optional({"scheme": st.just("https")}, {"port": st.just("8443"), "permanent": booleans}),
    "redirect_regex": optional({"regex": _REGEXES, "replacement": texts}, {"permanent": booleans}),
    "strip_prefix": optional({"prefixes": _lists(_PATHS, 1)}, {}),
    "add_prefix": optional({"prefix": _PATHS}, {}),
    "replace_path": optional({"path": _PATHS}, {}),
    "replace_path_regex": optional({"regex": _REGEXES, "replacement": st.just("") | texts}, {}),
    "headers": optional(
        {}, {"request": st.dictionaries(tokens, st.just("") | texts, max_size=2), "response": st.dictionaries(tokens, texts, max_size=2)}
    ),
    "basic_auth": optional(
        {"users": _lists(texts.map(lambda text: f"{text}:{text}"), 1)},
        {"users_file": texts, "realm": st.just("") | texts, "remove_header": booleans, "header_field": tokens},
    ),
    "forward_auth": optional(
        {"address": _urls},
        {
            "trust_forward_header": booleans,
            "auth_response_headers": _lists(tokens),
            "auth_response_headers_regex": _REGEXES,
            "auth_request_headers": _lists(tokens),
        },
    ),
    "ip_allow_list": optional({"source_ranges": _lists(_NETWORKS, 1)}, {"depth": st.integers(1, 3), "reject_status": st.just(404)}),
    "rate_limit": optional({"average": st.integers(0, 100)}, {"period": durations, "burst": numbers}),
    "compress": optional({}, {"excluded_content_types": _lists(st.just("text/css")), "min_response_body_bytes": numbers}),
    "retry": optional({"attempts": st.integers(1, 5)}, {"initial_interval": durations}),
    "other": st.sampled_from(
        [
            {"kind": "buffering", "config": {"maxRequestBodyBytes": 1000, "retryExpression": "IsNetworkError() {{"}},
            {"kind": "headers", "config": {"frameDeny": True, "customRequestHeaders": {"a": "b"}}},
            {"kind": "contentType", "config": {}},
            {"kind": "plugin", "config": {"x": {"list": ["a", "b"], "n": 1.5, "t": "on"}}},
            {"kind": "sticky", "config": {"cookie": {"name": "x"}}},
            {"kind": "addPrefix", "config": {"prefix": "/x"}},
            {"kind": "grpcWeb", "config": None},
        ]
    ),
}


@st.composite
def documents(draw: st.DrawFn, *, tcp: bool = True) -> Document:
    """A whole document."""
    points = draw(st.sampled_from([(), ("web",), ("web", "websecure")]))
    tree: dict[str, Tree] = {"pinfeather": "v1", "entry_points": {point: 8000 + at for at, point in enumerate(points)}}
    middlewares: dict[str, Tree] = {}
    for name in draw(st.lists(names, max_size=4, unique=True)):
        kinds = dict(_MIDDLEWARES)
        if middlewares:
            kinds["chain"] = optional({"middlewares": _lists(st.sampled_from(tuple(middlewares)), 1, 2)}, {})
        kind = draw(st.sampled_from(sorted(kinds)))
        middlewares[name] = {kind: draw(kinds[kind]), **({"metadata": draw(_metadata)} if draw(st.integers(0, 4)) == 0 else {})}
    transports: dict[str, Tree] = draw(_named(st.just({"insecureSkipVerify": True, "serverName": "{{x"}), 1))
    options: dict[str, Tree] = draw(
        _named(optional({"min_version": st.just("VersionTLS12")}, {"sni_strict": booleans, "client_auth_ca_files": _lists(texts)}), 1)
    )
    passed = tuple(middlewares)
    services: dict[str, Tree] = {}
    for number, name in enumerate(draw(st.lists(names, min_size=1, max_size=5, unique=True))):
        made = _load_balancers(passed, tuple(transports))
        if number > 1 and draw(booleans):
            below = tuple(services)
            further_ones = {**_splits(f"v{number}-"), "middlewares": _references(passed), "metadata": _metadata}
            made = optional({"split": _entries(below)}, further_ones)
        services[name] = draw(made)
    tree |= {"middlewares": middlewares, "services": services, "servers_transports": transports, "tls_options": options}
    further: Fields = {
        "priority": st.integers(-5, 20),
        "entry_points": _lists(st.sampled_from(points or ("web", "x"))),
        "tls": optional({}, {"terminate": booleans, "options": st.sampled_from(("default", *options)), **_tls_extra}),
        "middlewares": _references(passed),
        "metadata": _metadata,
    }
    targets = st.sampled_from(tuple(services)) | _PROVIDERS
    route_names = draw(st.lists(names, max_size=4, unique=True))
    tree["routes"] = [draw(_routes(name, further, tuple(services), targets)) for name in route_names]
    if tcp:
        tree |= draw(_tcp(further))
    document, _ = build(tree)
    assume(document is not None)
    assert document is not None
    return document


@st.composite
def _routes(draw: st.DrawFn, name: str, further: Fields, services: tuple[str, ...], targets: SearchStrategy[str]) -> Tree:
    canaries = draw(
        st.lists(
            optional({"when": matches, "to": targets}, {"name": names, "priority": st.integers(-5, 30), "binds": booleans}), max_size=2
        )
    )
    where: Fields = {"hosts": _lists(_HOSTS), "path": _path_match, "match": matches, **further, "observability": _observability}
    if draw(booleans):
        route = draw(optional({"name": st.just(name), "to": targets}, where))
    else:
        where |= _splits("r-")
        route = draw(
            optional(
                {"name": st.just(name), "split": _entries(services)}, {**where, "order": st.sampled_from(["rules_first", "binding_first"])}
            )
        )
    assert isinstance(route, dict)
    return {**route, "canaries": canaries} if canaries else route


@st.composite
def _tcp(draw: st.DrawFn, further: Fields) -> dict[str, Tree]:
    allowed = optional({"ip_allow_list": optional({"source_ranges": _lists(_NETWORKS, 1)}, {})}, {})
    middlewares = draw(_named(allowed | st.just({"other": {"kind": "inFlightConn", "config": {"amount": 3}}}), 2))
    server = optional({"address": st.sampled_from(["127.0.0.1:1", "localhost:2", "[::1]:3"])}, {"tls": booleans})
    balancer = optional({"servers": st.lists(server, max_size=2)}, {"proxy_protocol": st.sampled_from([1, 2]), **_SOURCE})
    services: dict[str, Tree] = draw(st.dictionaries(names, balancer, max_size=2))
    if services:
        split = draw(_named(optional({"split": _entries(tuple(services)).map(_all_bind)}, {}), 1))
        services = {**split, **services}
    targets = (st.sampled_from(tuple(services)) if services else st.nothing()) | _PROVIDERS
    asks: Fields = {
        "sni": _lists(_HOSTS), "match": _trees(_tcp_leaves), "priority": further["priority"], "entry_points": further["entry_points"],
        "tls": optional({}, {"passthrough": booleans, **_tls_extra}), "middlewares": _references(tuple(middlewares)),
    }  # fmt: skip
    routes = [draw(optional({"name": st.just(name), "to": targets}, asks)) for name in draw(st.lists(names, max_size=3, unique=True))]
    return {"tcp_routes": list(routes), "tcp_services": services, "tcp_middlewares": middlewares}


def _all_bind(entries: Tree) -> Tree:
    assert isinstance(entries, list)
    return [{key: value for key, value in entry.items() if key != "binds"} for entry in entries if isinstance(entry, dict)]
