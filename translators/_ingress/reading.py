"""Ingresses, read as Traefik's `kubernetes` provider reads them.

Rules, names and numbers after Traefik 3.7 (pkg/provider/kubernetes/ingress/kubernetes.go): every path of every rule is a
router; its rule is built as text, and its length is the priority where none is annotated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Span, error, info, warning
from pinfeather.model.match import Host, Match, both, conjuncts, either
from pinfeather.translators._crd.catalogue import Catalogue, CrdOptions
from pinfeather.translators._ingress.annotations import CLASS, Annotated, annotations_of, ignored, is_understood
from pinfeather.translators._ingress.rules import Instance, rule_text
from pinfeather.translators._ingress.says import ISSUER_KIND, ISSUERS, normalised
from pinfeather.translators._ingress.services import PROVIDER, Services, middleware_names
from pinfeather.translators._syntax.kube import KubeObject
from pinfeather.translators._syntax.rule import RuleError, parse_http, rule_length
from pinfeather.translators._syntax.rule_v2 import parse_http_v2
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Spans, Tree
from pinfeather.translators._traefik.ladders import Router
from pinfeather.translators._traefik.nouns import DOMAIN, OBSERVABILITY, TEXTS, TLS, Key, Reader, take
from pinfeather.translators._traefik.routing import routes_of, say_assumed

CONTROLLER = "traefik.io/ingress-controller"
MATCHERS = ("Path", "PathPrefix", "PathRegexp")
LOWEST = -(2**31)
"""The priority of a default backend (math.MinInt32)."""
_HIGHEST = 2**63 - 1 - 1000
_KINDS = "write Exact, Prefix or ImplementationSpecific"


class IngressOptions(CrdOptions):
    """Options of `ingress`."""

    strict_prefix_matching: bool = False
    """Whether the instance takes the prefix `/a` for `/a` and what is below `/a/`, as Kubernetes means it (Traefik 3.5 and later)."""
    spec_tls: bool = True
    """Whether `spec.tls` alone, without an annotation `router.tls`, is read as TLS of the route; Traefik leaves it to the entry point."""

    @property
    def instance(self) -> Instance:
        return Instance(self.strict_prefix_matching, (3, 0) <= self.version < (3, 7))


class _Certificate(NamedTuple):
    hosts: frozenset[str]
    secret: str
    span: Span


class _Shared(NamedTuple):
    """What the paths of one Ingress share: the fields of a route, its number, the matcher and syntax, and the certificates."""

    tree: dict[str, Tree]
    spans: Spans
    priority: int
    matcher: str
    old: bool
    certificates: tuple[_Certificate, ...]


class _Part(NamedTuple):
    """One path for one host, or for several that share all else."""

    match: Match
    to: str
    priority: int
    assumed: bool
    certificate: _Certificate | None
    node: Taking


def read_ingresses(catalogue: Catalogue, options: IngressOptions, middlewares: Mapping[str, str], lost: Set[str]) -> dict[str, Tree]:
    """The routes and services of a run.

    `middlewares`: the model's name for each `<namespace>-<name>` in it; `lost`: those of them that cannot be had.
    """
    reader = _IngressReader(catalogue, options, middlewares)
    routers = reader.routers(lost)
    say_assumed(routers)
    return {"routes": list(routes_of(routers, "routes", catalogue.spans, lift=False)), "services": reader.services.tree}


class _IngressReader:
    def __init__(self, catalogue: Catalogue, options: IngressOptions, middlewares: Mapping[str, str]) -> None:
        self.services = Services(catalogue, middlewares)
        self._catalogue = catalogue
        self._stream = catalogue.stream
        self._options = options
        self._middlewares = middlewares
        self._keys: dict[str, tuple[KubeObject, _Part]] = {}
        self._default: KubeObject | None = None

    def routers(self, lost: Set[str]) -> list[Router]:
        """All of them, but those that pass a middleware that is lost: never the middleware alone."""
        ours = [held for held in (each.obj for each in self._catalogue.of("Ingress")) if self._is_ours(held)]
        count = Counter(held.name for held in ours)
        bases = [held.name if count[held.name] == 1 else f"{self._catalogue.home(held)}-{held.name}" for held in ours]
        taken = set(bases)
        found: list[Router] = []
        for held, base in zip(ours, bases, strict=True):
            found += self._ingress(held, base, taken)
        self.services.finish()
        return [router for router in found if not lost & _texts(router.tree.get("middlewares"))]

    def _pass(self, held: KubeObject) -> None:
        if held.document:
            self._stream.passed.append(held.document)

    # Which of them.

    def _is_ours(self, held: KubeObject) -> bool:
        if (held.group, held.version) != ("networking.k8s.io", "v1"):
            held.node.forget()
            said = f"{held.group}/{held.version} is gone since Kubernetes 1.22, and Traefik does not look at it"
            held.node.error(Code.VALUE, said, "apiVersion", instead="write networking.k8s.io/v1")
            return False
        spec = held.node.value.get("spec") if isinstance(held.node.value, dict) else None
        named = spec.get("ingressClassName") if isinstance(spec, dict) else None
        written = str(named) if named else annotations_of(held).get(CLASS, "")
        if self._class_is_ours(written, by_name=bool(named)):
            return True
        held.node.forget()
        span = held.node.span_of("spec", "ingressClassName") if named else held.node.span
        said = f"not of this instance, left alone: {held.where}, of the class {written!r}"
        self._stream.found.append(info(Code.SCOPE, said, span=span, instead=f"--ingress-class {written or 'NAME'} reads it"))
        self._pass(held)
        return False

    def _class_is_ours(self, written: str, *, by_name: bool) -> bool:
        """As Traefik chooses; a class by name is Traefik's if an IngressClass says so, or else its name."""
        if self._options.ingress_class:
            return written == self._options.ingress_class
        for each in self._catalogue.of("IngressClass"):
            if by_name and each.obj.name == written:
                tree = each.obj.node.value
                spec = tree.get("spec") if isinstance(tree, dict) else None
                return isinstance(spec, dict) and spec.get("controller") == CONTROLLER
        return written in ("", "traefik") or (by_name and "traefik" in written)

    # One Ingress.

    def _ingress(self, held: KubeObject, base: str, taken: set[str]) -> Iterator[Router]:
        spec = held.node.map("spec")
        for finding in ignored(held):
            held.node.report(finding)
        if spec is None:
            held.node.error(Code.VALUE, f"{held.where} has no `spec`: it says nothing", instead="give it rules")
            return
        spec.text("ingressClassName")
        shared = self._shared(held, spec)
        if shared is None:  # Traefik skips the whole of it, and why was said
            spec.forget()
            return
        rules = spec.list("rules")
        parts = [part for rule in rules for part in self._rule(held, rule, shared)]
        parts += self._default_backend(held, spec, shared, beside=bool(rules))
        if not rules and isinstance(spec.value, dict) and not spec.value.get("defaultBackend"):
            spec.error(Code.VALUE, f"{held.where} has neither `rules` nor `defaultBackend`", instead="give it rules")
        merged = _merged(parts)
        names = _numbered(base, taken)
        for part in merged:
            yield self._router(next(names), part, held, shared, many=len(merged) > 1)
        self._say_certificates(held, shared, merged)

    def _shared(self, held: KubeObject, spec: Taking) -> _Shared | None:
        found = Annotated(held, "router")
        spans = Spans({(): held.node.spot, ("name",): held.node.spot_of("metadata", "name")})
        reader = Reader(PROVIDER, self._options.version, spans, held.text)
        tree: dict[str, Tree] = {}
        number, matcher, syntax = None, None, None
        if (node := found.node) is not None:
            tree = take(node, (Key("entry_points", "entryPoints", TEXTS),), (), reader)
            if names := middleware_names(found, node, self._middlewares, reader):
                tree["middlewares"] = names
            number, matcher, syntax = node.integer("priority", -(2**63), _HIGHEST), node.text("pathMatcher"), node.text("ruleSyntax")
            reader.mark(("priority",), node, "priority")
            if (tls := node.map("tls", may_be_true=True)) is not None:
                reader.mark(("tls",), node, "tls")
                tree["tls"] = _take_tls(tls, reader)
            if (seen := node.map("observability", may_be_true=True)) is not None:
                reader.mark(("observability",), node, "observability")
                tree["observability"] = take(seen, OBSERVABILITY, ("observability",), reader)
        sound = found.finish()
        for finding in found.found:
            held.node.report(finding)
        if not sound:
            return None
        tree["metadata"] = _carried(held)
        old = self._options.version < (3, 0) or syntax == "v2"
        return _Shared(tree, spans, number or 0, matcher or "PathPrefix", old, tuple(_certificates(spec)))

    def _default_backend(self, held: KubeObject, spec: Taking, shared: _Shared, *, beside: bool) -> Iterator[_Part]:
        node = spec.map("defaultBackend")
        if node is None:
            return
        if beside:
            node.forget()
            said, span = "Traefik passes over `defaultBackend` beside `rules`", spec.key_span_of("defaultBackend")
            spec.report(warning(Code.SETTING_IGNORED, said, span=span, instead="make an Ingress of its own of it"))
            return
        to = self.services.behind(held, node, "default-backend")
        if self._default is not None:
            said = f"a second default backend, after that of {self._default.where}: Traefik takes one of them, whichever it meets first"
            spec.error(Code.COLLISION, said, "defaultBackend", instead="keep one; the first is read")
        elif to is not None:
            self._default = held
            certificate = next((each for each in shared.certificates if not each.hosts), None)
            yield _Part(parse_http('PathPrefix("/")'), to, LOWEST, False, certificate, spec)

    # Rules.

    def _rule(self, held: KubeObject, rule: Taking, shared: _Shared) -> Iterator[_Part]:
        host, http = rule.text("host") or "", rule.map("http")
        if http is None:
            said = f"Traefik passes over a rule without `http`{f', for {host!r}' if host else ''}"
            rule.report(warning(Code.SETTING_IGNORED, said, span=rule.span, instead="give it `http.paths`, or take it out"))
            return
        for item in http.list("paths"):
            if (part := self._path(held, item, host, shared)) is not None:
                yield part

    def _path(self, held: KubeObject, item: Taking, host: str, shared: _Shared) -> _Part | None:
        path, matcher = item.text("path") or "", _matcher(item, shared.matcher)
        node = item.map("backend")
        if node is None:
            item.error(Code.VALUE, "this path has no `backend`", instead="add `backend: {service: {name: …, port: {number: …}}}`")
        to = None if node is None else self.services.behind(held, node)
        if matcher not in MATCHERS:
            said = f"`router.pathmatcher` is {matcher!r}: Traefik skips the path"
            item.error(Code.VALUE, said, instead=f"write {', '.join(MATCHERS)}")
            return None
        rule = rule_text(host, path, matcher, self._options.instance, self._options.version, v2=shared.old)
        if not rule:
            item.error(Code.RULE, "neither a host nor a path: Traefik disables the router", instead="write `path: /`")
            return None
        try:
            match, _ = parse_http_v2(rule) if shared.old else (parse_http(rule), ())
        except RuleError as fault:
            item.error(Code.RULE, f"Traefik refuses {rule}: {fault.message}", "path" if path else None, instead=fault.instead)
            return None
        if to is None:
            return None
        certificate = next((each for each in shared.certificates if not each.hosts or (host and _covers(each.hosts, host))), None)
        key = normalised(f"{self._catalogue.home(held)}-{held.name}-{host}{path}")
        part = _Part(match, to, shared.priority or rule_length(rule), not shared.priority, certificate, item)
        return part if self._is_alone(held, key, part) else None

    def _is_alone(self, held: KubeObject, key: str, part: _Part) -> bool:
        """Of two Ingresses whose routers get one name Traefik keeps one; within one Ingress it gives them others."""
        first, other = self._keys.setdefault(key, (held, part))
        if first is held or (other.match, other.to) == (part.match, part.to):
            return True
        said = f"Traefik calls this router {key!r}, and one of {first.where} too: one of them is lost"
        part.node.report(
            error(Code.COLLISION, said, span=part.node.span, instead="give one of the Ingresses another name; the first is read")
        )
        return False

    # Routers.

    def _router(self, name: str, part: _Part, held: KubeObject, shared: _Shared, *, many: bool) -> Router:
        spans = Spans(shared.spans)
        spans[("match",)], spans[("to",)] = part.node.spot_of("path"), part.node.spot_of("backend")
        tree = dict(shared.tree)
        metadata = tree.pop("metadata")
        assert isinstance(metadata, dict)
        if metadata or many:
            tree["metadata"] = {**metadata, **({"object": held.name} if many else {})}
        tls = tree.get("tls")
        if part.certificate is not None and (tls is not None or self._options.spec_tls):
            spans.setdefault(("tls",), part.certificate.span)
            spans[("tls", "secret")] = part.certificate.span
            tree["tls"] = {**(tls if isinstance(tls, dict) else {}), "secret": part.certificate.secret}
            tree = _with_issuer(tree)
        return Router(name, part.match, part.to, part.priority, part.assumed, tree, part.node, spans)

    def _say_certificates(self, held: KubeObject, shared: _Shared, parts: Sequence[_Part]) -> None:
        if "tls" not in shared.tree and shared.certificates and parts:
            first = shared.certificates[0]
            said = f"the Secret {first.secret!r} says TLS, and no annotation does: Traefik leaves it to the entry point"
            if self._options.spec_tls:
                remedy = "it is read as TLS: say router.tls; --no-spec-tls reads it as Traefik does"
                held.node.report(warning(Code.ASSUMED, said, span=first.span, instead=remedy))
            else:
                remedy = "the certificate is not carried along: say router.tls"
                held.node.report(warning(Code.CERT_MANAGER, said, span=first.span, instead=remedy))
        for each in shared.certificates:
            if parts and all(part.certificate != each for part in parts):
                said = f"the Secret {each.secret!r} is for no host of the rules: its certificate is not carried along"
                held.node.report(warning(Code.CERT_MANAGER, said, span=each.span, instead="name the hosts of the rules"))


def _texts(tree: Tree) -> set[str]:
    return {text for text in tree if isinstance(text, str)} if isinstance(tree, list) else set()


def _take_tls(node: Taking, reader: Reader) -> Tree:
    tree = take(node, TLS[1:], ("tls",), reader)
    domains: list[Tree] = []
    for item in node.list("domains"):
        reader.spans[("tls", "domains", len(domains))] = item.span
        domains.append(take(item, DOMAIN, ("tls", "domains", len(domains)), reader))
    return {**tree, **({"domains": domains} if domains else {})}


def _certificates(spec: Taking) -> Iterator[_Certificate]:
    for item in spec.list("tls"):
        hosts, secret = frozenset(item.text_list("hosts")), item.text("secretName")
        if secret:  # without one, Traefik shows the certificate that it has
            yield _Certificate(hosts, secret, item.span_of("secretName"))


def _covers(names: frozenset[str], host: str) -> bool:
    return host in names or f"*.{host.partition('.')[2]}" in names


def _carried(held: KubeObject) -> dict[str, Tree]:
    """What is stuck to an Ingress and is none of Traefik's."""
    metadata = dict(held.metadata)
    kept = metadata.pop("annotations", None)
    annotations = {key: text for key, text in kept.items() if not is_understood(key)} if isinstance(kept, dict) else {}
    return {**metadata, **({"annotations": dict(annotations)} if annotations else {})}


def _with_issuer(tree: dict[str, Tree]) -> dict[str, Tree]:
    """The annotations of cert-manager that name an issuer, as the issuer of the certificate."""
    metadata, tls = tree.get("metadata"), tree["tls"]
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(annotations, dict) or not isinstance(tls, dict):
        return tree
    key = next((key for key in ISSUERS if annotations.get(key)), None)
    if key is None:
        return tree
    kind = annotations.get(ISSUER_KIND) or ISSUERS[key]
    if kind not in ISSUERS.values():
        return tree  # an issuer of another group: its annotations are carried as they are
    rest: dict[str, Tree] = {name: text for name, text in annotations.items() if name not in (*ISSUERS, ISSUER_KIND)}
    kept: dict[str, Tree] = {name: value for name, value in {**metadata, "annotations": rest}.items() if value}
    made: dict[str, Tree] = {**tree, "tls": {**tls, "issuer": {"name": annotations[key], "kind": kind}}, "metadata": kept}
    return made if kept else {name: value for name, value in made.items() if name != "metadata"}


def _matcher(item: Taking, annotated: str) -> str:
    kind = item.text("pathType")
    if not kind:
        item.error(Code.VALUE, "the API server wants a `pathType`", instead=_KINDS)
    elif kind not in ("Exact", "Prefix", "ImplementationSpecific"):
        item.error(Code.VALUE, f"pathType {kind!r} is not known", "pathType", instead=_KINDS)
    return {"Exact": "Path", "Prefix": "PathPrefix"}.get(kind or "", annotated)


def _merged(parts: Sequence[_Part]) -> list[_Part]:
    """Paths for several hosts that share all else, as one."""
    groups: dict[tuple[object, ...], list[_Part]] = {}
    for part in parts:
        hosts = any(isinstance(each, Host) for each in conjuncts(part.match))
        groups.setdefault((_without_host(part), hosts, part.to, part.priority, part.assumed, part.certificate), []).append(part)
    out = []
    for members in groups.values():
        first = members[0]
        names = dict.fromkeys(each for part in members for each in conjuncts(part.match) if isinstance(each, Host))
        if names:
            first = first._replace(match=both((either(tuple(names)), *_without_host(first))) or first.match)
        out.append(first)
    return out


def _without_host(part: _Part) -> tuple[Match, ...]:
    return tuple(each for each in conjuncts(part.match) if not isinstance(each, Host))


def _numbered(base: str, taken: set[str]) -> Iterator[str]:
    yield base
    number = 2
    while True:
        if (name := f"{base}-{number}") not in taken:
            taken.add(name)
            yield name
        number += 1
