"""Lines of HAProxy's configuration, as far as we write them: each kind is an inverse pair, text and noun.

HAProxy's words end at blanks, quotes and `\\`; `#` begins a comment, `$` is expanded in quotes (configuration manual 2.6, 2.2).
Nothing escapes well in a template that pastes lines, so a text that holds any of these is not written at all (`SAFE`).
Every value stands behind `--`, so that none is taken for a flag.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from pinfeather.model import match as m
from pinfeather.model.match import Leaf, Match, alternatives, both, conjuncts, either
from pinfeather.model.normal import Lifted, flat, lift
from pinfeather.model.noun import Template
from pinfeather.model.sticky import Cookie
from pinfeather.translators._syntax.tree import Tree

SAFE = re.compile(r"[A-Za-z0-9!%&()*+,./:;<=>?@^_|~\[\]{}-]{1,800}")
"""Texts that are one word to HAProxy, and nothing else."""
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Names of headers, cookies and parameters, which stand in brackets."""
WORD = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
"""Names of backends and ACLs (configuration manual 2.6, 4)."""
_REGEX = re.compile(r"(?!.*\(\?)[A-Za-z0-9^.|\[\]()*+?/_=-]+")
"""Regexes that mean the same to RE2 and to PCRE; `$`, `\\` and blanks are none of them."""
MOST = 25
"""So many conditions of a route, and of its canary, fit on a line: HAProxy takes 64 words."""


def words(line: str) -> list[str] | None:
    """A line as HAProxy cuts it, its comment left out; None where a quote is not closed."""
    found: list[str] = []
    word: str | None = None
    quote = ""
    position = 0
    while position < len(line):
        character = line[position]
        if quote != "'" and character == "\\" and position + 1 < len(line):
            position += 1
            word = (word or "") + line[position]
        elif quote:
            word, quote = (word, "") if character == quote else ((word or "") + character, quote)
        elif character in "\"'":
            word, quote = word or "", character
        elif character == "#":
            break
        elif character.isspace():
            found += [word] if word is not None else []
            word = None
        else:
            word = (word or "") + character
        position += 1
    return None if quote else [*found, *([word] if word is not None else [])]


# Conditions ------------------------------------------------------------------------------------------------------------

_HOST = "req.hdr(host),host_only,lower"
_LABEL_LESS = f"{_HOST},field(2,.,0)"
_ANY_HOST = ("req.hdr_cnt(host)", "ge", "0")
_VALUES = {"header": "req.fhdr({})", "cookie": "req.cook({})", "query": "url_param({}),url_dec(1)"}
_READ = {"req.fhdr": "header", "req.cook": "cookie", "cook": "cookie", "url_param": "query", "urlp": "query"}
_NAMED = re.compile(r"(req\.fhdr|req\.cook|cook|url_param|urlp)\(([A-Za-z0-9_.-]+)\)(,url_dec\(1\))?")


_PATHS = {
    ("path", ""): "exact",
    ("path", "-m str"): "exact",
    ("path", "-m beg"): "prefix",
    ("path_beg", ""): "prefix",
    ("path", "-m reg"): "regex",
    ("path", "-m found"): "regex",
}


def put_leaf(leaf: Leaf) -> str | None:
    """A condition as it stands behind `acl NAME`; None where HAProxy has no safe word for it."""
    if isinstance(leaf, m.Host):
        return _put_host(leaf.host)
    if isinstance(leaf, m.HostRegex):
        return _put_regex(_HOST, leaf.host_regex)
    if isinstance(leaf, m.PathIs):
        return _put_path(leaf.path)
    if isinstance(leaf, m.Method):
        return f"method -m str -- {leaf.method}" if _safe(leaf.method) else None
    if isinstance(leaf, m.ClientIP):
        return f"src -- {leaf.client_ip}" if _safe(leaf.client_ip) else None
    for kind, fetch in _VALUES.items():
        condition = getattr(leaf, kind, None)
        if isinstance(condition, m.ValueMatch):
            return _put_value(fetch, condition)
    return None


def _safe(text: str) -> bool:
    return not isinstance(text, Template) and SAFE.fullmatch(text) is not None


def _put_host(host: str) -> str | None:
    if host == "*":
        return " ".join(_ANY_HOST)
    if not _safe(host):
        return None
    return f"{_LABEL_LESS} -m str -- {host[2:]}" if host.startswith("*.") else f"{_HOST} -m str -- {host}"


def _put_path(path: m.PathMatch) -> str | None:
    if path.regex is not None:
        return _put_regex("path", path.regex)
    text, how = (path.exact, "str") if path.exact is not None else (path.prefix or "", "beg")
    # A `%` stands in a path as it was sent, which is not the text that the model compares
    return f"path -m {how} -- {text}" if text and _safe(text) and "%" not in text else None


def _put_regex(fetch: str, regex: str) -> str | None:
    if regex == "" and not isinstance(regex, Template):
        return f"{fetch} -m found"
    return f"{fetch} -m reg -- {regex}" if not isinstance(regex, Template) and _REGEX.fullmatch(regex) else None


def _put_value(fetch: str, condition: m.ValueMatch) -> str | None:
    name = condition.name
    if isinstance(name, Template) or not NAME.fullmatch(name) or (fetch.startswith("req.fhdr") and name.lower() == "host"):
        return None
    if condition.regex is not None:
        return _put_regex(fetch.format(name), condition.regex)
    value = condition.value
    return f"{fetch.format(name)} -m str -- {value}" if value and _safe(value) else None


def take_leaves(parts: Sequence[str]) -> tuple[Leaf, ...] | None:
    """The alternatives that an ACL asks for; None where it is none that we know. Values of hosts may name ports."""
    if tuple(parts) == _ANY_HOST:
        return (m.Host(host="*"),)
    if not parts:
        return None
    fetch, how, values = _cut(parts)
    try:
        return tuple(dict.fromkeys(_leaf(fetch, how, value) for value in values)) or None
    except (ValidationError, ValueError):
        return None


def _cut(parts: Sequence[str]) -> tuple[str, str, Sequence[str]]:
    """The fetch, how it is compared (`-i` and all), and the values."""
    fetch, rest = parts[0], list(parts[1:])
    how: list[str] = []
    while rest and rest[0].startswith("-"):
        flag = rest.pop(0)
        if flag == "--":
            break
        how.append(f"{flag} {rest.pop(0)}" if flag == "-m" and rest else flag)
    found = " ".join(how)
    return fetch, found, [""] if found.endswith("-m found") and not rest else rest


def _leaf(fetch: str, how: str, value: str) -> Leaf:
    """Raises ValueError for what is none of ours."""
    host = _host_leaf(fetch, how, value)
    if host is not None:
        return host
    if (kind := _PATHS.get((fetch, how))) is not None:
        return m.PathIs(path=m.PathMatch(**{kind: value}))
    if fetch == "method" and how in ("", "-m str"):
        return m.Method(method=value)
    if fetch == "src" and not how:
        return m.ClientIP(client_ip=value)
    named = _NAMED.fullmatch(fetch)
    if named is None or how not in ("-m str", "-m reg", "-m found"):
        raise ValueError(fetch)
    kind, part = _READ[named[1]], "value" if how == "-m str" else "regex"
    return m.LEAVES[kind].model_validate({kind: {"name": named[2], part: value}})  # type: ignore[return-value]


def _host_leaf(fetch: str, how: str, value: str) -> Leaf | None:
    if fetch == _LABEL_LESS and how == "-m str":
        return m.Host(host=f"*.{value}")
    if fetch == _HOST:
        if how == "-m str":
            return m.Host(host=value)
        return m.HostRegex(host_regex=value) if how in ("-m reg", "-m found") else None
    if fetch in ("hdr(host)", "req.hdr(host)") and how in ("-i", "-i -m str", "-m str -i"):
        return m.Host(host=value if value.startswith("[") else value.partition(":")[0])
    return None


class Asked(NamedTuple):
    """One conjunct: one of the leaves holds, or with `negated` none does."""

    negated: bool
    leaves: tuple[Leaf, ...]


def asked_of(form: Lifted) -> tuple[Asked, ...] | None:
    """A condition as conjuncts of alternatives of leaves; None for what is nested deeper."""
    hosts = (either(tuple(m.Host.model_construct(host=host) for host in form.hosts)),) if form.hosts else ()
    path = (m.PathIs.model_construct(path=form.path),) if form.path is not None else ()
    found: list[Asked] = []
    for part in (*hosts, *path, *conjuncts(form.match)):
        inner = part.none if isinstance(part, m.Not) else part
        leaves = alternatives(inner)
        if any(isinstance(leaf, m.AllOf | m.AnyOf | m.Not) for leaf in leaves):
            return None
        found.append(Asked(isinstance(part, m.Not), tuple(leaf for leaf in leaves if not isinstance(leaf, m.AllOf | m.AnyOf | m.Not))))
    return tuple(found)


def match_of(asked: Sequence[Asked]) -> Match | None:
    """The condition again, in the order in which it was written."""
    parts: list[Match] = []
    for each in asked:
        whole = either(tuple(each.leaves))
        parts.append(m.Not.model_construct(none=whole) if each.negated else whole)
    return both(tuple(parts))


def nested(match: Match) -> bool:
    """Whether a tree is nested deeper than our lines go, or has more in it than they hold."""
    asked = asked_of(lift(flat(match)))
    return asked is None or len(asked) > MOST


# Cookies ---------------------------------------------------------------------------------------------------------------

_SITES = {"none": "None", "lax": "Lax", "strict": "Strict"}
_MODE = ("insert", "indirect", "nocache")
_VARIANT = "http-after-response add-header Set-Cookie "
_ANSWERED = ("http-response set-var(txn.pinfeather) bool(true)", " if { var(txn.pinfeather) -m bool }")
"""Only an answer that a server gave sets the cookie, after the frontend's own rules for cookies have run."""


def put_cookie(cookie: Cookie) -> str:
    """The `cookie` line of a backend, with the attributes that no annotation has. HAProxy sends `path=/` by itself; the last one wins."""
    attributes = {"SameSite": _SITES.get(cookie.same_site or ""), "Max-Age": cookie.max_age, "Path": cookie.path}
    parts = ["cookie", cookie.name, *_MODE]
    parts += ["httponly"] if cookie.http_only else []
    parts += ["secure"] if cookie.secure else []
    parts += ["domain", cookie.domain] if cookie.domain else []
    parts += [f"attr {name}={value}" for name, value in attributes.items() if value is not None]
    return " ".join(parts)


def take_cookie(parts: Sequence[str]) -> dict[str, Tree] | None:
    """The cookie that such a line inserts, as the tree of a `Cookie`; None where it works in another way."""
    if len(parts) < 2 or parts[0] != "cookie":
        return None
    tree: dict[str, Tree] = {"name": parts[1]}
    rest, modes = list(parts[2:]), set()
    while rest:
        word = rest.pop(0)
        if word in _MODE:
            modes.add(word)
        elif word in ("httponly", "secure"):
            tree["http_only" if word == "httponly" else word] = True
        elif word == "domain" and rest:
            tree["domain"] = rest.pop(0)
        elif word != "attr" or not rest or not _take_attribute(rest.pop(0), tree):
            return None
    return tree if modes == set(_MODE) else None


def _take_attribute(text: str, tree: dict[str, Tree]) -> bool:
    name, _, value = text.partition("=")
    if name == "SameSite" and value.lower() in _SITES:
        tree["same_site"] = value.lower()
    elif name == "Max-Age" and re.fullmatch(r"-?[0-9]{1,18}", value):
        tree["max_age"] = int(value)
    elif name == "Path":
        tree["path"] = value
    else:
        return False
    return True


def put_variant(cookie: Cookie, value: str) -> list[str]:
    """The lines of a backend that tell a client which variant it was drawn to."""
    path = f"Path={cookie.path}" if cookie.path is not None else "path=/"
    parts = [f"{cookie.name}={value}", path]
    parts += [f"Domain={cookie.domain}"] if cookie.domain else []
    parts += [f"Max-Age={cookie.max_age}"] if cookie.max_age is not None else []
    parts += ["HttpOnly"] if cookie.http_only else []
    parts += ["Secure"] if cookie.secure else []
    parts += [f"SameSite={_SITES[cookie.same_site]}"] if cookie.same_site is not None else []
    return [_ANSWERED[0], f"{_VARIANT}{';'.join(parts)}{_ANSWERED[1]}"]


def take_variant(line: str) -> tuple[dict[str, Tree], str] | None:
    """The cookie and its value that the second of those lines sets."""
    if not line.startswith(_VARIANT) or not line.endswith(_ANSWERED[1]):
        return None
    pair, *attributes = line[len(_VARIANT) : -len(_ANSWERED[1])].split(";")
    name, _, value = pair.partition("=")
    tree: dict[str, Tree] = {"name": name}
    for attribute in attributes:
        key, _, text = attribute.partition("=")
        if key in ("HttpOnly", "Secure"):
            tree["http_only" if key == "HttpOnly" else "secure"] = True
        elif key == "Domain":
            tree["domain"] = text
        elif attribute != "path=/" and not _take_attribute(attribute, tree):
            return None
    return tree, value


def answers(line: str) -> bool:
    """Whether it is the first of those lines, which says nothing by itself."""
    return line == _ANSWERED[0]
