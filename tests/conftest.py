"""What a shared machine may disturb is tried twice: tests that measure a real server, no others.

A first try that failed is shown as a rerun in the summary, so that a test that needs it often is
seen. Whatever is computed alone gets no second try.
"""

import subprocess
import sys

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("real") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))


@pytest.fixture
def called(monkeypatch, capsys):
    """Callable: `gridlab` with these words, in this process: quicker than in one of its own."""
    import gridlab

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["gridlab", *map(str, arguments)])
        monkeypatch.setattr(gridlab, "_start_light", lambda: None)  # it is for a process of its own
        capsys.readouterr()
        try:
            gridlab.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return subprocess.CompletedProcess(sys.argv, code, *capsys.readouterr())

    return call
