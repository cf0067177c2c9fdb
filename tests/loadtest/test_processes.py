"""A process is ended only if it is the very one that was meant."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

from loadtest import processes
from loadtest.processes import Identity

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"


@pytest.fixture
def sleeper():
    child = subprocess.Popen(["sleep", "60"])
    yield child
    child.kill()
    child.wait()


def test_a_process_is_alive_until_it_has_ended_even_unreaped(sleeper):
    identity = Identity.of(sleeper.pid)
    assert identity.alive
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert not identity.alive
    with pytest.raises(ProcessLookupError):
        Identity.of(sleeper.pid)


@pytest.mark.parametrize("change", [{"started_ticks": 1}, {"boot": "another"}])
def test_a_reused_process_id_is_somebody_else(sleeper, change):
    stranger = dataclasses.replace(Identity.of(sleeper.pid), **change)
    assert not stranger.alive
    assert processes.open_pidfd(stranger) is None
    processes.end(stranger, grace_s=0.1)
    assert sleeper.poll() is None


def test_the_name_of_a_process_may_hold_brackets_and_spaces(tmp_path):
    program = tmp_path / ") S 1 (x"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([program, "60"])
    try:
        time.sleep(0.05)
        ticks_per_s = os.sysconf("SC_CLK_TCK")
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert abs(Identity.of(child.pid).started_ticks / ticks_per_s - age_s) < 5
    finally:
        child.kill()
        child.wait()


def test_ending_asks_first():
    child = subprocess.Popen(["sleep", "60"])
    pidfd = os.pidfd_open(child.pid)
    processes.end(Identity.of(child.pid), grace_s=5.0)
    os.close(pidfd)
    with pytest.raises(ChildProcessError):  # it was reaped: no zombie stays
        os.waitpid(child.pid, os.WNOHANG)
    child.returncode = -signal.SIGTERM


def test_ending_does_not_take_no_for_an_answer():
    child = subprocess.Popen(
        [sys.executable, "-c", STUBBORN + "; time.sleep(60)"], stdout=subprocess.PIPE
    )
    child.stdout.readline()
    begun_s = time.monotonic()
    identity = Identity.of(child.pid)
    processes.end(identity, grace_s=0.2)
    assert 0.2 <= time.monotonic() - begun_s < 2.0
    assert not identity.alive
    child.stdout.close()
    child.returncode = -signal.SIGKILL


def test_ending_what_has_ended_is_nothing(sleeper):
    identity = Identity.of(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    processes.end(identity, grace_s=1.0)


def test_a_child_dies_with_its_parent():
    """The middle process is killed; its child, tied to it, must not outlive it."""
    child = (
        "import os; from loadtest.processes import die_with_parent\n"
        "parent = os.getpid()\n"
        "if os.fork() == 0:\n"
        "    die_with_parent(parent); print(os.getpid(), flush=True)\n"
        "    import time; time.sleep(60)\n"
        "import time; time.sleep(60)\n"
    )
    middle = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
    grandchild = Identity.of(int(middle.stdout.readline()))
    middle.kill()
    middle.wait()
    deadline_s = time.monotonic() + 2.0
    while grandchild.alive and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not grandchild.alive
    middle.stdout.close()


ADOPT = """
import os, subprocess, sys, time
from loadtest import processes
processes.adopt_orphans()
own = subprocess.Popen(["sh", "-c", "sleep 0.1 & echo $!; exit 3"], stdout=subprocess.PIPE)
orphan = int(own.stdout.readline())
own.stdout.close()
time.sleep(0.3)
processes.reap_adopted([own.pid])
print(own.wait())
processes.reap_adopted([own.pid])
print(os.path.exists(f"/proc/{orphan}"))
"""


def test_who_adopts_orphans_collects_them_but_not_its_own_children():
    run = subprocess.run([sys.executable, "-c", ADOPT], capture_output=True, text=True, timeout=20)
    assert run.stdout.split() == ["3", "False"], run.stderr
