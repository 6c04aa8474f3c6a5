"""The example plugin as its users have it: wheels, installed into environments that hold nothing but what they declare."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pinfeather.translators import builtin
from tests.required import missing
from tools.running import FailedError
from tools.toolchain import pulumi_environment

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "pinfeather-lines"
LINES = "shop.example.com/cart -> http://10.0.0.1:8080, http://10.0.0.2:8080\nshop.example.com -> http://10.0.0.3:8080\n"
HEAD = "# HOST[/PREFIX] -> URL, URL ...; the first line that fits decides\n"
NOT_HERE = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def run(words: Sequence[object], folder: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in (environment or os.environ).items() if name not in NOT_HERE}
    return subprocess.run([str(word) for word in words], cwd=folder, env=clean, capture_output=True, text=True, timeout=120, check=False)


def done(words: Sequence[object], folder: Path, environment: dict[str, str] | None = None) -> str:
    """What a command printed that must not fail."""
    ended = run(words, folder, environment)
    assert ended.returncode == 0, f"{' '.join(map(str, words))}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both wheels, built without a network, from a copy: building writes beside the sources."""
    folder = tmp_path_factory.mktemp("wheels")
    ours = folder / "pinfeather"
    ours.mkdir()
    for name in ("pinfeather", "model", "translators"):
        shutil.copytree(ROOT / name, ours / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, ours)
    shutil.copytree(EXAMPLE, folder / "lines", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", "made"]
    done([*pip, "./pinfeather", "./lines"], folder)
    return sorted((folder / "made").glob("*.whl"))


def closure(requirements: Sequence[str]) -> set[str]:
    """The names of all distributions that these need, by what each declares."""
    found: set[str] = set()
    wanted = [Requirement(text) for text in requirements]
    while wanted:
        requirement = wanted.pop()
        extras = {"", *requirement.extras}
        marker = requirement.marker
        name = requirement.name.lower()
        if (marker is not None and not marker.evaluate()) or f"{name}{sorted(extras)}" in found:
            continue
        found |= {name, f"{name}{sorted(extras)}"}
        for text in distribution(name).requires or ():
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                inner.marker = None
                wanted.append(inner)
    return {name for name in found if "[" not in name}


def environment(folder: Path, wheels: Sequence[Path], needs: Sequence[str]) -> Path:
    """A Python that has these wheels, and of the environment of the tests only what `needs` leads to. Returns its `bin`."""
    done([sys.executable, "-m", "venv", "--without-pip", folder], ROOT)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", python, "install", "--no-index", "--no-deps", "--no-compile"]
    done([*pip, *wheels], ROOT)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in closure(needs) - {"pinfeather"}:
        found = distribution(name)
        base = Path(str(found.locate_file("")))
        for top in {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(base / top)
    assert done([python, "-c", "import pinfeather; print(pinfeather.__file__)"], folder).strip() == str(site / "pinfeather" / "__init__.py")
    return folder / "bin"


@pytest.fixture(scope="module")
def core(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install pinfeather` gives."""
    return environment(tmp_path_factory.mktemp("core") / "venv", [wheels[0]], ["pinfeather"])


@pytest.fixture(scope="module")
def plugged(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install pinfeather[deploy] pinfeather-lines[test]` gives, and the pip that Pulumi's language host asks."""
    return environment(tmp_path_factory.mktemp("plugged") / "venv", wheels, ["pinfeather[deploy]", "pytest", "hypothesis", "pip"])


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "routes.lines").write_text(LINES)
    shutil.copy(ROOT / "examples" / "keep.yaml", tmp_path)
    return tmp_path


# The wheel ---------------------------------------------------------------------------------------------------------------


def test_what_is_in_the_wheels(wheels: list[Path]) -> None:
    ours, example = (set(zipfile.ZipFile(wheel).namelist()) for wheel in wheels)
    assert {name.split("/")[0] for name in ours} == {"pinfeather", "pinfeather-0.1.0.dist-info"}
    sources = {f"pinfeather/{path.relative_to(ROOT)}" for floor in ("model", "translators") for path in (ROOT / floor).rglob("*.py")}
    sources |= {str(path.relative_to(ROOT)) for path in (ROOT / "pinfeather").rglob("*.py")}
    assert sources <= ours
    assert {"pinfeather/py.typed", "pinfeather/deploy/plugin/pulumi-resource-pinfeather"} <= ours
    assert {name.split("/")[0] for name in example} == {"pinfeather_lines.py", "pinfeather_lines-1.0.dist-info"}


def test_the_core_needs_only_what_it_declares(core: Path, here: Path) -> None:
    program = core / "pinfeather"
    assert {"pulumi", "httptools", "psutil", "pytest"}.isdisjoint(closure(["pinfeather"]))
    text = done([program, "convert", "keep.yaml", "--to", "traefik-file", "--allow", "loss.*"], here)
    (here / "dynamic.yml").write_text(text)
    assert "shop_variant" in done([program, "convert", "dynamic.yml", "--to", "pinfeather"], here)
    assert done([program, "lint", "keep.yaml"], here).startswith("1 of 1 file is routing (1 pinfeather)")
    assert [line.split()[0] for line in done([program, "formats"], here).splitlines()] == list(builtin.MODULES)
    assert json.loads(done([program, "schema"], here)) == json.loads((ROOT / "docs" / "schema.json").read_text("utf-8"))


def test_the_core_says_in_one_line_what_is_missing(core: Path, here: Path) -> None:
    ended = run([core / "pinfeather", "proxy", "keep.yaml"], here)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "pinfeather: the reference proxy needs httptools; install pinfeather[proxy]\n"
    ended = run([core / "pinfeather", "convert", "keep.yaml", "--to", "lines"], here)
    said, _, formats = ended.stderr.partition("the formats: ")
    assert said.startswith("error input.format: there is no format 'lines'; ")
    assert formats == f"{', '.join(builtin.MODULES)}\n"


# The plugin --------------------------------------------------------------------------------------------------------------


def test_the_format_is_listed(plugged: Path, here: Path) -> None:
    listed = done([plugged / "pinfeather", "formats"], here).splitlines()
    assert listed[-1].split(maxsplit=1) == [
        "lines",
        "Plain lines, one route a line: a host, a path prefix, an arrow, the servers. [pinfeather-lines 1.0]",
    ]
    assert "| `--align` | `False` | Put the arrows of all lines below each other. |" in done(
        [plugged / "pinfeather", "formats", "lines"], here
    )


def test_it_converts_both_ways(plugged: Path, here: Path) -> None:
    program = plugged / "pinfeather"
    done([program, "convert", "routes.lines", "--to", "traefik-file", "-o", "dynamic.yml"], here)
    assert "Host(`shop.example.com`) && PathPrefix(`/cart`)" in (here / "dynamic.yml").read_text()
    assert done([program, "convert", "dynamic.yml", "--to", "lines"], here) == HEAD + LINES
    aligned = done([program, "convert", "routes.lines", "--to", "lines", "--align"], here)
    assert aligned.splitlines()[2] == "shop.example.com      -> http://10.0.0.3:8080"
    ended = run([program, "convert", "keep.yaml", "--to", "lines"], here)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "keep.yaml:9:7: error loss.split: " in ended.stderr
    assert "loss.split@routes.0.split  # " in ended.stderr
    (here / "routes.lines").write_text("a -> http://one\nb => http://two\n")
    ended = run([program, "lint", "routes.lines"], here)
    assert ended.returncode == 1
    assert ended.stderr.startswith("routes.lines:2:1: error input.syntax: this is no route; write HOST/PREFIX -> URL, URL")


def test_its_own_tests_pass_there(plugged: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    printed = done([plugged / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], tmp_path)
    assert " passed" in printed
    assert "failed" not in printed


# Deploying ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(plugged: Path, here: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The stack `vm` as in this checkout, with the format `lines` and the plugin of the wheel."""
    try:
        settings = pulumi_environment(ROOT)
    except FailedError as problem:
        missing(f"the Pulumi engine ({problem})")
    settings["PATH"] = os.pathsep.join([str(plugged), *settings["PATH"].split(os.pathsep)[1:]])
    (here / "state").mkdir()
    settings |= {"PULUMI_BACKEND_URL": f"file://{here / 'state'}", "PULUMI_HOME": str(here / "home"), "PULUMI_CONFIG_PASSPHRASE": "a test"}
    text = (ROOT / "Pulumi.yaml").read_text("utf-8")
    (site,) = plugged.parent.glob("lib/python*/site-packages")
    moved = text.replace("virtualenv: .venv", f"virtualenv: {plugged.parent}")
    moved = moved.replace("path: pinfeather/deploy/plugin", f"path: {site / 'pinfeather' / 'deploy' / 'plugin'}")
    assert moved.count(str(plugged.parent)) == 2
    (here / "Pulumi.yaml").write_text(moved, "utf-8")
    shutil.copy(ROOT / "__main__.py", here)
    (here / "stacks").mkdir()
    (here / "stacks" / "Pulumi.vm.yaml").write_text(
        "config:\n  pinfeather:document: shop.yaml\n  pinfeather:format: lines\n  pinfeather:out: watched\n", "utf-8"
    )
    done([plugged / "pinfeather", "convert", "routes.lines", "--to", "pinfeather", "-o", "shop.yaml"], here)
    done(["pulumi", "stack", "init", "vm", "--non-interactive"], here, settings)
    yield here, settings
    run(["pulumi", "destroy", "--yes", "--skip-preview", "--non-interactive"], here, settings)


def test_it_deploys(project: tuple[Path, dict[str, str]]) -> None:
    folder, settings = project
    up = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--color", "never"]
    done(up, folder, settings)
    written = folder / "watched" / "routes.lines"
    assert written.read_text("utf-8").endswith(HEAD + LINES)
    done([*up, "--expect-no-changes"], folder, settings)

    document = folder / "shop.yaml"
    document.write_text(document.read_text("utf-8").replace("10.0.0.3", "10.0.0.9"), "utf-8")
    done(up, folder, settings)
    assert written.read_text("utf-8").endswith(HEAD + LINES.replace("10.0.0.3", "10.0.0.9"))

    # What a line cannot say stops before the first resource.
    shutil.copy(folder / "keep.yaml", document)
    ended = run(up, folder, settings)
    assert ended.returncode != 0
    assert "the document cannot be said as lines:" in ended.stdout + ended.stderr
    assert "loss.split" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert written.is_file()

    done(["pulumi", "destroy", "--yes", "--skip-preview", "--non-interactive"], folder, settings)
    assert not written.exists()
