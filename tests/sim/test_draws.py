"""The generator is Philox4x32-10, and draws are what their names say."""

import numpy as np
import pytest

from sim import draws
from sim.draws import Purpose

# Known answers of the authors' library, Random123 (kat_vectors): counter, key, result.
RANDOM123 = {
    "zeros": ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    "ones": ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    "pi": (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
}
ENTITIES = np.arange(200_000)


@pytest.mark.parametrize(("counter", "key", "words"), RANDOM123.values(), ids=RANDOM123)
def test_philox_gives_the_known_answers(counter, key, words):
    got = draws.philox(*map(np.uint64, [*counter, *key]))
    assert " ".join(f"{int(word):08x}" for word in got) == words


def standard_error(values):
    return values.std() / np.sqrt(len(values))


def test_uniforms_fill_the_unit_interval_evenly():
    values = draws.uniforms(1, Purpose.COPY, 0, ENTITIES)
    assert values.min() >= 0.0
    assert values.max() < 1.0
    counts = np.histogram(values, bins=100, range=(0, 1))[0]
    chi_square = ((counts - 2000.0) ** 2 / 2000.0).sum()
    assert 61.1 < chi_square < 150.0, "0.1 % and 0.05 % points of chi square, 99 degrees"


def test_normals_have_mean_0_and_variance_1():
    values = draws.normals(1, Purpose.COPY, 0, ENTITIES)
    assert abs(values.mean()) < 4 * standard_error(values)
    assert abs((values**2).mean() - 1.0) < 4 * standard_error(values**2)


@pytest.mark.parametrize("cv", [0.08, 0.5, 2.0])
def test_lognormals_have_mean_1_and_the_given_cv(cv):
    values = draws.lognormals(1, Purpose.SERVICE, 3, ENTITIES, cv)
    assert abs(values.mean() - 1.0) < 4 * standard_error(values)
    logs = np.log(values)
    assert logs.std() == pytest.approx(np.sqrt(np.log1p(cv**2)), rel=0.01)


def test_exponentials_have_mean_1_and_no_memory():
    values = np.array([draws.exponential_at(1, 2, 0, 7, index) for index in range(20_000)])
    assert abs(values.mean() - 1.0) < 4 * standard_error(values)
    assert (values > 1.0).mean() == pytest.approx(np.exp(-1), abs=0.015)


def test_each_part_of_the_key_gives_other_draws():
    keys = [(1, 2, 0), (2, 2, 0), (1, 3, 0), (1, 2, 1), (2**62 + 1, 2, 0)]
    values = [draws.uniforms(seed, Purpose(purpose), r, ENTITIES) for seed, purpose, r in keys]
    values.append(draws.uniforms(1, Purpose.COPY, 0, ENTITIES + 2**33))
    correlations = np.corrcoef(values)[np.triu_indices(len(values), 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(len(ENTITIES))


def test_a_draw_does_not_depend_on_those_before_it():
    some = draws.normals(1, Purpose.COPY, 0, np.array([70, 7, 50_000]))
    assert some.tolist() == draws.normals(1, Purpose.COPY, 0, ENTITIES)[[70, 7, 50_000]].tolist()
