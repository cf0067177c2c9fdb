"""What a first result leaves out, and that it is only left out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np

import sim.compiling  # noqa: F401  (loads numba as kernels have it)
from sim import benchmark_singles

ROOT = Path(__file__).parents[2]
STORY = """
import gc, sys
sys.argv = ["gridlab", "simulate", "single-broker", "--set", "workload.duration=60s", "--json",
            "--replications", "2", "--out", sys.argv[1]]
import gridlab
gridlab.main()
heavy = {"scipy.linalg", "scipy.special", "scipy.stats", "pandas", "pint", "matplotlib"}
heavy |= {"multiprocessing.pool", "rich.progress", "sim.reference"}
print(sorted(heavy & set(sys.modules)), gc.get_threshold()[0], file=sys.stderr)
"""


def test_a_small_simulation_loads_no_more_than_it_needs(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", STORY, str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert run.stderr.splitlines()[-1] == "[] 10000", run.stderr
    kept = tmp_path / json.loads(run.stdout)["run_id"]
    assert {"run.json", "intervals.parquet", "latency.parquet"} <= {e.name for e in kept.iterdir()}


def test_kernels_still_multiply_matrices():
    """numba looked for BLAS as it loaded, and was told that there is none."""
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    product = numba.njit(lambda one, other: one @ other)(matrix, matrix)
    assert product.tolist() == [[7.0, 10.0], [15.0, 22.0]]


def test_the_benchmark_keeps_bytecode(monkeypatch):
    """As Python does by itself: a first result with warm caches compiles no source."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    told = benchmark_singles._output_of("-c", "import sys; print(sys.dont_write_bytecode)")
    assert told.strip() == "False"
    assert os.environ["PYTHONDONTWRITEBYTECODE"] == "1"
