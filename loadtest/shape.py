"""Locust's load shape of a topology: as many users as the file has sessions, until its plan ends.

For a locustfile of one's own:

    from loadtest.shape import PlanShape

    class SingleBroker(PlanShape):
        topology = "single-broker"
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from locust import LoadTestShape

from loadtest.problems import LoadError

if TYPE_CHECKING:
    from topologies.schema import Topology


class PlanShape(LoadTestShape):  # type: ignore[misc]
    """Users by time: the file's Platforms log in at a steady rate, then stay as long as it says.

    Attributes
    ----------
    topology : str
        File or name.
    overrides : sequence of str
        Changes to it, as `--set` has them.
    logins_per_s : float
        New users per second; the plan's time counts from when the last may be online. [1/s]
    """

    abstract = True
    topology: ClassVar[str] = ""
    overrides: ClassVar[Sequence[str]] = ()
    logins_per_s: ClassVar[float] = 100.0

    def tick(self) -> tuple[int, float] | None:
        """Users and users per second wanted now; None when the plan is over."""
        described = _described(self.topology, tuple(self.overrides))
        users = described.platform_count
        if not 0.0 < self.logins_per_s < float("inf"):
            raise LoadError(f"logins_per_s: {self.logins_per_s}: must be more than 0; write 100")
        if self.get_run_time() >= users / self.logins_per_s + described.workload.duration:
            return None
        return users, self.logins_per_s


class RunShape(LoadTestShape):  # type: ignore[misc]
    """The shape of the run behind the Locust door: `-u`, `-r` and `-t` as usual.

    The engine knows when the plan has ended, and ends Locust's test then.
    """

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Users and users per second wanted."""
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        return options.num_users, options.spawn_rate


@functools.cache
def _described(name: str, overrides: tuple[str, ...]) -> Topology:
    import topologies

    return topologies.load(name, overrides)
