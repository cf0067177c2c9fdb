"""What every section of a topology file is made of: names, provenance, a frozen closed model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

NODE = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,126}$"
IDENTIFIER = r"^[A-Z][A-Z0-9-]{0,30}$"
NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
DOMAIN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,15}$"

Name = Annotated[str, Field(pattern=NAME)]
Node = Annotated[str, Field(pattern=NODE)]
Domain = Annotated[str, Field(pattern=DOMAIN)]


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "must be a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth_value)]


class Model(BaseModel):
    """Base of every section: frozen, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Provenance(Model):
    """Where a group of figures comes from."""

    kind: Literal["published", "derived", "assumed", "measured"] = Field(description="how firm")
    source: str = Field(
        min_length=3, description="publication, arithmetic or run that the figures rest on"
    )


class Sourced(Model):
    """A section whose figures name their source."""

    provenance: Provenance | None = Field(None, description="where its figures come from")
