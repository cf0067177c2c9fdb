"""What a run record holds: the header (`run.json`) and the columns of its three tables.

One schema for all three origins. Counts and histograms are stored, summaries are recomputed from
them (`results.summary`). Field meanings, units and types are written here once; the JSON Schema and
the docs' tables are made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Origin = Literal["estimated", "simulated", "measured"]
StationMode = Literal["batched", "windowed", "event"]
INTERVALS_MAX = 120
STAGES = (
    "uplink", "limiter", "controller", "broker", "fan-out", "session", "link", "downlink", "reader",
)  # fmt: skip
PUBLICATION_ROWS_MAX = 1_000_000
RECORD_VERSION = 1
RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"  # names the run's directory


class RecordError(ValueError):
    """A run record that cannot be read, written or compared: place, value, rule and repair."""

    exit_code = 2


class RecordModel(BaseModel):
    """Base of the header's sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(RecordModel):
    """A named stretch of the run; a delivery belongs to the phase in which it was intended."""

    name: str
    start_s: float
    end_s: float
    measured: bool = Field(True, description="false for warm-up: kept, but not part of the figures")


class ControllerRecord(RecordModel):
    """What the figures of one Controller refer to."""

    cores: int = Field(description="cores that it may use; an event loop fills one of them")
    memory_bytes: float = Field(description="memory that the server may fill [B]")
    nic_bytes_per_s: float
    profile: str
    discipline: str
    speed: float = Field(description="cost relative to the profile's machine [1]")
    server: str

    @property
    def usable_cores(self) -> int:
        """Cores that its discipline can keep busy: utilisation is busy time over these."""
        return 1 if self.discipline == "loop-turns" else self.cores


class Counts(RecordModel):
    """Totals over all replications; a drained run has expected = delivered + rejected +
    discarded + lost.
    """

    publications: int
    expected: int = Field(description="publications times subscribers at the intended instant")
    delivered: int
    rejected: int = Field(description="refused by a limit or an access rule")
    discarded: int = Field(0, description="given up by the policy of a full session queue")
    lost: int
    duplicated: int = 0
    reordered: int = 0
    replayed: int = Field(0, description="delivered again with a delay stamp (XEP-0203)")
    dropped: int = Field(0, description="publications that the generator never sent")


class Identity(RecordModel):
    """A law that every run obeys, with both sides as counted apart."""

    name: str
    left: float
    right: float
    tolerance: float = Field(description="allowed relative difference [1]")
    holds: bool


class Verdict(RecordModel):
    """Whether the figures may be used, and why not."""

    valid: bool
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class TopologyText(RecordModel):
    """The description that was run, whole."""

    name: str
    text: str
    sha256: str


class Header(RecordModel):
    """`run.json`."""

    record: Literal[1] = 1
    run_id: str = Field(pattern=RUN_ID)
    origin: Origin
    door: str = Field(description="the command that made it")
    created: str = Field(description="UTC, ISO 8601")
    topology: TopologyText
    plan_sha256: tuple[str, ...] = Field(description="hash of plan(seed, r) for each replication r")
    seed: int
    study: Literal["steady", "campaign"]
    duration_s: float
    replications: int
    phases: tuple[Phase, ...]
    deadline_s: float
    controllers: dict[str, ControllerRecord]
    stations: dict[str, StationMode] = {}
    counts: Counts
    identities: tuple[Identity, ...] = ()
    verdict: Verdict
    wall_s: float
    peak_rss_bytes: int
    software: dict[str, str] = {}
    environment: dict[str, str] = {}
    clock: dict[str, str] = {}
    measurement: dict[str, Any] = Field({}, description="facts of generator, server and ledger")
    publication_stride: int = Field(1, description="every n-th publication is in the table")
    digests: dict[str, str] = Field(
        {}, description="SHA-256 of each file; own: with zeros in place"
    )


@dataclass(frozen=True)
class Column:
    """One column: its NumPy type, unit and meaning."""

    name: str
    dtype: str
    unit: str
    meaning: str


INTERVALS = (
    Column("replication", "uint16", "", "which seeded repetition"),
    Column("interval", "uint16", "", "number within the run; edges include those of the phases"),
    Column("phase", "str", "", "phase that the interval belongs to"),
    Column("controller", "str", "", "Controller"),
    Column("start_s", "float64", "s", "since the run's origin"),
    Column("end_s", "float64", "s", "since the run's origin"),
    Column("offered", "int64", "", "publications intended in it, all roles"),
    Column("offered_legitimate", "int64", "", "those of them by legitimate Platforms"),
    Column("accepted", "int64", "", "publications that the Controller took in"),
    Column("rejected", "int64", "", "publications refused"),
    Column("delivered", "int64", "", "copies received in it, all roles"),
    Column("timely", "int64", "", "legitimate copies intended in it, in time"),
    Column("busy_s", "float64", "s", "core time used, summed over cores"),
    Column("backlog_copies_max", "int64", "", "most copies waiting in the Controller at one time"),
    Column("memory_bytes_max", "float64", "B", "most memory held by the server"),
    Column("egress_bytes", "float64", "B", "sent to Platforms, down to the wire"),
    Column("latency_sum_s", "float64", "s", "latencies of legitimate copies intended in it"),
    Column("latency_count", "int64", "", "how many copies that sum holds"),
)

LATENCY = (
    Column("replication", "uint16", "", "which seeded repetition"),
    Column("phase", "str", "", "phase in which the publication was intended"),
    Column("topic", "str", "", "Topic"),
    Column("population", "str", "", "receiving population"),
    Column(
        "role",
        "str",
        "",
        "legitimate or adversary (who published), query, last-item or retract; delayed: deliveries "
        "that were stored, once more",
    ),
    Column("stage", "str", "", "total, or the part of the way"),
    Column("bin", "int32", "", "bin of results.histogram"),
    Column("count", "int64", "", "deliveries in it"),
)

PUBLICATIONS = (
    Column("replication", "uint16", "", "which seeded repetition"),
    Column("publication", "int64", "", "row of the plan"),
    Column("publisher", "uint32", "", "Platform that publishes"),
    Column("topic", "uint16", "", "index of the Topic in the topology"),
    Column("payload_bytes", "uint32", "B", "payload size"),
    Column("intended_s", "float64", "s", "instant that the plan asks for"),
    Column("sent_s", "float64", "s", "instant it was sent; nan if never"),
    Column("accepted_s", "float64", "s", "Controller took it in; nan if unknown"),
    Column("first_s", "float64", "s", "first copy delivered; nan if none"),
    Column("last_s", "float64", "s", "last copy delivered; nan if none"),
    Column("expected", "int64", "", "copies expected"),
    Column("delivered", "int64", "", "copies delivered"),
)

TABLES = {"intervals": INTERVALS, "latency": LATENCY, "publications": PUBLICATIONS}


def record_schema() -> dict[str, Any]:
    """JSON Schema of `run.json`."""
    return Header.model_json_schema()


def tables_markdown() -> str:
    """The tables' columns with types, units and meanings, as the docs print them."""
    head = ["", "| column | type | unit | meaning |", "|---|---|---|---|"]
    lines: list[str] = []
    for name, columns in TABLES.items():
        lines += [f"### {name}.parquet", *head]
        lines += [f"| `{c.name}` | {c.dtype} | {c.unit} | {c.meaning} |" for c in columns]
        lines.append("")
    return "\n".join(lines)


@dataclass
class Draft:
    """A finished run on its way to disk: header fields still without digests, tables as columns.

    `latency` maps (replication, phase, topic, population, role, stage) to a dense counts array of
    `results.histogram`; `intervals` and `publications` map column names to arrays of equal length.
    """

    header: Header
    intervals: dict[str, npt.NDArray[Any]]
    latency: Mapping[tuple[int, str, str, str, str, str], npt.NDArray[np.int64]]
    publications: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
