"""What a format can say, as a table for people: the same text in `pinfeather formats NAME` and in `docs/formats/`."""

from __future__ import annotations

from pinfeather._plugins import Found
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, Full, Near, Nothing, Support, When
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
        for name, field in translator.options.model_fields.items():
            lines.append(f"| `--{name.replace('_', '-')}` | `{field.default}` | {field.description or ''} |")
        lines.append("")
    supports = translator.supports(translator.options())
    lines += ["## What it can say", "", "| feature | said | note |", "|---|---|---|"]
    lines += [f"| `{feature}` | {' | '.join(_words(supports.get(feature, Nothing())))} |" for feature in Feature]
    return "\n".join(lines) + "\n"


def _words(support: Support) -> tuple[str, str]:
    if isinstance(support, Full):
        return "yes", ""
    if isinstance(support, Near):
        return "nearly", support.sentence
    if isinstance(support, When):
        return "it depends", support.sentence
    return "no", support.instead


def json_schema() -> dict[str, object]:
    """The JSON Schema of a canonical document."""
    made: dict[str, object] = Document.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Pinfeather document", **made}
