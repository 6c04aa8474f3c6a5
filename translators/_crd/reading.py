"""A stream of Traefik's objects as one document: what `ingressroute` and `helm-values` read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pinfeather.model.diagnostics import Code, Path, warning
from pinfeather.translators._crd.catalogue import SECTIONS, Catalogue, CrdOptions, Named, mark_metadata, metadata_of
from pinfeather.translators._crd.middlewares import take_middleware_object
from pinfeather.translators._crd.routes import inline_splits, take_routes
from pinfeather.translators._crd.services import Backends, prune, take_traefik_services
from pinfeather.translators._syntax.kube import Stream
from pinfeather.translators._syntax.tree import Spans, Tree
from pinfeather.translators._traefik.nouns import TLS_OPTIONS, take

HTTP_TRANSPORT = (
    "serverName", "insecureSkipVerify", "rootCAs", "rootCAsSecrets", "certificatesSecrets", "maxIdleConnsPerHost", "forwardingTimeouts",
    "disableHTTP2", "peerCertURI", "spiffe", "cipherSuites", "minVersion", "maxVersion",
)  # fmt: skip
TCP_TRANSPORT = ("dialKeepAlive", "dialTimeout", "proxyProtocol", "terminationDelay", "tls")
_TLS_OPTION_KEYS = tuple(key for key in TLS_OPTIONS if key.field != "client_auth_ca_files")


def document_tree(stream: Stream, options: CrdOptions, expressions: re.Pattern[str] | None = None) -> tuple[dict[str, Tree], Spans]:
    """The tree of the document, for `build`, and where its values stand. What there is to say goes to the stream.

    `expressions`: what another program fills in. Read the stream with the same pattern (`MANNER._replace(expressions=…)`).
    """
    spans = Spans()
    catalogue = Catalogue(options, stream, spans, expressions)
    catalogue.gather()
    tree: dict[str, Tree] = {"pinfeather": "v1"}
    tree["tls_options"] = dict(_nouns(catalogue, "TLSOption", lambda thing, at: _tls_option(thing, at, catalogue)))
    tree["servers_transports"] = {
        **dict(_nouns(catalogue, "ServersTransport", lambda thing, at: _transport(thing, at, HTTP_TRANSPORT, catalogue))),
        **dict(_nouns(catalogue, "ServersTransportTCP", lambda thing, at: _transport(thing, at, TCP_TRANSPORT, catalogue))),
    }
    for kind, tcp in (("Middleware", False), ("MiddlewareTCP", True)):
        made = _nouns(catalogue, kind, lambda thing, at, tcp=tcp: take_middleware_object(thing.obj, at, catalogue, tcp=tcp))
        tree[SECTIONS[kind]] = dict(made)
    backends, tcp_backends = Backends(catalogue), Backends(catalogue, section="tcp_services")
    take_traefik_services(backends)
    tree["services"], tree["tcp_services"] = backends.services, tcp_backends.services
    prune(tree)
    tree["routes"] = list(take_routes(catalogue, backends, tree, tcp=False))
    tree["tcp_routes"] = list(take_routes(catalogue, tcp_backends, tree, tcp=True))
    _metadata(tree, catalogue)
    inline_splits(tree, backends)
    inline_splits(tree, tcp_backends)
    catalogue.hand_on()
    return tree, spans


def _nouns(catalogue: Catalogue, kind: str, make: object) -> Iterator[tuple[str, Tree]]:
    assert callable(make)
    for thing in catalogue.of(kind):
        noun = make(thing, (SECTIONS[kind], thing.name))
        if noun is None:
            thing.lost = True
        else:
            yield thing.name, noun


def _tls_option(thing: Named, at: Path, catalogue: Catalogue) -> Tree:
    obj = thing.obj
    spec = obj.node.map("spec")
    catalogue.spans[at] = obj.node.spot
    if spec is None:
        return {}
    raw = spec.value.get("clientAuth") if isinstance(spec.value, dict) else None
    if isinstance(raw, dict) and raw.get("secretNames"):
        said = "`clientAuth.secretNames` is known, but not read: who may come is in Secrets"
        spec.error(Code.UNSUPPORTED, said, "clientAuth", instead="every route that asks for these options is left out")
        spec.forget()
        return None
    found = take(spec, _TLS_OPTION_KEYS, at, catalogue.reader(obj))
    for key in ("disableSessionTickets", "preferServerCipherSuites"):
        if spec.boolean(key):
            said = f"`{key}` is not in the model: it is left out"
            spec.report(warning(Code.UNSUPPORTED, said, (*at, key), span=spec.key_span_of(key)))
    return found


def _transport(thing: Named, at: Path, keys: tuple[str, ...], catalogue: Catalogue) -> Tree:
    spec = thing.obj.node.map("spec")
    catalogue.spans[at] = thing.obj.node.spot
    if spec is None:
        return {}
    written = spec.value if isinstance(spec.value, dict) else {}
    found = {
        key: spec.tree(key) for key in (*(key for key in written if key in keys), *keys)
    }  # all asked for: a misspelt one is told from them
    return {key: written[key] for key in found if written.get(key) is not None}


def _metadata(tree: dict[str, Tree], catalogue: Catalogue) -> None:
    """What is stuck to the objects. A namespace that nobody had to say, because all stand in it, is not the noun's own."""
    for kind in ("Middleware", "MiddlewareTCP", "TraefikService"):
        nouns = tree[SECTIONS[kind]]
        assert isinstance(nouns, dict)
        for thing in catalogue.of(kind):
            noun = nouns.get(thing.name)
            held = metadata_of(thing.obj)
            if thing.implied and not thing.spelled:
                held.pop("namespace", None)
            if isinstance(noun, dict) and held:
                noun["metadata"] = held
                mark_metadata(thing.obj, (SECTIONS[kind], thing.name), catalogue)
