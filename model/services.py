"""Where requests go. A service is one use of a backend: several may name the same Kubernetes Service with different
stickiness. It is a `LoadBalancer` over servers or a `Split` over other services."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, model_validator

from pinfeather.model.canary import SplitEntry, WeightZero, WhenDown
from pinfeather.model.match import PathText
from pinfeather.model.metadata import Metadata
from pinfeather.model.noun import (
    Duration,
    Many,
    Name,
    Noun,
    OrTemplate,
    Port,
    Reference,
    Text,
    Token,
    Weight,
    printable,
    proper_name,
    refuse,
)
from pinfeather.model.sticky import Sticky


def _url(text: str) -> str:
    try:
        parts = urlsplit(printable(text))
        port = parts.port
    except ValueError:
        raise refuse("value", f"{text!r} is not a URL: its host or port cannot be read") from None
    if parts.scheme not in ("http", "https", "h2c") or not parts.hostname or port == 0:
        raise refuse("value", f"{text!r} is not a server's URL: write http://host:port or https://host:port")
    if parts.username is not None or parts.query or parts.fragment or " " in text:
        raise refuse("value", f"{text!r}: a server's URL has no user, query, fragment or space")
    return text


def _address(text: str) -> str:
    host, colon, port = printable(text).rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536 or " " in text:
        raise refuse("value", f"{text!r} is not an address: write host:port")
    return text


ServerURL = Annotated[str, OrTemplate(_url)]
Address = Annotated[str, OrTemplate(_address)]
NameOrTemplate = Annotated[str, OrTemplate(proper_name)]
Scheme = Literal["http", "https", "h2c"]


class KubernetesRef(Noun):
    """The endpoints of a Kubernetes Service; a reference has one nameless server until somebody says which are there."""

    service: NameOrTemplate
    namespace: NameOrTemplate | None = None
    port: Port | Text
    scheme: Scheme | None = None


class ContainerRef(Noun):
    """A container that a Docker provider finds; without a name, the one that carries the labels."""

    name: Name | None = None
    port: Port | None = None
    scheme: Scheme | None = None


class Server(Noun):
    """One server: exactly one of `url`, `kubernetes`, `container`. A cookie that names a URL names this exact text."""

    url: ServerURL | None = None
    kubernetes: KubernetesRef | None = None
    container: ContainerRef | None = None
    weight: Weight | None = None
    """Its share among the servers of its service; absent is 1. 0 takes no request."""
    preserve_path: bool | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.url, self.kubernetes, self.container)) != 1:
            raise refuse("value", "a server needs exactly one of `url`, `kubernetes` and `container`")
        return self

    @property
    def key(self) -> str:
        """What a binding to this server names."""
        if self.url is not None:
            return str(self.url)
        if (ref := self.kubernetes) is not None:
            return f"kubernetes:{ref.namespace or ''}/{ref.service}:{ref.port}"
        assert self.container is not None
        return f"container:{self.container.name or ''}:{self.container.port or ''}"


class HealthCheck(Noun):
    """Active probes. What is absent is the dialect's default (Traefik: GET, every 30s, within 5s, 2xx and 3xx are healthy)."""

    path: PathText
    interval: Duration | None = None
    unhealthy_interval: Duration | None = None
    timeout: Duration | None = None
    method: Token | None = None
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    port: Port | None = None
    scheme: Literal["http", "https"] | None = None
    hostname: Text | None = None
    mode: Literal["http", "grpc"] | None = None
    follow_redirects: bool | None = None
    headers: dict[Token, Text] = Field(default_factory=dict)


class PassiveHealthCheck(Noun):
    """A server that fails `max_failed_attempts` times within `failure_window` is left out for that long."""

    failure_window: Duration | None = None
    max_failed_attempts: Annotated[int, Field(ge=1)] | None = None


class LoadBalancer(Noun):
    """Servers, one of which is drawn by weight, and the cookie that pins a client to the drawn one."""

    servers: Many[Server]
    sticky: Sticky | None = None
    health_check: HealthCheck | None = None
    passive_health_check: PassiveHealthCheck | None = None
    strategy: Literal["wrr", "p2c", "hrw", "leasttime"] | None = None
    """Absent: by weight, in turn."""
    pass_host_header: bool | None = None
    """Absent is true."""
    flush_interval: Duration | None = None
    servers_transport: Reference | None = None
    middlewares: Many[Reference] = ()
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _weights(self) -> Self:
        if self.servers and all(server.weight == 0 for server in self.servers):
            raise refuse("weights", "every server has weight 0: nobody would get a request")
        return self


class Split(Noun):
    """Variants by weight, and the cookie that pins a client to the drawn one. Splits may nest."""

    split: Many[SplitEntry] = Field(min_length=1)
    sticky: Sticky | None = None
    when_down: WhenDown = "fail"
    weight_zero: WeightZero = "drop"
    middlewares: Many[Reference] = ()
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _weights(self) -> Self:
        check_weights(self.split)
        return self


def check_weights(entries: tuple[SplitEntry, ...]) -> None:
    """Refuses a split that sends nobody anywhere, and one that names a child twice (its cookie could not tell them apart)."""
    if entries and all(entry.weight == 0 for entry in entries):
        raise refuse("weights", "the weights sum to nothing: give at least one entry a weight above 0")
    names = [entry.to for entry in entries]
    if len(set(names)) == len(names):
        return
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise refuse("weights", f"{twice!r} stands twice in one split: add its weights up")


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "<split>" if "split" in value else "<servers>"
    return "<split>" if isinstance(value, Split) else "<servers>"


Service = Annotated[Annotated[LoadBalancer, Tag("<servers>")] | Annotated[Split, Tag("<split>")], Discriminator(_kind)]


class TcpServer(Noun):
    """One server of a TCP service."""

    address: Address | None = None
    kubernetes: KubernetesRef | None = None
    container: ContainerRef | None = None
    tls: bool | None = None
    """Whether the proxy speaks TLS to it."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.address, self.kubernetes, self.container)) != 1:
            raise refuse("value", "a TCP server needs exactly one of `address`, `kubernetes` and `container`")
        return self

    @property
    def key(self) -> str:
        if self.address is not None:
            return str(self.address)
        ref = self.kubernetes or self.container
        return repr(ref)


class TcpLoadBalancer(Noun):
    servers: Many[TcpServer]
    sticky: Sticky | None = None
    """Only by source address: a TCP stream has no cookies."""
    servers_transport: Reference | None = None
    proxy_protocol: Literal[1, 2] | None = None

    @model_validator(mode="after")
    def _no_cookie(self) -> Self:
        if self.sticky is not None and self.sticky.cookie is not None:
            raise refuse("value", "a TCP service has no cookies: say `sticky: {source_address: {}}`")
        return self


class TcpSplit(Noun):
    split: Many[SplitEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _weights(self) -> Self:
        check_weights(self.split)
        return self


def _tcp_kind(value: object) -> str:
    if isinstance(value, dict):
        return "<split>" if "split" in value else "<servers>"
    return "<split>" if isinstance(value, TcpSplit) else "<servers>"


TcpService = Annotated[Annotated[TcpLoadBalancer, Tag("<servers>")] | Annotated[TcpSplit, Tag("<split>")], Discriminator(_tcp_kind)]
