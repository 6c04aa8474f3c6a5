"""Sticky cookies at the edge: opaque values in, bindings out, and the text of Set-Cookie.

A value is the first 16 hexadecimal digits of HMAC-SHA256(key, pool "|" binding): it names no address, cannot be made up
without the key, and is worth nothing in another pool. An unknown one is as good as none. `traefik_compat` issues and takes
what Traefik does, `sha256(binding)[:16]` (3.7, pkg/server/service/loadbalancer/sticky.go), and is for comparing the two.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pinfeather.model.decide import Decision
from pinfeather.model.document import Document
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.model.sticky import Cookie, Sticky

_DIGITS = 16
_SAME_SITE = {"none": "None", "lax": "Lax", "strict": "Strict"}


@dataclass(frozen=True, slots=True)
class Seal:
    """Makes cookie values. The key is the deployment's own; without it no value can be guessed."""

    key: bytes
    traefik_compat: bool = False

    def value(self, pool: str, binding: str) -> str:
        if self.traefik_compat:
            return hashlib.sha256(binding.encode()).hexdigest()[:_DIGITS]
        return hmac.new(self.key, f"{pool}|{binding}".encode(), hashlib.sha256).hexdigest()[:_DIGITS]


@dataclass(frozen=True, slots=True)
class StickyCookies:
    """Every value that a document's sticky cookies can have, both ways."""

    # Looking a value up in a dict takes a time that depends on its hash, which is keyed at random in each process, so a
    # client learns no digit of a right value by trying; nothing is compared digit by digit before the hashes are equal.
    known: Mapping[str, Mapping[str, str]]  # cookie name -> value -> binding
    written: Mapping[tuple[Cookie, str], str]  # cookie and binding -> text of Set-Cookie

    @classmethod
    def of(cls, document: Document, seal: Seal) -> "StickyCookies":
        known: dict[str, dict[str, str]] = {}
        written: dict[tuple[Cookie, str], str] = {}
        for pool, cookie, bindings in _pools(document):
            for binding in bindings:
                value = seal.value(pool, binding)
                known.setdefault(cookie.name, {})[value] = binding
                written.setdefault((cookie, binding), set_cookie(cookie, value))
        return cls(known, written)

    def bindings(self, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
        """What a request's cookies bind it to. The first cookie of a name counts, as in Traefik, quotes taken off."""
        found: dict[str, str] = {}
        seen: set[str] = set()
        for name, value in pairs:
            if name in seen or (values := self.known.get(name)) is None:
                continue
            seen.add(name)
            if len(value) >= 2 and value[0] == value[-1] == '"':
                value = value[1:-1]
            if (binding := values.get(value)) is not None:
                found[name] = binding
        return found

    def texts(self, decision: Decision) -> tuple[str, ...]:
        """The Set-Cookie texts that the decision asks for, the outer level first."""
        return tuple(self.written[binding.cookie, binding.value] for binding in decision.set_cookies)


def set_cookie(cookie: Cookie, value: str) -> str:
    """The text of Set-Cookie in the order of Go's net/http. Without a path it is `/`, as in Traefik; an empty one is left out."""
    parts = [f"{cookie.name}={value}"]
    path = "/" if cookie.path is None else cookie.path
    if path:
        parts.append(f"Path={path}")
    if cookie.domain:
        parts.append(f"Domain={cookie.domain}")
    if isinstance(cookie.max_age, int) and cookie.max_age != 0:
        parts.append(f"Max-Age={max(cookie.max_age, 0)}")
    if cookie.http_only:
        parts.append("HttpOnly")
    if cookie.secure:
        parts.append("Secure")
    if cookie.same_site is not None:
        parts.append(f"SameSite={_SAME_SITE[cookie.same_site]}")
    return "; ".join(parts)


def _pools(document: Document) -> Iterable[tuple[str, Cookie, Sequence[str]]]:
    for route in document.routes:
        if (cookie := _cookie(route.sticky)) is not None:
            yield f"route:{route.name}", cookie, [*(entry.to for entry in route.split), *(c.to for c in route.canaries)]
    for name, service in document.services.items():
        if (cookie := _cookie(service.sticky)) is None:
            continue
        if isinstance(service, Split):
            yield f"service:{name}", cookie, [entry.to for entry in service.split]
        elif isinstance(service, LoadBalancer):
            yield f"service:{name}", cookie, [server.key for server in service.servers]


def _cookie(sticky: Sticky | None) -> Cookie | None:
    return None if sticky is None else sticky.cookie
