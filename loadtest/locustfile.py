"""The Locust door: `locust -f loadtest/locustfile.py --headless -u 50 -r 10 -t 30s`.

Locust controls and shows; the engine's own processes log in, publish and receive, so it does not
matter whether Locust has patched this process for gevent. The grid must be up (`gridlab grid up`).
`-u` is the number of Platforms, dealt out to the file's populations in proportion; `-r` logins per
second; `-t` the duration of the publications, without logging in and draining. Workers
(`--processes`, `--master`, `--worker`) share the sessions and the plan of one run.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from gevent import monkey

# Where Locust was told to leave this process unpatched it still sleeps and waits in these two, and
# would never see a worker.
if not monkey.is_module_patched("time"):
    monkey.patch_time()
    monkey.patch_os()

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

import results
from loadtest.door import Door, WorkerDoor
from loadtest.shape import RunShape
from loadtest.users import PlatformUser

BAD_INPUT = 2

__all__ = ["PlatformUser", "RunShape"]


def add_arguments(parser: LocustArgumentParser) -> None:
    """What to play, and where."""
    group = parser.add_argument_group("XMPP-Grid Lab")
    add = group.add_argument
    add("--grid", default="default", env_var="GRIDLAB_GRID", help="Name of a grid that is up")
    add("--topology", default="", env_var="GRIDLAB_TOPOLOGY", help="File or name; the grid's own")
    add("--load", type=float, default=1.0, help="Factor on the rates of legitimate publications")
    add("--seed", type=int, default=1, help="Key of the plan's draws")
    add("--replication", type=int, default=0, help="Which repetition of the plan")
    add("--out", default=str(results.default_directory()), help="Directory of the record")
    # Locust's own default is every interface.
    parser.set_defaults(web_host="127.0.0.1", master_bind_host="127.0.0.1")


def prepare(environment: Environment, **_: object) -> None:
    """Check that there is a grid to drive, and take over the run's length."""
    try:
        door = WorkerDoor if isinstance(environment.runner, WorkerRunner) else Door
        door(environment)
    except ValueError as problem:
        refuse(str(problem))


def refuse(problem: str) -> NoReturn:
    """Say what is wrong, and end with the exit code for bad input."""
    print(problem, file=sys.stderr)
    sys.exit(BAD_INPUT)


events.init_command_line_parser.add_listener(add_arguments)
events.init.add_listener(prepare)
