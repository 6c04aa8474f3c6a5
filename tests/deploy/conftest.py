"""A throwaway Pulumi project on the real engine: its own folder, its own state, and nothing left of it afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pinfeather.deploy.processes import MARK
from tests.parts.processes import free_ports
from tests.required import missing

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "pinfeather" / "deploy" / "plugin"
PROGRAM = """
import json, sys
from pathlib import Path
import pulumi
from pinfeather.deploy.components import Routes, TranslatedArgs
from pinfeather.deploy.policy import Policy
from pinfeather.deploy.resources import LocalProcess
from pinfeather.deploy.translation import Translation
from pinfeather.model.document import Document
from pinfeather.translators.contract import TextFile

here = Path.cwd()
want = json.loads((here / "want.json").read_text())
files = tuple(TextFile(name, text) for name, text in want["files"].items())
secrets = frozenset(want["files"][name] for name in want["secret"])
document = Document.model_validate_json(json.dumps({"services": {"a": {"servers": [{"url": "http://a.example", **want["document"]}]}}}))
said = Translation(document=document, format="pinfeather", options={}, files=files, secrets=secrets)
routes = Routes("shop", TranslatedArgs.of(said, Policy(), str(here / "out")))
for name, port in want["processes"].items():
    LocalProcess(
        name, name=name, command=[sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        folder=str(here / "run"), working_directory=str(here), listen=[f"127.0.0.1:{port}"], version=want["version"],
        opts=pulumi.ResourceOptions(depends_on=[routes]),
    )
pulumi.export("paths", routes.paths)
"""


@dataclass
class Project:
    """One program with one stack. `want` is what the program asks for; `pulumi` runs the engine's command line."""

    folder: Path
    environment: Mapping[str, str]
    want: dict[str, object] = field(default_factory=dict)

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        """Run one command; return what it printed. Fails the test when it ends otherwise than expected."""
        (self.folder / "want.json").write_text(json.dumps(self.want))
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{printed}"
        return printed

    def up(self, *arguments: str, fails: bool = False) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", *arguments, fails=fails)

    def steps(self, *arguments: str) -> dict[str, str]:
        """What a preview would do to each resource: name -> operation."""
        printed = self.pulumi("preview", "--json", *arguments)
        preview = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
        return {step["urn"].rpartition("::")[2]: step["op"] for step in preview["steps"]}

    def state(self) -> Path:
        """The folder of the file backend."""
        return Path(self.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))

    def resources(self) -> dict[str, dict[str, object]]:
        """The stack's state: name -> outputs."""
        exported = json.loads(self.pulumi("stack", "export"))
        found = exported["deployment"].get("resources", [])
        return {each["urn"].rpartition("::")[2]: each.get("outputs", {}) for each in found}

    def serve(self, *names: str) -> None:
        """Ask for one server for each name, each on a free port."""
        self.want["processes"] = dict(zip(names, free_ports(len(names)), strict=True))

    def processes(self) -> list[int]:
        """Everything alive that was started for this project."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(MARK, "").startswith(f"{self.folder}/")
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="session")
def engine_environment() -> dict[str, str]:
    """The environment of the engine that `make setup` found or built; skips, with the reason, when there is none."""
    program = (
        "import json; from pathlib import Path; from tools.toolchain import pulumi_environment; "
        "print(json.dumps(pulumi_environment(Path.cwd())))"
    )
    asked = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        missing(f"the Pulumi engine ({asked.stderr.strip().splitlines()[-1]})")
    return dict(json.loads(asked.stdout))


@pytest.fixture
def project(engine_environment: dict[str, str], tmp_path: Path) -> Iterator[Project]:
    """A project with the stack `dev`; whatever it started and did not end is ended afterwards."""
    folder, state = tmp_path / "project", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    configuration = {
        "name": "shop",
        "runtime": {"name": "python", "options": {"toolchain": "pip", "virtualenv": str(ROOT / ".venv")}},
        "plugins": {"providers": [{"name": "pinfeather", "path": str(PLUGIN)}]},
    }
    (folder / "Pulumi.yaml").write_text(json.dumps(configuration))
    (folder / "__main__.py").write_text(PROGRAM)
    own = {
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "a test",
    }
    want: dict[str, object] = {"document": {"weight": 9}, "files": {}, "secret": [], "processes": {}, "version": "1"}
    project = Project(folder, {**engine_environment, **own}, want)
    project.pulumi("stack", "init", "dev")
    yield project
    for pid in project.processes():
        psutil.Process(pid).kill()
