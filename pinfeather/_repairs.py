"""The fixes of what `model.lint` finds: edits of the text that the document was read from.

They go by where the readers say that values stood, and copy the spelling of what is written beside: one recipe serves block
and flow style, lists and mappings of labels, annotations, TOML and JSON. What cannot be told for sure gets no edit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pinfeather._repair_sticky import TITLE, sticky_moved
from pinfeather.model.diagnostics import Code, Diagnostic, Edit, Fix, Path, Span
from pinfeather.model.document import Document
from pinfeather.model.features import walk
from pinfeather.model.lint_cookies import loose
from pinfeather.model.sticky import Cookie
from pinfeather.translators._syntax.repair import inside, on_one_line
from pinfeather.translators._syntax.rule_cookie import quote_meta

Lines = Sequence[str]
Spans = Mapping[Path, Span]


class Text(NamedTuple):
    """What a document was read from: the lines of each file, where each value stood, and in which format."""

    lines: Mapping[str, list[str]]
    spans: Spans
    format: str
    document: Document | None


def with_fix(finding: Diagnostic, text: Text) -> Diagnostic:
    """The finding with the fix that there is for it, if there is one; one about a regex at the regex itself."""
    return _narrowed(_fixed(finding, text), text)


def _narrowed(finding: Diagnostic, text: Text) -> Diagnostic:
    if finding.path[-1:] not in (("regex",), ("host_regex",)) or finding.span is None or text.document is None:
        return finding
    pattern = str(_at(text.document, finding.path))
    found = inside(text.lines.get(finding.span.file, []), finding.span, pattern, pattern)
    return finding._replace(span=found[0].span) if found else finding


def _fixed(finding: Diagnostic, text: Text) -> Diagnostic:
    make = _MAKERS.get(finding.code)
    if make is None or finding.fixes or (text.document is None and finding.code != Code.STICKY_MIDDLEWARE):
        return finding
    title, edits = make(finding, text)
    return finding._replace(fixes=(Fix(title, edits),)) if edits else finding


# Attributes of cookies -------------------------------------------------------------------------------------------------

_FIELDS = {
    "name": "name", "max_age": "maxAge", "path": "path", "domain": "domain", "secure": "secure", "http_only": "httpOnly",
    "same_site": "sameSite",
}  # fmt: skip
"""The fields of a cookie, as Traefik writes them."""
_KEY = "|".join(sorted({*_FIELDS, *_FIELDS.values(), "cookie"}, key=len, reverse=True))
_LABEL = re.compile(
    rf"""(?P<quote>["']?)(?P<base>[^\s"'=]+[./])(?P<key>{_KEY})(?P<between>=|(?P=quote)\s*:\s+)(?P<value>.*?)["']?""",
    re.IGNORECASE,
)
"""A label or an annotation: an item of a list (`key=value`), or an entry of a mapping, from its key to its value."""
_ENTRY = re.compile(rf"""(?P<quote>["']?)(?P<base>[\w./@-]*?)(?P<key>{_KEY})(?P=quote)(?P<between>\s*[:=]\s*)$""", re.IGNORECASE)
_SEVERAL = re.compile(r"^(\s*(?:-\s+)*)")


_CAMEL = {"http_only": "httpOnly", "same_site": "sameSite", "max_age": "maxAge", "health_check": "healthCheck"}
_LABELLED = {
    "`secure: true`": "`…sticky.cookie.secure=true`", "`http_only: true`": "`…sticky.cookie.httponly=true`",
    "`same_site: lax`": "`…sticky.cookie.samesite=lax`", "`health_check: {path: /healthz}`": "`…loadbalancer.healthcheck.path=/healthz`",
    "max_age: ": "…sticky.cookie.maxage=",
}  # fmt: skip
_CAMEL_FORMATS = ("traefik-file", "ingressroute", "helm-values")
_ANNOTATED = {
    "`secure: true`": '`service.sticky.cookie.secure: "true"`',
    "`http_only: true`": '`service.sticky.cookie.httponly: "true"`',
    "`same_site: lax`": '`service.sticky.cookie.samesite: "lax"`',
    "max_age: ": "service.sticky.cookie.maxage: ",
}
_WORDS = {"docker-labels": _LABELLED, "ingress": _ANNOTATED, **dict.fromkeys(_CAMEL_FORMATS, _CAMEL)}


def in_words_of(form: str, finding: Diagnostic) -> Diagnostic:
    """The finding with its remedy spelled as the format spells it."""
    remedy = finding.instead
    for ours, theirs in _WORDS.get(form, {}).items():
        remedy = remedy.replace(ours, theirs)
    return finding if remedy == finding.instead else finding._replace(instead=remedy)


def place_of(finding: Diagnostic, text: Text) -> Span | None:
    """Where a finding about an attribute of a cookie is shown: at the attribute, and among labels at the cookie's name."""
    field = _ATTRIBUTES.get(finding.code)
    if field is None:
        return None
    written = text.spans.get((*finding.path, field))
    return written or (text.spans.get((*finding.path, "name")) if text.format == LABELS else None)


LABELS = "docker-labels"
_ATTRIBUTES: dict[str, str] = {Code.COOKIE_INSECURE: "secure", Code.COOKIE_READABLE: "http_only", Code.COOKIE_SAME_SITE: "same_site"}


def _attribute(finding: Diagnostic, text: Text) -> tuple[str, tuple[Edit, ...]]:
    field = _ATTRIBUTES[finding.code]
    value = "lax" if field == "same_site" else "true"
    title = f"say {_FIELDS[field]}: {value}"
    written = text.spans.get((*finding.path, field))
    if written is not None:
        return title, _everywhere(written, text, lambda lines, span: _replaced(lines, span, value))
    for other in _FIELDS:
        span = text.spans.get((*finding.path, other))
        if span is None:
            continue
        edits = _everywhere(span, text, lambda lines, span: _beside(lines, span, field, value, text.format))
        if edits:
            return title, edits
    whole = text.spans.get(finding.path)
    bare = on_one_line(text.lines.get(whole.file, []), whole) if whole is not None else None
    if whole is not None and text.format == LABELS:
        return title, _everywhere(whole, text, lambda lines, span: _beside(lines, span, field, value, text.format))
    if whole is not None and bare in ("{}", "true") and text.format in _CAMEL_FORMATS and not whole.file.endswith(".toml"):
        return title, (Edit(whole, f"{{{_FIELDS[field]}: {value}}}", bare),)
    return title, ()


def _everywhere(span: Span, text: Text, make: Callable[[list[str], Span], tuple[Edit, ...]]) -> tuple[Edit, ...]:
    """The same edits for every container that says the label: where they differ, Traefik drops the service."""
    lines = text.lines.get(span.file, [])
    written = on_one_line(lines, span) if text.format == LABELS else None
    if written is None:
        return make(lines, span)
    label = _LABEL.fullmatch(written) or _ENTRY.search(lines[span.line - 1][: span.column - 1])
    if label is None:
        return make(lines, span)
    key, value = re.escape(label["base"] + label["key"]), r"""(?:"[^"]*"|'[^']*'|[^\s"',\]}]+)"""
    item = rf"""(?P<item>["']?{key}=[^\s"',\]}}]*["']?)"""
    entry = rf"""(["']?){key}\2\s*:\s+(?P<value>{value})"""
    said = re.compile(rf"(?<![\w.]){item}|(?<![\w.]){entry}", re.IGNORECASE)
    made = []
    for file, held in text.lines.items():
        for number, line in enumerate(held, 1):
            found = said.search(line.rstrip("\r\n"))
            if found is not None and "#" not in line[: found.start()]:
                begin, end = found.span("item" if found["item"] else "value")
                made.append(make(held, Span(file, number, begin + 1, number, end + 1)))
    return tuple(edit for edits in made for edit in edits) if all(made) else ()


def _replaced(lines: list[str], span: Span, value: str) -> tuple[Edit, ...]:
    """The value of an attribute that is written; of a label what stands after its `=`."""
    old = on_one_line(lines, span)
    if old is None:
        return ()
    label = _LABEL.fullmatch(old)
    if label is not None:
        return (Edit(span, _labelled(label, label["key"], value), old),)
    quote = old[0] if old[:1] in ("'", '"') and old[-1:] == old[:1] else ""
    return (Edit(span, f"{quote}{value}{quote}", old),)


def _beside(lines: list[str], span: Span, field: str, value: str, form: str) -> tuple[Edit, ...]:
    """A further attribute after one that is written."""
    old = on_one_line(lines, span)
    if old is None:
        return ()
    line = lines[span.line - 1].rstrip("\r\n")
    before, after = line[: span.column - 1], line[span.end_column - 1 :]
    label = _LABEL.fullmatch(old)
    if label is not None:
        below = "cookie." if label["key"].lower() == "cookie" else ""
        return _inserted(span, before, after, _labelled(label, below + _FIELDS[field].lower(), value))
    entry = _ENTRY.search(before)
    if entry is None:
        return ()
    new = _entry(entry, field, value, form)
    head = before[: entry.start()]
    if head.count("{") > head.count("}"):
        return (Edit(_end(span), f", {new}"),)
    if after.lstrip().startswith(",") or (entry["quote"] == '"' and _closes(lines, span.line)):
        return (Edit(_end(span), f",\n{' ' * len(head)}{new}"),)
    return (_line_after(span, _blank(head) + new),)


def _labelled(label: re.Match[str], key: str, value: str) -> str:
    """The same label with another key and value; the value of an entry is a text."""
    said = f"{value}{label['quote']}" if label["between"] == "=" else f'"{value}"'
    return f"{label['quote']}{label['base']}{key}{label['between']}{said}"


def _inserted(span: Span, before: str, after: str, new: str) -> tuple[Edit, ...]:
    """A further label: of its own line, its own item of a flow list, or its own flag."""
    if re.fullmatch(r"\s*-\s+", before) and re.fullmatch(r"\s*(#.*)?", after):
        return (_line_after(span, before + new),)
    if flag := re.search(r"(?:--label|-l)(?:[ =])$", before):
        return (Edit(_end(span), f" {flag[0]}{new}"),)
    if before.count("[") > before.count("]") or before.count("{") > before.count("}"):
        return (Edit(_end(span), f", {new}"),)
    if re.fullmatch(r"\s*", before) and re.fullmatch(r"\s*", after):
        return (_line_after(span, before + new),)
    return ()


def _entry(entry: re.Match[str], field: str, value: str, form: str) -> str:
    base, quote, between = entry["base"], entry["quote"], entry["between"]
    toml, flat = "=" in between, "." in base or "/" in base
    if entry["key"].lower() == "cookie":
        base += f"{entry['key']}."
    key = field if form == "pinfeather" else _FIELDS[field].lower() if flat and not toml else _FIELDS[field]
    texts = value != "true"
    quoted = f'"{value}"' if (texts and (toml or quote == '"')) or (flat and not toml) else value
    return f"{quote}{base}{key}{quote}{between}{quoted}"


def _closes(lines: list[str], number: int) -> bool:
    """Whether the next line that says something ends a flow mapping."""
    return next((line.lstrip().startswith("}") for line in lines[number:] if line.strip()), False)


def _blank(head: str) -> str:
    """The indentation below the first key of a list's item."""
    several = _SEVERAL.match(head)
    assert several is not None
    return several[0].replace("-", " ") + head[several.end() :]


def _end(span: Span) -> Span:
    return Span(span.file, span.end_line, span.end_column, span.end_line, span.end_column)


def _line_after(span: Span, text: str) -> Edit:
    return Edit(Span(span.file, span.line + 1, 1, span.line + 1, 1), f"{text}\n")


# Regexes in rules ------------------------------------------------------------------------------------------------------


def _pattern(finding: Diagnostic, text: Text, old: str, new: str) -> tuple[Edit, ...]:
    """A regex in a rule, or by itself in a canonical document."""
    span = finding.span
    lines = [] if span is None else text.lines.get(span.file, [])
    if span is None:
        return ()
    if text.format == LABELS:
        old, new = old.replace("$", "$$"), new.replace("$", "$$")
    if text.format != "pinfeather":
        old, new = f"`{old}`", f"`{new}`"
    return inside(lines, span, old, new)


def _exact_cookie(finding: Diagnostic, text: Text) -> tuple[str, tuple[Edit, ...]]:
    old = str(_at(text.document, finding.path))
    meant = loose(old)
    if meant is None:
        return "", ()
    name, value, _ = meant
    new = rf"(^|;\s*){quote_meta(name)}={quote_meta(value)}(;|$)"
    return f"take the cookie {name} with the value {value} only", _pattern(finding, text, old, new)


def _bound_host(finding: Diagnostic, text: Text) -> tuple[str, tuple[Edit, ...]]:
    if finding.path[-1:] != ("host_regex",):
        return "", ()  # a reader speaks of a rule, and has its own fix
    old = str(_at(text.document, finding.path))
    return "bind it at both ends", _pattern(finding, text, old, f"^{old.removeprefix('^').removesuffix('$')}$")


def _at(document: Document | None, path: Path) -> object:
    value: object = document
    for part in path:
        if isinstance(value, tuple):
            value = value[int(part)]
        elif isinstance(value, dict):
            value = value[part]
        else:
            value = getattr(value, "none" if part == "not" else str(part))
    return value


# A cookie over one child -----------------------------------------------------------------------------------------------


def _moved(finding: Diagnostic, text: Text) -> tuple[str, tuple[Edit, ...]]:
    """`sticky`, as it stands, moved from a split of one child into that child; block style only."""
    child = _only_child(finding, text)
    source, target = text.spans.get(finding.path), text.spans.get(("services", child))
    title = f"move sticky into {child}"
    if source is None or target is None or source.file != target.file or _at(text.document, ("services", child, "sticky")) is not None:
        return title, ()
    lines = text.lines.get(source.file, [])
    first = next((n for n in range(source.line, 0, -1) if lines[n - 1].lstrip().startswith("sticky:")), None)
    if first is None or (first != source.line and lines[first - 1].strip() != "sticky:"):
        return title, ()
    place = _inner(lines, target)
    if place is None or first <= place[0] - 1 <= source.end_line:
        return title, ()
    at, indent = place
    region = lines[first - 1 : source.end_line]
    old = len(region[0]) - len(region[0].lstrip(" "))
    moved = [" " * indent + line[old:] if line.strip() else line for line in region]
    if any(line[:old].strip() for line in region) or (not lines[source.end_line - 1].endswith(("\n", "\r"))):
        return title, ()
    gone = Span(source.file, first, 1, source.end_line + 1, 1)
    put = Span(source.file, at, 1, at, 1)
    return title, (Edit(gone, "", "".join(region)), Edit(put, "".join(line.rstrip("\r\n") + "\n" for line in moved)))


def _only_child(finding: Diagnostic, text: Text) -> str:
    split = _at(text.document, (*finding.path[:-1], "split"))
    assert isinstance(split, tuple)
    return str(split[0].to)


def _inner(lines: list[str], span: Span) -> tuple[int, int] | None:
    """The line before which a key of a load balancer can be put, and its indentation."""
    line = lines[span.line - 1]
    head, key = line[: span.column - 1], line[span.column - 1 :].strip()
    if key.startswith("{"):
        return None
    if key == "loadBalancer:":
        below = next((each for each in lines[span.line :] if each.strip() and not each.lstrip().startswith("#")), "")
        indent = len(below) - len(below.lstrip(" "))
        return (span.line + 1, indent) if indent >= span.column and not below.lstrip().startswith("-") else None
    if not head.strip():
        return span.line, span.column - 1
    if re.fullmatch(r"\s*-\s+", head) and re.fullmatch(r"[\w.-]+:\s+[^\s#{\[|>].*", key):
        return span.line + 1, span.column - 1
    return None


# A cookie name of its own ----------------------------------------------------------------------------------------------


def _own_name(finding: Diagnostic, text: Text) -> tuple[str, tuple[Edit, ...]]:
    """The name with a number that no cookie of the document has; none where one text names both cookies (an anchor)."""
    span = text.spans.get(finding.path)
    taken = [(path, noun.name) for path, noun in walk(text.document) if isinstance(noun, Cookie)] if text.document is not None else []
    if span is None or sum(text.spans.get((*path, "name")) == span for path, _ in taken) > 1:
        return "", ()
    old, names = str(_at(text.document, finding.path)), {name for _, name in taken}
    stem, _, ending = old.rpartition("-")
    base = stem if ending.isdecimal() and stem in names else old
    new = next(name for number in range(2, len(names) + 3) if (name := f"{base}-{number}") not in names)
    lines = text.lines.get(span.file, [])
    written = on_one_line(lines, span)
    edits = _everywhere(span, text, lambda lines, span: _replaced(lines, span, new)) if written is not None and old in written else ()
    return f"call it {new}", edits


_MAKERS: dict[str, Callable[[Diagnostic, Text], tuple[str, tuple[Edit, ...]]]] = {
    **dict.fromkeys(_ATTRIBUTES, _attribute),
    Code.COOKIE_REGEX: _exact_cookie,
    Code.V2_SYNTAX: _bound_host,
    Code.COOKIE_SHARED: _own_name,
    Code.STICKY_ONE: _moved,
    Code.STICKY_MIDDLEWARE: lambda finding, text: (TITLE, sticky_moved(finding, text.lines)),
}
