"""A canary's life through a real proxy: up to everybody, back by itself, and what a kill, a stop or another hand leaves."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.proxies import DEADLINE, until
from tests.rollout.stage import COMMAND, ROOT, Stage, edited, stage


def test_every_step_is_deployed_verified_and_logged(shop: Stage) -> None:
    done = shop.run("--hold", "200ms", steps="5,30,100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert shop.document.read_bytes() == edited(shop.before, 0, 100) == shop.served()
    step = ["writes", "up", "verify", "holds", "verify", "stands"]
    assert shop.whats() == ["began", "verify", *step, *step, "done"]
    assert stat.S_IMODE(shop.log.stat().st_mode) == 0o600
    records = shop.records
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(record["time"])) for record in records)
    assert [record["weights"] for record in records if record["what"] == "writes"] == [{"v1": 70, "v2": 30}, {"v1": 0, "v2": 100}]
    assert all("exit" in record and "seconds" in record for record in records if record["what"] == "ended")
    lines = done.stdout.splitlines()
    assert all(re.match(r" +\d+\.\ds  \S", line) for line in lines), done.stdout
    assert lines[0].endswith("the route 'shop': v2 has 10 %; steps 30 %, 100 %")
    assert lines[-1].endswith("done: v1 0, v2 100")
    assert not list(shop.document.parent.glob(".*.lock"))
    again = shop.run()
    assert (again.returncode, again.stdout) == (0, "nothing to do: the route 'shop' gives v2 100 % already\n")


def test_what_is_done_goes_back_when_asked(shop: Stage) -> None:
    assert shop.run(steps="60").returncode == 0
    back = shop.run("--back")
    assert back.returncode == 0, back.stdout + back.stderr
    assert shop.document.read_bytes() == shop.before == shop.served()
    again = shop.run("--back")
    assert (again.returncode, shop.ups) == (0, 2)
    assert again.stdout.startswith("nothing to do: the route 'shop' went back already")


def test_a_deployment_that_fails_goes_back(shop: Stage) -> None:
    shop.says("fails", "2")
    done = shop.run(steps="30,60,100")
    assert done.returncode == 1, done.stdout + done.stderr
    assert shop.document.read_bytes() == shop.before == shop.served()
    assert "up.py" in done.stdout
    assert re.search(r"at 60 % `.*` ended with 3: going back to v1 90, v2 10\n", done.stdout)
    assert "error: the API server has gone away" in done.stderr
    assert shop.whats()[-7:] == ["writes", "up", "goes back", "writes", "up", "verify", "went back"]
    (failed,) = [record for record in shop.records if record.get("exit") == 3]
    assert "error: the API server has gone away" in str(failed["output"])


def test_a_proxy_that_ignores_the_weight_goes_back(shop: Stage) -> None:
    shop.says("ignores", "")
    done = shop.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert shop.document.read_bytes() == shop.before == shop.served()
    assert "at 30 % verify ended with 1: going back to v1 90, v2 10" in done.stdout
    assert "shop" in done.stderr, "the rows of verify's table that do not hold"
    assert sum("verify" in str(record.get("command")) for record in shop.records) > 3, (
        "it was asked again while it might have been settling"
    )


def test_a_step_that_is_not_told_from_the_one_before_is_said(shop: Stage) -> None:
    done = shop.run(steps="10.1")
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "not sure" in line]
    assert re.search(r"verify: It is not sure that the proxy does not still have the weights of route:shop=90,10: .*requests\.$", line)


def test_a_bad_version_goes_back(tmp_path: Path) -> None:
    with stage(tmp_path, bad=True) as shop:
        shop.document.write_bytes(edited(shop.before, 100, 0))
        shop.before = shop.document.read_bytes()
        (tmp_path / "served.yaml").write_bytes(shop.before)
        until(lambda: {shop.answers() for _ in range(30)} == {200})
        words = "--rate 2000 --name v1-a=v1"  # the new one says no name
        done = shop.run(f"--verify-options={words}", steps="10,100")
        assert done.returncode == 1, done.stdout + done.stderr
        assert shop.document.read_bytes() == shop.before == shop.served()
        assert re.search(r"at 10 % verify ended with \d: going back to v1 100, v2 0", done.stdout)
        assert {shop.answers() for _ in range(30)} == {200}


def test_a_going_back_that_fails_says_what_stands_where(shop: Stage) -> None:
    shop.says("fails", "2 3")
    done = shop.run(steps="30,60,100")
    assert done.returncode == 4, done.stdout + done.stderr
    assert shop.document.read_bytes() == shop.before
    assert shop.served() == edited(shop.before, 70, 30)
    last = done.stdout.splitlines()[-1]
    assert re.search(
        r"going back failed: `.*` ended with 3; what is deployed may still be v1 40, v2 60; \S+shop.yaml has v1 90, v2 10; the", last
    )
    # It is not gone on with: the same command goes all the way back.
    again = shop.run()
    assert again.returncode == 1, again.stdout + again.stderr
    assert "going back was cut off at v1 90, v2 10" in again.stdout
    assert shop.served() == shop.before
    assert shop.whats()[-1] == "went back"


def test_what_does_not_hold_before_is_not_begun(shop: Stage) -> None:
    served = shop.folder / "served.yaml"
    served.write_bytes(edited(shop.before, 10, 90))
    until(lambda: sum(b"Name: v2" in _body(shop) for _ in range(20)) > 10)
    done = shop.run()
    assert (done.returncode, shop.ups) == (1, 0), done.stdout + done.stderr
    assert "verify ended with 1, as it stands now: nothing was changed; put that right first" in done.stdout
    assert shop.document.read_bytes() == shop.before
    assert "knows of no rollout of the route 'shop'" in shop.run("--status").stdout
    done = shop.run("--verify-url", "p:web=http://127.0.0.1:9")
    assert (done.returncode, shop.ups) == (4, 0), done.stdout + done.stderr


def _body(shop: Stage) -> bytes:
    from tests.parts.proxies import get

    return get(shop.port, "/", Host="shop.example")[1]


# Another hand ----------------------------------------------------------------------------------------------------------------


def test_what_somebody_else_wrote_is_not_overwritten(shop: Stage) -> None:
    shop.says("waits", "1")
    shop.says("fails", "1")
    with shop.begun() as process:
        shop.until_waiting(1)
        theirs = shop.document.read_bytes() + b"# mine\n"
        shop.document.write_bytes(theirs)
        shop.open()
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1, out + err
    assert shop.document.read_bytes() == theirs
    assert "was edited by somebody else since the last step, and is left as it is; what was deployed last has v1 70, v2 30" in out
    refused = shop.run()
    assert refused.returncode == 2
    assert re.search(r"shop.yaml was edited since the last step of the rollout in \S+: --anew begins from what it is now", refused.stderr)
    assert "was edited since" in shop.run("--status").stdout
    (shop.folder / "served.yaml").write_bytes(theirs)
    anew = shop.run("--anew")
    assert anew.returncode == 0, anew.stdout + anew.stderr
    assert shop.document.read_bytes() == edited(shop.before, 0, 100) + b"# mine\n"


def test_an_edit_while_it_holds_ends_it_before_the_next_step(shop: Stage) -> None:
    with shop.begun("--hold", "2s", steps="30,60") as process:
        shop.until_logged("holds")
        theirs = shop.document.read_bytes() + b"# mine\n"
        shop.document.write_bytes(theirs)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1, out + err
    assert (shop.document.read_bytes(), shop.ups) == (theirs, 1)


def test_two_never_work_on_one_document(shop: Stage) -> None:
    shop.says("waits", "1")
    with shop.begun() as process:
        shop.until_waiting(1)
        other = shop.run("--log", str(shop.folder / "other.log"))
        assert other.returncode == 4
        assert f"another rollout works on it (process {process.pid}); wait for its end, or end it" in other.stderr
        told = shop.run("--status").stdout
        assert "a rollout is at v1 70, v2 30, in the middle of `" in told
        assert f"process {process.pid} works on it now" in told
        shop.open()
        out, err = process.communicate(timeout=2 * DEADLINE)
    assert process.returncode == 0, out + err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--route", "shp"], "there is no route 'shp'; did you mean 'shop'?"),
        (["--to", "v3"], "'v3' is no entry of this split; it has v1, v2"),
        (["--stack", "cluster"], "say one of --stack and --up"),
        (["--hold", "soon"], "--hold soon: write a number and a unit"),
        (["--settle", "-1s"], "--settle"),
        (["--verify-options='"], "--verify-options ': no closing quotation"),
        (["--verify-options=--help"], "with --help nothing would be verified"),
        (["--verify-options=--bogus"], "--verify-options: unrecognized arguments: --bogus"),
        (["--back"], "knows of no rollout of the route 'shop' that could go back"),
        (["--up", "no-such-program x"], "no-such-program: there is no such program on PATH; nothing was done"),
        (["--up", "./not-here"], "./not-here: there is no such program; nothing was done"),
    ],
)
def test_nothing_is_done_where_it_cannot_be(tmp_path: Path, more: list[str], said: str) -> None:
    shop = Stage(tmp_path, "127.0.0.1:1", "127.0.0.1:2")
    done = shop.run(*more)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert (shop.document.read_bytes(), shop.ups) == (shop.before, 0)
    assert sorted(path.name for path in shop.document.parent.iterdir()) == ["shop.yaml"]


def test_a_stack_is_deployed_where_its_project_is(tmp_path: Path) -> None:
    """With a `pulumi` on PATH that writes down what it was told."""
    with stage(tmp_path) as shop:
        tools = tmp_path / "tools"
        tools.mkdir()
        program = tools / "pulumi"
        program.write_text(
            f"#!{sys.executable}\nimport os, runpy, sys\nopen({str(tmp_path / 'told')!r}, 'a').write(os.getcwd() + ' ' + ' '.join(sys.argv[1:]) + '\\n')\n"
            f"sys.argv[1:] = [{str(shop.document)!r}, {str(tmp_path)!r}]\nrunpy.run_path({str(tmp_path / 'up.py')!r})\n"
        )
        program.chmod(0o755)
        words = shop.words("--stack", "cluster")
        at = words.index("--up")
        del words[at : at + 2]
        command = [sys.executable, "-c", COMMAND, *words]
        environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path)}

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=4 * DEADLINE, check=False)

        refused = run()
        assert refused.returncode == 2
        assert "no Pulumi.yaml stands beside" in refused.stderr
        (tmp_path / "Pulumi.yaml").write_text("name: x\n")
        done = run()
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "told").read_text() == 2 * f"{tmp_path} up --yes --skip-preview --non-interactive --stack cluster\n"
        assert (tmp_path / ".pinfeather" / "rollout-shop.log").is_file()


def test_no_secret_is_in_the_log(shop: Stage) -> None:
    """Neither what verify is given nor what stands in the document."""
    users = b"middlewares: {door: {basic_auth: {users: ['me:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/']}}}\r\n"
    shop.before += users
    shop.document.write_bytes(shop.before)
    secret = "--rate 2000 --name v1-a=v1 --name v2-a=v2 --user me:Tr0ub4dor"
    done = shop.run(f"--verify-options={secret}", steps="100")
    assert done.returncode == 0, done.stdout + done.stderr
    said = shop.log.read_text() + done.stdout + done.stderr
    assert "Tr0ub4dor" not in said
    assert "IgXLP6ewTrSuBkTrqE8wj" not in said
    assert "--user" in shop.log.read_text()
