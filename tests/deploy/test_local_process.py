"""`LocalProcess` with real processes: a small server of Python's own, on free ports of the loopback."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pinfeather.deploy.contract import Change, Difference, RefusedError, Severity, Step, Stored
from pinfeather.deploy.local_process import LocalProcessInputs, LocalProcessOutputs, LocalProcessResource
from pinfeather.deploy.processes import MARK, probe

RESOURCE = LocalProcessResource()
SERVER = "import http.server as h, sys; h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SERVER
SLEEPER = "import time; time.sleep(600)"
# A child in a process group of its own: a signal to the group of its parent does not reach it.
CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], process_group=0); " + SERVER
Old = Stored[LocalProcessInputs, LocalProcessOutputs]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        tick.wait(0.01)
    return True


@dataclass
class Site:
    """One run folder, with whatever was started in it."""

    folder: Path
    said: list[tuple[Severity, str]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def asked(
        self, name: str = "one", *, program: str = SERVER, port: int | None = None, more: dict[str, object] | None = None, **also: object
    ) -> LocalProcessInputs:
        port = free_port() if port is None else port
        given: dict[str, object] = {
            "name": name,
            "command": [sys.executable, "-c", program, str(port)],
            "folder": str(self.folder),
            "listen": [f"127.0.0.1:{port}"],
            "health": f"http://127.0.0.1:{port}/",
            "stop_timeout": 5,
        }
        return LocalProcessInputs.model_validate_json(json.dumps({**given, **(more or {}), **also}))

    def step(self, preview: bool = False) -> Step:
        urn = "urn:pulumi:dev::shop::pinfeather:index:LocalProcess::one"
        return Step(urn, preview, lambda severity, text: self.said.append((severity, text)), self.cancelled)

    def create(self, new: LocalProcessInputs) -> Old:
        outputs = RESOURCE.create(self.step(), new)
        assert outputs is not None
        return Stored(new, outputs)

    def update(self, old: Old, new: LocalProcessInputs) -> Old:
        outputs = RESOURCE.update(self.step(), old, new)
        assert outputs is not None
        return Stored(new, outputs)

    def processes(self) -> list[psutil.Process]:
        """Everything alive that was started in this folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK, "").startswith(f"{self.folder}/") and alive(process.pid):
                    found.append(process)
            except psutil.Error:
                continue
        return found


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def answers(new: LocalProcessInputs) -> bool:
    assert new.health is not None
    return probe(new.health, 2.0) is None


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "run")
    yield site
    for process in site.processes():
        process.kill()
    assert eventually(lambda: not site.processes())


def test_start_and_delete(site: Site) -> None:
    made = site.create(site.asked())
    assert answers(made.inputs)
    process = psutil.Process(made.outputs.pid)
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    assert made.outputs.addresses == made.inputs.listen
    assert made.outputs.log_file == str(site.folder / "one.log")
    assert RESOURCE.read(site.step(), made) == made.outputs
    assert RESOURCE.diff(site.step(), made, made.inputs) == Difference({})
    assert RESOURCE.identity(made.inputs) == "one"
    RESOURCE.delete(site.step(), made)
    assert not alive(process.pid)
    assert not site.folder.exists()
    RESOURCE.delete(site.step(), made)  # gone is success
    assert not site.folder.exists()
    assert site.said == []


def test_the_process_gets_none_of_the_engine_s_secrets(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "CANARY")
    made = site.create(site.asked(environment={"GIVEN": "yes"}))
    environment = psutil.Process(made.outputs.pid).environ()
    assert environment["GIVEN"] == "yes"
    assert "PATH" in environment
    assert "CANARY" not in environment.values()
    assert psutil.Process(made.outputs.pid).num_fds() < 12  # standard streams, the listener, and the server's own few


def test_a_preview_touches_nothing(site: Site) -> None:
    new = site.asked()
    assert RESOURCE.create(site.step(preview=True), new) is None
    assert not site.folder.exists()
    made = site.create(new)
    assert RESOURCE.update(site.step(preview=True), made, made.inputs) == made.outputs
    assert RESOURCE.update(site.step(preview=True), made, site.asked(version="2")) is None
    assert RESOURCE.read(site.step(), made) == made.outputs
    assert site.said == []


def test_a_port_in_use_names_its_holder(site: Site) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = int(listener.getsockname()[1])
        new = site.asked(port=port)
        named = f"port {port} of 127.0.0.1 is in use by process {os.getpid()} ({psutil.Process().name()})"
        assert RESOURCE.create(site.step(preview=True), new) is None
        assert site.said == [(Severity.WARNING, f"one will not start as things are: {named}.")]
        with pytest.raises(RefusedError) as refused:
            site.create(new)
        assert str(refused.value) == f"one cannot start: {named}. Stop that process, or choose another port."
    assert site.processes() == []


def test_a_port_held_by_an_unseen_process(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setattr(psutil, "process_iter", lambda: iter(()))  # as another user's process looks to us
        with pytest.raises(RefusedError, match="in use by a process that this user may not see"):
            site.create(site.asked(port=int(listener.getsockname()[1])))


def test_an_address_of_no_interface(site: Site) -> None:
    with pytest.raises(RefusedError, match=r"nothing can listen on 192\.0\.2\.1:8080"):
        site.create(site.asked(listen=["192.0.2.1:8080"]))


def test_a_failed_start_shows_the_end_of_the_log(site: Site) -> None:
    program = "import sys; [print('line', n) for n in range(50)]; print('bad \\x1b[31mflag'); sys.exit(3)"
    with pytest.raises(RefusedError) as refused:
        site.create(site.asked(program=program))
    message = str(refused.value)
    assert message.startswith("one did not start: it ended with status 3. Its log ")
    assert message.endswith("line 49\nbad ?[31mflag")
    assert "line 30\n" not in message
    assert not (site.folder / "one.json").exists()


def test_only_the_log_of_this_start_is_shown(site: Site) -> None:
    with pytest.raises(RefusedError, match="first"):
        site.create(site.asked(program="raise SystemExit('first')"))
    with pytest.raises(RefusedError, match="it ended by signal 9") as refused:
        site.create(site.asked(program="import os; os.kill(os.getpid(), 9)"))
    assert "It wrote nothing to its log" in str(refused.value)


def test_a_start_that_never_gets_healthy_is_ended(site: Site) -> None:
    began, port = time.monotonic(), free_port()
    new = site.asked(port=port, health=f"http://127.0.0.1:{port}/nothing-here", start_timeout=0.5)
    with pytest.raises(RefusedError, match=r"did not answer well within 0\.5 s \(status 404\)"):
        site.create(new)
    assert time.monotonic() - began < 10
    assert site.processes() == []


def test_an_interrupt_ends_what_was_being_started(site: Site) -> None:
    site.cancelled.set()
    with pytest.raises(RefusedError, match="it was interrupted"):
        site.create(site.asked(program=SLEEPER))
    assert site.processes() == []


def test_a_command_that_is_not_there(site: Site) -> None:
    with pytest.raises(RefusedError, match=r"cannot start '/nowhere/proxy': no such file or directory"):
        site.create(site.asked(command=["/nowhere/proxy"]))


def test_create_adopts_what_a_killed_run_left(site: Site) -> None:
    made = site.create(site.asked())
    again = site.create(made.inputs)
    assert again.outputs == made.outputs
    assert site.said == [(Severity.INFO, f"one runs already (process {made.outputs.pid}); it is kept.")]


def test_create_adopts_without_a_state_file(site: Site) -> None:
    """A run killed between the start and the state file: the process still carries its mark."""
    made = site.create(site.asked())
    (site.folder / "one.json").unlink()
    assert site.create(made.inputs).outputs.pid == made.outputs.pid
    assert (site.folder / "one.json").exists()


def test_create_ends_what_a_killed_run_left_of_another_specification(site: Site) -> None:
    port = free_port()
    old = site.create(site.asked(port=port))
    new = site.create(site.asked(port=port, version="2"))
    assert not alive(old.outputs.pid)
    assert [process.pid for process in site.processes()] == [new.outputs.pid]


def test_a_killed_process_is_started_again(site: Site) -> None:
    made = site.create(site.asked())
    os.kill(made.outputs.pid, signal.SIGKILL)
    assert eventually(lambda: not alive(made.outputs.pid))
    assert RESOURCE.diff(site.step(), made, made.inputs) == Difference({"pid": Change.UPDATE})
    assert RESOURCE.read(site.step(), made) is None
    assert site.said == [(Severity.WARNING, f"one (process {made.outputs.pid}) does not run any more.")] * 2
    after = site.update(made, made.inputs)
    assert after.outputs.pid != made.outputs.pid
    assert answers(made.inputs)
    # Without the state of that update (a run killed before it was kept), the state file tells the new pid.
    assert RESOURCE.read(site.step(), made) == after.outputs


def test_a_pid_that_is_used_again_is_not_our_process(site: Site) -> None:
    made = site.create(site.asked())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        outputs = made.outputs.model_copy(update={"pid": other.pid, "started": made.outputs.started - 60})
        forged = Stored(made.inputs, outputs)
        RESOURCE.delete(site.step(), made)
        assert RESOURCE.read(site.step(), forged) is None
        RESOURCE.delete(site.step(), forged)
        assert other.poll() is None
        other.communicate(b"\n", timeout=30)
        assert other.returncode == 0


def test_a_moved_clock_does_not_lose_the_process(site: Site) -> None:
    made = site.create(site.asked())
    outputs = made.outputs.model_copy(update={"started": made.outputs.started - 3600})
    assert RESOURCE.read(site.step(), Stored(made.inputs, outputs)) == outputs


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2"},
        {"environment": {"A": "b"}},
        {"restart_on": {"static": "0123"}},
        {"working_directory": "/usr"},
        {"kind": "other"},
    ],
)
def test_another_specification_restarts(site: Site, change: dict[str, object]) -> None:
    port = free_port()
    made = site.create(site.asked(port=port))
    new = site.asked(port=port, more=change)
    difference = RESOURCE.diff(site.step(), made, new)
    assert set(difference.changes) == set(change)
    assert not difference.replaces
    after = site.update(made, new)
    assert after.outputs.pid != made.outputs.pid
    assert not alive(made.outputs.pid)
    assert [process.pid for process in site.processes()] == [after.outputs.pid]


def test_other_timeouts_restart_nothing(site: Site) -> None:
    port = free_port()
    made = site.create(site.asked(port=port))
    new = site.asked(port=port, stop_timeout=1)
    assert set(RESOURCE.diff(site.step(), made, new).changes) == {"stop_timeout"}
    assert site.update(made, new).outputs == made.outputs


def test_another_name_is_another_process(site: Site) -> None:
    made = site.create(site.asked())
    difference = RESOURCE.diff(site.step(), made, site.asked("two"))
    assert difference.replaces == {"name"}
    assert difference.delete_before_replace


def test_who_does_not_end_is_killed_and_it_is_said(site: Site) -> None:
    made = site.create(site.asked(program=STUBBORN, stop_timeout=0.2))
    RESOURCE.delete(site.step(), made)
    assert not alive(made.outputs.pid)
    ((severity, message),) = site.said
    assert severity is Severity.WARNING
    assert message == f"one (process {made.outputs.pid}) did not end within 0.2 s, so it was killed."


def test_delete_takes_away_what_a_killed_run_was_writing(site: Site) -> None:
    made = site.create(site.asked())
    with subprocess.Popen([sys.executable, "-c", "pass"]) as writer:
        pass
    (site.folder / f".one.json.{writer.pid}.0123abcd.tmp").write_text("{")
    RESOURCE.delete(site.step(), made)
    assert not site.folder.exists()


def test_delete_ends_the_whole_session(site: Site) -> None:
    made = site.create(site.asked(program=CHILD, stop_timeout=0.2))
    assert len(site.processes()) == 2
    RESOURCE.delete(site.step(), made)
    assert site.processes() == []


def test_what_a_dead_leader_left_is_ended_before_the_next_start(site: Site) -> None:
    made = site.create(site.asked(program=CHILD, stop_timeout=0.2))
    os.kill(made.outputs.pid, signal.SIGKILL)
    assert eventually(lambda: not alive(made.outputs.pid))
    (left,) = site.processes()
    after = site.update(made, made.inputs)
    assert not alive(left.pid)
    assert after.outputs.pid in [process.pid for process in site.processes()]


def test_two_runs_start_one_process(site: Site) -> None:
    new = site.asked()
    made: list[Old] = []
    threads = [threading.Thread(target=lambda: made.append(site.create(new))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({each.outputs.pid for each in made}) == 1
    assert len(made) == 4
    assert len(site.processes()) == 1


def test_a_lock_that_is_held_names_its_holder(site: Site) -> None:
    site.folder.mkdir()
    with (site.folder / "one.lock").open("w") as lock:
        lock.write("4242\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RefusedError, match=r"another run \(process 4242\) is busy with it"):
            site.create(site.asked(start_timeout=0.1, stop_timeout=0.1))


def test_one_server_listens_on_tcp_only(site: Site) -> None:
    made = site.create(site.asked(health=None))
    assert RESOURCE.read(site.step(), made) == made.outputs


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"folder": "run"}, "folder"),
        ({"log": "a.log"}, "log"),
        ({"working_directory": "."}, "working_directory"),
        ({"command": ["a\0b"]}, "command"),
        ({"listen": ["8080"]}, "listen"),
        ({"listen": ["127.0.0.1:0"]}, "listen"),
        ({"listen": ["127.0.0.1:65536"]}, "listen"),
        ({"listen": ["127.0.0.1:http"]}, "listen"),
        ({"health": "https://127.0.0.1:1/"}, "health"),
        ({"health": "tcp://127.0.0.1"}, "health"),
        ({"health": "http://127.0.0.1:x/"}, "health"),
        ({"health": None, "listen": []}, "health"),
    ],
)
def test_check_says_what_is_wrong(site: Site, change: dict[str, object], name: str) -> None:
    (failure,) = RESOURCE.check(site.asked(more=change))
    assert failure.name == name


def test_check_takes_good_inputs(site: Site) -> None:
    assert not RESOURCE.check(site.asked())
    assert not RESOURCE.check(site.asked(listen=["[::1]:8080"], health=None))
