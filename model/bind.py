"""Values in the place of templates: which expressions a document holds, and the document once they are known.

An expression is Helm's `{{ EXPR }}`, with trim marks or without, or compose's `${X}`, `${X:-default}` and `$X`. A text that holds
one of Helm's has none of compose's: there `$` is a plain character. What a string literal stands for (`{{ "{{" }}`) is
known without being told, and so is compose's `$$`. Nothing is evaluated here: a value stands for one expression as it is written.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple, TypeVar, get_args

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Code, Diagnostic, Path, info, nearest, warning
from pinfeather.model.document import Document
from pinfeather.model.features import walk
from pinfeather.model.metadata import Metadata
from pinfeather.model.noun import Noun, Template, Tree
from pinfeather.model.rename import rename

N = TypeVar("N", bound=Noun)

HELM = re.compile(
    r"""\{\{(?:-(?=[ \t\r\n]))?(?P<inner>(?:"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])*'|(?!\}\}|\{\{)[^"`'])*?)"""
    r"""(?:(?<=[ \t\r\n])-(?=\}\}))?\}\}"""
)
"""One action of a Go template; `{{- ` and ` -}}` take the blanks away that stand beside it (Go 1.26, text/template)."""
COMPOSE = re.compile(r"\$\$|\$(?P<bare>[A-Za-z_]\w*)|\$\{(?P<inner>[A-Za-z_]\w*(?:[:?+-](?:[^{}]|\{[^{}]*\})*)?)\}", re.ASCII)
"""One variable of a compose file, or the escaped `$`."""
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`')
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<kind>:?[?+-])(?P<word>.*)", re.ASCII | re.DOTALL)
_BLANKS = " \t\r\n"
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")


class Expression(NamedTuple):
    """One expression, and everywhere that it stands."""

    key: str
    """How a value is given for it: without braces, trim marks and blanks that do not count."""
    text: str
    """As it is written where it stands first."""
    default: str
    """Compose's `${X:-default}`."""
    paths: tuple[Path, ...]

    @property
    def flag(self) -> str:
        """What to say on a command line, the value to be filled in."""
        return "--bind " + shlex.quote(f"{self.key}={self.default or 'VALUE'}")


def expressions(document: Document) -> tuple[Expression, ...]:
    """Every expression of a document that has no value, in the order in which they stand."""
    found: dict[str, Expression] = {}
    for path, text, _ in _templates(document):
        for part in _parts(text):
            if (new := part.expression) is not None:
                known = found.setdefault(new.key, new)
                found[new.key] = known._replace(paths=(*known.paths, path))
    return tuple(found.values())


def binding(text: str) -> tuple[str, str] | None:
    """`EXPR=value` as a pair; EXPR may stand in its braces, and hold `=` between quotes. None where there is no `=`."""
    braces = HELM.match(text) if text.startswith("{{") else COMPOSE.match(text)
    at = braces.end() if braces is not None else 0
    while at < len(text) and text[at] != "=":
        quoted = _STRING.match(text, at)
        at = quoted.end() if quoted is not None else at + (2 if text.startswith(":=", at) else 1)
    return (text[:at], text[at + 1 :]) if 0 < at < len(text) else None


def bind(document: Document, values: Mapping[str, str]) -> tuple[Document | None, tuple[Diagnostic, ...]]:
    """The document with values for expressions; None, and why not, where a value does not fit.

    `values`: expression, with or without its braces, to value. `${X:-d}` goes by its whole text or by `X`, and is then what
    compose makes of it. A template that keeps an expression stays one.
    """
    given = {key_of(key): value for key, value in values.items()}
    tree = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    used: set[str] = set()
    changed: dict[Path, tuple[str, ...]] = {}
    for path, text, number in _templates(document):
        filled, keys, whole = _fill(text, given)
        used.update(keys)
        if filled != text or whole:
            changed[path] = keys
            _set(tree, path, _plain(filled, number) if whole else {"template": filled})
    bound, found = build({"pinfeather": document.pinfeather, **tree}) if changed else (document, ())
    bound = None if bound is None else _called(document, bound)
    said = tuple(_explained(finding, changed, given) for finding in found)
    left = expressions(document if bound is None else bound)
    known = [each.key for each in expressions(document)]
    return bound, (*said, *_unused(given, used, known), *(() if bound is None else map(_left, left)))


def _called(before: Document, after: Document) -> Document:
    """What was called after the template of an object's name is called as the object, now that this is known.

    Such a name ends in eight hex digits of the template's hash (`object_name` in translators/_syntax/kube.py).
    """
    names: dict[str, dict[str, str]] = {}
    for section in ("routes", "services", "middlewares", "tcp_routes", "tcp_services", "tcp_middlewares"):
        old, new = dict(_metadata(before, section)), dict(_metadata(after, section))
        for name, metadata in old.items():
            template, text = metadata.object, new[name].object
            if not isinstance(template, Template) or isinstance(text, Template) or not text or text in new:
                continue
            digest = sha256(template.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            if name.endswith(f"-{digest}") and text not in names.get(section, {}).values():
                names.setdefault(section, {})[name] = text
    renamed = rename(after, names)
    return _without_objects(renamed, {section: set(each.values()) for section, each in names.items()}) if names else after


def _metadata(document: Document, section: str) -> Iterator[tuple[str, Metadata]]:
    """Every name of a section, and what is stuck to it."""
    nouns = getattr(document, section)
    for name, noun in nouns.items() if isinstance(nouns, dict) else ((route.name, route) for route in nouns):
        yield name, getattr(noun, "metadata", None) or Metadata()


def _without_objects(document: Document, names: Mapping[str, set[str]]) -> Document:
    def plain(noun: N) -> N:
        metadata = getattr(noun, "metadata", Metadata()).model_copy(update={"object": None})
        return noun.model_copy(update={"metadata": None if metadata == Metadata() else metadata})

    update: dict[str, object] = {}
    for section, called in names.items():
        nouns = getattr(document, section)
        if isinstance(nouns, dict):
            update[section] = {name: plain(noun) if name in called else noun for name, noun in nouns.items()}
        else:
            update[section] = tuple(plain(route) if route.name in called else route for route in nouns)
    return document.model_copy(update=update)


def key_of(expression: str) -> str:
    """An expression without its braces, its trim marks, and the blanks that do not count."""
    text = expression.strip()
    if (helm := HELM.fullmatch(text)) is not None:
        text = helm["inner"]
    elif (compose := COMPOSE.fullmatch(text)) is not None and text != "$$":
        return compose["bare"] or compose["inner"]
    parts, at = [], 0
    for literal in _STRING.finditer(text):
        parts += [_tight(text[at : literal.start()]), literal[0]]
        at = literal.end()
    return "".join((*parts, _tight(text[at:]))).strip()


def _tight(text: str) -> str:
    return re.sub(r" ?([|()]) ?", r"\1", re.sub(r"\s+", " ", text))


# How it is done --------------------------------------------------------------------------------------------------------


def _templates(document: Document) -> Iterator[tuple[Path, Template, bool]]:
    """Every template, its path, and whether a number may stand there."""
    for path, noun in walk(document):
        for name, field in type(noun).model_fields.items():
            value = getattr(noun, name)
            here = (*path, field.alias or name)
            inner = {None: value} if isinstance(value, str) else value if isinstance(value, dict) else None
            items = enumerate(value) if isinstance(value, tuple) else inner.items() if inner is not None else ()
            for key, text in items:
                if isinstance(text, Template):
                    yield here if key is None else (*here, key), text, _numeric(type(noun), name)


@lru_cache(maxsize=1024)
def _numeric(noun: type[Noun], field: str) -> bool:
    def holds(annotation: object) -> bool:
        return annotation is int or any(map(holds, get_args(annotation)))

    return holds(noun.model_fields[field].annotation)


class _Part(NamedTuple):
    """A piece of a text: as it is written, what it stands for (None: nobody said), and its expression if it is one."""

    written: str
    value: str | None
    expression: Expression | None = None


def _parts(text: str) -> list[_Part]:
    """The text in pieces: plain ones at even places, what a program replaces at odd ones."""
    helm = HELM.search(text) is not None
    parts: list[_Part] = []
    at = 0
    for match in (HELM if helm else COMPOSE).finditer(text):
        plain = text[at : match.start()]
        parts += [_Part(plain, plain), _action(match) if helm else _variable(match)]
        at = match.end()
    return [*parts, _Part(text[at:], text[at:])]


def _action(match: re.Match[str]) -> _Part:
    inner = match["inner"].strip()
    if _STRING.fullmatch(inner):
        try:
            return _Part(match[0], inner[1:-1] if inner[0] == "`" else str(json.loads(inner)))
        except ValueError:
            pass  # an escape of Go that JSON does not have: somebody has to say it
    return _Part(match[0], None, Expression(key_of(match["inner"]), match[0], "", ()))


def _variable(match: re.Match[str]) -> _Part:
    if match[0] == "$$":
        return _Part("$$", "$")
    parts = _VARIABLE.fullmatch(match["inner"] or "")
    if parts is None:
        return _Part(match[0], None, Expression(match["bare"] or match["inner"], match[0], "", ()))
    default = parts["word"] if parts["kind"].endswith("-") else ""
    return _Part(match[0], None, Expression(parts["name"], match[0], default, ()))


def _fill(text: str, given: Mapping[str, str]) -> tuple[str, tuple[str, ...], bool]:
    """The text with what is known of it, the keys that were used, and whether nothing is left."""
    helm = HELM.search(text) is not None
    parts, used = _parts(text), list[str]()
    filled = set[int]()
    for index, part in enumerate(parts):
        if part.expression is None:
            continue
        whole, key = key_of(part.written), part.expression.key
        if whole in given or key in given:
            value = given[whole] if whole in given else _as_compose(part.written, given[key])
            kept = value.replace("{{", '{{ "{{" }}') if helm else value.replace("$", "$$")
            used.append(whole if whole in given else key)
            parts[index] = part._replace(written=kept, value=value)
            filled.add(index)
            if helm:
                _trim(parts, index, part.written)
    if any(part.value is None for part in parts):
        return "".join(part.written for part in parts), tuple(used), False
    for index, part in enumerate(parts):
        if helm and index % 2 and index not in filled:
            _trim(parts, index, part.written)
    return "".join(part.value or "" for part in parts), tuple(used), True


def _trim(parts: list[_Part], index: int, action: str) -> None:
    """Takes away the blanks that the trim marks of an action take away."""
    if action[2] == "-" and action[3] in _BLANKS:
        text = parts[index - 1].written.rstrip(_BLANKS)
        parts[index - 1] = _Part(text, text)
    if action[-3] == "-" and action[-4] in _BLANKS:
        text = parts[index + 1].written.lstrip(_BLANKS)
        parts[index + 1] = _Part(text, text)


def _as_compose(text: str, value: str) -> str:
    """What `${X:-d}` and its like are where X has a value."""
    braces = COMPOSE.fullmatch(text)
    parts = _VARIABLE.fullmatch(braces["inner"] or "") if braces is not None else None
    if parts is None or (parts["kind"] in ("-", "?", ":?")):
        return value
    if parts["kind"] == ":-":
        return value or parts["word"]
    return parts["word"] if value or parts["kind"] == "+" else ""


def _plain(text: str, number: bool) -> Tree:
    return int(text) if number and _INTEGER.fullmatch(text) else text


def _set(tree: Tree, path: Path, value: Tree) -> None:
    for step in path[:-1]:
        tree = tree[step]  # type: ignore[index]
    tree[path[-1]] = value  # type: ignore[index]


def _explained(finding: Diagnostic, changed: Mapping[Path, tuple[str, ...]], given: Mapping[str, str]) -> Diagnostic:
    """An error at a value that was bound says which binding it comes from."""
    keys = next((keys for path, keys in changed.items() if finding.path[: len(path)] == path), ())
    if not keys:
        return finding
    said = " ".join(f"--bind {shlex.quote(f'{key}={given[key]}')}" for key in dict.fromkeys(keys))
    return finding._replace(instead=f"it comes of {said}: give another value")


def _unused(given: Mapping[str, str], used: set[str], known: list[str]) -> Iterator[Diagnostic]:
    for key in given:
        if key not in used:
            guess = nearest(key, known)
            hint = f"did you mean {guess!r}?" if guess else f"those that there are: {', '.join(known)}" if known else "leave it out"
            yield warning(Code.OPTION, f"no template holds the expression {key!r}", instead=hint)


def _left(expression: Expression) -> Diagnostic:
    more = len(expression.paths) - 1
    said = f"{expression.text.strip()} has no value" + (f", here and in {more} more {'places' if more > 1 else 'place'}" if more else "")
    return info(Code.UNEXPANDED, said, expression.paths[0], instead=expression.flag)
