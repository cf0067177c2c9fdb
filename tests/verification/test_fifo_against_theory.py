"""The fifo discipline against Pollaczek-Khinchine, bulk queues and Erlang, at three utilisations.

Expected values are written out here; the simulation and `sim.estimate` are both held to them. The
tolerance of the simulation is four standard errors over 24 replications, and those must be narrow.
"""

import pytest
import queueing
import worlds

import sim

UTILISATIONS = [0.3, 0.7, 0.9]
NARROW = {0.3: 0.03, 0.7: 0.07, 0.9: 0.2}
JOBS = {0.3: 6_000, 0.7: 12_000, 0.9: 30_000}
SERVICE_S = 0.010


def steady(rho, copies, rate_per_s, cores=1, **arrivals):
    """One subscriber each for `copies` copies, publications at `rate_per_s`, enough of them."""
    people = [
        {"name": "pub", "count": 1, "publishes": ["t"]},
        {"name": "sub", "count": copies, "subscribes": ["t"]},
    ]
    process = {"process": "poisson"} | arrivals
    stream = {"topic": "t", "by": "pub", "rate": f"{rate_per_s!r}/s", **process}
    duration_s = JOBS[rho] / rate_per_s
    return worlds.topology(
        people, [stream], study="steady", duration=f"{duration_s!r} s", cores=cores
    )


def on_paper(topology, profile):
    """Mean latency of the first, the average and the last copy, as `gridlab estimate` has it."""
    figures = sim.estimate(topology, profiles={"c": profile})["controllers"]["c"]
    return {f"{name}_s": latency["value"] for name, latency in figures["latency_s"].items()}


def approximately(expected_s):
    """Equal but for a nanosecond on the link."""
    return pytest.approx(expected_s, rel=1e-5)


@pytest.mark.parametrize("rho", UTILISATIONS)
def test_constant_service_waits_as_in_m_d_1(rho):
    topology = steady(rho, 1, rho / SERVICE_S)
    profile = worlds.profile("fifo", publish="0 ms", copy="10 ms")
    got = queueing.measure(topology, profile)
    expected_s = SERVICE_S + rho * SERVICE_S / (2 * (1 - rho))
    assert got.mean_s.matches(expected_s, NARROW[rho]), f"{got.mean_s}, theory {expected_s:.6g}"
    assert got.utilisation.matches(rho, 0.02), f"{got.utilisation}, theory {rho}"
    assert on_paper(topology, profile)["mean_s"] == approximately(expected_s)


@pytest.mark.parametrize("rho", UTILISATIONS)
def test_exponential_service_waits_as_in_m_m_1(rho):
    profile = worlds.profile("fifo", copy="10 ms", copy_distribution="exponential")
    topology = steady(rho, 1, rho / SERVICE_S)
    got = queueing.measure(topology, profile)
    expected_s = SERVICE_S / (1 - rho)
    assert got.mean_s.matches(expected_s, 2 * NARROW[rho]), f"{got.mean_s}, theory {expected_s:.6g}"
    assert on_paper(topology, profile)["mean_s"] == approximately(expected_s)


@pytest.mark.parametrize("rho", UTILISATIONS)
def test_lognormal_service_waits_as_in_m_g_1(rho):
    cv = 1.2
    topology = steady(rho, 1, rho / SERVICE_S)
    profile = worlds.profile("fifo", publish="10 ms", copy="0 ms", cv=cv)
    got = queueing.measure(topology, profile)
    expected_s = SERVICE_S + rho * SERVICE_S * (1 + cv**2) / (2 * (1 - rho))
    assert got.mean_s.matches(expected_s, 3 * NARROW[rho]), f"{got.mean_s}, theory {expected_s:.6g}"
    assert on_paper(topology, profile)["mean_s"] == approximately(expected_s)


@pytest.mark.parametrize("rho", UTILISATIONS)
@pytest.mark.parametrize("distribution", ["constant", "exponential"])
def test_fan_out_is_a_batch_queue(rho, distribution):
    """A publication to 25 subscribers is a batch of 25 in M^X/D/1 or M^X/M/1."""
    n, copy_s = 25, SERVICE_S / 25
    variance = 0.0 if distribution == "constant" else copy_s**2
    square = n * variance + (n * copy_s) ** 2
    wait_s = rho / SERVICE_S * square / (2 * (1 - rho))
    profile = worlds.profile("fifo", copy="400 us", copy_distribution=distribution)
    topology = steady(rho, n, rho / SERVICE_S)
    got, paper = queueing.measure(topology, profile), on_paper(topology, profile)
    for name, expected_s in (
        ("first_s", wait_s + copy_s),
        ("mean_s", wait_s + (n + 1) / 2 * copy_s),
        ("last_s", wait_s + n * copy_s),
    ):
        found = getattr(got, name)
        assert found.matches(expected_s, 2.5 * NARROW[rho]), f"{name} {found}, {expected_s:.6g}"
        assert paper[name] == approximately(expected_s), name


@pytest.mark.parametrize("rho", UTILISATIONS)
def test_batches_of_publications_wait_as_in_m_x_d_1(rho):
    """Geometric batches of mean 4: those before it in its own batch delay a job as well."""
    size, batches_per_s = 4.0, rho / SERVICE_S / 4.0
    second = 2 * size**2 - size
    square = (second - size**2) * SERVICE_S**2 + (size * SERVICE_S) ** 2
    wait_s = batches_per_s * square / (2 * (1 - rho))
    expected_s = wait_s + (second - size) / (2 * size) * SERVICE_S + SERVICE_S
    topology = steady(
        rho, 1, batches_per_s, process="batch", mean_size=size, distribution="geometric"
    )
    profile = worlds.profile("fifo", copy="10 ms")
    got = queueing.measure(topology, profile)
    assert got.mean_s.matches(expected_s, 3 * NARROW[rho]), f"{got.mean_s}, theory {expected_s:.6g}"
    assert on_paper(topology, profile)["mean_s"] == approximately(expected_s)


@pytest.mark.parametrize("rho", UTILISATIONS)
def test_four_cores_wait_as_in_m_m_4(rho):
    """Erlang's C, summed here from its definition."""
    cores, load = 4, 4 * rho
    terms = [load**k / (1, 1, 2, 6)[k] for k in range(4)]
    last = load**4 / 24 / (1 - rho)
    waits = last / (sum(terms) + last)
    expected_s = SERVICE_S + waits * SERVICE_S / (cores - load)
    profile = worlds.profile("fifo", copy="10 ms", copy_distribution="exponential")
    topology = steady(rho, 1, load / SERVICE_S, cores=cores)
    got = queueing.measure(topology, profile)
    assert got.mean_s.matches(expected_s, NARROW[rho]), f"{got.mean_s}, theory {expected_s:.6g}"
    assert on_paper(topology, profile)["mean_s"] == approximately(expected_s)
