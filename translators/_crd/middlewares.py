"""Middleware and MiddlewareTCP objects. They spell a middleware as the file does, but for what is somewhere else in a cluster:
users stand in a Secret, a chain names objects, `errors` names a Service.

What a kind of the model cannot hold is carried to the letter, in the objects' spelling; `names_objects` says which of
these no other surface can take (Traefik 3.7, traefikio/v1alpha1/middleware.go).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from hashlib import sha1

from pinfeather.model.diagnostics import Code, Path, error, nearest
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Full, Nothing
from pinfeather.model.metadata import Metadata
from pinfeather.model.middlewares import BasicAuth, Headers, IPAllowList, Middleware, Other
from pinfeather.translators._crd.catalogue import API, Catalogue
from pinfeather.translators._syntax import kube
from pinfeather.translators._syntax.kube import KubeObject
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.middlewares import (
    MAY_BE_EMPTY,
    SPELLINGS,
    TCP_SPELLINGS,
    known_kinds,
    put_middleware,
    spelling_of,
    take_middleware,
)
from pinfeather.translators._traefik.nouns import put, take

_AUTH = next(each for each in SPELLINGS if each.field == "basic_auth")
_AUTH_KEYS = tuple(key for key in _AUTH.keys if key.field not in ("users", "users_file"))
Refer = Callable[[str], dict[str, Tree]]
"""How a reference to a middleware is written: `{name}`, or `{name, namespace}`."""
OTHER_KEYS: Mapping[str, str] = {
    "buffering": "disableRequestBuffer disableResponseBuffer maxRequestBodyBytes memRequestBodyBytes maxResponseBodyBytes "
    "memResponseBodyBytes retryExpression",
    "circuitBreaker": "expression checkPeriod fallbackDuration recoveryDuration responseCode",
    "compress": "excludedContentTypes includedContentTypes minResponseBodyBytes encodings defaultEncoding",
    "contentType": "autoDetect",
    "digestAuth": "secret removeHeader realm headerField",
    "errors": "status statusRewrites service query errorRequestHeaders",
    "forwardAuth": "address trustForwardHeader authResponseHeaders authResponseHeadersRegex authRequestHeaders tls "
    "addAuthCookiesToResponse "
    "headerField forwardBody maxBodySize maxResponseBodySize preserveLocationHeader preserveRequestMethod authSigninURL",
    "grpcWeb": "allowOrigins",
    "headers": "customRequestHeaders customResponseHeaders accessControlAllowCredentials accessControlAllowHeaders "
    "accessControlAllowMethods accessControlAllowOriginList accessControlAllowOriginListRegex accessControlExposeHeaders "
    "accessControlMaxAge addVaryHeader allowedHosts hostsProxyHeaders sslProxyHeaders stsSeconds stsIncludeSubdomains stsPreload "
    "forceSTSHeader frameDeny customFrameOptionsValue contentTypeNosniff browserXssFilter customBrowserXSSValue contentSecurityPolicy "
    "contentSecurityPolicyReportOnly publicKey referrerPolicy permissionsPolicy isDevelopment featurePolicy sslRedirect "
    "sslTemporaryRedirect sslHost sslForceHost",
    "inFlightReq": "amount sourceCriterion",
    "ipAllowList": "sourceRange ipStrategy rejectStatusCode",
    "ipWhiteList": "sourceRange ipStrategy",
    "inFlightConn": "amount",
    "passTLSClientCert": "pem info",
    "rateLimit": "average period burst sourceCriterion redis",
    "retry": "attempts initialInterval timeout maxRequestBodyBytes status disableRetryOnNetworkError retryNonIdempotentMethod",
    "stripPrefix": "prefixes forceSlash",
    "stripPrefixRegex": "regex",
    "basicAuth": "secret realm removeHeader headerField",
    "redirectRegex": "regex replacement permanent",
    "redirectScheme": "scheme port permanent",
    "encodedCharacters": "allowEncodedSlash allowEncodedBackSlash allowEncodedNullCharacter allowEncodedSemicolon allowEncodedPercent "
    "allowEncodedQuestionMark allowEncodedHash",
}
"""The keys of a kind as the objects have them; those of `plugin` are the plugin's own."""


def only_files(other: Other) -> bool:
    """Whether it names files of the proxy, or services by name, which objects cannot."""
    config = other.config
    if not isinstance(config, dict):
        return False
    tls = config.get("tls")
    files = isinstance(tls, dict) and any(key in tls for key in ("ca", "cert", "key"))
    named = any(key in config for key in ("users", "usersFile"))
    return files or named or isinstance(config.get("service"), str)


# Reading ---------------------------------------------------------------------------------------------------------------


def take_middleware_object(obj: KubeObject, at: Path, catalogue: Catalogue, *, tcp: bool) -> Tree:
    """The tree of the `Middleware` at `at`, without its metadata, or None where there is none to be had and the reason was reported."""
    spec = obj.node.map("spec")
    if spec is None:
        obj.node.error(Code.VALUE, f"{obj.where} has no `spec`: Traefik drops what passes it", instead="write its kind below `spec`")
        return None
    value = spec.value if isinstance(spec.value, dict) else {}
    given = [key for key, child in value.items() if child is not None]
    reader = catalogue.reader(obj)
    reader.spans[at] = obj.node.spot
    if "sticky" in given and not tcp:
        spec.tree("sticky")
        said = "there is no middleware `sticky`: Traefik drops every route that passes it"
        instead = "write it into the service of the route: `services[].sticky.cookie`"
        spec.report(error(Code.STICKY_MIDDLEWARE, said, at, instead=instead, span=spec.key_span_of("sticky")))
        return None
    if given == ["basicAuth"] and not tcp:
        return _basic_auth(obj, spec, at, catalogue)
    if given == ["chain"] and not tcp:
        return _chain(obj, spec, at, catalogue)
    if len(given) == 1 and given[0] in known_kinds(tcp=tcp):
        _check_keys(spec, given[0])
    tree = take_middleware(spec, at, reader, tcp=tcp)
    if isinstance(tree, dict) and isinstance(other := tree.get("other"), dict):
        errors = other.get("config")
        if other.get("kind") == "errors" and not (isinstance(errors, dict) and isinstance(errors.get("service"), dict)):
            spec.error(Code.VALUE, "`errors` names its Service as `service: {name, port}`", "errors")
            return None
    return tree


def _check_keys(spec: Taking, kind: str) -> None:
    """Names the keys that the API server drops without a word, where the middleware is carried whole."""
    known = OTHER_KEYS.get(kind, "").split()
    body = spec.value.get(kind) if isinstance(spec.value, dict) else None
    if not known or not isinstance(body, dict) or spelling_of(kind, body, tcp=False) is not None:
        return
    for key in body:
        if key not in known:
            meant = nearest(key, known)
            hint = f"did you mean `{meant}`?" if meant else f"the keys here: {', '.join(known)}"
            said = f"unknown key {key!r}: it is dropped without a word"
            path = (*spec.path, kind, key)
            spec.report(error(Code.UNKNOWN, said, path, instead=hint, span=spec.key_span_of(kind, key)))


def _basic_auth(obj: KubeObject, spec: Taking, at: Path, catalogue: Catalogue) -> Tree:
    body = spec.value.get("basicAuth") if isinstance(spec.value, dict) else None
    secret = body.get("secret") if isinstance(body, dict) else None
    found = catalogue.find("Secret", catalogue.home(obj), secret) if isinstance(secret, str) else None
    if found is None:
        if isinstance(body, dict) and not secret:
            spec.error(Code.VALUE, "`basicAuth` has no `secret`: nobody could pass", "basicAuth", instead="name a Secret with users in it")
            spec.tree("basicAuth")
            return None
        _check_keys(spec, "basicAuth")
        reader = catalogue.reader(obj)
        reader.mark((*at, "other"), spec, "basicAuth")
        return {"other": {"kind": "basicAuth", "config": spec.tree("basicAuth")}}
    users = _users(found.obj, catalogue)
    node = spec.map("basicAuth")
    if users is None or node is None:
        return None
    node.text("secret")
    reader = catalogue.reader(obj)
    reader.mark((*at, "basic_auth"), spec, "basicAuth")
    tree = take(node, _AUTH_KEYS, (*at, "basic_auth"), reader)
    return {"basic_auth": {"users": list(users), **tree}}


def _users(obj: KubeObject, catalogue: Catalogue) -> list[str] | None:
    """The users in a Secret, as Traefik reads them (kubernetes_http.go and kubernetes.go, loadBasicAuthCredentials)."""
    catalogue.used.add(obj)
    kind = obj.node.text("type")
    obj.node.tree("immutable")
    data: dict[str, str] = {}
    for key, text in obj.node.text_map("data").items():
        try:
            data[key] = base64.b64decode(text, validate=True).decode("utf-8")
        except ValueError:  # no base64, no ASCII, or no UTF-8 behind it
            obj.node.error(Code.VALUE, f"{key!r} is no text in base64", "data", instead="write it under `stringData`")
            return None
    data |= obj.node.text_map("stringData")
    if kind == "kubernetes.io/basic-auth":
        if not {"username", "password"} <= set(data):
            obj.node.error(Code.VALUE, f"{obj.where} needs `username` and `password`: Traefik drops what passes it")
            return None
        digest = base64.b64encode(sha1(data["password"].encode(), usedforsecurity=False).digest()).decode()
        return [f"{data['username']}:{{SHA}}{digest}"]
    if len(data) != 1:
        said = f"{obj.where} has {len(data)} entries: Traefik wants exactly one, with users in it, and drops what passes it"
        obj.node.error(Code.VALUE, said, instead="keep `users`")
        return None
    lines = [line.strip() for line in next(iter(data.values())).split("\n")]
    users = [line for line in lines if line and not line.startswith("#")]
    if not users:
        obj.node.error(Code.VALUE, f"{obj.where} has no users: nobody could pass")
        return None
    return users


def _chain(obj: KubeObject, spec: Taking, at: Path, catalogue: Catalogue) -> Tree:
    node = spec.map("chain")
    if node is None:
        return None
    reader = catalogue.reader(obj)
    reader.mark((*at, "chain"), spec, "chain")
    names = [catalogue.refer("Middleware", obj, item) for item in node.list("middlewares")]
    reader.mark((*at, "chain", "middlewares"), node, "middlewares", list(names))
    return None if None in names else {"chain": {"middlewares": list(names)}}


# Writing ---------------------------------------------------------------------------------------------------------------


def secret_name(middleware: str) -> str:
    """The Secret with the users of a middleware."""
    return kube.object_name(f"{middleware}-users")


def put_middleware_objects(name: str, middleware: Middleware, namespace: str | None, refer: Refer, *, tcp: bool) -> list[Tree]:
    """The object, after the Secret that it names."""
    metadata = middleware.metadata
    config, objects = middleware.config, list[Tree]()
    tree: Tree
    if isinstance(config, BasicAuth):
        tree = {_AUTH.key: {"secret": secret_name(name), **put(config, _AUTH_KEYS)}}
        head: Tree = {"name": secret_name(name), **({"namespace": namespace} if namespace else {})}
        users = "".join(f"{user}\n" for user in config.users)
        objects.append({"apiVersion": "v1", "kind": "Secret", "metadata": head, "type": "Opaque", "stringData": {"users": users}})
    elif middleware.chain is not None:
        tree = {"chain": {"middlewares": [refer(each) for each in middleware.chain.middlewares]}}
    else:
        tree = put_middleware(middleware, tcp=tcp)
    kind = "MiddlewareTCP" if tcp else "Middleware"
    return [*objects, put_object(kind, name, namespace, metadata, {"spec": tree})]


def put_object(kind: str, name: str, namespace: str | None, metadata: Metadata | None, parts: Mapping[str, Tree]) -> Tree:
    """One object of Traefik's, in a namespace that may not be the metadata's own."""
    held = (metadata or Metadata()).model_copy(update={"namespace": namespace})
    return kube.put_object(API, kind, name, held, parts)


# What can be said ------------------------------------------------------------------------------------------------------

_HELD = "every route that passes it is left out"


def middleware_says(document: Document, path: Path) -> Full | Nothing:
    """What of a middleware an object can say."""
    tcp = path[0] == "tcp_middlewares"
    middleware = (document.tcp_middlewares if tcp else document.middlewares)[str(path[1])]
    config = middleware.config
    if isinstance(config, Other):
        return _other(config, tcp=tcp)
    if tcp:
        ranges = isinstance(config, IPAllowList) and config.depth is None and config.reject_status is None
        return FULL if ranges else Nothing(f"Traefik has no such middleware for TCP: {_HELD}")
    if config == Headers():
        return Nothing(f"Traefik takes headers without a header for a mistake: {_HELD}")
    if isinstance(config, BasicAuth):
        if config.users_file is not None:
            return Nothing(f"an object names a Secret and no file: give its users: {_HELD}")
        if any(user != user.strip() or "\n" in user or user.startswith("#") for user in config.users):
            return Nothing(f"a user stands in a line of its own, without blanks at its ends, and begins with no '#': {_HELD}")
    return FULL


def _other(other: Other, *, tcp: bool) -> Full | Nothing:
    if other.kind not in known_kinds(tcp=tcp):
        return Nothing(f"Traefik knows no middleware {other.kind!r}: {_HELD}")
    typed = spelling_of(other.kind, other.config, tcp=tcp)
    if typed is not None and typed in (TCP_SPELLINGS if tcp else SPELLINGS) and typed.field != _AUTH.field:
        return Nothing(f"say it as `{typed.field}`: {_HELD}")
    if only_files(other):
        return Nothing(f"an object names Secrets and Services, and no files: {_HELD}")
    if not isinstance(other.config, dict) or not _whole(other.config) or not (other.config or other.kind in MAY_BE_EMPTY):
        return Nothing(f"the API server drops a null: {_HELD}")
    known = OTHER_KEYS.get(other.kind, "").split()
    if strange := next((key for key in other.config if known and key not in known), None):
        return Nothing(f"the objects have no key {strange!r} in it, and the API server drops it: {_HELD}")
    return FULL


def _whole(tree: Tree) -> bool:
    if isinstance(tree, dict):
        return all(map(_whole, tree.values()))
    return all(map(_whole, tree)) if isinstance(tree, list) else tree is not None
