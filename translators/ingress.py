"""Kubernetes Ingresses as Traefik reads them: `networking.k8s.io/v1`, with annotations on the Ingress and on the Service.

    helm template shop | pinfeather convert - --from ingress --to ingressroute
    pinfeather convert shop.yaml --to ingress --ingress-class traefik       # writes objects.yaml

Reading. Ingresses, the Services behind them (for their annotations `service.*`, ports and EndpointSlices), Middlewares and the Secrets
of their users, IngressClasses; everything else is named once and left alone, and Services are handed on. Every path is
a route, called after its Ingress; hosts that share all else stand together. Its rule is built as Traefik builds it, and
without `router.priority` the length of that rule decides: it is turned into a number, and said where it matters. A
service is called as Traefik calls it, and all Ingresses share it. What Traefik drops without a word is said at its
line: an unknown `router.…` (the whole Ingress), an unknown `service.…` (every path to it), annotations of Traefik 1, a
default backend beside rules, a rule without paths, one of two default backends. `router.middlewares` are looked up among
the Middlewares that are read (`ns-name@kubernetescrd`), and stay references otherwise. `spec.tls` names the Secret,
cert-manager's annotations who renews it; without `router.tls` Traefik leaves TLS to the entry point (`--no-spec-tls`).

Writing. One Ingress a route, since a priority holds for all of an Ingress; a patch of annotations for each Service whose
cookie, scheme, transport or middlewares are said; Middlewares as objects. Servers by URL become a Service with its
EndpointSlices; a container becomes the Service of its name. An Ingress has hosts, one path and one Service: no
canaries, splits, header, cookie, query or method conditions, health checks or strategies. A regex on the path begins with `/`.
What stands on a Service holds for every use of it: two uses with different cookies cannot both be said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pinfeather.model.build import build
from pinfeather.model.diagnostics import span_at
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Becomes, Derived, Feature, Nothing, Support, When
from pinfeather.translators._crd.catalogue import GROUP, HELPERS, MANNER, Catalogue
from pinfeather.translators._crd.middlewares import take_middleware_object
from pinfeather.translators._ingress import says
from pinfeather.translators._ingress.reading import IngressOptions, read_ingresses
from pinfeather.translators._ingress.writing import artifacts, middleware_names
from pinfeather.translators._syntax import kube
from pinfeather.translators._syntax.tree import Spans, Tree
from pinfeather.translators._traefik import supports as common
from pinfeather.translators._traefik import versions
from pinfeather.translators.contract import Emitted, File, Parsed, Source, Translator

SUBJECT = frozenset(
    {
        ("networking.k8s.io", "Ingress"),
        ("extensions", "Ingress"),
        ("networking.k8s.io", "IngressClass"),
        (GROUP, "Middleware"),
        *(each for each in HELPERS if each[1] != "Certificate"),
    }
)

# What can be said ------------------------------------------------------------------------------------------------------

_SHARED = "as every other use of the Service"
_LISTS = "names without commas"


def supports(options: IngressOptions) -> Mapping[Feature, Support]:
    if options.version < (3, 0):
        return dict.fromkeys(Feature, Nothing("Traefik 2.11 is read, not written: say --traefik 3.0 or later"))
    condition = When(says.condition(options.instance), "hosts and one path, as the API server takes them")
    backend = When(says.backend(options), _SHARED)
    priority = When(common.priority_kept(), "given numbers are kept where they keep the order")
    table: dict[Feature, Support] = dict.fromkeys(Feature, Nothing())
    table |= {
        **dict.fromkeys(
            (Feature.HOST, Feature.HOST_WILDCARD, Feature.PATH_EXACT, Feature.PATH_PREFIX, Feature.PATH_REGEX, Feature.ANY), condition
        ),
        Feature.PRIORITY: priority,
        Feature.STICKY_SERVER: FULL,
        **dict.fromkeys((Feature.COOKIE_MAX_AGE, Feature.COOKIE_DOMAIN), When(common.cookie_says, "0 and an empty text mean none")),
        **dict.fromkeys((Feature.COOKIE_SECURE, Feature.COOKIE_HTTP_ONLY, Feature.COOKIE_SAME_SITE, Feature.COOKIE_PATH), FULL),
        **dict.fromkeys((Feature.SERVER_KUBERNETES, Feature.SERVER_URL), backend),
        Feature.SERVER_CONTAINER: Becomes(says.as_service, "the Service of that name", "no Service has its name: the service is left out"),
        Feature.PASS_HOST: FULL,
        Feature.SERVERS_TRANSPORT: FULL,
        Feature.SERVICE_MIDDLEWARES: FULL,
        **{feature: When(says.middleware, "as objects have it") for feature in Feature if feature.startswith("middleware.")},
        Feature.CHAIN: When(says.chain(options), "of one namespace"),
        Feature.ENTRY_POINTS: When(says.listed("an entry point"), _LISTS),
        Feature.TLS: When(common.tls_sees(), "where no route without `tls` guards the same requests before it"),
        Feature.TLS_OPTIONS: FULL,
        Feature.TLS_RESOLVER: FULL,
        Feature.TLS_DOMAINS: When(says.listed("a domain"), _LISTS),
        **dict.fromkeys((Feature.TLS_SECRET, Feature.TLS_ISSUER), When(says.secret_says, "a Secret by its name")),
        Feature.OBSERVABILITY: When(versions.observed_since(options.version), "with at least one setting"),
        Feature.NAMESPACE: When(says.of_objects(says.namespace_says), "of routes and middlewares"),
        Feature.LABELS: When(says.of_objects(says.labels_say), "of routes and middlewares"),
        Feature.ANNOTATIONS: When(says.of_objects(says.annotations_say), "of routes and middlewares"),
        Feature.DNS_RECORDS: When(says.of_objects(says.dns_says), "of routes and middlewares"),
        Feature.EXTERNAL: When(
            says.reference(lambda document: middleware_names(document, options)), "middlewares, transports and TLS options"
        ),
        Feature.OBJECT_NAME: Nothing("the object is called after the route"),
        Feature.ROUTE_NAME: Derived(_object_name, "the name of an object"),
        Feature.MIDDLEWARE_NAME: Derived(_object_name, "the name of an object"),
        Feature.SERVICE_NAME: Derived(says.derived(options), "namespace, Service and port, as Traefik calls it", merge=True),
        Feature.SERVER_WEIGHT: Nothing("Traefik draws every endpoint alike"),
    }
    if options.instance.wildcards_are_regexes:
        table[Feature.HOST_REGEX] = When(says.condition(options.instance), "the one that this version makes of a wildcard host")
    return versions.since(table, options.version)


def _object_name(document: Document, path: tuple[str | int, ...]) -> str:
    found = common.found(document, path)
    return kube.subdomain_name(str(path[1]) if path[0] != "routes" else str(getattr(found, "name", None) or "canary"))


# Reading ---------------------------------------------------------------------------------------------------------------


def parse(source: Source, options: IngressOptions) -> Parsed:
    stream = kube.read_objects(source.files, SUBJECT, MANNER)
    catalogue = Catalogue(options, stream, Spans())
    catalogue.gather()
    tree: dict[str, Tree] = {"pinfeather": "v1"}
    tree["middlewares"], lost = _middlewares(catalogue)
    names = {f"{catalogue.home(each.obj)}{catalogue.joint}{each.obj.name}": each.name for each in catalogue.of("Middleware")}
    tree |= read_ingresses(catalogue, options, names, lost)
    document, faults = build(tree)
    spans = catalogue.spans
    return Parsed(document, (*stream.finish(), *(fault.at(span_at(spans, fault.path)) for fault in faults)), spans, tuple(stream.passed))


def _middlewares(catalogue: Catalogue) -> tuple[dict[str, Tree], set[str]]:
    """The trees of the middlewares, and the names of those that cannot be had."""
    found: dict[str, Tree] = {}
    lost: set[str] = set()
    for each in catalogue.of("Middleware"):
        noun = take_middleware_object(each.obj, ("middlewares", each.name), catalogue, tcp=False)
        if isinstance(noun, dict):
            found[each.name] = {**noun, **({"metadata": dict(each.obj.metadata)} if each.obj.metadata else {})}
        else:
            lost.add(each.name)
    while hanging := {name for name, noun in found.items() if _chained(noun) & lost}:
        lost |= hanging
        for name in hanging:
            del found[name]
    return found, lost


def _chained(noun: Tree) -> set[str]:
    chain = noun.get("chain") if isinstance(noun, dict) else None
    names = chain.get("middlewares") if isinstance(chain, dict) else None
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


_INGRESS = re.compile(r"""^[ \t-]*["']?kind["']?[ \t]*:[ \t]*["']?Ingress["']?[ \t]*(?:#.*)?\r?$""", re.MULTILINE)
_GROUP = re.compile(r"""["']?apiVersion["']?[ \t]*:[ \t]*["']?(?:networking\.k8s\.io|extensions)/v1""")


def recognise(file: File) -> bool:
    text = file.text if isinstance(file.text, str) else file.text[: 1 << 20].decode("utf-8", "replace")
    return _INGRESS.search(text) is not None and _GROUP.search(text) is not None


# Writing ---------------------------------------------------------------------------------------------------------------


def emit(document: Document, options: IngressOptions) -> Emitted:
    return Emitted(tuple(artifacts(document, options)))


TRANSLATOR = Translator(
    name="ingress",
    doc=__doc__,
    options=IngressOptions,
    supports=supports,
    parse=parse,
    emit=emit,
    recognise=recognise,
)
