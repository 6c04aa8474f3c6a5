"""A tree as labels: dotted keys, and their texts. The other way is `labels.py`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pinfeather.model.noun import Template
from pinfeather.translators._syntax import paerser
from pinfeather.translators._syntax.labels import Label
from pinfeather.translators._syntax.plain_labels import tree_of
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.schema import Listed, Named, Shape, Struct, Version


def pairs(tree: Tree, shape: Shape | None, path: str) -> list[tuple[str, str]]:
    """Key and text of every label that says a tree. An empty mapping is `true`.

    Keys of Traefik's own are in lower case, as people write labels; names stay. Names of texts (headers) and keys of what is
    no mapping to Traefik stand in their order, as they do after they were read; what nobody knows (None) stays as it is.
    """
    found: list[tuple[str, str]] = []
    _put(tree, shape, path, found)
    return found


def _put(tree: Tree, shape: Shape | None, path: str, found: list[tuple[str, str]]) -> None:
    if isinstance(tree, str):
        found.append((path, tree))
    elif isinstance(tree, dict):
        if not tree:
            found.append((path, "true"))
        elif isinstance(shape, Struct):
            known = _in_lower_case(shape)
            for key, child in tree.items():
                low, below = known.get(key) or (key.lower(), None)
                if isinstance(child, str):
                    found.append((f"{path}.{low}", child))
                else:
                    _put(child, below, f"{path}.{low}", found)
        else:
            inner = shape.shape if isinstance(shape, Named) else shape
            for key, child in tree.items() if inner is None or isinstance(inner, Struct) else sorted(tree.items()):
                _put(child, inner, f"{path}.{key}", found)
    elif isinstance(tree, list):
        if tree and isinstance(tree[0], dict):
            width = len(str(len(tree) - 1))
            for index, item in enumerate(tree):
                _put(item, shape.shape if isinstance(shape, Listed) else None, f"{path}[{index:0{width}}]", found)
        else:
            found.append((path, joined([item if isinstance(item, str) else str(item) for item in tree])))
    elif tree is not None:
        found.append((path, paerser.scalar_text(tree) or ""))


@lru_cache(maxsize=512)
def _in_lower_case(shape: Struct) -> Mapping[str, tuple[str, Shape]]:
    return {key: (key.lower(), below) for key, below in shape.fields.items()}


def joined(texts: list[str]) -> str:
    """A list in one text: a `Template` if one of its parts is."""
    text = ",".join(texts)
    return Template(text) if any(isinstance(each, Template) for each in texts) else text


def says(tree: Tree, shape: Struct, version: Version) -> bool:
    """Whether labels can say a tree of one thing so that it is read as the same."""
    labels = [Label(key, value) for key, value in pairs(tree, shape, "x")]
    seen = tree_of(labels, "x", shape, version)
    return not seen.faults and not seen.twice and seen.found is not None and seen.found.tree == tree
