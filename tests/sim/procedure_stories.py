"""What tests of procedures share: a small grid around them, replications, means with errors."""

import functools
import importlib
import math

import numpy as np

import topologies
from sim.procedures.outcome import Occasion


@functools.cache
def grid(name="single-broker"):
    return topologies.load(name)


def outcomes(procedure, replications, topology=None, seed=1):
    """Replications of a procedure."""
    module = importlib.import_module(f"sim.procedures.{procedure.model.replace('-', '_')}")
    occasions = [Occasion(topology or grid(), seed, number) for number in range(replications)]
    return [module.play(procedure, occasion) for occasion in occasions]


def shaped(server="fifo-sketch"):
    """A grid whose server keeps limits in its way; that of a sketch is a shaper."""
    return topologies.varied(grid(), [f"controllers[0].profile={server}"])


def mean_and_error(played, name):
    """Mean of a figure over replications, and its standard error."""
    values = np.array([each.figures[name] for each in played])
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
