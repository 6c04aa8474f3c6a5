"""The files of an imported stack, as texts: the document, the objects as they were found, the allow file, and the settings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import yaml
from pydantic import JsonValue

from pinfeather import _render
from pinfeather._sources import UsageError
from pinfeather.importing.grouping import Tree
from pinfeather.model.diagnostics import Diagnostic, dotted
from pinfeather.model.document import Document
from pinfeather.translators import builtin
from pinfeather.translators.contract import Emitted, KubernetesObject

PREFIX = "pinfeather:"
_ADOPTED = """\
# Objects as `pinfeather import` found them. One that means what the document says is applied to the letter as it stands here; an edit of
# the document is made in it. Delete this file, and `pinfeather:adopted` of the stack, to have everything written anew.
"""
_ALLOW = """\
# What the format of this stack cannot say, and what it does instead: kept by `pinfeather import`. A line less, and `pulumi up` refuses.
"""
_NEAR = "# A little different there, and no loss:\n"


def document_text(document: Document) -> str:
    """The canonical document."""
    canonical = builtin.load("pinfeather")
    return canonical.emit(document, canonical.options()).files()[0].text


def objects_text(trees: Iterable[Tree]) -> str:
    """A stream of objects."""
    return _ADOPTED + Emitted(tuple(KubernetesObject(dict(tree)) for tree in trees)).files()[0].text


def allow_text(losses: Sequence[Diagnostic], nears: Sequence[Diagnostic]) -> str:
    """The allow file; empty where there is nothing to say."""
    near = sorted({_render.plain(f"# {each.code}@{dotted(each.path)}: {each.message}\n".rstrip("\n")) for each in nears})
    said = _NEAR + "".join(f"{line}\n" for line in near) if near else ""
    return _ALLOW + _render.allow_file(losses) + said if losses or near else ""


def settings_text(values: Mapping[str, JsonValue], before: str | None, path: str, *, force: bool) -> str:
    """`Pulumi.<stack>.yaml` with these keys of ours, and with everything that stands in it already.

    `pulumi stack init` may have made it, and keeps the stack's secrets in it.
    Raises UsageError where ours are there already, unless `force`.
    """
    tree = loaded(before or "", path)
    config = tree.get("config")
    held = config if isinstance(config, dict) else {}
    if (taken := sorted(key for key in held if str(key).startswith(PREFIX))) and not force:
        raise UsageError(f"{path}: says {taken[0]} already; nothing was written. Choose another --stack, or say --force to write over it")
    own: dict[str, JsonValue] = {f"{PREFIX}{key}": value for key, value in values.items()}
    kept = {key: value for key, value in held.items() if not str(key).startswith(PREFIX)}
    wanted = {**tree, "config": {**kept, **own}}
    block = yaml.safe_dump(own, sort_keys=False, allow_unicode=True, width=1000)
    indented = "".join(f"  {line}\n" for line in block.splitlines())
    text = (before or "").rstrip("\n") + "\n" if (before or "").strip() else ""
    tries = [f"{text}config:\n{indented}", re.sub(r"(?m)^config:[ \t]*\n", lambda found: found[0] + indented, text, count=1)]
    for each in tries:  # as its author wrote it, where ours can be put in
        try:
            if list(loaded(each, path)) == list(wanted) and loaded(each, path) == wanted:
                return each
        except UsageError:
            continue
    return yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True, width=1000)


def loaded(text: str, path: str) -> dict[str, JsonValue]:
    try:
        tree = yaml.load(text, _Strict)  # noqa: S506 - a safe loader
    except yaml.YAMLError as problem:
        raise UsageError(f"{path}: {' '.join(str(problem).split())}") from None
    if tree is not None and not isinstance(tree, dict):
        raise UsageError(f"{path}: is no settings of a stack")
    return tree or {}


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        names = [key.value for key, _ in node.value]
        if len(set(names)) < len(names):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return dict(super().construct_mapping(node, deep))
