"""Every key that Traefik's labels know, with the kind of its value: what a flat text like `a,b` is, and what Traefik refuses.

Keys after Traefik 3.7.15, each asked of the binary as a label; those that 2.11 lacks are marked with the version that
brought them, which `tests/versions` asks of each (3.1 was not run: what 3.0 lacks and 3.2 has is marked 3.2). A label's
key is matched without regard to case; this table has the spelling of the file provider, so that what was read from labels
can be written elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.nouns import Kind

Version = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Struct:
    """Known keys. `may_be_true`: a label on it alone makes an empty one, and any text but `true` switches it off (paerser's allowEmpty)."""

    fields: Mapping[str, Shape]
    may_be_true: bool = False
    since: Mapping[str, Version] = field(default_factory=dict)
    true_since: Version = (0, 0)


@dataclass(frozen=True)
class Named:
    """Any key, each with the same shape below."""

    shape: Shape


@dataclass(frozen=True)
class Listed:
    """`domains[0].main`: the texts in brackets only say the order, as texts."""

    shape: Struct


@dataclass(frozen=True)
class Dropped:
    """Known to Traefik, and dropped without a word where it stands in a label (`label:"-"`)."""

    shape: Shape | None = None


@dataclass(frozen=True)
class Anything:
    """What a plugin is told: texts below texts."""


Shape: TypeAlias = "Kind | Struct | Named | Listed | Dropped | Anything"
_KINDS = {"text": Kind.TEXT, "int": Kind.INTEGER, "bool": Kind.BOOLEAN, "time": Kind.DURATION, "texts": Kind.TEXTS}


def _keys(said: str, **further: Shape) -> dict[str, Shape]:
    """`a b:int c:texts`: keys with their kinds; a text where none is given."""
    made: dict[str, Shape] = {}
    for word in said.split():
        key, _, kind = word.partition(":")
        made[key] = _KINDS[kind or "text"]
    return {**made, **further}


_TEXT_MAP = Named(Kind.TEXT)
_STRATEGY = _keys("depth:int excludedIPs:texts ipv6Subnet:int")
_SUBNET: Mapping[str, Version] = {"ipv6Subnet": (3, 2)}
_SOURCE = Struct(_keys("requestHeaderName requestHost:bool", ipStrategy=Struct(_STRATEGY, since=_SUBNET)))
_CLIENT_TLS = Struct(_keys("ca cert key caOptional:bool insecureSkipVerify:bool"))
_REDIS_TLS = Struct(_keys("ca cert key insecureSkipVerify:bool"))
_IP_STRATEGY = Struct(_STRATEGY, may_be_true=True, since=_SUBNET)
_ALLOW = Struct(_keys("sourceRange:texts rejectStatusCode:int", ipStrategy=_IP_STRATEGY), since={"rejectStatusCode": (3, 0)})
_ALLOW_OLD = Struct(_keys("sourceRange:texts", ipStrategy=_IP_STRATEGY))
_ISSUER = "country:bool province:bool locality:bool organization:bool commonName:bool serialNumber:bool domainComponent:bool"
_REDIS = Struct(
    _keys(
        "endpoints:texts username password db:int poolSize:int minIdleConns:int maxActiveConns:int readTimeout:time writeTimeout:time "
        "dialTimeout:time",
        tls=_REDIS_TLS,
    )
)
MIDDLEWARES = Struct(
    {
        "addPrefix": Struct(_keys("prefix")),
        "basicAuth": Struct(_keys("users:texts usersFile realm removeHeader:bool headerField")),
        "buffering": Struct(
            _keys("maxRequestBodyBytes:int memRequestBodyBytes:int maxResponseBodyBytes:int memResponseBodyBytes:int retryExpression")
        ),
        "chain": Struct(_keys("middlewares:texts")),
        "circuitBreaker": Struct(
            _keys("expression checkPeriod:time fallbackDuration:time recoveryDuration:time responseCode:int"),
            since={"responseCode": (3, 0)},
        ),
        "compress": Struct(
            _keys("excludedContentTypes:texts includedContentTypes:texts minResponseBodyBytes:int encodings:texts defaultEncoding"),
            may_be_true=True,
            since={"encodings": (3, 2), "defaultEncoding": (3, 0), "includedContentTypes": (3, 0)},
        ),
        "contentType": Struct(_keys("autoDetect:bool"), may_be_true=True, true_since=(3, 0)),
        "digestAuth": Struct(_keys("users:texts usersFile realm removeHeader:bool headerField")),
        "encodedCharacters": Struct(
            _keys(
                "allowEncodedSlash:bool allowEncodedBackSlash:bool allowEncodedNullCharacter:bool allowEncodedSemicolon:bool "
                "allowEncodedPercent:bool allowEncodedQuestionMark:bool allowEncodedHash:bool"
            )
        ),
        "errors": Struct(_keys("status:texts service query", statusRewrites=Named(Kind.INTEGER)), since={"statusRewrites": (3, 4)}),
        "forwardAuth": Struct(
            _keys(
                "address trustForwardHeader:bool authResponseHeaders:texts authResponseHeadersRegex authRequestHeaders:texts "
                "addAuthCookiesToResponse:texts headerField forwardBody:bool maxBodySize:int maxResponseBodySize:int "
                "preserveLocationHeader:bool preserveRequestMethod:bool",
                tls=_CLIENT_TLS,
            ),
            since={
                "forwardBody": (3, 3),
                "maxBodySize": (3, 3),
                "preserveLocationHeader": (3, 3),
                "preserveRequestMethod": (3, 4),
                "headerField": (3, 2),
                "addAuthCookiesToResponse": (3, 0),
                "maxResponseBodySize": (3, 6),
            },
        ),
        "grpcWeb": Struct(_keys("allowOrigins:texts")),
        "headers": Struct(
            _keys(
                "accessControlAllowCredentials:bool accessControlAllowHeaders:texts accessControlAllowMethods:texts "
                "accessControlAllowOriginList:texts accessControlAllowOriginListRegex:texts accessControlExposeHeaders:texts "
                "accessControlMaxAge:int addVaryHeader:bool allowedHosts:texts hostsProxyHeaders:texts sslRedirect:bool "
                "sslTemporaryRedirect:bool sslHost sslForceHost:bool stsSeconds:int stsIncludeSubdomains:bool stsPreload:bool "
                "forceSTSHeader:bool frameDeny:bool customFrameOptionsValue contentTypeNosniff:bool browserXssFilter:bool "
                "customBrowserXSSValue contentSecurityPolicy contentSecurityPolicyReportOnly publicKey referrerPolicy featurePolicy "
                "permissionsPolicy isDevelopment:bool",
                customRequestHeaders=_TEXT_MAP,
                customResponseHeaders=_TEXT_MAP,
                sslProxyHeaders=_TEXT_MAP,
            ),
            since={"contentSecurityPolicyReportOnly": (3, 2)},
        ),
        "inFlightReq": Struct(_keys("amount:int", sourceCriterion=_SOURCE)),
        "ipAllowList": _ALLOW,
        "ipWhiteList": _ALLOW_OLD,
        "passTLSClientCert": Struct(
            _keys(
                "pem:bool",
                info=Struct(
                    _keys(
                        "notAfter:bool notBefore:bool sans:bool serialNumber:bool",
                        subject=Struct(_keys(f"{_ISSUER} organizationalUnit:bool")),
                        issuer=Struct(_keys(_ISSUER)),
                    )
                ),
            )
        ),
        "plugin": Anything(),
        "rateLimit": Struct(_keys("average:int period:time burst:int", sourceCriterion=_SOURCE, redis=_REDIS), since={"redis": (3, 4)}),
        "redirectRegex": Struct(_keys("regex replacement permanent:bool")),
        "redirectScheme": Struct(_keys("scheme port permanent:bool")),
        "replacePath": Struct(_keys("path")),
        "replacePathRegex": Struct(_keys("regex replacement")),
        "retry": Struct(
            _keys(
                "attempts:int initialInterval:time timeout:time status:texts maxRequestBodyBytes:int retryNonIdempotentMethod:bool "
                "disableRetryOnNetworkError:bool"
            ),
            since=dict.fromkeys(
                ("timeout", "status", "maxRequestBodyBytes", "retryNonIdempotentMethod", "disableRetryOnNetworkError"), (3, 7)
            ),
        ),
        "stripPrefix": Struct(_keys("prefixes:texts forceSlash:bool")),
        "stripPrefixRegex": Struct(_keys("regex:texts")),
    },
    since={"grpcWeb": (3, 0), "encodedCharacters": (3, 7)},
)
"""Kinds of HTTP middlewares. `ipAllowList` is in 2.11 too."""
TCP_MIDDLEWARES = Struct(
    {
        "ipAllowList": Struct(_keys("sourceRange:texts")),
        "ipWhiteList": Struct(_keys("sourceRange:texts")),
        "inFlightConn": Struct(_keys("amount:int")),
    }
)
_DOMAINS = Listed(Struct(_keys("main sans:texts")))
_ROUTER = Struct(
    _keys(
        "entryPoints:texts middlewares:texts service rule ruleSyntax priority:int",
        parentRefs=Dropped(Kind.TEXTS),
        tls=Struct(_keys("options certResolver", domains=_DOMAINS), may_be_true=True),
        observability=Struct(_keys("accessLogs:bool metrics:bool tracing:bool traceVerbosity"), since={"traceVerbosity": (3, 5)}),
    ),
    since={"ruleSyntax": (3, 0), "observability": (3, 3), "parentRefs": (3, 6)},
)
_TCP_ROUTER = Struct(
    _keys(
        "entryPoints:texts middlewares:texts service rule ruleSyntax priority:int",
        tls=Struct(_keys("passthrough:bool options certResolver", domains=_DOMAINS), may_be_true=True),
    ),
    since={"ruleSyntax": (3, 0)},
)
_COOKIE = Struct(
    _keys("name secure:bool httpOnly:bool sameSite maxAge:int path domain", expires=Dropped(Kind.INTEGER)),
    may_be_true=True,
    since={"maxAge": (3, 0), "path": (3, 3), "domain": (3, 4), "expires": (3, 7)},
)
_SERVER = Struct(
    _keys("scheme port url weight:int preservePath:bool", fenced=Dropped(Kind.BOOLEAN)),
    since={"weight": (3, 0), "preservePath": (3, 2), "fenced": (3, 3)},
)
_EMPTY = Struct({}, may_be_true=True)
_CHILDREN = Listed(Struct(_keys("name weight:int")))
_WEIGHTED = Struct({"services": _CHILDREN, "sticky": Struct({"cookie": _COOKIE}), "healthCheck": _EMPTY})
_MIRRORS = Listed(Struct(_keys("name percent:int")))
_TCP_WEIGHTED = Struct({"services": _CHILDREN, "healthCheck": _EMPTY}, since={"healthCheck": (3, 6)})
_SERVICE = Struct(
    _keys(
        "middlewares:texts",
        loadBalancer=Struct(
            _keys(
                "strategy passHostHeader:bool serversTransport",
                server=_SERVER,
                sticky=Struct({"cookie": _COOKIE}, may_be_true=True),
                healthCheck=Struct(
                    _keys(
                        "scheme mode path method status:int port:int interval:time unhealthyInterval:time timeout:time hostname "
                        "followRedirects:bool",
                        headers=_TEXT_MAP,
                    ),
                    since={"unhealthyInterval": (3, 5), "mode": (3, 0), "status": (3, 0)},
                ),
                passiveHealthCheck=Struct(_keys("failureWindow:time maxFailedAttempts:int")),
                responseForwarding=Struct(_keys("flushInterval:time")),
            ),
            since={"strategy": (3, 4), "passiveHealthCheck": (3, 6)},
        ),
        weighted=Dropped(_WEIGHTED),
        mirroring=Dropped(
            Struct(_keys("service mirrorBody:bool maxBodySize:int", mirrors=_MIRRORS, healthCheck=_EMPTY), since={"mirrorBody": (3, 2)})
        ),
        failover=Dropped(
            Struct(
                _keys("service fallback", healthCheck=_EMPTY, errors=Struct(_keys("status:texts maxRequestBodyBytes:int"))),
                since={"errors": (3, 7)},
            )
        ),
        highestRandomWeight=Dropped(Struct({"services": _CHILDREN, "healthCheck": _EMPTY})),
    ),
    since={"middlewares": (3, 7), "highestRandomWeight": (3, 6)},
)
_TCP_SERVICE = Struct(
    {
        "loadBalancer": Struct(
            _keys(
                "terminationDelay:int serversTransport",
                server=Struct(_keys("port tls:bool"), since={"tls": (3, 0)}),
                proxyProtocol=Struct(_keys("version:int"), may_be_true=True),
                healthCheck=Struct(_keys("port:int send expect interval:time unhealthyInterval:time timeout:time"), may_be_true=True),
            ),
            since={"serversTransport": (3, 0), "healthCheck": (3, 6)},
        ),
        "weighted": Dropped(_TCP_WEIGHTED),
    }
)
_UDP_SERVICE = Struct({"loadBalancer": Struct({"server": Struct(_keys("port"))}), "weighted": Dropped(Struct({"services": _CHILDREN}))})
ROOT = Struct(
    {
        "http": Struct(
            {
                "routers": Named(_ROUTER),
                "services": Named(_SERVICE),
                "middlewares": Named(MIDDLEWARES),
                "serversTransports": Dropped(),
                "models": Dropped(),
            }
        ),
        "tcp": Struct(
            {
                "routers": Named(_TCP_ROUTER),
                "services": Named(_TCP_SERVICE),
                "middlewares": Named(TCP_MIDDLEWARES),
                "serversTransports": Dropped(),
                "models": Dropped(),
            }
        ),
        "udp": Struct(
            {
                "routers": Named(Struct(_keys("entryPoints:texts service"))),
                "services": Named(_UDP_SERVICE),
            }
        ),
        "tls": Dropped(),
    }
)
"""What stands below `traefik.` and is configuration of routes."""
EXTRA = {
    "docker": Struct(
        {
            "enable": Kind.BOOLEAN,
            "docker": Struct(_keys("network lbSwarm:bool allowNonRunning:bool"), since={"allowNonRunning": (3, 6)}),
        }
    ),
    "swarm": Struct({"enable": Kind.BOOLEAN, "swarm": Struct(_keys("network lbSwarm:bool"))}),
}
"""What stands below `traefik.` and is about the container itself, by provider."""
ROUTING = ("traefik.http", "traefik.tcp", "traefik.udp", "traefik.tls.stores.default")
"""Beginnings of the labels that Traefik reads as configuration of routes, in any case; it passes over all others."""
ABOUT = {"docker": ("traefik.docker.", "traefik.enable"), "swarm": ("traefik.swarm.", "traefik.enable")}


def later(tree: Tree, shape: Shape, version: Version) -> str | None:
    """The first key of a tree that a version does not know yet, or None."""
    if isinstance(shape, Struct) and isinstance(tree, dict):
        for key, child in tree.items():
            name = next((name for name in shape.fields if name.lower() == key.lower()), None)
            if name is None:
                continue
            if shape.since.get(name, version) > version:
                return name
            if (found := later(child, shape.fields[name], version)) is not None:
                return found
    elif isinstance(shape, Named) and isinstance(tree, dict):
        return next((found for child in tree.values() if (found := later(child, shape.shape, version)) is not None), None)
    elif isinstance(shape, Listed) and isinstance(tree, list):
        return next((found for child in tree if (found := later(child, shape.shape, version)) is not None), None)
    return None
