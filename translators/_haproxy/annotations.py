"""Voyager's annotations: which are read, which are carried along, and which protect, so that nothing is read without them.

Names after voyagermesh/apimachinery, apis/voyager/v1/annotations.go (d670214).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pinfeather.model.diagnostics import Code, Diagnostic, Severity, Span, error, nearest, warning
from pinfeather.translators._haproxy.rules import NAME
from pinfeather.translators._syntax.kube import KubeObject
from pinfeather.translators._syntax.tree import Tree

OURS = "ingress.appscode.com/"
OBJECT = "pinfeather"
"""The name of the Ingress that is written where the document names none."""
ALLOWED = "whitelist-source-range"
AFFINITY, COOKIE_NAME, COOKIE_HASH = (f"{OURS}{name}" for name in ("affinity", "session-cookie-name", "session-cookie-hash"))
COOKIE = "SERVERID"
"""The cookie's name where none is given."""
CHECK = f"{OURS}check"
HSTS, REDIRECT = f"{OURS}hsts", f"{OURS}ssl-redirect"
CARRIED = frozenset(
    f"{OURS}{name}"
    for name in (
        "type", "api-schema", "replicas", "load-balancer-ip", "annotations-service", "annotations-pod", "stats", "stats-port",
        "stats-secret-name", "stats-service-name", "default-timeout", "default-option", "max-connections", "use-node-port",
        "health-check-nodeport", "workload-kind", "node-selector", "tolerations", "hard-stop-after", "ssl-ciphers", "keep-source-ip",
        "origin-api-schema", "origin-name", "last-applied-annotation-keys", "errorfiles",
    )
)  # fmt: skip
"""About the proxy's own pods and listeners: nothing here decides where a request goes."""
_PROTECTS = ("auth-", "limit-", "proxy-body-size", "force-ssl-redirect", "ssl-passthrough", "rewrite-target", "accept-proxy")
_CHANGES_SERVERS = ("auth-", "backend-tls", "send-proxy", "use-dns-resolver", "dns-resolver-")
_DOES_LESS = ("cors-", "enable-cors", "hsts-", "errorfiles")
_HASHES = ("md5", "sha", "index")


class Affinity(NamedTuple):
    """A block of the three annotations. It counts as a whole."""

    cookie: str
    hash: str | None


@dataclass
class Notes:
    """What the annotations of one object say."""

    owner: KubeObject
    affinity: Affinity | None = None
    allowed: list[str] | None = None
    lost: bool = False
    """Something that protects, or changes who is asked, cannot be read: nor can what it belongs to."""
    checked: bool = False
    """Of a Service: its servers are checked."""
    rest: dict[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)

    def span(self, key: str) -> Span | None:
        """Of an annotation that is written."""
        node = self.owner.metadata_node
        return None if node is None or key not in self.written else node.span_of("annotations", key)

    def say(self, found: Diagnostic) -> None:
        self.owner.node.report(found)


def notes_of(owner: KubeObject, kind: Literal["Ingress", "Service"]) -> Notes:
    """Takes the annotations of an Ingress or of a Service apart; each finding is reported at its line."""
    given = owner.metadata.get("annotations") or {}
    assert isinstance(given, dict)
    written = {key: str(value) for key, value in given.items()}
    notes = Notes(owner, written=written, affinity=None)
    notes.affinity = _affinity(notes, kind)
    for key, value in written.items():
        if not key.startswith(OURS):
            notes.rest[key] = value
        elif key not in (AFFINITY, COOKIE_NAME, COOKIE_HASH):
            _one(notes, key, value, kind)
    return notes


def _affinity(notes: Notes, kind: str) -> Affinity | None:
    wanted = notes.written.get(AFFINITY)
    if wanted == "cookie":
        name = notes.written.get(COOKIE_NAME) or COOKIE
        hashed = notes.written.get(COOKIE_HASH)
        if not NAME.fullmatch(name):
            said = f"the cookie's name {name!r} is pasted into HAProxy's configuration as it stands"
            instead = "letters, digits, '.', '_' and '-' only: not read as sticky"
            notes.say(error(Code.COOKIE, said, span=notes.span(COOKIE_NAME), instead=instead))
            return None
        if hashed is not None and hashed not in _HASHES:
            said = f"session-cookie-hash {hashed!r} is not known: Voyager takes the pod's name, without a word"
            notes.say(warning(Code.SETTING_IGNORED, said, span=notes.span(COOKIE_HASH), instead="write md5, sha or index, or take it out"))
        return Affinity(name, hashed if hashed in _HASHES else None)
    if wanted is not None:
        said = f"affinity {wanted!r}: Voyager knows the word `cookie` alone, in small letters; nobody is pinned"
        off = f"{said}, and this does not switch off what a Service says" if kind == "Ingress" else said
        notes.say(warning(Code.SETTING_IGNORED, off, span=notes.span(AFFINITY), instead="write `cookie`, or take it out"))
    for key in (COOKIE_NAME, COOKIE_HASH):
        if key in notes.written and wanted is None:
            said = f"`{key.removeprefix(OURS)}` without `affinity: cookie` does nothing"
            notes.say(warning(Code.SETTING_IGNORED, said, span=notes.span(key), instead=f'add `{AFFINITY}: "cookie"`'))
    return None


def _one(notes: Notes, key: str, value: str, kind: str) -> None:
    name, span = key.removeprefix(OURS), notes.span(key)
    if name in ("sticky-session", "stickySession"):
        said = f"`{name}` is gone since Voyager 6.0: nobody is pinned by it"
        instead = f'write `{AFFINITY}: "cookie"` instead: it was called {COOKIE}'
        notes.say(Diagnostic(Code.SETTING_REMOVED, Severity.ERROR, said, (), instead, span))
    elif kind == "Service":
        _of_service(notes, name, value, span)
    elif name == ALLOWED:
        _allow(notes, value, span)
    elif name == "hsts" and value.lower() in ("false", "0", "f"):
        pass
    elif name in ("hsts", "ssl-redirect"):
        notes.say(warning(Code.UNSUPPORTED, f"{name!r} is known, but not read", span=span, instead=_BY_HAND[name]))
    elif name.startswith(_PROTECTS):
        notes.lost = notes.lost or value.lower() not in ("false", "0", "f")
        if notes.lost:
            said = f"{name!r} is known, but not read: it holds for every route, so none of this Ingress is read"
            notes.say(error(Code.UNSUPPORTED, said, span=span, instead="take it out, and say what it does in the target"))
    elif name.startswith(_DOES_LESS):
        notes.say(error(Code.UNSUPPORTED, f"{name!r} is known, but not read: the model has no place for it", span=span))
    elif key in CARRIED:
        notes.rest[key] = value
    else:
        _unknown(notes, name, span)


_BY_HAND = {
    "hsts": "add the header Strict-Transport-Security in the target",
    "ssl-redirect": "say in the target that port 80 redirects to HTTPS",
}


def _unknown(notes: Notes, name: str, span: Span | None) -> None:
    known = [key.removeprefix(OURS) for key in (*CARRIED, AFFINITY, COOKIE_NAME, COOKIE_HASH)] + [ALLOWED, "hsts", "ssl-redirect"]
    guess = nearest(name, known)
    hint = f"did you mean {guess!r}?" if guess else "take it out"
    notes.say(error(Code.UNKNOWN, f"Voyager knows no annotation {name!r}", span=span, instead=hint))


def _of_service(notes: Notes, name: str, value: str, span: Span | None) -> None:
    if name == "check":
        notes.checked = value == "true"
        if not notes.checked:
            said = f"check {value!r}: Voyager wants the word `true`; no server is checked"
            notes.say(warning(Code.SETTING_IGNORED, said, span=span, instead='write "true", or take it out'))
    elif name in ("check-port", "agent-port", "agent-interval"):
        notes.say(error(Code.UNSUPPORTED, f"{name!r} is known, but not read: the model has no place for it", span=span))
    elif name.startswith(_CHANGES_SERVERS):
        notes.lost = True
        said = f"{name!r} is known, but not read: what leads to this Service is not read either"
        notes.say(error(Code.UNSUPPORTED, said, span=span, instead="take it out, and say what it does in the target"))
    else:
        known = ["affinity", "session-cookie-name", "session-cookie-hash", "check", "auth-type", "backend-tls"]
        guess = nearest(name, known)
        hint = f"did you mean {guess!r}?" if guess else "take it out"
        notes.say(error(Code.UNKNOWN, f"Voyager knows no annotation {name!r} of a Service", span=span, instead=hint))


def _allow(notes: Notes, value: str, span: Span | None) -> None:
    """Networks with blanks between them, pasted behind `src`."""
    try:
        notes.allowed = [_network(part) for part in value.split()]
    except ValueError as wrong:
        notes.say(error(Code.VALUE, f"{ALLOWED}: {wrong}", span=span, instead="write addresses and networks with blanks between them"))
    if not notes.allowed:
        notes.lost = True
        if value.split() == []:
            notes.say(error(Code.VALUE, f"{ALLOWED} names nobody", span=span, instead="write networks, or take it out"))


def _network(text: str) -> str:
    """Raises ValueError."""
    return str(ipaddress.ip_network(text, strict=False)) if "/" in text else str(ipaddress.ip_address(text))


def put_affinity(affinity: Affinity) -> dict[str, Tree]:
    """The annotations again, those that say the default left out."""
    parts: dict[str, Tree] = {AFFINITY: "cookie", COOKIE_NAME: affinity.cookie, COOKIE_HASH: affinity.hash}
    return {key: value for key, value in parts.items() if value is not None and (key, value) != (COOKIE_NAME, COOKIE)}
