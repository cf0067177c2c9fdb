"""With what, and on what machine, a run was made."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path


def software(*packages: str) -> dict[str, str]:
    """Versions of Python, the lab and the packages that took part; the commit in a checkout."""
    versions = {"python": platform.python_version()}
    for package in ("xmpp-grid-lab", *packages):
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
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")


def _commit() -> str:
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return ""
    try:
        asked = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except OSError:
        return ""
    return asked.stdout.strip()
