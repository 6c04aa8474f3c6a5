"""What is written about Pinfeather is what it does. `make accept` writes the generated pages again."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import pinfeather
from pinfeather._formats import codes_page, json_schema, page
from pinfeather.model.build import build
from pinfeather.model.codes import MEANINGS, Code
from pinfeather.model.features import ALL_ROWS, NAMES, Feature
from pinfeather.translators import builtin
from pinfeather.translators._syntax import yaml

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "pinfeather-lines"
IGNORED = {".venv", ".git", ".pinfeather", ".pytest_cache", "node_modules", ".hypothesis", "build"}
PAGES = sorted(
    path for pattern in ("*.md", "*/**/*.md") for path in ROOT.glob(pattern) if not IGNORED & set(path.relative_to(ROOT).parts)
)  # fmt: skip


def _format_page(name: str) -> str:
    return page(builtin.load(name))


GENERATED: dict[str, Callable[[], str]] = {
    **{f"docs/formats/{name}.md": partial(_format_page, name) for name in builtin.MODULES},
    "docs/codes.md": codes_page,
    "docs/schema.json": lambda: json.dumps(json_schema(), indent=2) + "\n",
}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path, language: str) -> list[str]:
    return [text for found, text in _BLOCK.findall(path.read_text("utf-8")) if found == language]


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_as_it_would_be_generated(name: str, accept_cases: bool) -> None:
    path, wanted = ROOT / name, GENERATED[name]()
    if accept_cases and (not path.exists() or path.read_text("utf-8") != wanted):
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted, "utf-8")
    assert path.is_file(), f"{name} is missing: make accept"
    assert path.read_text("utf-8") == wanted, f"{name} is out of date: make accept"


def test_every_format_has_a_page_and_every_page_a_format() -> None:
    assert {path.stem for path in (ROOT / "docs" / "formats").iterdir()} == set(builtin.MODULES)
    assert set(builtin.TITLES) == set(builtin.MODULES)


def test_every_code_has_its_sentence_and_every_feature_its_row() -> None:
    assert set(MEANINGS) == set(Code)
    assert {row.feature for row in ALL_ROWS} == set(Feature) - NAMES
    assert all(f"| `{name}` |" in codes_page() for name in (*Code, *(set(Feature) - NAMES)))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            assert (path.parent / target.partition("#")[0]).exists(), f"{path.relative_to(ROOT)} links to {target}, which is not there"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_that_are_named_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z -]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    known = {word for target in targets for word in target.split()}
    written = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", path.read_text("utf-8"), re.DOTALL))
    for named in re.findall(r"(?:^|`|\$ )make ([a-z][a-z-]*)", written, re.MULTILINE):
        assert named in known, f"{path.relative_to(ROOT)} names `make {named}`"


# The schema --------------------------------------------------------------------------------------------------------------


def test_the_schema_says_what_a_field_means() -> None:
    """Editors show it. The texts stand under the fields, for readers of the model."""
    schema: dict[str, Any] = json_schema()
    assert schema["$defs"]["Route"]["properties"]["priority"]["description"].startswith("Higher is asked first; absent is 0.")


def test_the_stacks_documents_name_the_schema() -> None:
    for path in (ROOT / "stacks" / "dev" / "shop.yaml", ROOT / "stacks" / "vm" / "shop.yaml"):
        named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text("utf-8"))
        assert named is not None, path
        assert (path.parent / named[1]).resolve() == ROOT / "docs" / "schema.json"


KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def wrong(schema: dict[str, Any], node: dict[str, Any], tree: object) -> str | None:
    """What of a tree the schema does not declare; None: nothing. So much of JSON Schema as documents need."""
    if "$ref" in node:
        return wrong(schema, schema["$defs"][node["$ref"].rpartition("/")[2]], tree)
    if choices := node.get("anyOf") or node.get("oneOf"):
        problems = [wrong(schema, choice, tree) for choice in choices]
        return None if None in problems else "; ".join(filter(None, problems))
    if "type" in node and not isinstance(tree, KINDS[node["type"]]):
        return f"{tree!r} is no {node['type']}"
    inner: list[str | None] = []
    if isinstance(tree, dict):
        further = node.get("additionalProperties", True)
        for key, value in tree.items():
            declared = node.get("properties", {}).get(key, further)
            inner.append(wrong(schema, declared, value) if isinstance(declared, dict) else None if declared else f"{key!r} is not declared")
    elif isinstance(tree, list):
        inner += [wrong(schema, node["items"], item) for item in tree]
    return next(filter(None, inner), None)


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "stacks").glob("*/*.yaml")), *sorted((ROOT / "examples").glob("*.yaml"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_documents_here_are_what_the_schema_says(path: Path) -> None:
    (reading,) = yaml.read(path.read_text("utf-8"), path.name, yaml.CORE)
    document, problems = build(reading.value)
    assert document is not None, problems
    schema = json_schema()
    assert wrong(schema, schema, reading.value) is None
    assert isinstance(reading.value, dict)
    assert wrong(schema, schema, {**reading.value, "rotes": []}) == "'rotes' is not declared"


# The README --------------------------------------------------------------------------------------------------------------

README = ROOT / "README.md"


def test_the_readme_fits_one_screen_before_its_first_link() -> None:
    lines = README.read_text("utf-8").splitlines()
    first = next(number for number, line in enumerate(lines, 1) if "](" in line)
    assert first <= 40


def test_the_conversion_in_the_readme_prints_just_that() -> None:
    (block,) = [text for text in blocks(README, "") if text.startswith("$ pinfeather convert")]
    command, _, printed = block.partition("\n")
    words = command.removeprefix("$ pinfeather ").split()
    program = [sys.executable, "-c", "from pinfeather.cli import console; console()", *words]
    done = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.stdout == printed
    assert done.returncode == 1


def test_what_a_wheel_brings_is_what_the_readme_says() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(re.findall(r"pinfeather\[(\w+)\]", README.read_text("utf-8")))
    assert extras <= set(declared["optional-dependencies"])
    assert {re.split(r"[<>=]", each)[0] for each in declared["dependencies"]} == {"pydantic", "pluggy", "PyYAML", "google-re2"}


# The page for plugin authors ---------------------------------------------------------------------------------------------

PLUGINS = ROOT / "docs" / "plugins.md"


def test_the_plugin_pages_entry_point_is_the_examples() -> None:
    (text,) = blocks(PLUGINS, "toml")
    shown, example = tomllib.loads(text), tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))
    assert shown["project"] == {key: example["project"][key] for key in shown["project"]}


def test_the_plugin_pages_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    example = dict(vars(importlib.import_module("pinfeather_lines")))
    ending, tests = blocks(PLUGINS, "python")
    del example["pinfeather_translators"], example["TRANSLATOR"]
    exec(ending, example)  # it is the module's ending
    hook = example["pinfeather_translators"]
    assert callable(hook)
    (made,) = hook()
    assert isinstance(made, pinfeather.Translator)
    space: dict[str, object] = {"__name__": "test_lines"}
    exec(tests, space)
    law = space["test_read_back"]
    assert callable(law)
    settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))(law)()


def test_the_plugin_page_names_what_there_is() -> None:
    text = PLUGINS.read_text("utf-8")
    (table,) = re.findall(r"^\| part \|.*?\n\n", text, re.MULTILINE | re.DOTALL)
    parts = re.findall(r"^\| `(\w+)", table, re.MULTILINE)
    assert {*parts, "name", "doc"} == set(pinfeather.Translator.__annotations__)
    for word in re.findall(r"`([A-Z]\w+)", text):
        assert hasattr(pinfeather, word), word
