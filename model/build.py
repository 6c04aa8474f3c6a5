"""From a plain tree to a `Document`: every error of validation becomes a diagnostic with a path and a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Union, get_args, get_origin

from pinfeather.model.diagnostics import Code, Diagnostic, Path, error, nearest
from pinfeather.model.document import Document
from pinfeather.model.match import KEYS
from pinfeather.model.noun import Noun, Tree

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_CODES = {
    "pinfeather_cookie": Code.COOKIE,
    "pinfeather_regex": Code.REGEX,
    "pinfeather_weights": Code.WEIGHTS,
    "pinfeather_match": Code.VALUE,
    "extra_forbidden": Code.UNKNOWN,
}
_WANTED = {
    "string_type": "a text is wanted here; put it in quotes",
    "int_type": "a whole number is wanted here",
    "bool_type": "true or false is wanted here",
    "tuple_type": "a list is wanted here",
    "dict_type": "a mapping is wanted here",
    "model_type": "a mapping is wanted here",
    "model_attributes_type": "a mapping is wanted here",
}


def build(tree: Tree) -> tuple[Document | None, tuple[Diagnostic, ...]]:
    """The document that a tree says, or None and why not. Never raises for bad input."""
    from pydantic import ValidationError

    if not isinstance(tree, dict):
        return None, (error(Code.VALUE, "a document is a mapping that begins with `pinfeather: v1`", ()),)
    if "pinfeather" not in tree:
        missing = error(Code.VALUE, "this is no Pinfeather document: `pinfeather: v1` is missing", (), instead="write it as the first line")
        return None, (missing,)
    try:
        return Document.model_validate(tree), ()
    except ValidationError as problem:
        details = [detail for detail in problem.errors(include_url=False) if detail["type"] != "too_short" or not _counted(tree, detail)]
        found = [diagnostic for detail in details for diagnostic in _translate(tree, detail)]
        return None, tuple(dict.fromkeys(found))
    except RecursionError:
        return None, (error(Code.TOO_DEEP, "the conditions are nested too deeply", ()),)


def _counted(tree: Tree, detail: ErrorDetails) -> bool:
    """Whether a list only seems too short because its broken items, reported by themselves, were not counted."""
    node = tree
    for part in place(tree, detail["loc"])[0]:
        node = node[part]  # type: ignore[index]
    return bool(node)


def _translate(tree: Tree, detail: ErrorDetails) -> Iterator[Diagnostic]:
    path, rest = place(tree, detail["loc"])
    kind = detail["type"]
    if kind == "pinfeather_document":
        yield from detail["ctx"]["problems"]
    elif kind == "extra_forbidden":
        key = str(path[-1])
        known = sorted(_keys_at(path[:-1], tree))
        guess = nearest(key, known)
        hint = f"did you mean `{guess}`?" if guess else f"the keys here: {', '.join(known)}"
        yield error(Code.UNKNOWN, f"unknown key {key!r}", path, instead=hint)
    elif kind == "pinfeather_match" and isinstance(detail["input"], dict) and len(detail["input"]) == 1:
        key = str(next(iter(detail["input"])))
        guess = nearest(key, KEYS)
        yield error(
            Code.UNKNOWN, f"unknown condition {key!r}", (*path, key), instead=f"did you mean `{guess}`?" if guess else detail["msg"]
        )
    elif kind == "missing":
        yield error(Code.VALUE, f"`{rest[-1] if rest else '?'}` is missing here", path, instead="add it")
    elif kind == "literal_error":
        yield error(Code.VALUE, f"{detail['input']!r} is not one of {detail['ctx']['expected']}", path)
    else:
        yield error(_CODES.get(kind, Code.VALUE), _WANTED.get(kind, detail["msg"]), path)


def place(tree: Tree, loc: tuple[int | str, ...]) -> tuple[Path, tuple[int | str, ...]]:
    """The part of a location that exists in the tree, and what is left; the validator's own words in between are dropped."""
    path: list[str | int] = []
    rest: list[int | str] = []
    node = tree
    for part in loc:
        if (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int) and part < len(node)):
            node = node[part]  # type: ignore[index]
            path.append(part)
            rest.clear()
        else:
            rest.append(part)
    return tuple(path), tuple(rest)


def _nouns(annotation: object) -> Iterator[type[Noun]]:
    if isinstance(annotation, type) and issubclass(annotation, Noun):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, UnionType, tuple, dict):
        for argument in get_args(annotation):
            yield from _nouns(argument)


def _keys_at(path: Path, tree: Tree) -> set[str]:
    nouns: list[type[Noun]] = [Document]
    node: Tree = tree
    for part in path:
        node = node[part]  # type: ignore[index]
        fields = [field for noun in nouns for name, field in noun.model_fields.items() if part in (name, field.alias)]
        if fields:
            nouns = [noun for field in fields for noun in _nouns(field.annotation)]
    present = set(node) if isinstance(node, dict) else set()
    keys = {noun: {field.alias or name for name, field in noun.model_fields.items()} for noun in nouns}
    fitting = [noun for noun in nouns if keys[noun] & present] or nouns  # of several kinds, the one that was begun
    return {key for noun in fitting for key in keys[noun]}
