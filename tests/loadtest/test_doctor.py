"""What `gridlab doctor` sees of this machine, and of one that lacks everything."""

import json
import os

from rich.console import Console

from loadtest import doctor


def test_every_check_has_a_repair_unless_it_is_good():
    diagnosis = doctor.diagnose()
    checks = {each["name"]: each for each in diagnosis["checks"]}
    assert {"prosody", "ejabberdctl", "open files", "cores", "steal", "timers"} <= checks.keys()
    assert all(bool(each["repair"]) == (each["status"] != "good") for each in checks.values())
    assert checks["prosody"]["status"] == "good"
    assert "0.12" in checks["prosody"]["seen"]
    json.dumps(diagnosis)
    console = Console(width=200, record=True)
    console.print(doctor.render(diagnosis))
    assert "measure on" in console.export_text()


def test_what_is_not_installed_is_missing_with_its_package(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda program, path=None: None)
    missing = list(doctor._programs())
    assert {each["status"] for each in missing} == {"missing"}
    repair = next(each["repair"] for each in missing if each["name"] == "ejabberdctl")
    assert repair.startswith("apt-get install ejabberd ")


def test_who_may_not_use_the_real_time_class_is_told_and_nobody_stays_in_it(monkeypatch):
    before = os.sched_getscheduler(0)
    refused = []
    doctor._real_time()
    assert os.sched_getscheduler(0) == before

    def refuse(pid, policy, param):
        refused.append(policy)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(doctor.os, "sched_setscheduler", refuse)
    check = next(each for each in doctor._limits() if each["name"] == "real-time class")
    assert refused == [os.SCHED_FIFO]
    assert check["status"] == "doubtful"
    assert "RLIMIT_RTPRIO" in check["repair"]


def test_late_timers_are_told(monkeypatch):
    real = doctor.time.sleep
    monkeypatch.setattr(doctor.time, "sleep", lambda seconds: real(seconds + 0.02))
    monkeypatch.setattr(doctor, "WATCH_S", 0.3)
    checks = {each["name"]: each["status"] for each in doctor._noise()}
    assert checks["timers"] == "doubtful"
