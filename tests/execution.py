"""Notebooks run from top to bottom, each from nothing, in a few kernels that stay warm.

`python tests/execution.py [NAME ...]` runs those whose file begins with NAME, or all, and writes
their outputs into them; the tests run all and write nothing. A kernel's names are forgotten between
two notebooks, so that none can lean on another; what it has imported stays, or most of the time
would go into imports.
"""

from __future__ import annotations

import asyncio
import copy
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nbclient
import nbformat
from jupyter_client.manager import AsyncKernelManager

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
KERNELS = 2
TIMEOUT_S = 600.0
FORGET = "get_ipython().reset(new_session=True)"
KEPT = ("kernelspec", "language_info")
STYLE = "svg.hashsalt: gridlab\nsvg.fonttype: none\n"  # the same picture for the same figures
METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)


def notebooks() -> list[Path]:
    """All notebooks, in reading order."""
    return sorted(FOLDER.glob("*.ipynb"))


def play(paths: Sequence[Path], kernels: int = KERNELS) -> dict[Path, nbformat.NotebookNode]:
    """Run notebooks; what is raised in one is an output of its cell, and the end of it."""
    return asyncio.run(_play(paths, kernels))


async def _play(paths: Sequence[Path], kernels: int) -> dict[Path, nbformat.NotebookNode]:
    waiting, played = list(reversed(paths)), {}

    async def worker() -> None:
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "matplotlibrc").write_text(STYLE)
            manager = AsyncKernelManager(kernel_name="python3")
            await manager.start_kernel(cwd=directory, env=_environment())
            try:
                while waiting:
                    path = waiting.pop()
                    played[path] = await _one(manager, path)
            finally:
                await manager.shutdown_kernel(now=True)

    await asyncio.gather(*(worker() for _ in range(min(kernels, len(paths)))))
    return played


def _environment() -> dict[str, str]:
    """Ours, with the checkout's packages, and without runs or topologies of the user's own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GRIDLAB")}
    return {**own, "PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


async def _one(manager: AsyncKernelManager, path: Path) -> nbformat.NotebookNode:
    notebook = clean(nbformat.read(path, as_version=4))
    client = nbclient.NotebookClient(notebook, km=manager, timeout=TIMEOUT_S)
    try:
        await client.async_execute(cleanup_kc=False)
    except nbclient.exceptions.CellExecutionError:
        pass  # the error is an output of its cell
    finally:
        if client.kc is not None:  # a kernel that died has none
            await client.kc.execute_interactive(FORGET, silent=True, timeout=60)
            client.kc.stop_channels()
    return lasting(notebook)


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy without outputs."""
    blank = copy.deepcopy(notebook)
    for cell in blank.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return blank


def lasting(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without what differs from run to run: instants, the state of widgets, dates in pictures."""
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", ()):
            picture = output.get("data", {}).get("image/svg+xml")
            if picture:
                output.data["image/svg+xml"] = METADATA.sub("", picture)
    notebook.metadata = {key: notebook.metadata[key] for key in KEPT if key in notebook.metadata}
    return notebook


def errors(notebook: nbformat.NotebookNode) -> list[str]:
    """What was raised."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]


def main(names: Sequence[str]) -> int:
    """Run and write."""
    chosen = [path for path in notebooks() if not names or path.name.startswith(tuple(names))]
    failed = 0
    started_s = time.monotonic()
    for path, notebook in sorted(play(chosen).items()):
        if raised := errors(notebook):
            print(f"{path.name}: {raised[0]}; nothing is written")
            failed += 1
        else:
            nbformat.write(notebook, path)
            print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")
    print(f"{len(chosen)} notebooks in {time.monotonic() - started_s:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
