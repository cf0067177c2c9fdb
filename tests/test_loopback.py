"""The proof of what loopback adds to a server's cost: what it hands to the kernel, and its sum."""

import loopback
import numpy as np
import pytest


@pytest.mark.parametrize(("cores", "written"), [((), "0"), ((1,), "2"), ((0, 5), "21")])
def test_cores_are_handed_to_the_kernel_as_a_mask(monkeypatch, tmp_path, cores, written):
    monkeypatch.setattr(loopback, "STEERING", tmp_path / "rps_cpus")
    loopback.steer(cores)
    assert loopback.STEERING.read_text() == written


def test_share_is_what_steering_takes_away():
    assert loopback.share(np.array([2.0, 4.0]), np.array([1.5, 4.4])) == pytest.approx([0.25, -0.1])
