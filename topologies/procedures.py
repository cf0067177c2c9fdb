"""What people and programs do on the control plane of an attack file: one procedure each.

Traffic is not played here: a procedure takes the rates and sizes of its background from its fields,
which attack files fill from their base by selectors. The simulator's `sim.procedures` plays them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topologies.procedures_trust import Equivocation, Harvest

AnyProcedure = Annotated[Equivocation | Harvest, Field(discriminator="model")]

__all__ = ["AnyProcedure", "Equivocation", "Harvest"]
