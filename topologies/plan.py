"""The plan: who publishes what, where, when; one for paper, simulation and load."""
