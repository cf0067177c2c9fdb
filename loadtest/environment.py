"""With what, and on what machine, a run was measured."""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

CLOCK: Final = {
    "name": "CLOCK_MONOTONIC, one for all processes of the machine",
    "received": "by the kernel (SO_TIMESTAMPNS), less what it took until it was read",
    "offset_s_max": "0",
}
_PACKAGES: Final = ("xmpp-grid-lab", "slixmpp", "locust", "numpy")


def software() -> dict[str, str]:
    """Versions of what took part, and the commit in a checkout."""
    versions = {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if commit := _commit():
        versions["commit"] = commit
    return versions


def machine() -> dict[str, str]:
    """Processor, memory and kernel."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": _field("/proc/meminfo", "MemTotal"),
    }


def _field(path: str, name: str) -> str:
    """The first value of that name in a file of `name : value` lines; empty if there is none."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _commit() -> str:
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return ""
    asked = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return asked.stdout.strip()
