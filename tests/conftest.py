"""How tests share a machine, and which are tried twice.

A test that measures a real server may be disturbed on a shared machine: it gets a second try, and
the summary names it. Whatever is computed alone gets none. Where two processes run tests, a file's
tests stay together, and those that deploy servers take turns: the same names, the same addresses.
"""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("real") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))
        folder = item.path.parent.name
        group = folder if folder == "loadtest" else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
