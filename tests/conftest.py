"""What a shared machine may disturb is tried twice: tests that measure a real server, no others.

A first try that failed is shown as a rerun in the summary, so that a test that needs it often is
seen. Whatever is computed alone gets no second try.
"""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("real") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))
