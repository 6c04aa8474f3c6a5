"""A route: which requests, through what, to where, and who stays there."""

from typing import Literal, Self

from pydantic import model_validator

from pinfeather.model.canary import Canary, Order, SplitEntry, WeightZero, WhenDown
from pinfeather.model.match import TCP_LEAVES, ClientIP, HostName, Match, PathMatch, ServerName, leaves
from pinfeather.model.metadata import Metadata
from pinfeather.model.noun import Many, Name, Noun, Number, Reference, Text, refuse
from pinfeather.model.services import check_weights
from pinfeather.model.sticky import Sticky


class Domain(Noun):
    """Names that a certificate is asked for."""

    main: Text
    sans: Many[Text] = ()


class Issuer(Noun):
    """Who renews the certificate in `secret`: an issuer of cert-manager."""

    name: Text
    kind: Literal["ClusterIssuer", "Issuer"] = "ClusterIssuer"


class Tls(Noun):
    """TLS of a route. A route without it leaves the choice to its entry point."""

    terminate: bool = True
    """False: plain connections only, even where the entry point would say otherwise. TCP: false with `passthrough`."""
    passthrough: bool | None = None
    """TCP only: the server ends TLS, the proxy reads the server name alone."""
    options: Reference | None = None
    resolver: Text | None = None
    domains: Many[Domain] = ()
    secret: Text | None = None
    """The Kubernetes Secret that holds the certificate, in the namespace of the route."""
    issuer: Issuer | None = None


class Observability(Noun):
    access_logs: bool | None = None
    metrics: bool | None = None
    tracing: bool | None = None
    trace_verbosity: Literal["minimal", "detailed"] | None = None


class Route(Noun):
    """One HTTP route. `hosts` and `path` are short for conditions that stand beside `match`."""

    name: Name
    hosts: Many[HostName] = ()
    """Any of these; none: every host."""
    path: PathMatch | None = None
    match: Match | None = None
    priority: Number | None = None
    """Higher is asked first; absent is 0. Among equals the more specific one, then the one that stands first."""
    entry_points: Many[Name] = ()
    """None: the proxy's default entry points."""
    tls: Tls | None = None
    middlewares: Many[Reference] = ()
    canaries: Many[Canary] = ()
    to: Reference | None = None
    split: Many[SplitEntry] = ()
    sticky: Sticky | None = None
    """The variant cookie of `split`."""
    order: Order = "rules_first"
    weight_zero: WeightZero = "drop"
    when_down: WhenDown = "fail"
    observability: Observability | None = None
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if (self.to is None) == (not self.split):
            raise refuse("value", "a route needs exactly one of `to` and `split`")
        if self.split:
            check_weights(self.split)
        if self.sticky is not None and (not self.split or self.sticky.cookie is None):
            raise refuse(
                "value",
                "the sticky of a route is the variant cookie of its `split`; stickiness to servers stands in the service",
            )
        for match in (self.match, *(canary.when for canary in self.canaries)):
            if match is not None and any(isinstance(leaf, TCP_LEAVES) for leaf in leaves(match)):
                raise refuse("value", "sni, sni_regex and alpn are conditions of TCP routes")
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        """Every service that the route names itself."""
        own = (self.to,) if self.to is not None else tuple(entry.to for entry in self.split)
        return (*(canary.to for canary in self.canaries), *own)


class TcpRoute(Noun):
    """One TCP route. Without a server name it takes every connection of its entry points."""

    name: Name
    sni: Many[ServerName] = ()
    match: Match | None = None
    priority: Number | None = None
    entry_points: Many[Name] = ()
    tls: Tls | None = None
    middlewares: Many[Reference] = ()
    to: Reference | None = None
    split: Many[SplitEntry] = ()
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if (self.to is None) == (not self.split):
            raise refuse("value", "a TCP route needs exactly one of `to` and `split`")
        if self.split:
            check_weights(self.split)
        allowed = (*TCP_LEAVES, ClientIP)
        if self.match is not None and any(not isinstance(leaf, allowed) for leaf in leaves(self.match)):
            raise refuse("value", "a TCP route can ask for sni, sni_regex, alpn and client_ip only")
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.to,) if self.to is not None else tuple(entry.to for entry in self.split)
