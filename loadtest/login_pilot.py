"""What a login and a wrong guess cost a server on this machine, before either is predicted.

A patient crowd comes online at once; then those who guess passwords do so as in the play, a few
times each. A guess is no login that ends early: the server notes that it said no, and sees a
connection end. So both are taken, and two numbers fitted: the profile's speed, by which all steps
of a login cost more or less here, and what a refusal takes beyond the steps before it (`deny`). In
the same grid it is measured which part of abandoned logins the server pays for.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadtest import burden, notice
from loadtest.observation import Observer
from loadtest.problems import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.herd import Herd
    from topologies.profiles import Profile
    from topologies.schema import AnyFault

SAMPLE_S: Final = 0.1
GUESSES_WITHIN_S: Final = 60.0


@dataclass(frozen=True)
class Stage:
    """A server's process, the share of a core that it gets, the cores of who sees to that."""

    pid: int
    share: float
    cores: Sequence[int]

    @contextmanager
    def held(self) -> Iterator[Observer]:
        """The server on its share, and observed."""
        with (
            burden.held(self.share, self.pid, self.cores),
            Observer(self.pid, SAMPLE_S) as observer,
        ):
            yield observer


@dataclass(frozen=True)
class Found:
    """What a pilot found.

    Attributes
    ----------
    login_s, guess_s : float
        CPU time of the server for a login, and for a refused guess, None where nobody guesses. [s]
    pace_per_s : float or None
        What its core did meanwhile, of guesses where there are any. [1/s]
    noticed : Notice or None
        What abandoned logins cost; None where nobody gives up.
    """

    login_s: float
    guess_s: float | None
    pace_per_s: float | None
    noticed: notice.Notice | None

    def fitted(self, shipped: Profile, login_s: float, guess_s: float | None) -> Profile:
        """The profile as it is here; who calls has predicted both with the one that is shipped.

        A guess costs at least its steps. Where it seems to cost less, the core was slower while
        the crowd came, and its speed is read off the guesses.
        """
        assert shipped.logins is not None
        speed = self.login_s / login_s
        changes = {} if self.noticed is None else {"noticed": self.noticed.noticed}
        if self.guess_s is not None and guess_s is not None:
            speed = min(speed, self.guess_s / guess_s)
            more_s = (self.guess_s - speed * guess_s) / (speed * shipped.speed)
            changes["deny"] = shipped.logins.deny + more_s
        found = {
            "speed": speed * shipped.speed,
            "logins": shipped.logins.model_copy(update=changes),
            "pace_per_s": self.pace_per_s,
        }
        return shipped.model_copy(update=found)


async def logins(stage: Stage, crowd: Herd) -> tuple[float, float | None]:
    """CPU time of a login of a crowd [s], and the pace meanwhile; all have left afterwards.

    The crowd meets the server as the play does, on its share of a core: what is halted and woken
    finds colder caches, and pays more.
    """
    await crowd.enter(crowd.members)  # a server's first logins cost more
    crowd.leave()
    begun_s = await notice.settled_s(stage.pid)
    with stage.held() as observer:
        await crowd.enter(crowd.members, concurrent=len(crowd.members))
        pace_per_s = observer.stop().pace_per_s(0.0)
    used_s = await notice.settled_s(stage.pid) - begun_s
    crowd.leave()
    await notice.settled_s(stage.pid)
    return used_s / len(crowd.members), pace_per_s


async def guesses(
    stage: Stage, herds: Sequence[Herd], faults: Sequence[AnyFault]
) -> tuple[float, float | None]:
    """The same of a refused guess.

    Parameters
    ----------
    herds : sequence of Herd
        Who guess once, as a server's first refusals cost more, and who then do so often enough.
    faults : sequence of AnyFault
        What makes them begin.

    Raises
    ------
    LoadError
        A guess was not refused, or there was no time for all of them.
    """
    first, then = herds
    await first.play(faults, GUESSES_WITHIN_S)
    begun_s = await notice.settled_s(stage.pid)
    with stage.held() as observer:
        await then.play(faults, GUESSES_WITHIN_S)
        pace_per_s = observer.stop().pace_per_s(0.0)
    used_s = await notice.settled_s(stage.pid) - begun_s
    outcomes = [outcome for *_, outcome in then.books.attempts]
    if not outcomes or not all(each.startswith("refused") for each in outcomes):
        others = sorted({each for each in outcomes if not each.startswith("refused")})
        raise LoadError(f"the pilot's guesses were to be refused, and were not: {others}")
    meant = sum(each.retry.attempts for each in then.members if each.hostile)
    if len(outcomes) < meant:  # some were under way, of which the server has paid for a part
        within = f"{len(outcomes)} of {meant} guesses of the pilot in {GUESSES_WITHIN_S:g} s"
        raise LoadError(f"{within}; give the server more of its core, or leave the machine alone")
    return used_s / len(outcomes), pace_per_s
