"""One defence against one attack in figures: what every scenario shows, and what only some do.

Whatever a scenario is played by, its variants have the same standard figures, each with an interval
from independent replications, and may have figures and a curve of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NotRequired

from typing_extensions import TypedDict

from results.statistics import Estimate, Sample, difference, unavailable

POINTS_MAX: Final = 200  # of a curve
STANDARD: Final = (
    "goodput_per_s",
    "p99_s",
    "collateral",
    "time_to_detect_s",
    "time_to_mitigate_s",
    "time_to_recover_s",
)
AMPLIFICATION: Final = "amplification_"


class Amplification(TypedDict):
    """Server's work per unit of the attacker's."""

    bytes: Estimate
    messages: Estimate
    cpu_s: Estimate


class Curve(TypedDict):
    """What a variant's picture draws, of the first replication; null where there is nothing."""

    x: list[float]
    y: list[float | None]


class Play(TypedDict):
    """One of several plays of a variant: its place among all plays, and what it alone showed.

    Figures are null where they are unbounded, or where there is none.
    """

    number: int
    figures: dict[str, float | None]
    doubts: list[str]
    runs: dict[str, str]


class Variant(TypedDict):
    """One defence against one attack; `doubts` say why what was measured is not to be relied on.

    Of several `plays` the figures are medians over those that are not in doubt, if there are any.
    """

    defence: str
    description: str
    goodput_per_s: Estimate
    p99_s: Estimate
    collateral: Estimate
    amplification: Amplification
    time_to_detect_s: Estimate
    time_to_mitigate_s: Estimate
    time_to_recover_s: Estimate
    figures: dict[str, Estimate]
    curve: Curve | None
    runs: dict[str, str]
    doubts: NotRequired[list[str]]
    plays: NotRequired[list[Play]]


class Axes(TypedDict):
    """What the curves' axes are called, with units."""

    x: str
    y: str


class AbandonedStep(TypedDict):
    """Steps of logins that clients have given up: CPU time of the server for one of each. [s]

    `paid_s` when nobody gives up, `abandoned_s` when the message is there and its sender gone,
    `ended_s` for a connection that ends without it; `noticed` is the share not paid for [1], as it
    was measured: below 0 where abandoned ones cost more. `low` and `high` are its interval from so
    many `rounds`. The step `all` is all kinds of them together, weighted by what each costs.
    """

    step: str
    paid_s: float
    abandoned_s: float
    ended_s: float
    noticed: float
    low: float
    high: float
    rounds: int


class Agreement(TypedDict):
    """One figure of one variant, predicted and measured; null where a side has none.

    `ratio_low` and `ratio_high` are the interval of measured over predicted. Where one run stands
    beside replications of the model, it is taken to vary as they do.
    """

    defence: str
    figure: str
    predicted: Estimate
    measured: Estimate
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None


class Attack(TypedDict):
    """The document of `gridlab attack --json`; `headline` names the figure that matters most.

    With `--real`, `measured` has the same variants on a real server, one run each or the medians of
    several, `variants` what was predicted for it, and `agreement` figure by figure measured over
    predicted; `given_pace` is the same with a model that was told the pace of the server's core
    during the play, `given_cost` with one that was told how much CPU time the server used in it;
    `noticed` says what logins that were given up did cost the server, `doubts` why that is not to
    be relied on, and why there are fewer plays than were asked for.
    """

    id: str
    title: str
    reference: str
    hypothesis: str
    topology: str
    headline: str
    axes: Axes
    variants: list[Variant]
    measured: NotRequired[list[Variant]]
    agreement: NotRequired[list[Agreement]]
    given_pace: NotRequired[list[Agreement]]
    given_cost: NotRequired[list[Agreement]]
    noticed: NotRequired[list[AbandonedStep]]
    doubts: NotRequired[list[str]]


@dataclass(frozen=True)
class Measured:
    """A variant's figures as samples, by name; amplifications are `amplification_bytes` and so on.

    `reasons` say why a standard figure is missing, `doubts` why the others are not to be relied on.
    `slower` has, of a play, from when on [s] the server's work took how many times as long as in
    the pilot [1], as the pace of its core tells; empty where that is not known. `messages` has, of
    a play of Platforms that come back, how many sent the message of each step of a login.
    """

    defence: str
    description: str
    samples: Mapping[str, Sample]
    curve: Curve | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    slower: tuple[tuple[float, float], ...] = ()
    messages: tuple[int, ...] = ()
    plays: tuple[Play, ...] = ()

    def sample(self, name: str) -> Sample:
        """One figure, standard or not.

        Raises
        ------
        KeyError
            The variant has none of this name.
        """
        return self.samples[name]

    def document(self) -> Variant:
        """The variant as JSON has it."""
        own = {
            name: sample.estimate()
            for name, sample in self.samples.items()
            if name not in STANDARD and not name.startswith(AMPLIFICATION)
        }
        amplification: Amplification = {
            "bytes": self._estimate("amplification_bytes"),
            "messages": self._estimate("amplification_messages"),
            "cpu_s": self._estimate("amplification_cpu_s"),
        }
        document: Variant = {
            "defence": self.defence,
            "description": self.description,
            "goodput_per_s": self._estimate("goodput_per_s"),
            "p99_s": self._estimate("p99_s"),
            "collateral": self._estimate("collateral"),
            "amplification": amplification,
            "time_to_detect_s": self._estimate("time_to_detect_s"),
            "time_to_mitigate_s": self._estimate("time_to_mitigate_s"),
            "time_to_recover_s": self._estimate("time_to_recover_s"),
            "figures": own,
            "curve": self.curve,
            "runs": dict(self.runs),
        }
        if self.doubts:
            document["doubts"] = list(self.doubts)
        if self.plays:
            document["plays"] = list(self.plays)
        return document

    def _estimate(self, name: str) -> Estimate:
        if name in self.samples:
            return self.samples[name].estimate()
        return unavailable(self.reasons.get(name, "plays no part in this scenario"))


def effect(undefended: Measured, defended: Measured, name: str) -> Estimate:
    """How much more of a figure the defended variant has, by pairs of replications."""
    return difference(undefended.sample(name), defended.sample(name), paired=True)


def thinned(x: list[float], y: list[float | None]) -> Curve:
    """A curve of at most `POINTS_MAX` points, its last one among them."""
    stride = max(1, -(-len(x) // POINTS_MAX))
    kept = sorted({*range(0, len(x), stride), len(x) - 1}) if x else []
    return {"x": [float(x[k]) for k in kept], "y": [y[k] for k in kept]}
