"""`model` and `translators` are pure: by what they import, by what they name, and by what the interpreter sees them do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinfeather.translators import builtin

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("model", "translators")
FILES = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]
ALLOWED = frozenset(
    [
        "__future__",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "importlib",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "re",
        "shlex",
        "tomllib",
        "types",
        "typing",
        "unicodedata",
        "urllib.parse",
        "pluggy",
        "pydantic",
        "pydantic_core",
        "re2",
        "yaml",
        "pinfeather.model",
        "pinfeather.translators",
    ]
)
"""Everything that may be imported there. What does input or output, looks at the clock or draws lots is not in it."""
ONLY_IN = {"importlib": {"translators/builtin.py"}, "pluggy": {"translators/hook.py"}, "yaml": {"translators/_syntax/yaml_construct.py"}}
FORBIDDEN_CALLS = frozenset({"open", "print", "input", "eval", "exec", "compile", "__import__", "breakpoint", "globals", "id"})
FORBIDDEN_ATTRIBUTES = frozenset(
    {"now", "today", "utcnow", "environ", "getenv", "urandom", "read_text", "write_text", "read_bytes", "write_bytes"}
)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "no relative imports"
            yield node.lineno, node.module or ""


def faults(name: str, source: str) -> list[str]:
    """Everything in one file that is not pure, with its line."""
    tree = ast.parse(source)
    found = []
    for line, module in imports(tree):
        fitting = [allowed for allowed in ALLOWED if module == allowed or module.startswith(f"{allowed}.")]
        if not fitting or (module == "pinfeather"):
            found.append(f"{name}:{line}: imports {module}")
        if name not in ONLY_IN.get(module.partition(".")[0], {name}):
            found.append(f"{name}:{line}: imports {module}, which {', '.join(ONLY_IN[module.partition('.')[0]])} alone may")
        if name.startswith("model/") and module.startswith("pinfeather.translators"):
            found.append(f"{name}:{line}: imports upwards")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            found.append(f"{name}:{node.lineno}: calls {node.func.id}()")
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_ATTRIBUTES:
            found.append(f"{name}:{node.lineno}: says .{node.attr}")
        if isinstance(node, ast.Global):
            found.append(f"{name}:{node.lineno}: changes a global")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_impure_is_named(path: Path) -> None:
    assert faults(str(path.relative_to(ROOT)), path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import os", "import os.path", "from pathlib import Path", "import time", "from random import choice", "import logging", "import sys",
        "import urllib.request", "from pinfeather import convert", "import pinfeather._files", "from pinfeather.deploy import ask", "import importlib",
        "from pinfeather.translators import builtin", "open('x')", "print(1)", "from datetime import datetime\ndatetime.now()", "def f():\n    global x\n    x = 1",
    ],
)  # fmt: skip
def test_the_walk_finds_what_it_is_for(source: str) -> None:
    assert faults("model/example.py", source)


def test_formats_never_import_each_other() -> None:
    modules = {f"pinfeather.translators.{module}" for module in builtin.MODULES.values()}
    for module in builtin.MODULES.values():
        path = ROOT / "translators" / f"{module}.py"
        others = modules - {f"pinfeather.translators.{module}"}
        assert not [name for _, name in imports(ast.parse(path.read_text("utf-8"))) if name in others]
    for path in (ROOT / "translators" / "_syntax").glob("*.py"):
        assert not [name for _, name in imports(ast.parse(path.read_text("utf-8"))) if name in modules], path


def test_no_name_is_imported_bare() -> None:
    """`model` and `translators` would be the same modules once more, and every class would exist twice."""
    folders = (*FLOORS, "pinfeather", "tests", "examples", "tools", "bench")
    for path in (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))):
        bare = [name for _, name in imports(ast.parse(path.read_text("utf-8"))) if name.split(".")[0] in FLOORS]
        assert not bare, path


WATCHED = """
import gc, sys
from pinfeather.model.build import build
from pinfeather.model.project import project
from pinfeather.translators import builtin
from pinfeather.translators.contract import File, Source

made, problems = build({
    "pinfeather": "v1",
    "routes": [{
        "name": "shop", "hosts": ["shop.example.com"], "path": {"prefix": "/"}, "middlewares": ["safe"],
        "canaries": [{"when": {"cookie": {"name": "canary", "regex": "^v[23]$"}}, "to": "b"}],
        "split": [{"to": "a", "weight": 9}, {"to": "b", "weight": 1}],
        "sticky": {"cookie": {"name": "v", "secure": True}},
    }],
    "services": {
        "a": {"servers": [{"url": "http://10.0.0.1"}], "health_check": {"path": "/up", "interval": "5s"}},
        "b": {"servers": [{"url": "http://10.0.0.2"}], "sticky": {"cookie": {"name": "s"}}},
    },
    "middlewares": {"safe": {"headers": {"response": {"X-Frame-Options": "DENY"}}}},
})
assert made is not None, problems
BAD = (b"", b"\\0", b"\\xff", b"[" * 300, b"a: &a [*a]", b"pinfeather: v1\\nroutes: [{name: r, to: x}]\\n")

def work(translator, options):
    kept = project(made, translator.supports(options)).kept
    emitted = translator.emit(kept, options)
    sources = [emitted.source(), *(Source((File("bad.yaml", text),)) for text in BAD), Source(())]
    parsed = [translator.parse(source, options) for source in sources if source.files]
    assert parsed[0].document is not None, parsed[0].diagnostics
    translator.identity(kept, options)
    for source in sources:
        for file in source.files:
            translator.recognise(file)
    return [artifact.text for artifact in emitted.files()], [each.diagnostics for each in parsed]

IMPURE = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "pathlib.", "glob.", "urllib.", "import", "exec", "compile", "sys._getframe")
heard = None

def hook(event, arguments):
    if heard is not None and event.startswith(IMPURE):
        heard.append((event, str(arguments)[:120]))

sys.addaudithook(hook)
for name in builtin.MODULES:
    translator = builtin.load(name)
    options = translator.options()
    first = work(translator, options)  # imports modules and builds validators
    gc.collect()
    gc.disable()
    heard = []
    second = work(translator, options)
    found, heard = heard, None
    gc.enable()
    print(name, found if found else "pure", first == second)
import os

heard = []
os.listdir(".")
assert heard, "the hook hears nothing"
"""


def test_no_format_touches_the_world() -> None:
    """CPython's audit events, in a process of its own: a hook cannot be taken out again."""
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"{name} pure True" for name in builtin.MODULES]


def test_the_same_bytes_whatever_the_hash_seed_and_the_environment() -> None:
    program = (
        f"{WATCHED.partition('IMPURE =')[0]}\nprint([work(builtin.load(name), builtin.load(name).options()) for name in builtin.MODULES])"
    )
    said = set()
    for seed in ("0", "1", "4711"):
        environment = {"PYTHONHASHSEED": seed, "TZ": f"UTC+{seed[0]}", "PATH": ""}
        said.add(
            subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
        )
    assert len(said) == 1


def test_imports_go_one_way() -> None:
    """The contracts of import-linter, which also follow what is imported through others."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
