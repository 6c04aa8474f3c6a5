"""The door for formats of other distributions: what is wrong with one of them is said with its name, and stays its own affair."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pinfeather._plugins import every, plugins, translator
from pinfeather.cli import main
from pinfeather.model.codes import Code
from pinfeather.translators import builtin
from pinfeather.translators.contract import GROUP

GOOD = """
from pinfeather import FULL, Document, Emitted, Feature, Options, Parsed, TextFile, Translator, hookimpl

class Own(Options):
    shout: bool = False
    '''In capitals.'''

def broken(*_):
    raise RuntimeError("a fault\\nof two lines")

def parse(source, options):
    return Parsed(Document())

def emit(document, options):
    return Emitted((TextFile("good.txt", "GOOD" if options.shout else "good", "text"),))

def recognise(file):
    return file.name.endswith("good.yaml")

GOOD = Translator("good", "The good format.", Own, lambda options: {}, parse, emit, recognise)
"""
HOOK = """
@hookimpl
def pinfeather_translators():
    return [GOOD]
"""
Install = Callable[..., None]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def install(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("name", source)`: a distribution `name` 1.0 with one module and its entry point, as pip would leave it there."""
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def put(name: str, source: str, *, value: str | None = None) -> None:
        module = name.replace("-", "_")
        (site / f"{module}.py").write_text(source, "utf-8")
        information = site / f"{module}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
        (information / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {value or module}\n", "utf-8")

    yield put
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(site)):
            del sys.modules[name]


@pytest.fixture
def command(site: Path, tmp_path: Path) -> Run:
    """The command line in a process of its own, with what is installed here."""

    def run(*arguments: str, before: str = "", after: str = "") -> subprocess.CompletedProcess[str]:
        program = f"import sys\nsys.path.insert(0, {str(site)!r})\n{before}\nfrom pinfeather.cli import main\ncode = main(sys.argv[1:])\n"
        words = [sys.executable, "-c", f"{program}{after}\nsys.exit(code)", *arguments]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    return run


def said(name: str = "bad") -> tuple[str, str]:
    """The code and the message of the one finding, which names its distribution; the good plugin is there all the same."""
    found = every()
    assert list(found.translators) == [*builtin.MODULES, "good"]
    assert found.origins == {**dict.fromkeys(builtin.MODULES, "pinfeather"), "good": "good 1.0"}
    (finding,) = found.diagnostics
    assert f"the plugin {name} 1.0 " in finding.message
    assert finding.instead
    return finding.code, finding.message


def test_a_plugin_brings_its_format(install: Install, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    install("good", GOOD + HOOK)
    found, diagnostics = translator("good")
    assert found is not None
    assert diagnostics == ()
    assert main(["formats"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split(maxsplit=1) == ["good", "The good format. [good 1.0]"]
    assert main(["formats", "good"]) == 0
    assert "| `--shout` | `False` | In capitals. |" in capsys.readouterr().out
    document = tmp_path / "shop.yaml"
    document.write_text("pinfeather: v1\n")
    assert main(["convert", str(document), "--to", "good"]) == 0
    assert main(["convert", str(document), "--to", "good", "--shout"]) == 0
    assert capsys.readouterr().out == "goodGOOD"


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        pytest.param("raise RuntimeError('no library')", Code.PLUGIN_LOAD, "raised RuntimeError: no library", id="raises"),
        pytest.param("import sys; sys.exit(7)", Code.PLUGIN_LOAD, "raised SystemExit: 7", id="exits"),
        pytest.param("def f(:", Code.PLUGIN_LOAD, "raised SyntaxError: ", id="syntax"),
        pytest.param("import no_such_library_at_all", Code.PLUGIN_LOAD, "No module named 'no_such_library_at_all'", id="import"),
        pytest.param(GOOD, Code.PLUGIN_HOOK, "announces 'bad', which has no hook", id="no hook"),
        pytest.param(GOOD + HOOK.replace("pinfeather_t", "pinfeather_T"), Code.PLUGIN_HOOK, "a hook that Pinfeather does not know", id="misspelt"),
        pytest.param(GOOD + HOOK.replace("s():", "s(surprise):"), Code.PLUGIN_HOOK, "a hook that Pinfeather does not know", id="arguments"),
        pytest.param(GOOD + HOOK.replace("return [GOOD]", "broken()"), Code.PLUGIN_LOAD, "raised RuntimeError: a fault", id="hook raises"),
        pytest.param(GOOD + HOOK.replace("[GOOD]", "None"), Code.PLUGIN_HOOK, "or one that returns nothing", id="returns None"),
        pytest.param(GOOD + HOOK.replace("[GOOD]", "'good'"), Code.PLUGIN_HOOK, "returned 'str' where a Translator belongs", id="a text"),
        pytest.param(GOOD + HOOK.replace("[GOOD]", "[7]"), Code.PLUGIN_HOOK, "returned 'int' where a Translator belongs", id="a number"),
        pytest.param(GOOD + HOOK.replace("[GOOD]", "[Own]"), Code.PLUGIN_HOOK, "returned 'ModelMetaclass' where", id="a class"),
        pytest.param(GOOD.replace('"good",', '"Go od",') + HOOK, Code.PLUGIN_HOOK, "with the name 'Go od'", id="name"),
        pytest.param(GOOD.replace('"good",', "7,") + HOOK, Code.PLUGIN_HOOK, "with the name 7", id="name of a number"),
        pytest.param(GOOD.replace('"The good format."', "__doc__") + HOOK, Code.PLUGIN_HOOK, "without documentation", id="no docstring"),
        pytest.param(GOOD.replace(", Own,", ", dict,") + HOOK, Code.PLUGIN_HOOK, "no subclass of Options", id="options"),
        pytest.param(GOOD.replace(" emit, recognise)", " 1, recognise)") + HOOK, Code.PLUGIN_HOOK, "whose 'emit' is no function", id="no function"),
        pytest.param(GOOD.replace('"good",', '"pinfeather",') + HOOK, Code.PLUGIN_CLASH, "'pinfeather', which pinfeather itself has", id="ours"),
        pytest.param(GOOD.replace('"good",', '"traefik-file",') + HOOK, Code.PLUGIN_CLASH, "'traefik-file', which pinfeather itself", id="ours too"),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_named_and_the_others_load(install: Install, source: str, code: Code, message: str) -> None:
    install("bad", source)
    install("good", GOOD + HOOK)
    found, text = said()
    assert found == code
    assert message in text


def test_two_plugins_of_one_name(install: Install) -> None:
    """The one whose distribution comes first by name has it, whatever the order of the path."""
    install("zebra", GOOD + HOOK)
    install("good", GOOD + HOOK)
    code, message = said("zebra")
    assert code == Code.PLUGIN_CLASH
    assert message.endswith("brings a format 'good', which good 1.0 has already")


@pytest.mark.parametrize("value", ["nowhere_at_all", "bad:nothing", "bad:", "not a module"])
def test_an_entry_point_to_nowhere(install: Install, value: str) -> None:
    install("bad", GOOD, value=value)
    install("good", GOOD + HOOK)
    code, _ = said()
    assert code in (Code.PLUGIN_LOAD, Code.PLUGIN_HOOK)


def test_an_entry_point_of_an_object(install: Install) -> None:
    install(
        "good",
        f"{GOOD}\nclass Plugin:\n    @hookimpl\n    def pinfeather_translators(self):\n        return (GOOD,)\n",
        value="good:Plugin()",
    )
    assert plugins().diagnostics[0].code == Code.PLUGIN_LOAD  # an entry point names an object and does not call one
    assert list(plugins().translators) == []


def test_formats_lists_the_others_and_says_so_once(install: Install, command: Run) -> None:
    install("bad", "raise RuntimeError('two\\nlines')")
    install("good", GOOD + HOOK)
    done = command("formats")
    assert done.returncode == 2
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*builtin.MODULES, "good"]
    assert done.stderr == "error plugin.load: the plugin bad 1.0 raised RuntimeError: two\\nlines; repair or remove it\n"


@pytest.mark.parametrize(
    ("source", "arguments", "status", "message"),
    [
        ("GOOD.replace(' parse, emit', ' broken, emit')", ["--from", "good", "--to", "pinfeather"], 2, "raised RuntimeError while reading: a fault\\nof two lines"),
        ("GOOD.replace(' parse, emit', ' parse, broken')", ["--from", "pinfeather", "--to", "good"], 2, "raised RuntimeError while writing"),
        ("GOOD.replace('lambda options: {}', 'broken')", ["--from", "pinfeather", "--to", "good"], 2, "raised RuntimeError while saying what it supports"),
        ("GOOD.replace(' emit, recognise', ' emit, broken')", ["--to", "pinfeather"], 0, ""),
    ],
)  # fmt: skip
def test_a_format_that_raises_is_named(
    install: Install, command: Run, tmp_path: Path, source: str, arguments: list[str], status: int, message: str
) -> None:
    install("good", eval(source) + HOOK)
    (tmp_path / "shop.yaml").write_text("pinfeather: v1\n")
    done = command("convert", "shop.yaml", *arguments)
    assert done.returncode == status
    assert message in done.stderr
    assert done.stderr.count("\n") == (1 if status else 0)
    if status:
        assert "error plugin.raised: the format 'good'" in done.stderr


def test_a_plugin_that_cannot_recognise_hides_no_file(install: Install, command: Run, tmp_path: Path) -> None:
    install("good", GOOD.replace(" emit, recognise", " emit, broken") + HOOK)
    (tmp_path / "shop.yaml").write_text("pinfeather: v1\n")
    done = command("lint", "shop.yaml")
    assert done.stdout.startswith("1 of 1 file is routing (1 pinfeather)")


def test_an_option_that_clashes_with_a_flag_of_ours(install: Install, command: Run, tmp_path: Path) -> None:
    install("good", GOOD.replace("shout: bool", "force: bool") + HOOK)
    (tmp_path / "shop.yaml").write_text("pinfeather: v1\n")
    done = command("convert", "shop.yaml", "--to", "good")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pinfeather: the option 'force' of one of these formats clashes with --force; its authors must rename it\n"


NOTED = "import pathlib; pathlib.Path('loaded').touch()\n"


@pytest.mark.parametrize("arguments", [["--to", "traefik-file"], ["--to", "pinfeather"], ["--from", "pinfeather", "--to", "traefik-file"]])
def test_a_run_with_our_own_formats_loads_no_plugin(install: Install, command: Run, tmp_path: Path, arguments: list[str]) -> None:
    install("good", NOTED + GOOD + HOOK)
    (tmp_path / "shop.yaml").write_text("pinfeather: v1\nservices: {a: {servers: [{url: 'http://a'}]}}\nroutes: [{name: r, to: a}]\n")
    done = command("convert", "shop.yaml", *arguments, after="print(sorted({'pluggy', 'good'} & set(sys.modules)))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert not (tmp_path / "loaded").exists()
    assert command("convert", "shop.yaml", "--to", "good").returncode == 1  # a format that can say nothing refuses
    assert (tmp_path / "loaded").exists()


HEAVY = ("pydantic", "yaml", "pulumi", "pluggy", "re2", "httptools", "psutil", "importlib.metadata", "json", "asyncio")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["convert", "--help"], ["lint", "--help"]])
def test_help_loads_nothing_heavy(command: Run, arguments: list[str]) -> None:
    before = f"import atexit; atexit.register(lambda: print('loaded:', [name for name in {HEAVY} if name in sys.modules], file=sys.stderr))"
    done = command(*arguments, before=before)
    assert done.returncode == 0
    assert "pinfeather" in done.stdout
    assert done.stderr == "loaded: []\n"


def test_the_facade_is_whole_and_lazy(command: Run) -> None:
    import pinfeather

    assert all(getattr(pinfeather, name) is not None for name in pinfeather.__all__)
    assert dir(pinfeather) == pinfeather.__all__
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        pinfeather.nonsense  # noqa: B018
    program = f"import pinfeather, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
