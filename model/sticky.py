"""Stickiness: the cookie that pins a client to a variant or a server, and, for TCP, the table of source addresses."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pinfeather.model.noun import Duration, Noun, Number, OrTemplate, Template, Token, printable, refuse

SameSite = Literal["none", "lax", "strict"]


def _attribute(text: str) -> str:
    if ";" in printable(text):
        raise refuse("cookie", f"a cookie attribute ends at ';': {text!r}")
    return text


Attribute = Annotated[str, OrTemplate(_attribute)]


class Cookie(Noun):
    """A cookie that the proxy sets. Every attribute has three states: absent is not false.

    What a browser refuses cannot be built (draft-ietf-httpbis-rfc6265bis, 5.7): `SameSite=None` without `Secure`,
    `__Secure-` without `Secure`, `__Host-` with a domain or another path than `/`, a name that is no token.
    """

    name: Token
    max_age: Number | None = None
    """Seconds; absent is a session cookie, below 0 deletes."""
    secure: bool | None = None
    http_only: bool | None = None
    same_site: SameSite | None = None
    path: Attribute | None = None
    """Absent: the dialect's default, `/` nearly everywhere."""
    domain: Attribute | None = None
    """Absent is host-only, which no value of Domain says."""
    hash: Literal["md5", "sha", "index"] | None = None
    """What the value is made of (Voyager); absent is the proxy's own way. Another one, and clients are drawn anew once."""

    @model_validator(mode="after")
    def _browsers_take_it(self) -> Self:
        if problem := refused_by_browsers(self):
            raise refuse("cookie", problem)
        return self


def refused_by_browsers(cookie: Cookie) -> str | None:
    """Why no browser would store the cookie, or None."""
    name = cookie.name.lower()
    if cookie.same_site == "none" and not cookie.secure:
        return f"browsers refuse the cookie {cookie.name!r}: SameSite=None needs Secure; say `secure: true`"
    if name.startswith(("__secure-", "__host-", "__http-")) and not cookie.secure:
        return f"browsers refuse the cookie {cookie.name!r}: its prefix needs Secure; say `secure: true`"
    if name.startswith("__host-") and (cookie.domain is not None or cookie.path not in (None, "/")):
        return f"browsers refuse the cookie {cookie.name!r}: __Host- allows no domain and no path but `/`"
    if name.startswith(("__http-", "__host-http-")) and not cookie.http_only:
        return f"browsers refuse the cookie {cookie.name!r}: its prefix needs HttpOnly; say `http_only: true`"
    if isinstance(cookie.path, str) and not isinstance(cookie.path, Template) and cookie.path and cookie.path[0] != "/":
        return f"browsers ignore the path {cookie.path!r} of the cookie {cookie.name!r}: it must begin with '/'"
    if len(cookie.name) > 1024:
        return "browsers refuse a cookie whose name and value are longer than 4096 bytes: take a short name"
    return None


class SourceAddress(Noun):
    """TCP: a table from client address to server."""

    size: Annotated[int, Field(ge=1)] | None = None
    """Entries."""
    lifetime: Duration | None = None


class Sticky(Noun):
    """Exactly one of the two."""

    cookie: Cookie | None = None
    source_address: SourceAddress | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.cookie is None) == (self.source_address is None):
            raise refuse("value", "sticky needs exactly one of `cookie` and `source_address`")
        return self


_SAME_SITE = {"none": "None", "lax": "Lax", "strict": "Strict"}


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
