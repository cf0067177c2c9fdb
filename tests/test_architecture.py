"""The house keeps its shape: one-way imports, small modules, nothing private committed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("topologies", "results", "sim", "loadtest")
MAY_IMPORT = {
    "topologies": set(),
    "results": set(),
    "sim": {"topologies", "results"},
    "loadtest": {"topologies", "results"},
    "gridlab": {"topologies", "results", "sim", "loadtest"},
}
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Our own top-level names that a module imports, wherever in the module it does so."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names & {*PACKAGES, "gridlab"}


@pytest.mark.parametrize(
    "path", [*MODULES, ROOT / "gridlab.py"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_imports_point_one_way(path):
    owner = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert imported(path) - {owner} <= MAY_IMPORT[owner]


@pytest.mark.parametrize(
    "path", [*MODULES, ROOT / "gridlab.py"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_modules_and_functions_fit_the_eye(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = node.body[0] if ast.get_docstring(node) else None
            described = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
            assert node.end_lineno - node.lineno + 1 - described <= 70, node.name


def test_nothing_waits_in_a_way_that_loses_cancellations():
    """`asyncio.wait_for` of Python 3.11 swallows one that comes as its future is done (bpo-37658).

    Connections on loopback are done at once, so it happens; `asyncio.timeout` does not do it.
    """
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.wait_for"
    ]
    assert calls == []


def test_the_front_door_opens_at_once():
    """Neither `gridlab --help` nor importing our packages loads a heavy library."""
    program = (
        "import sys, gridlab, topologies, results, sim, loadtest\n"
        "heavy = {'numba', 'matplotlib', 'pandas', 'pyarrow', 'pint'}\n"
        "heavy |= {'slixmpp', 'locust', 'simpy', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_nothing_private_is_committed():
    """No machine's path, no registry's address, no secret in any tracked text file."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    marks = [
        "/" + "work/",
        "/" + "root/",
        "PRIVATE " + "KEY",
        "pypi." + "org",
        "extra-" + "index-url",
        "--find-" + "links",
    ]
    found = []
    for name in filter(None, tracked.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".png", ".parquet", ".npz"} or not path.is_file():
            continue
        text = path.read_text(errors="replace")
        found += [f"{name}: {mark}" for mark in marks if mark in text]
    assert found == []


def test_no_two_test_modules_share_a_name():
    """Folders of tests are no packages: two files of one name cannot be collected together."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_kernels_are_compiled_anew_when_any_code_of_theirs_changes():
    """A cached kernel is known by the code of these modules; what they call must be among them."""
    from sim.compiling import COMPILED

    for name in COMPILED:
        text = (ROOT / "sim" / f"{name}.py").read_text()
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("sim"):
                continue
            within = [node.module.removeprefix("sim.")]
            others = [alias.name for alias in node.names] if node.module == "sim" else within
            for other in others:
                if "@inlined" in (ROOT / "sim" / f"{other}.py").read_text():
                    assert other in COMPILED, f"sim.{name} calls kernels of sim.{other}"
