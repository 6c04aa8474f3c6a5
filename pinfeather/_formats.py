"""What a format can say, as a table for people: the same text in `pinfeather formats NAME` and in `docs/formats/`."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from pinfeather._plugins import Found
from pinfeather.model.codes import MEANINGS
from pinfeather.model.document import Document
from pinfeather.model.features import ALL_ROWS, FULL, NAMES, NONE, Becomes, Derived, Feature, Full, Near, Support, When
from pinfeather.model.project import INSTEAD
from pinfeather.translators.contract import AnyTranslator


def table(found: Found) -> str:
    """One line a format: name, first line of its documentation, and who brings it."""
    rows = [(name, each.doc.strip().splitlines()[0], found.origins[name]) for name, each in found.translators.items()]
    width = max(len(name) for name, _, _ in rows)
    return "".join(f"{name:<{width}}  {title}{'' if origin == 'pinfeather' else f' [{origin}]'}\n" for name, title, origin in rows)


def page(translator: AnyTranslator) -> str:
    """The format's documentation, its options and its support table, as Markdown."""
    lines = [f"# `{translator.name}`", "", translator.doc.strip(), ""]
    if translator.options.model_fields:
        lines += ["## Options", "", "| option | default | meaning |", "|---|---|---|"]
        said = meanings(translator.options)
        for name, field in translator.options.model_fields.items():
            lines.append(f"| `--{name.replace('_', '-')}` | `{field.default}` | {field.description or said.get(name, '')} |")
        lines.append("")
    supports = translator.supports(translator.options())
    lines += ["## What it can say", "", "| feature | said | note |", "|---|---|---|"]
    lines += [f"| `{feature}` | {' | '.join(_words(supports.get(feature, FULL if feature in NAMES else NONE)))} |" for feature in Feature]
    return "\n".join(lines) + "\n"


def _words(support: Support) -> tuple[str, str]:
    if isinstance(support, Full):
        return "yes", ""
    if isinstance(support, Near):
        return "nearly", support.sentence
    if isinstance(support, When):
        return "it depends", support.sentence
    if isinstance(support, Derived):
        return "derived", support.sentence
    if isinstance(support, Becomes):
        return "otherwise", support.sentence
    return "no", support.instead


def meanings(kind: type[BaseModel]) -> dict[str, str]:
    """What the text under each field of a class says of it, on one line. Looked up here, so that no other start pays for it."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found.update(_meanings(base.__module__).get(base.__name__, {}))
    return {name: text for name, text in found.items() if name in kind.model_fields}


@cache
def _meanings(module: str) -> dict[str, dict[str, str]]:
    """The same for every class of a module."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, KeyError):
        return {}  # a module without a file
    found: dict[str, dict[str, str]] = {}
    for definition in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for field, below in pairwise(definition.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found.setdefault(definition.name, {})[name] = " ".join(text.split())
    return found


class _Documented(GenerateJsonSchema):
    """Each field with what its noun says of it."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        kind = schema["cls"]
        for name, text in meanings(kind).items():
            key = kind.model_fields[name].alias or name
            made["properties"][key]["description"] = text
        return made


def json_schema() -> dict[str, object]:
    """The JSON Schema of a canonical document."""
    made: dict[str, object] = Document.model_json_schema(schema_generator=_Documented)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "Pinfeather document"}


def codes_page() -> str:
    """`docs/codes.md`: every code with its sentence and its remedy, and how losses are made of features."""
    lines = [
        "# Codes",
        "",
        "A finding has a code. Errors stop a conversion. `loss.*`, `unread.*` and `lint.*` may be allowed, by `--allow CODE`,",
        "`--allow CODE@PATH` or an allow file; a loss of security only by its very path. What cannot be read may not.",
        "",
        "| code | meaning | what to do |",
        "|---|---|---|",
        *(f"| `{code}` | {meaning} | {remedy} |" for code, (meaning, remedy) in MEANINGS.items()),
        "",
        "## Losses",
        "",
        "`loss.FEATURE`: the target cannot say it, and behaves differently. `carried.FEATURE`: it cannot be carried along, and",
        "decides nothing. `near.FEATURE`: the target says it, and behaves a little differently. What happens instead:",
        "",
        "| feature | instead |",
        "|---|---|",
        *(f"| `{feature}` | {instead} |" for feature, instead in _losses().items()),
    ]
    return "\n".join(lines) + "\n"


def _losses() -> dict[Feature, str]:
    return {row.feature: row.instead or INSTEAD[row.take] for row in sorted(ALL_ROWS, key=lambda row: list(Feature).index(row.feature))}
