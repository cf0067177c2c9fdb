"""What a machine has for the lab, what is missing and how to get it, and whether it is quiet.

A check sees something, judges it and names the repair. Quietness is measured for a few seconds:
what share of the cores others use or the host takes (steal), how evenly a fixed piece of work takes
time, and how late a sleeping process wakes. A machine that fails there still simulates; only what
is measured on it is doubtful.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from typing_extensions import TypedDict

Status = Literal["good", "doubtful", "missing"]
PROGRAMS: Final = {  # what, who needs it
    "prosody": "gridlab grid, load, validate, conform",
    "ejabberdctl": "the same with ejabberd profiles",
    "tsung": "gridlab bench load",
    "tcpdump": "the test of kernel time stamps",
    "strace": "the tests of the rails",
    "chromium": "the tests of pages",
    "go-sendxmpp": "the test with a foreign client",
}
PACKAGES: Final = {"ejabberdctl": "ejabberd"}
EXTRAS: Final = {
    "slixmpp": "load",
    "locust": "load",
    "cryptography": "load",
    "psutil": "load",
    "distributed": "cluster",
    "jupyterlab": "notebooks",
    "ciw": "verify",
}
DESCRIPTORS: Final = 20_000
FREE_BYTES: Final = 2e9
WATCH_S: Final = 2.0
BUSY_MAX, STEAL_MAX = 0.10, 0.01  # shares of all cores
UNEVEN_MAX: Final = 0.15  # (p90 - p10) / p50 of a fixed piece of work
LATE_MAX_S: Final = 1e-3  # p99 of a sleeper's lateness


class Check(TypedDict):
    """One thing that was looked at."""

    name: str
    status: Status
    seen: str
    repair: str


class Diagnosis(TypedDict):
    """The document of `gridlab doctor --json`; `quiet`: fit to measure on."""

    checks: list[Check]
    quiet: bool


@dataclass(frozen=True)
class _Found:
    good: bool
    seen: str
    repair: str = ""
    otherwise: Status = "missing"


def diagnose(progress: Callable[[float, str], None] = lambda share, remark: None) -> Diagnosis:
    """Look at everything; takes a few seconds."""
    checks = [*_programs(), *_extras(), *_limits()]
    progress(0.3, "watching the machine")
    noise = list(_noise())
    checks += noise
    return {"checks": checks, "quiet": all(each["status"] == "good" for each in noise)}


def _check(name: str, found: _Found) -> Check:
    status: Status = "good" if found.good else found.otherwise
    return {
        "name": name,
        "status": status,
        "seen": found.seen,
        "repair": "" if found.good else found.repair,
    }


def _programs() -> Iterator[Check]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    for program, wanted_by in PROGRAMS.items():
        place, package = shutil.which(program, path=path), PACKAGES.get(program, program)
        seen = f"{place} {_package_version(package)}".strip() if place else "not installed"
        repair = f"apt-get install {package} (for {wanted_by})"
        yield _check(program, _Found(place is not None, seen, repair))


def _package_version(package: str) -> str:
    """Version of a Debian package; empty on other systems."""
    if shutil.which("dpkg-query") is None:
        return ""
    command = ["dpkg-query", "-W", "-f", "${Version}", package]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return asked.stdout if asked.returncode == 0 else ""


def _extras() -> Iterator[Check]:
    for package in EXTRAS:
        try:
            found = _Found(True, metadata.version(package))
        except metadata.PackageNotFoundError:
            found = _Found(False, "not installed", repair(package))
        yield _check(f"{package} (Python)", found)


def repair(package: str) -> str:
    """How to get a Python package of `EXTRAS`, in a checkout and elsewhere."""
    if (Path(__file__).parent.parent / "Makefile").is_file():
        return "make extras"
    return f"pip install 'xmpp-grid-lab[{EXTRAS[package]}]'"


def _limits() -> Iterator[Check]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    yield _check(
        "open files",
        _Found(
            hard >= DESCRIPTORS,
            f"{hard:,} a process",
            f"raise the hard limit to {DESCRIPTORS:,} for many sessions (ulimit -Hn)",
            "doubtful",
        ),
    )
    cores = len(os.sched_getaffinity(0))
    repair = "give the lab two cores: servers and generator would share one"
    yield _check("cores", _Found(cores >= 2, f"{cores}", repair, "doubtful"))
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    repair = f"make room in {place}, or set TMPDIR"
    yield _check(
        "temporary directory",
        _Found(free >= FREE_BYTES, f"{place}, {free / 1e9:.0f} GB free", repair, "doubtful"),
    )
    yield _check("private mounts", _private_mounts())
    yield _check("real-time class", _real_time())


def _private_mounts() -> _Found:
    """Whether a server can be given an /etc/hosts of its own, which federated ejabberd needs."""
    command = ["unshare", "--mount", "true"]
    if os.geteuid() != 0:
        command = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError as error:
        return _Found(False, str(error), "install util-linux", "doubtful")
    seen = "allowed" if asked.returncode == 0 else asked.stderr.strip()
    repair = "federation with ejabberd needs mount namespaces: allow user namespaces, or be root"
    return _Found(asked.returncode == 0, seen, repair, "doubtful")


def _real_time() -> _Found:
    """Whether pulses can beat, which see when a whole machine is slow (`pulse`)."""
    usual = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        repair = "raise RLIMIT_RTPRIO (ulimit -r 1): what slows the machine for moments is not seen"
        return _Found(False, "not allowed", repair, "doubtful")
    os.sched_setscheduler(0, *usual)
    return _Found(True, "allowed")


def _noise() -> Iterator[Check]:
    before, pieces_s, late_s = _core_times(), [], []
    end_s = time.monotonic() + WATCH_S
    while time.monotonic() < end_s:
        asleep_s = time.perf_counter()
        time.sleep(0.005)
        late_s.append(time.perf_counter() - asleep_s - 0.005)
        pieces_s.append(_piece_s())
    spent = {key: value - before[key] for key, value in _core_times().items()}
    total_s = sum(spent.values()) or 1.0
    own = sum(pieces_s) / (WATCH_S * (os.cpu_count() or 1))
    busy = 1.0 - (spent["idle"] + spent["iowait"]) / total_s - own
    repair = "stop what else runs here, or measure elsewhere"
    seen = f"others use {100 * max(busy, 0.0):.0f} % of the cores"
    yield _check("load of others", _Found(busy <= BUSY_MAX, seen, repair, "doubtful"))
    steal = spent["steal"] / total_s
    yield _check(
        "steal",
        _Found(steal <= STEAL_MAX, f"{100 * steal:.1f} % taken by the host", repair, "doubtful"),
    )
    low, middle, high = np.percentile(pieces_s, [10, 50, 90])
    uneven = float((high - low) / middle)
    seen = f"the same work takes {100 * uneven:.0f} % more or less time (p90 - p10)"
    repair = "fix the processor's frequency, or expect latencies to be off by as much"
    yield _check("even speed", _Found(uneven <= UNEVEN_MAX, seen, repair, "doubtful"))
    late = float(np.percentile(late_s, 99))
    seen = f"sleepers wake {1e3 * late:.2f} ms late (p99)"
    yield _check("timers", _Found(late <= LATE_MAX_S, seen, repair, "doubtful"))


def _core_times() -> dict[str, float]:
    """Time of all cores together by kind. [ticks]"""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    line = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return dict(zip(names, map(float, line), strict=True))


def _piece_s() -> float:
    """How long a fixed piece of work takes, about a millisecond. [s]"""
    started_s = time.perf_counter()
    total = 0
    for number in range(20_000):
        total += number * number
    return time.perf_counter() - started_s


def render(diagnosis: Diagnosis) -> RenderableType:
    """A line a check, repairs below what needs them."""
    styles = {"good": "green", "doubtful": "yellow", "missing": "red"}
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for check in diagnosis["checks"]:
        status = Text(check["status"], style=styles[check["status"]])
        table.add_row(status, check["name"], check["seen"])
        if check["repair"]:
            table.add_row("", "", Text(check["repair"], style="dim"))
    quiet = "quiet enough to measure on" if diagnosis["quiet"] else "too noisy to measure on"
    return Group(table, Text(f"This machine is {quiet}.", style="bold"))
