"""`--set` wherever a command reads a topology; of one side or of both where it reads two."""

import click
import pytest
from click.testing import CliRunner

import gridlab
import topologies
from topologies.commands import Sides

READS_NONE = {
    "init", "list", "schema", "report", "threats", "trust", "conform", "history", "doctor",
    "verify", "grid status", "grid counters", "grid log", "grid revoke", "grid down",
    "bench sim", "bench load", "bench pace", "bench sessions", "bench stamps", "bench grid",
}  # fmt: skip


def commands(group, words=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), {each for p in command.params for each in p.opts}


def test_every_command_that_reads_a_topology_takes_changes():
    without = {name for name, options in commands(gridlab.cli) if "--set" not in options}
    assert without == READS_NONE
    takes = dict(commands(gridlab.cli))
    assert {"--set-a", "--set-b"} <= takes["compare"]
    assert {"--set-base", "--set-head"} <= takes["regress"]


def test_changes_are_of_both_sides_or_of_one():
    few, many = "platforms[analyst].count=4", "platforms[analyst].count=8"
    sides = Sides([few], {"a": [], "b": [many]})
    one, other = sides.load({"a": "single-broker", "b": "single-broker"})
    assert (one.platforms[1].count, other.platforms[1].count) == (4, 8)
    assert other.source.overrides == (few, many)


def test_mistakes_of_both_sides_come_at_once_each_with_the_option_that_was_typed():
    sides = Sides(["topics=7"], {"base": ["x=1"], "head": ["controllers[0].coers=8"]})
    with pytest.raises(topologies.TopologyError) as caught:
        sides.load({"base": "single-broker", "head": "single-broker"})
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "--set-base x=1",
        "--set-head controllers[0].coers=8",
    ]
    sides = Sides(["topics=7"], {"base": [], "head": ["workload.duration=5"]})
    with pytest.raises(topologies.TopologyError) as caught:
        sides.load({"base": "single-broker", "head": "single-broker"})
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "--set topics=7",
        "--set-head workload.duration=5",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("compare single-broker", "B is missing"),
        ("compare single-broker --set controllers[0].cores=2", "say what differs with --set-b"),
        ("compare RUN single-broker --set controllers[0].cores=2", "is a stored run"),
        ("compare single-broker RUN --set-b controllers[0].cores=2", "--set-b controllers[0]"),
        ("compare single-broker --set-b controllers[0].coers=2",
         '--set-b controllers[0].coers=2: c'),
        ("regress --base single-broker", "say what differs with --set-head"),
        ("regress --base single-broker --set-head platforms[analyst].count=3",
         "both sides (--set)"),
        ("regress --base single-broker --set-base x=1", 'unknown key "x"'),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_repair(line, words, tmp_path):
    typed = [str(tmp_path) if word == "RUN" else word for word in line.split()]
    run = CliRunner().invoke(gridlab.cli, typed)
    assert words in f"{run.output}{run.exception}"
    assert run.exit_code != 0
