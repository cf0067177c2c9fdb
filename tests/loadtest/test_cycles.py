"""Grids that come and go are timed, and what one leaves behind is found."""

import json
import socket

import jsonschema
import pytest
from click.testing import CliRunner

from gridlab import cli, typed_schema
from loadtest import cycles


@pytest.mark.real
def test_one_cycle_of_each_kind_is_timed_and_leaves_nothing(shelter):
    told = CliRunner().invoke(cli, ["bench", "grid", "--cycles", "3", "--json"])
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    jsonschema.validate(document, typed_schema("loadtest.cycles", "Cycles"))
    assert document["cycles"] == 3
    assert {kind: each["mean_s"]["n"] for kind, each in document["ready"].items()} == {
        "prosody": 1,
        "ejabberd": 1,
        "federation": 1,
    }
    assert all(0.0 < each["longest_s"] < 15.0 for each in document["ready"].values())
    assert document["left"] == {"processes": 0, "ports": 0, "files": 0, "descriptors": 0}
    assert "left behind: 0 processes" in cycles.render(document)


def test_a_listener_that_stayed_is_found():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert cycles._listens("127.0.0.1", port)
    assert not cycles._listens("127.0.0.1", port)
