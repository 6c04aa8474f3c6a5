"""The command itself: sides, exit codes, formats of the report, and what is wrong with the input."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pinfeather.cli import main

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "stacks" / "dev" / "shop.yaml"


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    path = tmp_path / "changed.yaml"
    path.write_text(SHOP.read_text("utf-8").replace("weight: 90", "weight: 70").replace("weight: 10", "weight: 30"), "utf-8")
    return path


def test_equal_is_0_and_different_is_1(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(SHOP), str(SHOP)]) == 0
    assert capsys.readouterr().out == f"{SHOP} and {SHOP} do the same with every request.\n"
    assert main(["diff", str(SHOP), str(changed)]) == 1
    out = capsys.readouterr().out
    assert "\n1. 20 % of new clients go to shop-v2, and no longer to shop-v1\n" in out
    assert f"   before: 90 % shop-v1, 10 % shop-v2   [{SHOP}:10]\n" in out
    assert f"   now:    70 % shop-v1, 30 % shop-v2   [{changed}:10]\n" in out
    assert "   of those who are pinned: all stay\n" in out


@pytest.mark.parametrize(("name", "code"), [("traefik-file", 0), ("docker-labels", 0), ("ingressroute", 1)])
def test_across_formats(name: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An EndpointSlice cannot name an address of loopback, so IngressRoutes lose these servers, and everybody is refused."""
    made = tmp_path / "made.yaml"
    assert main(["convert", str(SHOP), "--to", name, "-o", str(made), "--best-effort"]) == 0
    capsys.readouterr()
    assert main(["diff", str(SHOP), str(made)]) == code
    said = capsys.readouterr()
    assert ("1. refused now" in said.out) == bool(code), said.out + said.err


def test_json(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(SHOP), str(changed), "--report", "json"]) == 1
    tree = json.loads(capsys.readouterr().out)
    (only,) = tree["classes"]
    assert (tree["equal"], only["kind"], only["moved"], only["pinned"]) == (False, "moved", "1/5", {"kept": "1"})
    assert {end["service"] for end in only["after"]["ends"]} == {"shop-v1", "shop-v2"}
    assert only["before"]["line"] == 10


def test_markdown_is_for_a_comment(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(SHOP), str(changed), "--report", "markdown"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("### ")
    assert "- **20 % of new clients go to shop-v2, and no longer to shop-v1**\n" in out
    assert "\n  ```\n  curl http://shop.localhost/ --entry-point web\n  before: " in out


def test_standard_input_is_a_side(changed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SHOP.read_bytes())))
    assert main(["diff", "-", str(changed)]) == 1
    assert "20 % of new clients" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "say two sides"),
        (["nothing.yaml"], 4, "no such file or directory"),
        (["--replay", "nothing.log", str(SHOP)], 4, "no such file or directory"),
        (["--replay", str(ROOT / "README.md"), str(SHOP)], 2, "this is no access log of Traefik (JSON or CLF) or of ours"),
    ],
)
def test_what_is_wrong_is_one_line(words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(SHOP), *words]) == code
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err
    assert len(found.err.splitlines()) == 1


def test_templates_want_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    seed = str(ROOT / "tests" / "seeds" / "canary-sticky" / "list.yaml")
    assert main(["diff", seed, seed]) == 2
    assert "--bind" in capsys.readouterr().err


def test_a_broken_side_is_said_at_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(SHOP.read_text("utf-8").replace("to: shop-v2\n", "to: shop-v3\n", 1), "utf-8")
    assert main(["diff", str(SHOP), str(broken)]) == 2
    found = capsys.readouterr()
    assert f"{broken}:18:13: error" in found.err
    assert found.out == ""


# Git ---------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits: the second moves weights, in a folder whose name Git could take for an option."""
    folder = tmp_path / "repo"
    routes = folder / "--routes"
    routes.mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "a")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "a@b")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    _git("init", "-q", "-b", "main")
    text = SHOP.read_text("utf-8")
    (routes / "shop.yaml").write_text(text, "utf-8")
    (routes / "README.txt").write_text("not configuration")
    _git("add", ".")
    _git("commit", "-q", "-m", "one")
    _git("branch", "old")
    (routes / "shop.yaml").write_text(text.replace("weight: 90", "weight: 70").replace("weight: 10", "weight: 30"), "utf-8")
    _git("commit", "-q", "-a", "-m", "two")
    _git("branch", "alone", _printed("commit-tree", "main^{tree}", "-m", "alone"))
    (routes / "shop.yaml").write_text("what stands in the work tree is not read", "utf-8")
    return folder


def _printed(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


@pytest.mark.parametrize("revisions", ["old..main", "old..", "main~1..main", "old...main"])
def test_two_revisions(repository: Path, revisions: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", revisions, "--", "--routes"]) == 1
    out = capsys.readouterr().out
    assert "1. 20 % of new clients go to shop-v2, and no longer to shop-v1" in out
    before, after = revisions.replace("...", "..").split("..")
    assert f"[{before}:--routes/shop.yaml:10]" in out
    assert f"[{after or 'HEAD'}:--routes/shop.yaml:10]" in out


def test_one_file_of_two_revisions(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "main..main", "--", "--routes/shop.yaml"]) == 0
    assert main(["diff", "main..old", "--", "--routes/shop.yaml"]) == 1
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["main..nothing", "--", "--routes"], "'nothing' is no revision of this repository"),
        (["main..--output=x", "--", "--routes"], "'--output=x' is no revision of this repository"),
        (["main..old"], "say which files or folders, behind --"),
        (["main..old", "--", "nothing"], "nothing: neither main nor old has it"),
        (["main..old", "--", "../../etc"], "git: "),
        (["main..old", "--", "--routes", "rutes"], "rutes: neither main nor old has it"),
        (["alone...main", "--", "--routes"], "alone...main: they have no common ancestor here"),
    ],
)
def test_what_git_does_not_have_is_said(repository: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *words]) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert found.out == ""
    assert len(found.err.splitlines()) == 1


def test_help_loads_no_model() -> None:
    program = "import sys; from pinfeather.cli import main\ntry: main(['diff', '--help'])\nexcept SystemExit: pass\nprint([n for n in ('pydantic', 'yaml', 're2') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
