"""Workers: what they have when they begin, whose code it is, and that they outlive nobody."""

import os
import subprocess
import sys
from pathlib import Path

from sim.workers import pool

ROOT = Path(__file__).parents[2]
HEAVY = ("sim.sweeps", "numba", "numba.np.npyimpl")
STORY = """
import sys, time
from sim.workers import pool

def home(_):
    return sys.modules["sim"].__file__

if __name__ == "__main__":
    with pool(1) as workers:
        print(workers.submit(home, 0).result(), flush=True)
        workers.submit(time.sleep, 3600)
        time.sleep(3600)
"""


def _loaded(names):
    return [name for name in names if name in sys.modules]


def test_a_worker_begins_with_all_that_takes_long_to_load():
    with pool(1) as workers:
        assert workers.submit(_loaded, HEAVY).result() == list(HEAVY)


def test_the_environment_stays_as_it_was(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with pool(1):
        assert os.environ["PYTHONPATH"] == "somewhere"
        assert "PYTHONSAFEPATH" not in os.environ


def test_workers_have_our_code_and_end_with_us(tmp_path):
    """Started where another `sim` lies; killed while a worker has an hour's work in hand."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "sim").mkdir(parents=True)
    (elsewhere / "sim" / "__init__.py").touch()
    story = tmp_path / "story.py"
    story.write_text(STORY)
    process = subprocess.Popen(
        [sys.executable, story], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        cwd=elsewhere, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stdout.readline().strip() == str(ROOT / "sim" / "__init__.py")
    finally:
        process.kill()
    process.communicate(timeout=60)  # the end of its output, which workers have too
