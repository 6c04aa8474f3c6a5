"""Certificates for tests, made by the openssl of the system: each signs itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.required import missing


def make(folder: Path, name: str, *hosts: str, rsa: bool = False) -> tuple[Path, Path]:
    """The files of a new certificate and its key, `NAME.pem` and `NAME.key`, good for a day."""
    openssl = shutil.which("openssl")
    if openssl is None:
        missing("the program openssl")
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-addext", "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)] if hosts else []
    command = [openssl, "req", "-x509", "-newkey", *kind, "-nodes", "-days", "1", "-subj", f"/CN={name}", "-keyout", key, "-out", chain]
    subprocess.run([*command, *names], check=True, capture_output=True, timeout=60)
    return chain, key
