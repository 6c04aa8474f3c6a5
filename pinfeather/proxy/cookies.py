"""Sticky cookies at the edge: opaque values in, bindings out, and the text of Set-Cookie.

A value is the first 16 hexadecimal digits of HMAC-SHA256(key, pool "|" binding): it names no address, cannot be made up
without the key, and is worth nothing in another pool. An unknown one is as good as none. `traefik_compat` issues and takes
what Traefik does, `sha256(binding)[:16]` (3.7, pkg/server/service/loadbalancer/sticky.go), and is for comparing the two.

Two pools may call their cookies alike. So that a value of one binds nobody in the other, the decision is asked on a document
in which each cookie has its pool for a name (`model/pools.py`); clients see the name of the document.

A value under an old key is taken as well, and given out anew under the first one. That gives nobody more than they had: a
value says only which server of one pool, and a client that is drawn there is told it anyway.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pinfeather.model.balance import Binding
from pinfeather.model.document import Document
from pinfeather.model.pools import pools
from pinfeather.model.sticky import set_cookie
from pinfeather.proxy.fields import Section

_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Seal:
    """Makes cookie values. The keys are the deployment's own; without them no value can be guessed. `old` ones only open."""

    key: bytes
    traefik_compat: bool = False
    old: tuple[bytes, ...] = ()

    def value(self, pool: str, binding: str) -> str:
        """What is given out."""
        if self.traefik_compat:
            return hashlib.sha256(binding.encode()).hexdigest()[:_DIGITS]
        return _value(self.key, pool, binding)

    def old_values(self, pool: str, binding: str) -> Iterator[str]:
        """What was given out under the old keys."""
        if not self.traefik_compat:
            for key in self.old:
                yield _value(key, pool, binding)


def _value(key: bytes, pool: str, binding: str) -> str:
    return hmac.new(key, f"{pool}|{binding}".encode(), hashlib.sha256).hexdigest()[:_DIGITS]


class Bound(dict[str, str]):
    """Pool -> what the client is bound to there. `old`: pools whose value was made with an old key."""

    __slots__ = ("old",)

    def __init__(self) -> None:
        super().__init__()
        self.old: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StickyCookies:
    """Every value that a document's sticky cookies can have, both ways."""

    # Looking a value up in a dict takes a time that depends on its hash, which is keyed at random in each process, so a
    # client learns no digit of a right value by trying; nothing is compared digit by digit before the hashes are equal.
    _known: Mapping[str, Mapping[str, tuple[tuple[str, str, bool], ...]]]  # cookie name -> value -> pool, binding, whether old
    _written: Mapping[tuple[str, str], str]  # pool and binding -> text of Set-Cookie

    @classmethod
    def of(cls, document: Document, seal: Seal) -> "StickyCookies":
        known: dict[str, dict[str, tuple[tuple[str, str, bool], ...]]] = {}
        written: dict[tuple[str, str], str] = {}
        for pool, cookie, bindings in pools(document):
            values = known.setdefault(cookie.name, {})
            for binding in bindings:
                value = seal.value(pool, binding)
                values[value] = (*values.get(value, ()), (pool, binding, False))  # Traefik's are alike in several pools
                written[pool, binding] = set_cookie(cookie, value)
                for before in seal.old_values(pool, binding):
                    values[before] = (*values.get(before, ()), (pool, binding, True))
        return cls(known, written)

    def bound(self, section: Section) -> Bound:
        """What the cookies of a request's head bind it to; worked out once for a section, as long as these are its cookies."""
        known = section.memo.get("bound")
        if isinstance(known, tuple) and known[0] is self:
            return cast(Bound, known[1])
        found = self.bindings(section.cookies)
        section.memo["bound"] = self, found
        return found

    def bindings(self, pairs: Sequence[tuple[str, str]]) -> Bound:
        """What a request's cookies bind it to. The first cookie of a name counts, as in Traefik, quotes taken off."""
        found = Bound()
        seen: set[str] = set()
        for name, value in pairs:
            if name in seen or (values := self._known.get(name)) is None:
                continue
            seen.add(name)
            if len(value) >= 2 and value[0] == value[-1] == '"':
                value = value[1:-1]
            for pool, binding, old in values.get(value, ()):
                found[pool] = binding
                if old:
                    found.old += (pool,)
        return found

    def texts(self, bindings: Sequence[Binding]) -> tuple[str, ...]:
        """The Set-Cookie texts of a decision's bindings, in their order."""
        return tuple([self._written[binding.cookie.name, binding.value] for binding in bindings]) if bindings else ()

    def text(self, pool: str, binding: str) -> str:
        """The Set-Cookie text of one binding."""
        return self._written[pool, binding]
