"""Every server gets a loopback address of its own; a busy port is named with its holder."""

import ipaddress
import os
import socket

import pytest

from loadtest import addresses
from loadtest.problems import DeploymentError

PORTS = (15222, 15223)


def test_an_address_follows_from_the_names_and_is_away_from_the_systems_own():
    chosen = {addresses.choose(grid, controller, PORTS) for grid in "abc" for controller in "xyz"}
    assert len(chosen) == 9
    assert chosen == {addresses.choose(g, c, PORTS) for g in "abc" for c in "xyz"}
    for address in chosen:
        assert ipaddress.ip_address(address) >= ipaddress.ip_address("127.64.0.1")
        assert ipaddress.ip_address(address) < ipaddress.ip_address("127.192.0.0")


def test_grids_of_one_name_that_are_kept_apart_do_not_meet(shelter, tmp_path, monkeypatch):
    here = addresses.choose("default", "alpha", PORTS)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert addresses.choose("default", "alpha", PORTS) != here


@pytest.mark.parametrize("port", PORTS)
def test_a_busy_address_is_passed_over(port):
    first = addresses.choose("grid", "alpha", PORTS)
    with socket.create_server((first, port)):
        assert addresses.choose("grid", "alpha", PORTS) != first
        with pytest.raises(DeploymentError) as refusal:
            addresses.check_free(first, PORTS)
    message = str(refusal.value)
    assert message.startswith(f"{first}:{port}: cannot listen here, process {os.getpid()} (")
    assert "choose another" in message


def test_a_listener_on_every_address_is_named():
    with (
        socket.create_server(("0.0.0.0", PORTS[0])),
        pytest.raises(DeploymentError, match=rf"process {os.getpid()} \(.*0\.0\.0\.0:15222"),
    ):
        addresses.choose("grid", "alpha", PORTS)


def test_an_address_that_is_not_here_is_refused():
    with pytest.raises(DeploymentError, match="cannot assign requested address"):
        addresses.check_free("192.0.2.1", PORTS)
