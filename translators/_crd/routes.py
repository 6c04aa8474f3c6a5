"""IngressRoute and IngressRouteTCP, read: their routers, the names of these, and the splits inside them.

A route has no name in an object; Traefik makes one (kubernetes_http.go:86). Here the last route of an object is called
as the object, since what holds for everybody else stands last by custom; a route before it that is the same with a
further condition is `<object>-canary-1`, any other `<object>-1`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from pinfeather.model.diagnostics import Code, Path, info, warning
from pinfeather.model.match import Match
from pinfeather.model.noun import Template
from pinfeather.translators._crd.catalogue import Catalogue, Named, free_name, metadata_of, plain_name, router_name
from pinfeather.translators._crd.plan import is_own_split
from pinfeather.translators._crd.services import Backends, entries_of, named_by, use_child
from pinfeather.translators._syntax.kube import KubeObject
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Spans, Tree
from pinfeather.translators._traefik.ladders import Ladder, Router, lift_canaries
from pinfeather.translators._traefik.nouns import (
    DOMAIN,
    OBSERVABILITY,
    TEXTS,
    TLS,
    Key,
    Table,
    take,
)
from pinfeather.translators._traefik.routing import say_assumed, take_rule, trees_of

CLASS = "kubernetes.io/ingress.class"
_MORE, _TCP_MORE = dict.fromkeys(("middlewares", "observability")), dict.fromkeys(("middlewares",))
_ENTRY_POINTS = Table((Key("entry_points", "entryPoints", TEXTS),))
_HTTP_TLS, _TCP_TLS = (
    Table(key for key in TLS if key.field in fields) for fields in (("resolver",), ("passthrough", "resolver"))
)  # fmt: skip


def take_routes(catalogue: Catalogue, backends: Backends, tree: dict[str, Tree], *, tcp: bool) -> list[Tree]:
    """The trees of the routes, in the order of the stream."""
    kind, section = ("IngressRouteTCP", "tcp_routes") if tcp else ("IngressRoute", "routes")
    things = list(catalogue.of(kind))
    taken = {thing.name for thing in things}
    routers: list[Router] = []
    ladders: list[Ladder] = []
    for thing in things:
        splits: Splits = {}
        own, lifted = _named(list(_object(thing, backends, splits, tcp=tcp)), thing.name, taken, splits, backends)
        kept = [router for router in own if not _hangs(router, tree, section)]
        routers += kept
        ladders += [(router, []) for router in kept] if tcp else lifted if len(kept) == len(own) else lift_canaries(kept)
    if not tcp:
        say_assumed(routers)
    return trees_of(ladders, section, catalogue.spans)


def _hangs(router: Router, tree: dict[str, Tree], section: str) -> bool:
    """Whether a router leads to something that was lost."""
    services = _section(tree, "tcp_services" if section == "tcp_routes" else "services")
    if "@" not in router.to and router.to not in services:
        return True
    return any("@" not in name and name not in _section(tree, where) for where, name in named_by(router.tree, section))


def _section(tree: dict[str, Tree], name: str) -> dict[str, Tree]:
    found = tree[name]
    assert isinstance(found, dict)
    return found


# Objects ---------------------------------------------------------------------------------------------------------------


Splits = dict[str, tuple[list[Tree], Spans]]
"""The splits inside routes, by the name under which the router has them for now."""


def _object(thing: Named, backends: Backends, splits: Splits, *, tcp: bool) -> Iterator[Router]:
    """The routers of one object, in their order; under names that are not theirs yet."""
    obj, catalogue = thing.obj, backends.catalogue
    spec = obj.node.map("spec")
    if spec is None:
        return
    value = spec.value if isinstance(spec.value, dict) else {}
    if not _of_this_class(obj, spec, catalogue):
        spec.forget()
        return
    shared = Spans()
    reader = catalogue.reader(obj, shared)
    tree = take(spec, _ENTRY_POINTS, (), reader)
    sound = _tls(obj, spec, tree, shared, catalogue, tcp=tcp)
    spec.known("parentRefs", why="the model has no routers below routers, and these routes are left out")
    sound = sound and "parentRefs" not in value
    seen: dict[str, Taking] = {}
    made: list[Router] = []
    for index, node in enumerate(spec.list("routes")):
        router = _router(node, index, thing, tree, shared, backends, splits, tcp=tcp)
        if router is None or not sound:
            continue
        match = str(node.value.get("match")) if isinstance(node.value, dict) else ""
        if match in seen and not catalogue.options.safe_naming:
            made = [each for each in made if each.node is not seen[match]]
            said = f"Traefik names a route after its `match`: this one takes the place of line {seen[match].span.line}, which is gone"
            node.report(
                warning(Code.COLLISION, said, node.path, instead="take one of them out, or set safeNaming", span=node.span_of("match"))
            )
        seen[match] = node
        made.append(router)
    yield from made


def _of_this_class(obj: KubeObject, spec: Taking, catalogue: Catalogue) -> bool:
    """Whether an instance with the class that the options say looks at an object (kubernetes.go, shouldProcessIngress)."""
    annotations = obj.metadata.get("annotations")
    named = spec.text("ingressClassName") or (annotations.get(CLASS) if isinstance(annotations, dict) else None)
    asked = catalogue.options.ingress_class
    if spec.value and isinstance(spec.value, dict) and spec.value.get("ingressClassName") and isinstance(annotations, dict | None):
        obj.metadata["annotations"] = {**(annotations or {}), CLASS: named}
    if named and not asked and named != "traefik":
        said = f"{obj.where} is of the class {str(named)!r}; an instance of that class is assumed"
        obj.node.report(info(Code.ASSUMED, said, obj.node.path, instead="say --ingress-class", span=obj.node.span))
    if not asked or str(named or "") == asked:
        return True
    said = f"{obj.where} is of another class ({str(named or 'none')!r}): the instance does not look at it"
    obj.node.report(info(Code.SCOPE, said, obj.node.path, span=obj.node.span))
    return False


def _tls(obj: KubeObject, spec: Taking, tree: dict[str, Tree], spans: Spans, catalogue: Catalogue, *, tcp: bool) -> bool:
    """Takes `tls` into the tree; False where the route cannot be read without what it asks for."""
    node = spec.map("tls")
    if node is None:
        return True
    reader = catalogue.reader(obj, spans)
    reader.mark(("tls",), spec, "tls")
    found = take(node, _TCP_TLS if tcp else _HTTP_TLS, ("tls",), reader)
    if found.get("passthrough") is True:
        found["terminate"] = False
    secret = node.text("secretName")
    if secret:
        found["secret"] = secret
        spans[("tls", "secret")] = node.spot_of("secretName")
        _issuer(obj, secret, found, spans, catalogue)
    if (store := node.map("store")) is not None:
        store.forget()
        said = "Traefik knows one TLS store, `default`, and ignores `store`"
        node.report(info(Code.SETTING_IGNORED, said, (*node.path, "store"), span=node.key_span_of("store")))
    domains: list[Tree] = []
    for item in node.list("domains"):
        here: Path = ("tls", "domains", len(domains))
        spans[here] = item.spot
        domains.append(take(item, DOMAIN, here, reader))
    if domains:
        found["domains"] = domains
    tree["tls"] = found
    options = node.map("options")
    if options is None:
        return True
    if isinstance(options.value, dict) and options.value.get("name") == "default":
        options.forget()
        said = "no TLSOption is found by the name `default`, which Traefik keeps for the options of all: it disables the route"
        node.error(Code.REFERENCE, said, "options", instead="take `options` out: the default ones hold anyway")
        return False
    name = catalogue.refer("TLSOption", obj, options)
    if name is not None:
        found["options"] = name
        spans[("tls", "options")] = options.spot_of("name")
    return name is not None


def _issuer(obj: KubeObject, secret: str, found: dict[str, Tree], spans: Spans, catalogue: Catalogue) -> None:
    """Who renews the certificate: the Certificate of cert-manager that writes this Secret."""
    for thing in catalogue.by("Certificate", catalogue.home(obj)):
        spec = thing.obj.node.value.get("spec") if isinstance(thing.obj.node.value, dict) else None
        ref = spec.get("issuerRef") if isinstance(spec, dict) else None
        if not isinstance(spec, dict) or not isinstance(ref, dict) or spec.get("secretName") != secret:
            continue
        if catalogue.home(thing.obj) != catalogue.home(obj) or ref.get("kind", "Issuer") not in ("Issuer", "ClusterIssuer"):
            continue
        if (
            not isinstance(ref.get("name"), str)
            or not set(spec) <= {"secretName", "dnsNames", "issuerRef"}
            or not set(ref) <= {"name", "kind", "group"}
        ):
            continue
        if thing.obj not in catalogue.used:
            catalogue.used.add(thing.obj)
            thing.obj.node.tree("spec")
        found["issuer"] = {"name": ref["name"], "kind": ref.get("kind", "Issuer")}
        spans[("tls", "issuer")] = thing.obj.node.spot_of("spec", "issuerRef")
        return


# Routes ----------------------------------------------------------------------------------------------------------------


def _router(
    node: Taking, index: int, thing: Named, shared: dict[str, Tree], above: Spans, backends: Backends, splits: Splits, *, tcp: bool
) -> Router | None:
    catalogue, obj = backends.catalogue, thing.obj
    spans = Spans(above)
    spans[()] = spans[("name",)] = node.spot
    reader = catalogue.reader(obj, spans)
    if (kind := node.text("kind")) not in (None, "Rule"):
        node.error(Code.VALUE, f"there is no kind {kind!r} of a route", "kind", instead="write Rule")
    here = node.present(_TCP_MORE if tcp else _MORE)
    kind_of = "MiddlewareTCP" if tcp else "Middleware"
    names = [catalogue.refer(kind_of, obj, item) for item in node.list("middlewares")] if "middlewares" in here else []
    tree: dict[str, Tree] = {**({"middlewares": list(names)} if names else {}), **shared}
    if names:
        spans[("middlewares",)] = node.spot_of("middlewares")
        spans.spots.update({(("middlewares", at)): node.spot_of("middlewares", at) for at in range(len(names))})
    if "observability" in here and (held := node.map("observability")) is not None:
        reader.mark(("observability",), node, "observability")
        tree["observability"] = take(held, OBSERVABILITY, ("observability",), reader)
    metadata = metadata_of(obj)
    if metadata:
        tree["metadata"] = metadata
    raw = node.number("priority", -(2**63), 2**63 - 1001)
    priority = None if isinstance(raw, Template) else raw
    name = f"{thing.name}-{index + 1}"
    match, length = take_rule(name, node, reader, spans, tcp=tcp, keys=("match", "syntax"))
    text = str(node.value.get("match")) if isinstance(node.value, dict) else ""
    dynamic = partial(router_name, catalogue.home(obj), str(obj.name), text, index, catalogue.options)
    to = _targets(node, name, dynamic, obj, backends, splits)
    if raw is not None:
        reader.mark(("priority",), node, "priority")
    if match is None or to is None or None in names:
        return None
    if isinstance(raw, Template):
        tree["priority"] = {"template": str(raw)}  # stands for the number, and keeps the route from being lifted
    reader.mark(("to",), node, "services")
    return Router(name, match, to, priority or length, not priority, tree, node, spans, thing.name)


def _targets(node: Taking, name: str, dynamic: Callable[[], str], obj: KubeObject, backends: Backends, splits: Splits) -> str | None:
    items = node.list("services")
    options = backends.catalogue.options
    if not items:
        node.error(Code.VALUE, "a route without `services`: Traefik drops it", instead="add `services: [{name, port}]`")
        return None
    if len(items) == 1:
        target = backends.use(items[0], obj, lambda: f"{dynamic()}_lb" if options.safe_naming else dynamic(), child=False)
        if target is not None and target.weight is not None:
            said = "Traefik ignores the weight of a service that stands alone"
            items[0].report(info(Code.SETTING_IGNORED, said, (*items[0].path, "weight"), span=items[0].key_span_of("weight")))
        return None if target is None else target.to
    holder = dynamic()
    targets = [use_child(backends, item, obj, holder, index) for index, item in enumerate(items)]
    if any(target is None for target in targets):
        return None
    spans = Spans({(): node.spot_of("services"), ("split",): node.spot_of("services")})
    entries = entries_of([target for target in targets if target is not None], spans)
    splits[f"{name} split"] = entries, spans
    return f"{name} split"


def _named(routers: list[Router], name: str, taken: set[str], splits: Splits, backends: Backends) -> tuple[list[Router], list[Ladder]]:
    """The routers of one object under their names, and which are canaries of which; their splits go to the services."""
    if not routers:
        return [], []
    bases = lift_canaries(routers)
    names: dict[str, str] = {}
    for position, (base, canaries) in enumerate(bases):
        last = position == len(bases) - 1
        own = names[base.name] = name if last else free_name(_numbered(base, name, position + 1), taken)
        taken.add(own)
        if not last:
            _number_template(base, canaries, position + 1)
        lifted = {router.name for router, _ in canaries}
        for number, router in enumerate((each for each in routers if each.name in lifted) if lifted else (), 1):
            names[router.name] = free_name(f"{own}-canary-{number}", taken)
            taken.add(names[router.name])
    made: dict[str, Router] = {}
    for router in routers:
        new = names[router.name]
        to = router.to
        if to in splits:
            entries, spans = splits[to]
            to = free_name(new, backends.taken)
            backends.add(to, {"split": list(entries)}, spans)
            backends.splits[to] = spans
        made[router.name] = router._replace(name=new, to=to)
    ladders = [(made[base.name], [(made[router.name], when) for router, when in canaries]) for base, canaries in bases]
    return list(made.values()), ladders


def _numbered(base: Router, name: str, number: int) -> str:
    metadata = base.tree.get("metadata")
    written = metadata.get("object") if isinstance(metadata, dict) else None
    return plain_name(Template(f"{written}-{number}")) if isinstance(written, Template) else f"{name}-{number}"


def _number_template(base: Router, canaries: list[tuple[Router, Match]], number: int) -> None:
    """Gives the routes before the last one of a templated object an object's name of their own, so that both can be written."""
    metadata = base.tree.get("metadata")
    name = metadata.get("object") if isinstance(metadata, dict) else None
    if isinstance(metadata, dict) and isinstance(name, Template):
        for router in (base, *(each for each, _ in canaries)):
            router.tree["metadata"] = {**metadata, "object": Template(f"{name}-{number}")}


# Splits ----------------------------------------------------------------------------------------------------------------


def inline_splits(tree: dict[str, Tree], backends: Backends) -> None:
    """Writes into a route the split that is its own: one inside it, or a TraefikService that is called as it and serves it alone."""
    section, catalogue = "tcp_routes" if backends.tcp else "routes", backends.catalogue
    routes = tree[section]
    assert isinstance(routes, list)
    if not routes:
        return
    used = Counter(_uses(routes, backends.services))
    for index, route in enumerate(routes):
        assert isinstance(route, dict)
        name = str(route.get("to"))
        service = backends.services.get(name)
        plain = isinstance(service, dict) and "split" in service and "metadata" not in service
        if plain and isinstance(service, dict) and used[name] == 1 and (name in backends.splits or is_own_split(name, str(route["name"]))):
            del route["to"], backends.services[name]
            route.update(service)
            own, above = catalogue.spans.take_below((backends.section, name)), catalogue.spans.below((section, index))
            if own is not None and above is not None:
                above.spots.update((path, spot) for path, spot in own.spots.items() if path)
        canaries = route.get("canaries")
        for number, canary in enumerate(canaries if isinstance(canaries, list) else ()):
            if isinstance(canary, dict) and canary.get("name") == f"{route['name']}-canary-{number + 1}":
                del canary["name"]


def _uses(routes: list[Tree], services: dict[str, Tree]) -> Iterator[str]:
    for noun in (*routes, *services.values()):
        assert isinstance(noun, dict)
        for part in (noun.get("canaries"), noun.get("split")):
            if isinstance(part, list):
                yield from (str(each["to"]) for each in part if isinstance(each, dict))
        if "to" in noun:
            yield str(noun["to"])
