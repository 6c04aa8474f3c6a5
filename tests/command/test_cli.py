"""The command line as a user meets it: what it prints where, what it writes, and its exit codes."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pinfeather.cli import VERSION, main
from pinfeather.translators import builtin

ROOT = Path(__file__).resolve().parents[2]
GOOD = """\
pinfeather: v1
routes:
  - {name: shop, hosts: [shop.example.com], to: blue}
services:
  blue: {servers: [{url: "http://10.0.0.1:8080"}]}
"""
LOSSY = """\
pinfeather: v1
routes:
  - name: shop
    split: [{to: blue, weight: 1}, {to: green, weight: 0}]
    sticky: {cookie: {name: variant, secure: true, http_only: true, same_site: lax}}
    weight_zero: keep
services:
  blue: {servers: [{url: "http://10.0.0.1:8080"}]}
  green: {servers: [{url: "http://10.0.0.2:8080"}]}
"""
LOSS = "loss.weight-zero.keep@routes.0.weight_zero"
Said = tuple[int, str, str]
Ask = Callable[..., Said]
CONSOLE = [sys.executable, "-c", "from pinfeather.cli import console; console()"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "lossy.yaml").write_text(LOSSY)
    return tmp_path


@pytest.fixture
def ask(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs one command in this process: exit code, standard output, standard error."""

    def run(*words: str, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            code = main(words)
        except SystemExit as end:
            code = int(str(end.code))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def process(words: Sequence[str], **streams: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CONSOLE, *words], text=True, timeout=60, check=False, **streams)  # type: ignore[call-overload, no-any-return]


# Converting ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", ["yaml", "toml"])
def test_there_and_back_over_the_standard_streams(ask: Ask, syntax: str) -> None:
    code, text, errors = ask("convert", "good.yaml", "--to", "traefik-file", "--syntax", syntax)
    assert (code, errors) == (0, "")
    assert ("[http.routers.shop]" in text) is (syntax == "toml")
    code, back, errors = ask("convert", "-", "--from", "traefik-file", "--to", "pinfeather", stdin=text.encode())
    assert (code, errors) == (0, "")
    code, again, errors = ask("convert", "-", "--to", "traefik-file", f"--syntax={syntax}", stdin=back.encode())
    assert (code, again, errors) == (0, text, "")


def test_the_format_of_standard_input_is_found_by_itself(ask: Ask) -> None:
    assert ask("convert", "-", "--to", "pinfeather", stdin=GOOD.encode())[0] == 0


def test_a_whole_pipe(here: Path) -> None:
    there = subprocess.Popen([*CONSOLE, "convert", "good.yaml", "--to", "traefik-file"], stdout=subprocess.PIPE)
    back = process(["convert", "-", "--from", "traefik-file", "--to", "pinfeather"], stdin=there.stdout, capture_output=True)
    assert there.stdout is not None
    there.stdout.close()
    assert (there.wait(60), back.returncode, back.stderr) == (0, 0, "")
    assert "hosts:\n      - shop.example.com\n" in back.stdout


def test_output_is_utf8_in_any_locale(here: Path) -> None:
    (here / "good.yaml").write_text(GOOD.replace("shop,", "grüße,"), "utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([*CONSOLE, "convert", "good.yaml", "--to", "pinfeather"], capture_output=True, env=environment, check=True)
    assert 'name: "grüße"' in done.stdout.decode("utf-8")


def test_a_folder_is_one_configuration(ask: Ask, here: Path) -> None:
    folder = here / "dynamic"
    folder.mkdir()
    assert ask("convert", "good.yaml", "--to", "traefik-file", "-o", "dynamic")[0] == 0
    assert [path.name for path in folder.iterdir()] == ["pinfeather.yml"]
    (folder / "notes.txt").write_text("not configuration")
    (folder / "more.yml").write_text("http: {services: {green: {loadBalancer: {servers: [{url: 'http://10.0.0.2'}]}}}}\n")
    code, text, errors = ask("convert", "dynamic", "--from", "traefik-file", "--to", "pinfeather")
    assert code == 0, errors
    assert "  blue:\n" in text
    assert "  green:\n" in text


# Writing a file --------------------------------------------------------------------------------------------------------


def test_a_file_is_written_and_written_over(ask: Ask, here: Path) -> None:
    out = here / "out.yml"
    assert ask("convert", "good.yaml", "--to", "traefik-file", "-o", "out.yml") == (0, "", "")
    first = out.read_text()
    assert first.startswith("# Written by `pinfeather convert`")
    stood = out.stat()
    assert ask("convert", "good.yaml", "--to", "traefik-file", "-o", "out.yml")[0] == 0
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (stood.st_ino, stood.st_mtime_ns), "the same bytes are not written again"
    (here / "good.yaml").write_text(GOOD.replace("10.0.0.1", "10.0.0.9"))
    assert ask("convert", "good.yaml", "--to", "traefik-file", "-o", "out.yml")[0] == 0
    assert out.read_text() == first.replace("10.0.0.1", "10.0.0.9")
    assert ask("convert", "out.yml", "--to", "pinfeather")[0] == 0
    assert sorted(path.name for path in here.iterdir()) == ["good.yaml", "lossy.yaml", "out.yml"]


def test_a_foreign_file_is_left_alone(ask: Ask, here: Path) -> None:
    out = here / "out.yml"
    out.write_text("mine: 1\n")
    code, text, errors = ask("convert", "good.yaml", "--to", "traefik-file", "-o", "out.yml")
    assert (code, text) == (4, "")
    assert errors == "pinfeather: out.yml: is not Pinfeather's; choose another name, or say --force to write over it\n"
    assert out.read_text() == "mine: 1\n"
    assert ask("convert", "good.yaml", "--to", "traefik-file", "-o", "out.yml", "--force")[0] == 0
    assert "shop.example.com" in out.read_text()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("nowhere/out.yml", "the folder {here}/nowhere does not exist"),
        ("good.yaml/out.yml", "a part of its path is a file and not a folder"),
        ("/dev/full", "is a device, a pipe or a socket, and not a file"),
    ],
)
def test_a_place_where_no_file_can_be(ask: Ask, here: Path, output: str, message: str) -> None:
    code, text, errors = ask("convert", "good.yaml", "--to", "traefik-file", "-o", output, "--force")
    assert (code, text, errors) == (4, "", f"pinfeather: {output}: {message.format(here=here)}\n")


@pytest.mark.parametrize("before", [None, "old: 1\n"])
def test_a_full_disk_leaves_the_old_file(ask: Ask, here: Path, monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    out = here / "out.yml"
    if before is not None:
        out.write_text(before)
    taken: list[int] = []

    def write(descriptor: int, data: memoryview) -> int:
        if taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken.append(descriptor)
        return real(descriptor, data[:7])

    real = os.write
    monkeypatch.setattr("pinfeather._files.os.write", write)
    code, text, errors = ask("convert", "good.yaml", "--to", "traefik-file", "-o", "out.yml", "--force")
    monkeypatch.undo()
    assert taken
    assert (code, text, errors) == (4, "", "pinfeather: out.yml: cannot write: the disk is full\n")
    assert (out.read_text() if out.exists() else None) == before
    assert not list(here.glob(".*"))


def test_a_refused_loss_writes_nothing(ask: Ask, here: Path) -> None:
    assert ask("convert", "lossy.yaml", "--to", "traefik-file", "-o", "out.yml")[:2] == (1, "")
    assert not (here / "out.yml").exists()


# Losses ----------------------------------------------------------------------------------------------------------------


def test_a_refusal_prints_the_allow_file_that_works(ask: Ask, here: Path) -> None:
    code, text, errors = ask("convert", "lossy.yaml", "--to", "traefik-file")
    assert (code, text) == (1, "")
    finding, _, said, _, kept = errors.splitlines()
    assert finding.startswith("lossy.yaml:6:18: error loss.weight-zero.keep: ")
    assert said.startswith("Nothing was written.")
    assert kept.startswith(f"{LOSS}  # ")
    (here / "allowed").write_text(f"# kept in the repository\n\n{kept}\n")
    code, text, errors = ask("convert", "lossy.yaml", "--to", "traefik-file", "--allow-file", "allowed")
    assert code == 0
    assert "weighted:" in text
    assert errors.startswith("lossy.yaml:6:18: warning loss.weight-zero.keep: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("loss.weight-zero.keep", 0),
        (LOSS, 0),
        ("loss.*", 0),
        ("loss.weight-zero.*", 0),
        ("loss.priority", 1),
        (LOSS.replace(".0.", ".1."), 1),
    ],
)
def test_permission_by_code_and_by_path(ask: Ask, given: str, code: int) -> None:
    assert ask("convert", "lossy.yaml", "--to", "traefik-file", "--allow", "loss.tls", "--allow", given)[0] == code


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("loss.weight-zero.kep", "there is no 'loss.weight-zero.kep'; did you mean 'loss.weight-zero.keep'?"),
        ("input.syntax", "'input.syntax' cannot be allowed; only loss.*, unread.*, lint.* can"),
        ("", "'' cannot be allowed; only loss.*, unread.*, lint.* can"),
    ],
)
def test_a_permission_for_nothing_is_refused(ask: Ask, here: Path, given: str, message: str) -> None:
    assert ask("convert", "lossy.yaml", "--to", "traefik-file", "--allow", given) == (2, "", f"pinfeather: --allow: {message}\n")
    if given:
        (here / "allowed").write_text(f"\n{given} # and why\n")
        code, _, errors = ask("convert", "lossy.yaml", "--to", "traefik-file", "--allow-file", "allowed")
        assert (code, errors) == (2, f"pinfeather: allowed:2: {message}\n")


def test_no_permission_makes_a_document_of_what_cannot_be_read(ask: Ask, here: Path) -> None:
    (here / "good.yaml").write_text(GOOD.replace("hosts:", "hots:"))
    code, text, errors = ask("convert", "good.yaml", "--to", "traefik-file", "--allow", "unread.*")
    assert (code, text) == (2, "")
    assert errors.count("\n") == 1
    assert "error unread.unknown" in errors


def test_findings_as_json(ask: Ask) -> None:
    code, text, errors = ask("convert", "lossy.yaml", "--to", "traefik-file", "--report", "json")
    assert (code, text) == (1, "")
    (finding,) = json.loads(errors)
    where = {"file": "lossy.yaml", "line": 6, "column": 18, "path": ["routes", 0, "weight_zero"]}
    assert finding == {**finding, **where, "code": "loss.weight-zero.keep", "severity": "error"}
    assert finding["message"]
    assert finding["instead"]
    assert ask("convert", "good.yaml", "--to", "pinfeather", "--report", "json")[2] == "[]\n"
    assert ask("lint", "good.yaml", "--report", "json") == (0, "[]\n", "")


# What cannot be read ---------------------------------------------------------------------------------------------------

BOMB = "pinfeather: v1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 10)
)
BAD: dict[str, tuple[bytes, str]] = {
    "a wrong key": (GOOD.replace("hosts:", "hots:").encode(), "bad.yaml:3:18: error unread.unknown: unknown key 'hots'; did you mean `hosts`?"),
    "a wrong value": (GOOD.replace("to: blue", "to: 7").encode(), "bad.yaml:3:49: error input.value: a text is wanted here; put it in quotes"),
    "no such service": (GOOD.replace("to: blue", "to: bleu").encode(), "bad.yaml:3:49: error input.reference: there is no service 'bleu'; did you mean 'blue'?"),
    "no such middleware": (GOOD.replace("to: blue", "to: blue, middlewares: [x]").encode(), "bad.yaml:3:69: error input.reference: there is no middleware 'x'; define it"),
    "no weight": (LOSSY.replace("weight: 1", "weight: 0").encode(), "bad.yaml:3:5: error input.weights: the weights sum to nothing: "),
    "a cookie that browsers refuse": (LOSSY.replace("secure: true, ", "").replace("lax", "none").encode(), "bad.yaml:5:22: error input.cookie: browsers refuse the cookie 'variant': SameSite=None needs Secure"),
    "a regex that RE2 refuses": (GOOD.replace("hosts: [shop.example.com]", 'match: {host_regex: "(?=a)"}').encode(), "bad.yaml:3:38: error input.regex: RE2 refuses the regex '(?=a)': "),
    "another version": (GOOD.replace("v1", "v2").encode(), "bad.yaml:1:13: error input.value: this document says 'v2'; this Pinfeather reads 'v1'"),
    "an empty file": (b"", "bad.yaml:1:1: error input.empty: "),
    "a comment alone": (b"# nothing\n", "bad.yaml:1:1: error input.empty: "),
    "a NUL": (b"pinfeather: v1\nroutes: [\0]\n", "bad.yaml:2:10: error input.encoding: the character U+0000 cannot stand here"),
    "invalid UTF-8": (b"pinfeather: v1\nroutes: \xff\n", "bad.yaml:2:9: error input.encoding: the byte 0xFF is not UTF-8"),
    "200 KB of brackets": (b"pinfeather: v1\nroutes: " + b"[" * 200_000, "bad.yaml:2:72: error input.too-deep: nested more than 64 deep"),
    "200 KB of brackets alone": (b"[" * 200_000, "bad.yaml:1:65: error input.too-deep: nested more than 64 deep"),
    "an alias bomb": (BOMB.encode(), "bad.yaml:6:45: error input.aliases: its aliases stand for more than 100000 values"),
    "a key that stands twice": (GOOD.replace("to: blue", "to: blue, to: blue").encode(), "bad.yaml:3:55: error input.duplicate-key: "),
    "a list": (b"- pinfeather: v1\n", "bad.yaml:1:1: error input.value: a document is a mapping that begins with `pinfeather: v1`"),
    "no YAML": (b"pinfeather: v1\nroutes: {\n", "bad.yaml:3:1: error input.syntax: "),
    "another format": (b"http: {}\n", "bad.yaml:1:1: error input.value: this is no Pinfeather document: `pinfeather: v1` is missing"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_message_at_its_place(ask: Ask, here: Path, what: str) -> None:
    data, message = BAD[what]
    (here / "bad.yaml").write_bytes(data)
    for target in ("traefik-file", "pinfeather"):
        code, text, errors = ask("convert", "bad.yaml", "--from", "pinfeather", "--to", target, "-o", "out.yml")
        assert (code, text) == (2, "")
        assert errors.startswith(message)
        assert errors.count("\n") == 1
        assert not (here / "out.yml").exists()
    code, _, errors = ask("lint", "bad.yaml")
    assert code == 1
    assert [line for line in errors.splitlines() if not line.startswith(" ")] == errors.splitlines()[:1], "one finding, and its source line"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["convert", "good.yaml", "--to", "traefik-fiel"], 2, "error input.format: there is no format 'traefik-fiel'; did you mean 'traefik-file'?"),
        (["convert", "good.yaml", "--to", "pinfeather", "--from", "pinfether"], 2, "error input.format: there is no format 'pinfether'; did you mean 'pinfeather'?"),
        (["convert", "good.yaml", "--to", "traefik-file", "--syntax", "xml"], 2, "error input.option: the format 'traefik-file' and its option 'syntax'"),
        (["convert", "other.yaml", "--to", "pinfeather"], 2, "other.yaml: error input.format: this is in no format that is known here"),
        (["convert", "good.yaml", "other.yaml", "--to", "pinfeather"], 2, "other.yaml: error input.format: this is in no format that is known here"),
        (["convert", "good.yaml", "lossy.yaml", "--to", "traefik-file"], 2, "error input.option: a canonical document is one file, not 2: good.yaml, lossy.yaml"),
        (["convert", "missing.yaml", "--to", "pinfeather"], 4, "pinfeather: missing.yaml: no such file or directory"),
        (["convert", "none", "--to", "pinfeather"], 4, "pinfeather: none: is a folder without a .json, .toml, .yaml, .yml file"),
        (["convert", "good.yaml/more", "--to", "pinfeather"], 4, "pinfeather: good.yaml/more: not a directory"),
        (["convert", "x" * 300, "--to", "pinfeather"], 4, f"pinfeather: {'x' * 300}: file name too long"),
        (["convert", "good.yaml", "--to", "pinfeather", "--allow-file", "missing"], 4, "pinfeather: missing: no such file or directory"),
        (["convert", "good.yaml", "--to", "pinfeather", "--allow-file", "none"], 4, "pinfeather: none: is a folder; name a file in it"),
        (["lint", "missing"], 4, "pinfeather: missing: no such file or directory"),
        (["formats", "traefik"], 2, "error input.format: there is no format 'traefik'; did you mean 'traefik-file'?"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_line(ask: Ask, here: Path, words: list[str], code: int, message: str) -> None:
    (here / "other.yaml").write_text("kind: Pod\n")
    (here / "none").mkdir()
    found, text, errors = ask(*words)
    assert (found, text) == (code, "")
    assert errors.startswith(message)
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["nonsense"], ["convert", "good.yaml"], ["convert", "--to", "pinfeather"], ["convert", "good.yaml", "--to", "pinfeather", "--nonsense"], ["lint", "--report", "xml"]]
)  # fmt: skip
def test_wrong_usage_names_it(ask: Ask, words: list[str]) -> None:
    code, text, errors = ask(*words)
    assert (code, text) == (2, "")
    assert errors.splitlines()[-1].startswith("pinfeather")
    assert ": error: " in errors.splitlines()[-1]


def test_a_bug_of_ours_is_said(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("so it is")

    monkeypatch.setattr("pinfeather._convert_command.source", broken)
    code, _, errors = ask("convert", "good.yaml", "--to", "pinfeather")
    assert (code, errors) == (3, "pinfeather: bug.internal: RuntimeError: so it is; please report it, with the input\n")


# Standard output breaks ------------------------------------------------------------------------------------------------

NO_DEVICE = not Path("/dev/full").exists()
COMMANDS = [["convert", "good.yaml", "--to", "traefik-file"], ["schema"], ["formats"], ["formats", "pinfeather"], ["lint", "good.yaml"]]


@pytest.mark.skipif(NO_DEVICE, reason="this system has no /dev/full")
@pytest.mark.parametrize("words", COMMANDS)
def test_a_full_disk_behind_standard_output(here: Path, words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = process(words, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == "pinfeather: standard output: no space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(NO_DEVICE, reason="this system has no /dev/full")
def test_when_nothing_can_be_said_the_exit_code_says_it(here: Path) -> None:
    with Path("/dev/full").open("w") as full:
        assert process(["convert", "missing.yaml", "--to", "pinfeather"], stdout=full, stderr=full).returncode == 4
        done = process(["--help"], stdout=full, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (4, "pinfeather: standard output: no space left on device\n")


def test_standard_output_is_closed(here: Path) -> None:
    words = [*CONSOLE, "schema"]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *words], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (4, "pinfeather: standard output: it is closed\n")


def test_standard_input_is_closed(here: Path) -> None:
    words = [*CONSOLE, "convert", "-", "--to", "pinfeather"]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *words], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (4, "pinfeather: <stdin>: is closed\n")


@pytest.mark.parametrize("words", [["schema"], ["convert", "large.yaml", "--to", "pinfeather"], ["--help"]])
def test_a_reader_that_has_seen_enough(here: Path, words: list[str]) -> None:
    routes = "".join(f"  - {{name: r{number}, hosts: [h{number}.example.com], to: blue}}\n" for number in range(2000))
    (here / "large.yaml").write_text(GOOD.replace("  - {name: shop, hosts: [shop.example.com], to: blue}\n", routes))
    with subprocess.Popen([*CONSOLE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.read(1)
        running.stdout.close()
        assert (running.wait(60), running.stderr.read()) == (0, "")


# Lint, formats, schema -------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(here: Path) -> Path:
    """What a repository looks like: 20 files, of which three are routing."""
    root = here / "tree"
    (root / "deploy" / "dynamic").mkdir(parents=True)
    (root / "deploy" / "shop.yaml").write_text(LOSSY.replace("secure: true, ", ""))
    (root / "deploy" / "dynamic" / "shop.yml").write_text("http: {routers: {shop: {rule: Host(`a`), service: blue, sticky: {}}}}\n")
    (root / "wrong.json").write_text('{"pinfeather": "v1", "routs": []}')
    (root / "empty.yaml").touch()
    (root / "broken.yaml").write_text("a: [\n")
    (root / "image.yaml").write_bytes(bytes(range(256)))
    for number in range(14):
        (root / f"module{number}.py").write_text("pinfeather: v1\n")
    for ignored in (".git", "node_modules", ".venv"):
        (root / ignored).mkdir()
        (root / ignored / "good.yaml").write_text(GOOD)
    (root / "again.yaml").symlink_to(root / "deploy" / "shop.yaml")
    return root


def test_lint_walks_a_folder(ask: Ask, tree: Path) -> None:
    code, text, errors = ask("lint", "tree")
    assert code == 1
    assert text.startswith("3 of 20 files are routing (2 pinfeather, 1 traefik-file); ")
    assert "tree/wrong.json:1:22: error unread.unknown: unknown key 'routs'; did you mean `routes`?\n" in errors
    assert "tree/deploy/shop.yaml:5:22: warning lint.cookie-insecure: " in errors
    assert "tree/deploy/dynamic/shop.yml:1:" in errors
    severities = [line.split(" ", 2)[1] for line in errors.splitlines() if not line.startswith(" ")]
    assert severities == sorted(severities, key=("error", "warning", "info").index)


def test_lint_looks_at_the_current_folder(ask: Ask, here: Path) -> None:
    (here / "lossy.yaml").unlink()
    assert ask("lint") == (0, "1 of 1 file is routing (1 pinfeather); 0 errors, 0 warnings, 0 info\n", "")
    shutil.copy("good.yaml", "more.yaml")
    assert ask("lint", "good.yaml", "more.yaml")[:2] == (0, "2 of 2 files are routing (2 pinfeather); 0 errors, 0 warnings, 0 info\n")


def test_lint_shows_the_worst_ten(ask: Ask, here: Path) -> None:
    cookies = "".join(f"  s{n}: {{servers: [{{url: 'http://10.0.0.{n}'}}], sticky: {{cookie: {{name: c{n}}}}}}}\n" for n in range(1, 9))
    (here / "many.yaml").write_text(f"pinfeather: v1\nservices:\n{cookies}")
    (here / "wrong.yaml").write_text(GOOD.replace("hosts:", "hots:"))
    code, text, errors = ask("lint", "many.yaml", "wrong.yaml")
    lines = [line for line in errors.splitlines() if not line.startswith(" ")]
    assert code == 1
    assert len(lines) == 11
    assert lines[0].startswith("wrong.yaml:3:18: error ")
    assert all(": warning lint." in line for line in lines[1:10])
    every = [line for line in ask("lint", "many.yaml", "wrong.yaml", "--all")[2].splitlines() if not line.startswith(" ")]
    assert lines[10] == f"... and {len(every) - 10} more (0 errors); --all shows every one"
    assert every[:10] == lines[:10]
    assert text.endswith(
        f"; 1 error, {sum(': warning ' in line for line in every)} warnings, {sum(': info ' in line for line in every)} info; 24 of them can be fixed: --fix\n"
    )


def test_lint_of_what_is_no_routing(ask: Ask, here: Path) -> None:
    (here / "other.yaml").write_text("kind: Pod\n")
    code, text, errors = ask("lint", "other.yaml")
    assert (code, text) == (1, "0 of 1 file is routing; 1 error, 0 warnings, 0 info\n")
    assert errors.startswith("other.yaml: error input.format: this is in no format that is known here")


def test_formats(ask: Ask) -> None:
    code, text, errors = ask("formats")
    assert (code, errors) == (0, "")
    assert [line.split()[0] for line in text.splitlines()] == list(builtin.MODULES)
    code, text, errors = ask("formats", "traefik-file")
    assert (code, errors) == (0, "")
    assert text.startswith("# `traefik-file`\n")
    assert "| `weight-zero.keep` | no | " in text


def test_schema(ask: Ask) -> None:
    code, text, errors = ask("schema")
    assert (code, errors) == (0, "")
    assert json.loads(text)["properties"].keys() >= {"pinfeather", "routes", "services", "middlewares"}


def test_version_is_the_one_of_the_package(ask: Ask) -> None:
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert ask("--version") == (0, f"pinfeather {VERSION}\n", "")
    assert declared == VERSION


def test_help(ask: Ask) -> None:
    code, text, errors = ask()
    assert (code, errors) == (0, "")
    assert ask("--help")[1] == text
    assert "Exit codes: 0 fine, 1 findings or a refused loss, 2 usage or input, 3 a bug of ours, 4 files." in " ".join(text.split())
    code, text, _ = ask("convert", "--help")
    assert code == 0
    assert all(word in text for word in ("--from", "--to", "--output", "--force", "--allow", "--allow-file", "--report"))
