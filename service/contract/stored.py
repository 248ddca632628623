"""The base of everything that is kept as JSON: written in full, and read back without a byte's difference.

A later release adds fields with defaults. A file of an earlier one must not gain them when it is read and written
again: its digest is its name. So defaults are written by whoever makes a value, and not by whoever reads it.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator

_READING = object()


class Stored(BaseModel):
    """Frozen; keeps fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @classmethod
    def read(cls, raw: object) -> Self:
        """Check what a file holds. Raises pydantic.ValidationError."""
        return cls.model_validate(raw, context=_READING)

    def to_json(self) -> dict[str, Any]:
        """What belongs into the file."""
        return self.model_dump(mode="json", exclude_unset=True)

    @model_validator(mode="after")
    def _state_defaults(self, info: ValidationInfo) -> Self:
        if info.context is not _READING:
            self.__pydantic_fields_set__.update(type(self).model_fields)
        return self
