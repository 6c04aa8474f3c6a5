"""What `verify` is told and what it says: input that is wrong, budgets and rates, and that it only reads."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pinfeather.cli import main
from pinfeather.verify.asking import Pace
from tests.required import missing

ROOT = Path(__file__).parents[2]
ONE = """pinfeather: v1
entry_points: {{web: 8000}}
routes:
  - {{name: a, hosts: [a.example], entry_points: [web], to: a}}
  - {{name: made, hosts: [a.example], entry_points: [web], priority: 5, match: {{method: POST}}, to: b}}
{more}
services:
  a: {{servers: [{{url: "http://127.0.0.1:2"}}]}}
  b: {{servers: [{{url: "http://10.0.0.2:80"}}]}}
"""


class Server(ThreadingHTTPServer):
    """A proxy that stands in for one somewhere: one name for all, or none."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.names: list[str] = []
        """One after the other, where it draws who answers."""
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        self.server.asked.append(self.command)
        known = self.headers.get("Host", "").partition(":")[0] == "a.example"
        self.send_response(200 if known else 404)
        if known and self.server.name:
            names = self.server.names or [self.server.name]
            self.send_header("X-Who", names[len(self.server.asked) % len(names)] + (" made" if self.command == "POST" else ""))
        self.end_headers()

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()


@pytest.fixture
def proxy() -> Iterator[Server]:
    server = Server("one")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(ONE.format(more=""))
    return path


WHO = ("--identify", "header:X-Who")


def test_only_get_and_head_are_sent_unless_more_is_asked_for(document: Path, proxy: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(document), "--url", proxy.url, *WHO, "--rate", "1000"]) == 0
    out = capsys.readouterr()
    assert set(proxy.asked) <= {"GET", "HEAD"}
    assert "they are POST: say --methods POST." in out.out
    assert "GET and HEAD only" in out.err
    assert main(["verify", str(document), "--url", proxy.url, *WHO, "--rate", "1000", "--methods", "post"]) == 0
    assert "POST" in proxy.asked
    capsys.readouterr()


def test_what_is_asked_is_told_before_and_kept(document: Path, proxy: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(document), "--url", proxy.url, *WHO, "--rate", "500"]) == 0
    said = capsys.readouterr().err
    (most,) = re.findall(r"asking up to (\d+) requests of each proxy, of 5000 at most, 500 a second", said)
    assert len(proxy.asked) <= int(most)


def test_a_budget_that_is_too_small_is_said_with_the_one_that_is_enough(
    tmp_path: Path, proxy: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "split.yaml"
    path.write_text(
        ONE.format(more="").replace("entry_points: [web], to: a}", "entry_points: [web], split: [{to: a, weight: 99}, {to: b, weight: 1}]}")
    )
    assert main(["verify", str(path), "--url", proxy.url, *WHO, "--budget", "100"]) == 2
    said = capsys.readouterr()
    found = re.fullmatch(
        r"pinfeather: a doubt of 1e-06 takes (\d+) requests to each proxy, and the budget is 100: say --budget (\d+), or a larger --doubt\n",
        said.err,
    )
    assert found is not None
    assert found[1] == found[2]
    assert proxy.asked == []
    assert main(["verify", str(path), "--url", proxy.url, *WHO, "--budget", found[2], "--rate", "5000"]) == 1  # one name for both services
    capsys.readouterr()


SPLIT = "entry_points: [web], split: [{to: a, weight: 50}, {to: b, weight: 50}]}"


@pytest.fixture
def split(tmp_path: Path) -> Path:
    path = tmp_path / "split.yaml"
    path.write_text(ONE.format(more="").replace("entry_points: [web], to: a}", SPLIT))
    return path


NAMES = ("--name", "a=a", "--name", "b=b", "--rate", "5000")


def test_weights_that_it_may_still_have_are_seen(split: Path, proxy: Server, capsys: pytest.CaptureFixture[str]) -> None:
    proxy.names = ["a", "a", "a", "b", "b"]  # 60 to 40: its odds are 1.5 times those of the document
    words = ["verify", str(split), "--url", proxy.url, *WHO, *NAMES]
    assert main(words) == 0, "chance explains it"
    few = len(proxy.asked)
    assert main([*words, "--unlike", "route:a=60,40"]) == 1
    assert "b answered 925 of 2314: outside of 1039 to 1275" in capsys.readouterr().out
    assert len(proxy.asked) > 4 * few
    assert main([*words, "--unlike", "route:a=100,0"]) == 0, "not more than it takes to see that"


def test_what_takes_more_than_the_budget_is_said_and_the_rest_is_asked(
    split: Path, proxy: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.names = ["a", "b"]
    words = ["verify", str(split), "--url", proxy.url, *WHO, *NAMES, "--unlike"]
    assert main([*words, "route:a=53,47"]) == 0
    (budget,) = re.findall(
        r"It is not sure that the proxy does not still have the weights of route:a=53,47: that takes --budget (\d+)\.",
        capsys.readouterr().out,
    )
    assert int(budget) > 5000 > len(proxy.asked)
    assert main([*words, "route:a=5001,4999"]) == 0
    assert "they are too near, and that takes more than 100000 requests" in capsys.readouterr().out


def test_where_no_question_tells_the_weights_apart_it_is_said(split: Path, proxy: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Another way to write the same shares; and a split that nothing leads to."""
    proxy.names = ["a", "b"]
    unused = "  c: {split: [{to: a, weight: 2147483647}, {to: b, weight: 1}]}\n"
    split.write_text(split.read_text() + unused)
    words = ["verify", str(split), "--url", proxy.url, *WHO, *NAMES, "--unlike"]
    for other in ("route:a=1,1", "split:c=1,2147483647"):
        assert main([*words, other]) == 0
        said = f"still have the weights of {other}: no question that can be asked is answered otherwise by them."
        assert said in capsys.readouterr().out
    assert main([*words, "route:a=50,50"]) == 0
    assert "not sure" not in capsys.readouterr().out, "they are those of the document"


def test_who_does_not_name_itself_is_said(document: Path, proxy: Server, capsys: pytest.CaptureFixture[str]) -> None:
    proxy.name = ""
    assert main(["verify", str(document), "--url", proxy.url, *WHO, "--rate", "1000"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("pinfeather: the proxy: nobody says who answered (header:X-Who): a. Say where the name is: --identify")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "say which proxy: --url"),
        (["--url", "ftp://127.0.0.1"], 2, "is not of the form http://host:port"),
        (["--url", "http://127.0.0.1:1"], 4, "does not answer: connection refused; start it, or put the URL right"),
        (["--url", "other=http://127.0.0.1:1"], 2, "the document has no entry point 'other'; it has web"),
        (["--url", "http://127.0.0.1:1", "--start", "traefik"], 2, "--start and --url: say one of them"),
        (["--url", "http://127.0.0.1:1", "--identify", "colour"], 2, "write header:NAME, body:REGEX, cookie or cookie:FORMAT"),
        (["--url", "http://127.0.0.1:1", "--identify", "cookie:"], 2, "write header:NAME, body:REGEX, cookie or cookie:FORMAT"),
        (
            ["--url", "PROXY", "--identify", "cookie:ingressrout"],
            2,
            "--identify cookie:ingressrout: there is no format 'ingressrout'; did you mean",
        ),
        (["--url", "http://127.0.0.1:1", "--identify", "body:("], 2, "it is no regex"),
        (["--url", "http://127.0.0.1:1", "--identify", "cookie"], 2, "no service has a sticky cookie"),
        (["--url", "http://127.0.0.1:1", "--name", "x=c"], 2, "there is no service 'c'"),
        (["--url", "http://127.0.0.1:1", "--stop", "true"], 2, "--stop and --restart are said together"),
        (["--url", "PROXY", "--stop", "true", "--restart", "true"], 2, "nobody knows which server a client is with"),
        (["--url", "https://127.0.0.1:1", "--ca", "/nothing"], 2, "--ca /nothing: no such file or directory"),
        (["--url", "http://127.0.0.1:1", "--demo"], 4, "the demo server at http://127.0.0.1:2 does not answer"),
        (["--url", "http://127.0.0.1:0"], 2, "is not of the form http://host:port"),
        (["--url", "http://a..b/"], 2, "'a..b' is no name of a host"),
        (["--url", "PROXY", "--unlike", "a=1,2"], 2, "--unlike a=1,2: write route:NAME=90,10"),
        (["--url", "PROXY", "--unlike", "route:a=1,x"], 2, "--unlike route:a=1,x: write route:NAME=90,10"),
        (["--url", "PROXY", "--unlike", "route:a=1"], 2, "the document has no route 'a' with weights"),
        (["--url", "PROXY", "--unlike", "split:a=1"], 2, "the document has no split 'a' with weights"),
        (["--url", ":web=http://127.0.0.1:1"], 2, "the proxy in front of the `:` has no name"),
        (["--url", "PROXY", "--identify", "cookie", "--stop", "kill 'x", "--restart", "true"], 2, "--stop kill 'x: no closing quotation"),
        (["--url", "PROXY", "--stop", "true", "--restart", " "], 2, "--restart: it is no command"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: list[str],
    code: int,
    said: str,
    document: Path,
    proxy: Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pinfeather.verify.asking.PATIENCE", 0.2)
    assert main(["verify", str(document), *(proxy.url if word == "PROXY" else word for word in words)]) == code
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err
    assert len(found.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--rate", "1e-400"],
        ["--rate", "1e400"],
        ["--methods", "G ET"],
        ["--methods", "A\r\nX: y"],
        ["--budget", "9" * 5000],
        ["--budget", "0"],
    ],
)
def test_a_flag_that_makes_no_sense_is_wrong_usage(
    words: list[str], document: Path, proxy: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(document), "--url", proxy.url, *words])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()[-1]) < 200


TWO_POINTS = """pinfeather: v1
entry_points: {public: 8000, internal: 8001, secure: {port: 8443, tls: true}}
routes: [{name: a, hosts: [a.example], to: a}]
services: {a: {servers: [{url: "http://10.0.0.1:80"}]}}
"""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("{}", "one of public, internal, secure"),
        ("secure={}", "the entry point 'secure' speaks TLS"),
    ],
)
def test_a_url_that_may_be_any_entry_point_or_is_not_as_it_says(
    url: str, said: str, tmp_path: Path, proxy: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(TWO_POINTS)
    assert main(["verify", str(path), "--url", url.format(proxy.url)]) == 2
    assert said in capsys.readouterr().err
    assert proxy.asked == []


def test_each_url_is_asked(tmp_path: Path, proxy: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A route that stands at every entry point is asked at each that a URL is given for."""
    path = tmp_path / "two.yaml"
    path.write_text(TWO_POINTS)
    urls = ["--url", f"public={proxy.url}", "--url", f"internal={proxy.url}"]
    assert main(["verify", str(path), *urls, *WHO, "--rate", "1000", "--report", "json"]) == 0
    asked = {row["question"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {"GET http://a.example/", "GET http://a.example/ at internal"} <= asked


UNASKED = {
    "CONNECT": ("method: CONNECT", "they are CONNECT, which no proxy routes"),
    "framing": ("header: {name: Content-Length, value: '5'}", "they say 'content-length', which decides how a request is read"),
    "who the client is": ("header: {name: X-Real-Ip, value: 10.0.0.1}", "they say 'x-real-ip', which a proxy believes of nobody"),
    "the host": ("header: {name: Host, value: x}", "they say 'host', which decides how a request is read"),
}


@pytest.mark.parametrize("case", UNASKED)
def test_what_cannot_be_asked_is_counted_with_its_reason(
    case: str, tmp_path: Path, proxy: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    match, why = UNASKED[case]
    path = tmp_path / "left.yaml"
    path.write_text(ONE.format(more="").replace("match: {method: POST}", f"match: {{{match}}}"))
    assert main(["verify", str(path), "--url", proxy.url, *WHO, "--rate", "1000", "--report", "json"]) == 0
    assert any(reason.startswith(why) for reason in json.loads(capsys.readouterr().out)["left_out"])


def test_a_document_of_which_nothing_can_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """HAProxy as Voyager configures it has no servers by URL at a port of its own: all of the document is lost."""
    if shutil.which("haproxy", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))) is None:
        missing("haproxy (the package haproxy brings one)")
    path = tmp_path / "lost.yaml"
    path.write_text(TWO_POINTS.replace("10.0.0.1:80", "127.0.0.1:2"))
    for report in ("text", "json", "markdown"):
        assert main(["verify", str(path), "--start", "haproxy", "--report", report]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "nothing of this document can be asked of haproxy: loss." in said.err


def test_what_a_server_sends_cannot_steer_a_terminal(document: Path, proxy: Server, capsys: pytest.CaptureFixture[str]) -> None:
    proxy.name = "\x1b[31mone"
    main(["verify", str(document), "--url", proxy.url, *WHO, "--rate", "1000"])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[31mone is a" in out


def test_no_file_and_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "nothing.yaml", "--start", "reference"]) == 4
    assert main(["verify", str(ROOT / "tests" / "seeds" / "canary-sticky" / "list.yaml"), "--start", "reference"]) == 2
    assert "--bind" in capsys.readouterr().err


def test_a_rate_limit_of_the_document_slows_the_questions(tmp_path: Path, proxy: Server, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "limited.yaml"
    text = ONE.format(more="").replace("entry_points: [web], to: a}", "entry_points: [web], middlewares: [slow], to: a}")
    path.write_text(text + "middlewares: {slow: {rate_limit: {average: 500, burst: 50}}}\n")
    assert main(["verify", str(path), "--url", proxy.url, *WHO]) == 0
    found = capsys.readouterr()
    assert "50 a second" in found.err
    path.write_text(text + "middlewares: {slow: {rate_limit: {average: 50, burst: 50}}}\n")
    assert main(["verify", str(path), "--url", proxy.url, *WHO]) == 0
    found = capsys.readouterr()
    assert "40 a second" in found.err
    assert "the rate limit 'slow' lets no more pass" in found.out


def test_the_pace_is_kept_by_the_clock() -> None:
    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(Fraction(10), 100, lambda: now[0], sleep)
    for _ in range(21):
        pace.take()
    assert now[0] == pytest.approx(2.0)
    assert pace.sent == 21


@pytest.mark.parametrize("kind", ["json", "markdown"])
def test_the_table_for_programs_and_for_comments(kind: str, document: Path, proxy: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(document), "--url", f"p:web={proxy.url}", *WHO, "--rate", "1000", "--report", kind]) == 0
    out = capsys.readouterr().out
    if kind == "json":
        report = json.loads(out)
        assert report["holds"]
        assert {"GET http://a.example/"} <= {row["question"] for row in report["rows"]}
    else:
        assert "| `GET http://a.example/` | a | 3 of 3 | ok |" in out


def test_help_loads_no_model() -> None:
    program = "import sys; from pinfeather.cli import main\ntry: main(['verify', '--help'])\nexcept SystemExit: pass\nprint([n for n in ('pydantic', 'yaml', 're2', 'ssl') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
