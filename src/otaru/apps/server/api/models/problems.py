"""How errors look (RFC 9457), for the description of the API."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: Annotated[str, Field(examples=["devices.3.hardware"])]
    message: str


class Problem(BaseModel):
    """A problem details object. Facts of the error are further members."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(examples=["about:blank#invalid_state"])]
    title: Annotated[str, Field(examples=["Not in this state"])]
    status: Annotated[int, Field(ge=400, le=599, examples=[409])]
    detail: Annotated[str, Field(examples=["rollout 7 is finished: it cannot pause"])]
    code: Annotated[str, Field(examples=["invalid_state"], description="Stable; the documentation lists them.")]
    hint: Annotated[str | None, Field(description="What to do next.")] = None
    errors: Annotated[list[FieldError] | None, Field(description="With invalid_input: field by field.")] = None
    allowed: Annotated[list[str] | None, Field(description="With invalid_state: what is allowed now.")] = None
    request_id: Annotated[str | None, Field(description="With internal: how to find it in the server's log.")] = None
