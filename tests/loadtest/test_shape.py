"""Users by time from a topology: Locust's load shape of the plan."""

import importlib

import pytest

import topologies
from loadtest.problems import LoadError


@pytest.fixture(scope="module")
def shapes():
    """The module, with Locust imported so that it does not patch this process for gevent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
        return importlib.import_module("loadtest.shape")


@pytest.fixture
def shape(shapes, monkeypatch):
    """Callable: a shape of single-broker, so many seconds after its start."""

    def at(run_time_s, **attributes):
        kind = type("Shape", (shapes.PlanShape,), {"topology": "single-broker", **attributes})
        made = kind()
        monkeypatch.setattr(made, "get_run_time", lambda: run_time_s)
        return made.tick()

    return at


USERS = topologies.load("single-broker").platform_count


@pytest.mark.parametrize(
    ("run_time_s", "wanted"),
    [
        pytest.param(0.0, (USERS, 20.0), id="everybody from the start, at that rate"),
        pytest.param(USERS / 20 + 6.9, (USERS, 20.0), id="until the plan's end"),
        pytest.param(USERS / 20 + 7.0, None, id="and no longer"),
    ],
)
def test_users_log_in_stay_and_leave_with_the_plan(shape, run_time_s, wanted):
    overrides = ["workload.duration=7 s"]
    assert shape(run_time_s, logins_per_s=20.0, overrides=overrides) == wanted


def test_impossible_rate_is_refused(shape):
    with pytest.raises(LoadError, match=r"logins_per_s: 0\.0: must be more than 0"):
        shape(1.0, logins_per_s=0.0)


def test_package_exports_it(shapes):
    assert importlib.import_module("loadtest").PlanShape is shapes.PlanShape
    assert shapes.PlanShape.abstract
    assert not shapes.RunShape.abstract
