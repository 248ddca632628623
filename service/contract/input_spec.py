"""The frozen model's input as a value: element type, layout, shape, value range and normalisation.

Pictures and uint8 arrays are *pixels* (0 to 255) and pass through `from_pixels`; float arrays are the model's own
tensor already and pass through `from_tensor`. Whoever feeds the frozen model goes through one of the two.
"""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.contract.errors import NotFinite, WrongCount, WrongDtype, WrongShape

Float = NDArray[np.float32]


class InputSpec(BaseModel):
    """What one item of the frozen model's input looks like.

    A pixel p in 0..255 becomes `lower + (upper - lower) * p / 255`, then `(value - mean) / std` per channel.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    dtype: Literal["float32"] = "float32"
    layout: Literal["NCHW"] = "NCHW"
    shape: tuple[int, int, int] = Field(description="Channels, height, width of one item.")
    bounds: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: Literal["bilinear"] = "bilinear"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        channels = self.shape[0]
        if min(self.shape) < 1:
            raise ValueError(f"input '{self.name}' has shape {self.shape}; every dimension must be at least 1")
        for label, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(f"{label} has {len(values)} values; give 1 or {channels} (one a channel)")
        if min(self.std) <= 0:
            raise ValueError(f"std is {self.std}; every value must be positive")
        if not np.isfinite([*self.bounds, *self.mean, *self.std]).all():
            raise ValueError("bounds, mean and std must be finite")
        if self.bounds[0] >= self.bounds[1]:
            raise ValueError(f"bounds are {self.bounds}; the first must be below the second")
        return self

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.shape[1], self.shape[2]

    def tensor_bounds(self) -> tuple[Float, Float]:
        """Smallest and largest value of each channel after normalisation, two arrays (C,)."""
        mean, std = self._normalisation()
        low, high = self.bounds
        return (np.float32(low) - mean).ravel() / std.ravel(), (np.float32(high) - mean).ravel() / std.ravel()

    def from_pixels(self, pixels: NDArray[np.uint8]) -> Float:
        """Pixels (n, C, H, W) uint8 to the model's tensor (n, C, H, W) float32.

        Raises:
            WrongDtype: not uint8.
            WrongShape: the item shape is not the model's.
            WrongCount: there is no item.
        """
        if pixels.dtype != np.uint8:
            raise WrongDtype(f"pixels are uint8, got {pixels.dtype}")
        self._check_shape(pixels.shape)
        low, high = self.bounds
        mean, std = self._normalisation()
        values = pixels.astype(np.float32) * np.float32((high - low) / 255.0) + np.float32(low)
        return np.asarray((values - mean) / std, dtype=np.float32)

    def from_tensor(self, tensor: NDArray[np.generic]) -> Float:
        """A ready tensor (n, C, H, W), checked and made contiguous.

        Raises:
            WrongDtype: not float32 (float16 and float64 are not converted silently).
            WrongShape: the item shape is not the model's.
            WrongCount: there is no item.
            NotFinite: a value is NaN or infinite.
        """
        if tensor.dtype != np.float32:
            raise WrongDtype(f"input '{self.name}' takes {self.dtype}, got {tensor.dtype}")
        self._check_shape(tensor.shape)
        if not np.isfinite(tensor).all():
            raise NotFinite(f"input '{self.name}' holds NaN or infinity; send finite values only")
        return np.ascontiguousarray(tensor)

    def from_array(self, array: NDArray[np.generic]) -> Float:
        """Pixels if uint8, else the model's own tensor.

        Raises:
            WrongDtype, WrongShape, WrongCount, NotFinite: as the two functions above.
        """
        if array.dtype == np.uint8:
            return self.from_pixels(array.astype(np.uint8, copy=False))
        if array.dtype.kind != "f":
            raise WrongDtype(f"input '{self.name}' takes uint8 pixels or {self.dtype}, got {array.dtype}")
        return self.from_tensor(array)

    def _normalisation(self) -> tuple[Float, Float]:
        mean = np.broadcast_to(np.asarray(self.mean, np.float32), (self.channels,)).reshape(-1, 1, 1)
        std = np.broadcast_to(np.asarray(self.std, np.float32), (self.channels,)).reshape(-1, 1, 1)
        return mean, std

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        expected = ", ".join(str(side) for side in self.shape)
        if len(shape) != 4 or shape[1:] != self.shape:
            got = ", ".join(str(side) for side in shape)
            raise WrongShape(f"input '{self.name}' takes (n, {expected}), got ({got})")
        if shape[0] == 0:
            raise WrongCount(f"input '{self.name}' got no items; send at least one of shape ({expected})")
