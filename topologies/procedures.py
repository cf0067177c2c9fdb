"""What people and programs do on the control plane of an attack file: one procedure each.

Traffic is not played here: a procedure takes the rates and sizes of its background from its fields,
which attack files fill from their base by selectors. The simulator's `sim.procedures` plays them.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from topologies.procedures_load import (
    Approvals,
    LargeAnswers,
    NotifyThenPull,
    OneToOne,
    PasswordWork,
    PolicyGrowth,
    SharedAddresses,
    SilentController,
)
from topologies.procedures_spread import Authorities, Breaches, Infection, Logs, Wire
from topologies.procedures_trust import (
    CertificateChecks,
    Duel,
    Equivocation,
    FalseAlarms,
    Harvest,
    Skew,
)

THIEVES: Final = 4  # as many stolen accounts are played at a time on a real server
MORNINGS: Final = 4  # likewise, of new Platforms who ask for subscriptions

AnyProcedure = Annotated[
    Approvals
    | Authorities
    | Breaches
    | CertificateChecks
    | Duel
    | Equivocation
    | FalseAlarms
    | Harvest
    | Infection
    | LargeAnswers
    | Logs
    | NotifyThenPull
    | OneToOne
    | PasswordWork
    | PolicyGrowth
    | SharedAddresses
    | SilentController
    | Skew
    | Wire,
    Field(discriminator="model"),
]

__all__ = [
    "MORNINGS",
    "THIEVES",
    "AnyProcedure",
    "Approvals",
    "Authorities",
    "Breaches",
    "CertificateChecks",
    "Duel",
    "Equivocation",
    "FalseAlarms",
    "Harvest",
    "Infection",
    "LargeAnswers",
    "Logs",
    "NotifyThenPull",
    "OneToOne",
    "PasswordWork",
    "PolicyGrowth",
    "SharedAddresses",
    "SilentController",
    "Skew",
    "Wire",
]
