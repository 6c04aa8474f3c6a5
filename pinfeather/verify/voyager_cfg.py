"""A stand-in for Voyager's operator: from an Ingress, Services and pods to a haproxy.cfg, as `verify --start haproxy` runs it.

The operator is closed. This is our own reading of its last public source, its published templates and its API types, and
shares no code with the format `voyager`: it takes the raw rules as texts, and lets HAProxy say what they mean. It leaves out what
asking it on loopback has no use for (certificates, stats, timeouts of its own, pods of several Deployments): a port with TLS listens
without it, and has the rules that Voyager adds to such a port.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pinfeather.model.sticky import Cookie
from pinfeather.translators._syntax import yaml

ANNOTATION = "ingress.appscode.com/"
_DEFAULTS = """\
global
    maxconn 1000
defaults
    option dontlognull
    option http-server-close
    timeout connect 2s
    timeout client 20s
    timeout server 20s
    timeout tunnel 20s
"""


class Pod(NamedTuple):
    """One endpoint of a Service."""

    name: str
    address: str
    port: int


Pods = Mapping[str, Sequence[Pod]]
"""By `namespace/service`."""


class Path(NamedTuple):
    host: str
    path: str
    backend: Any
    name: str


@dataclass
class Renderer:
    """One Ingress object, as a haproxy.cfg. `ports` names the variable that holds the real port of each port."""

    ingress: Any
    services: Mapping[str, Any]
    pods: Pods
    ports: Mapping[int, str]

    def text(self) -> str:
        http, tcp = self._frontends()
        used: list[str] = [path.name for paths in http.values() for path in paths]
        parts = [_DEFAULTS]
        for port, paths in sorted(http.items()):
            parts.append(self._http_frontend(port, paths))
            parts += [self._backend(path.name, path.backend, http=True) for path in paths]
        for port, rules in sorted(tcp.items()):
            parts.append(self._tcp_frontend(port, rules))
            parts += [self._backend(self._backend_name(rule["tcp"]["backend"]), rule["tcp"]["backend"], http=False) for rule in rules]
        if self._default is not None and "default-backend" not in used:
            parts.append(self._backend("default-backend", self._default, http=True))
        return "\n".join(parts)

    # What the object says.

    @property
    def _spec(self) -> Any:
        return self.ingress["spec"]

    @property
    def _namespace(self) -> str:
        return str(self.ingress["metadata"].get("namespace", "default"))

    @property
    def _default(self) -> Any:
        return self._spec.get("defaultBackend", self._spec.get("backend"))

    def _note(self, name: str) -> str | None:
        found: str | None = (self.ingress["metadata"].get("annotations") or {}).get(f"{ANNOTATION}{name}")
        return found

    def _target(self, backend: Any) -> tuple[str, str, Any]:
        """Namespace, service, port."""
        if "service" in backend:
            name, choice = backend["service"]["name"], backend["service"]["port"]
            port = choice.get("number", choice.get("name"))
        else:
            name, port = backend["serviceName"], backend["servicePort"]
        service, _, namespace = str(name).partition(".")
        return namespace or self._namespace, service, port

    def _backend_name(self, backend: Any) -> str:
        namespace, service, port = self._target(backend)
        number = int(port) if str(port).isdigit() else 0
        return str(backend.get("name") or f"{service}.{namespace}:{number}")

    def _secure(self, host: str, holder: Any) -> bool:
        hosts = [each for item in self._spec.get("tls") or () for each in item["hosts"]]
        return bool(host) and not holder.get("noTLS") and (host in hosts or f"*.{host}" in hosts)

    def _frontends(self) -> tuple[dict[int, list[Path]], dict[int, list[Any]]]:
        http: dict[int, list[Path]] = {}
        tcp: dict[int, list[Any]] = {}
        for rule in self._spec.get("rules") or ():
            host = str(rule.get("host") or "").replace("*", "", 1) if rule.get("host") == "*" else str(rule.get("host") or "")
            if "tcp" in rule:
                tcp.setdefault(int(rule["tcp"]["port"]), []).append(rule)
                continue
            port = int(rule["http"].get("port") or (443 if self._secure(host, rule["http"]) else 80))
            for path in rule["http"]["paths"]:
                entry = Path(host, str(path.get("path") or ""), path["backend"], self._backend_name(path["backend"]))
                http.setdefault(port, []).append(entry)
        return {port: self._sorted(self._unique(port, paths)) for port, paths in http.items()}, tcp

    def _unique(self, port: int, paths: list[Path]) -> list[Path]:
        """A generated name that stands twice gets a hash; a given one does not, and HAProxy will refuse it."""
        names = [path.name for path in paths]
        made = []
        for path in paths:
            name = path.name
            if "name" not in path.backend and names.count(name) > 1:
                name += "-" + hashlib.md5(f"*-{path.host}-{port}-{path.path}".encode(), usedforsecurity=False).hexdigest()
            made.append(path._replace(name=name))
        return made

    @staticmethod
    def _sorted(paths: list[Path]) -> list[Path]:
        """Exact hosts, then wildcards, then none, by name from the end; paths with more segments first, then from the end."""
        by_path = sorted(
            paths, key=lambda each: (len(each.path.strip("/").split("/")) if each.path.strip("/") else 0, each.path), reverse=True
        )
        by_name = sorted(by_path, key=lambda each: each.host, reverse=True)
        return sorted(by_name, key=lambda each: 2 if each.host == "" else 1 if each.host.startswith("*") else 0)

    # The frontends.

    def _rules(self, port: int) -> list[str]:
        for item in self._spec.get("frontendRules") or ():
            if int(item["port"]) == port:
                return [str(rule) for rule in item["rules"]]
        return []

    def _bind(self, port: int) -> str:
        return f'    bind "127.0.0.1:${{{self.ports[port]}}}"'

    def _http_frontend(self, port: int, paths: list[Path]) -> str:
        lines = [f"frontend http-{port}", self._bind(port)]
        holders = [rule for rule in self._spec["rules"] if "http" in rule]
        if any(self._secure(str(rule.get("host") or ""), rule["http"]) for rule in holders if self._port_of(rule) == port):
            lines.append(r"    http-response replace-header Set-Cookie (.*) \1;\ Secure")
        lines.append("    mode http")
        if (allowed := self._note("whitelist-source-range")) is not None:
            lines += [f"    acl network_allowed src {allowed}", "    http-request deny if !network_allowed"]
        rules = self._rules(port)
        lines += [f"    {rule}" for rule in rules] if rules else ["    option httplog", "    option forwardfor"]
        lines += list(self._routes(port, paths))
        if self._default is not None:
            lines.append("    default_backend default-backend")
        return "\n".join(lines) + "\n"

    def _port_of(self, rule: Any) -> int:
        return int(rule["http"].get("port") or (443 if self._secure(str(rule.get("host") or ""), rule["http"]) else 80))

    def _routes(self, port: int, paths: list[Path]) -> Iterator[str]:
        for host in dict.fromkeys(path.host for path in paths):
            for condition in _host_conditions(host, port):
                yield f"    acl acl_{_acl(host)} {condition}"
        for path in paths:
            conditions = [f"acl_{_acl(path.host)}"] if path.host else []
            if path.path:
                name = f"acl_{_acl(path.host)}:{_acl(path.path)}"
                yield f"    acl {name} path_beg {path.path}"
                conditions.append(name)
            yield f"    use_backend {path.name}{' if ' if conditions else ''}{' '.join(conditions)}"

    def _tcp_frontend(self, port: int, rules: list[Any]) -> str:
        lines = [f"frontend tcp-{port}", self._bind(port), "    mode tcp", *(f"    {rule}" for rule in self._rules(port))]
        if len(rules) == 1:
            lines.append(f"    default_backend {self._backend_name(rules[0]['tcp']['backend'])}")
        else:
            lines += ["    tcp-request inspect-delay 5s", "    tcp-request content accept if { req_ssl_hello_type 1 }"]
            lines += [
                f"    use_backend {self._backend_name(rule['tcp']['backend'])} if {{ req_ssl_sni -i {rule['host']} }}" for rule in rules
            ]
        return "\n".join(lines) + "\n"

    # The backends.

    def _sticky(self, backend: Any) -> tuple[str, str] | None:
        """The cookie's name and hash: the Ingress's block wins as a whole."""
        namespace, service, _ = self._target(backend)
        held = (self.services.get(f"{namespace}/{service}", {}).get("metadata") or {}).get("annotations") or {}
        for notes in (self.ingress["metadata"].get("annotations") or {}, held):
            if notes.get(f"{ANNOTATION}affinity") == "cookie":
                return notes.get(f"{ANNOTATION}session-cookie-name") or "SERVERID", notes.get(f"{ANNOTATION}session-cookie-hash", "")
        return None

    def _backend(self, name: str, backend: Any, *, http: bool) -> str:
        namespace, service, _ = self._target(backend)
        sticky = self._sticky(backend)
        notes = (self.services.get(f"{namespace}/{service}", {}).get("metadata") or {}).get("annotations") or {}
        check = " check" if notes.get(f"{ANNOTATION}check") == "true" else ""
        lines = [f"backend {name}", f"    mode {'http' if http else 'tcp'}"]
        if http and sticky is not None:
            lines.append(f"    cookie {sticky[0]} insert indirect nocache")
        lines += [f"    {rule}" for rule in backend.get("backendRules") or ()]
        if not http and sticky is not None:
            lines += ["    stick-table type ip size 100k expire 30m", "    stick on src"]
        pods = sorted(self.pods.get(f"{namespace}/{service}", ()), key=lambda pod: pod.address)
        for number, pod in enumerate(pods, 1):
            wanted = sticky[1] if sticky is not None and name != "default-backend" else ""
            cookie = f" cookie {_hashed(pod.name, number, wanted)}" if http and sticky is not None else ""
            lines.append(f"    server pod-{pod.name} {pod.address}:{pod.port}{cookie}{check}")
        return "\n".join(lines) + "\n"


def _acl(text: str) -> str:
    return text.replace("*", ".").replace("/", "-")


def _host_conditions(host: str, port: int) -> list[str]:
    if not host:
        return []
    named = [host, f"{host}:{port}"] if port in (80, 443) else [f"{host}:{port}"]
    if host.startswith("*"):
        return [f"hdr_end(host) -i {each[1:]}" for each in named]
    return [f"hdr(host) -i {each}" for each in named]


def _hashed(pod: str, number: int, wanted: str) -> str:
    name = f"pod-{pod}"
    if wanted == "index":
        return str(number)
    if wanted in ("md5", "sha"):
        made = hashlib.md5(name.encode(), usedforsecurity=False) if wanted == "md5" else hashlib.sha512(name.encode())
        return base64.b64encode(made.digest()).decode()
    return name


def _as_it_is(address: str) -> str:
    return address


def rendered(text: str, pods: Pods, ports: Mapping[int, str], place: Callable[[str], str] = _as_it_is) -> str:
    """The haproxy.cfg for the one Ingress of a stream; its Services are looked at for their annotations.

    The endpoints are those in `pods`, and those of the EndpointSlices in the stream; `place` says where such an address really is.
    """
    trees: list[Any] = [reading.value for reading in yaml.read(text, "stream", yaml.KUBERNETES) if isinstance(reading.value, dict)]
    (ingress,) = (tree for tree in trees if tree["kind"] == "Ingress")
    services = {_key(tree, tree["metadata"]["name"]): tree for tree in trees if tree["kind"] == "Service"}
    found: dict[str, list[Pod]] = {service: list(names) for service, names in pods.items()}
    for tree in (tree for tree in trees if tree["kind"] == "EndpointSlice"):
        service = _key(tree, tree["metadata"]["labels"]["kubernetes.io/service-name"])
        for endpoint in tree["endpoints"]:
            (ip,) = endpoint["addresses"]
            address, _, port = place(f"{ip}:{tree['ports'][0]['port']}").rpartition(":")
            found.setdefault(service, []).append(Pod(ip, address, int(port)))
    return Renderer(ingress, services, found, ports).text()


def _key(tree: Any, name: str) -> str:
    return f"{tree['metadata'].get('namespace', 'default')}/{name}"


# What it writes into Set-Cookie ----------------------------------------------------------------------------------------------


def set_cookie(cookie: Cookie, value: str, variant: bool) -> str:
    """The text of Set-Cookie: HAProxy's own for a server, the header rule's for a variant."""
    return variant_cookie(cookie, value) if variant else server_cookie(cookie, value)


def server_cookie(cookie: Cookie, value: str) -> str:
    """As HAProxy writes it: its own attributes, then those of the line, in the line's order."""
    parts = [f"{cookie.name}={value}", "path=/", *([f"domain={cookie.domain}"] if cookie.domain else [])]
    parts += ["HttpOnly"] if cookie.http_only else []
    parts += ["Secure"] if cookie.secure else []
    parts += [f"SameSite={cookie.same_site.title()}"] if cookie.same_site else []
    parts += [f"Max-Age={cookie.max_age}"] if cookie.max_age is not None else []
    parts += [f"Path={cookie.path}"] if cookie.path is not None else []
    return "; ".join(parts)


def variant_cookie(cookie: Cookie, value: str) -> str:
    """As the rule of our format `voyager` writes it."""
    parts = [f"{cookie.name}={value}", f"Path={cookie.path}" if cookie.path is not None else "path=/"]
    parts += [f"Domain={cookie.domain}"] if cookie.domain else []
    parts += [f"Max-Age={cookie.max_age}"] if cookie.max_age is not None else []
    parts += ["HttpOnly"] if cookie.http_only else []
    parts += ["Secure"] if cookie.secure else []
    parts += [f"SameSite={cookie.same_site.title()}"] if cookie.same_site else []
    return ";".join(parts)
