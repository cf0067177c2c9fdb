"""With what, and on what machine, a run was made."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path


def software(*packages: str) -> dict[str, str]:
    """Versions of Python, the lab and the packages that took part; the commit in a checkout."""
    versions = {"python": platform.python_version()}
    for package in ("xmpp-grid-lab", *packages):
        if version := _version(package):
            versions[package] = version
    if commit := _commit():
        versions["commit"] = commit
    return versions


@functools.cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def machine() -> dict[str, str]:
    """Processor, memory and kernel."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": _field("/proc/meminfo", "MemTotal"),
    }


@functools.cache
def peak_rss_bytes() -> int:
    """Most memory that this process had in RAM. [B]

    From the high-water mark of its own memory: getrusage's would also count what the process that
    started it had at that instant (getrusage(2): ru_maxrss survives fork and exec).
    """
    mark = _field("/proc/self/status", "VmHWM")
    if mark:
        return int(mark.split()[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _field(path: str, name: str) -> str:
    """The first value of that name in a file of `name : value` lines; empty if there is none."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")


@functools.cache
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
