"""The frozen model's input as a value: element type, layout, shape, value range and normalisation.

Three forms of the same images, and the ways between them:

- *pixels*, (n, C, H, W) uint8 from 0 to 255: what a picture decodes to;
- the model's own *tensor*, in its element type and layout: what clients send, and what correctors and the frozen model
  take. Whoever feeds the frozen model went through `from_pixels` or `from_tensor`;
- *planes*, (n, C, H, W) float32, after normalisation: what every fit, statistic and stage computes with. `to_planes`
  and `to_tensor` lead there and back, without loss for what a tensor can hold.
"""

from functools import lru_cache
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from service.contract.errors import NotFinite, WrongCount, WrongDtype, WrongShape
from service.contract.stored import Stored

Float = NDArray[np.float32]
Tensor = NDArray[Any]
"""In the element type and the layout of the frozen model."""


class InputSpec(Stored):
    """What one item of the frozen model's input looks like.

    A pixel p in 0..255 becomes `lower + (upper - lower) * p / 255`, then `(value - mean) / std` per channel.
    """

    name: str
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    shape: tuple[int, int, int] = Field(description="Channels, height, width of one item, whatever the layout.")
    batch: int | None = Field(default=None, ge=1, description="Rows of every run, where the file fixes them.")
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
        if self.dtype == "uint8" and (self.bounds, {*self.mean}, {*self.std}) != ((0, 255), {0}, {1}):
            raise ValueError("a uint8 input holds the pixels themselves; it takes no bounds, mean or std")
        return self

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.shape[1], self.shape[2]

    @property
    def item_shape(self) -> tuple[int, int, int]:
        """One item as the model takes it: (C, H, W) or (H, W, C)."""
        channels, height, width = self.shape
        return self.shape if self.layout == "NCHW" else (height, width, channels)

    def plane_bounds(self) -> tuple[Float, Float]:
        """Smallest and largest value of each channel after normalisation, two arrays (C,)."""
        mean, std = self._normalisation()
        low, high = self.bounds
        return (np.float32(low) - mean).ravel() / std.ravel(), (np.float32(high) - mean).ravel() / std.ravel()

    def from_pixels(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Pixels (n, C, H, W) uint8 to the model's tensor.

        Raises:
            WrongDtype: not uint8.
            WrongShape: the item shape is not the model's.
            WrongCount: there is no item.
        """
        if pixels.dtype != np.uint8:
            raise WrongDtype(f"pixels are uint8, got {pixels.dtype}")
        self._check_shape(pixels.shape, self.shape)
        low, high = self.bounds
        values = pixels.astype(np.float32)
        values *= np.float32((high - low) / 255.0)
        # What changes nothing is left out: each is a pass over a large picture.
        mean, std = self._normalisation()
        if low:
            values += np.float32(low)
        if any(self.mean):
            values -= mean
        if set(self.std) != {1.0}:
            values /= std
        return self.to_tensor(values)

    def from_tensor(self, tensor: NDArray[np.generic]) -> Tensor:
        """A ready tensor (n, *item_shape), checked and made contiguous.

        Raises:
            WrongDtype: not the model's (nothing is converted silently).
            WrongShape: the item shape is not the model's.
            WrongCount: there is no item.
            NotFinite: a value is NaN or infinite.
        """
        if tensor.dtype != self.dtype:
            raise WrongDtype(f"input '{self.name}' takes {self.dtype}, got {tensor.dtype}")
        self._check_shape(tensor.shape, self.item_shape)
        if not np.isfinite(tensor).all():
            raise NotFinite(f"input '{self.name}' holds NaN or infinity; send finite values only")
        return np.ascontiguousarray(tensor)

    def from_array(self, array: NDArray[np.generic]) -> Tensor:
        """Pixels if uint8, else the model's own tensor; both (n, *item_shape).

        Raises:
            WrongDtype, WrongShape, WrongCount, NotFinite: as the two functions above.
        """
        if array.dtype == np.uint8 and self.dtype != "uint8":
            self._check_shape(array.shape, self.item_shape)
            return self.from_pixels(self._first(array).astype(np.uint8, copy=False))
        if array.dtype.kind != "f" and array.dtype != np.uint8:
            raise WrongDtype(f"input '{self.name}' takes uint8 pixels or {self.dtype}, got {array.dtype}")
        return self.from_tensor(array)

    def to_planes(self, tensor: Tensor) -> Float:
        """The model's tensor (n, *item_shape) as planes (n, C, H, W) float32."""
        return np.ascontiguousarray(self._first(tensor), dtype=np.float32)

    def to_tensor(self, planes: Float) -> Tensor:
        """Planes (n, C, H, W) as the model's tensor; uint8 is rounded half to even and saturates."""
        ordered = planes if self.layout == "NCHW" else planes.transpose(0, 2, 3, 1)
        if self.dtype == "uint8":
            ordered = np.rint(ordered).clip(0, 255)
        return np.ascontiguousarray(ordered, dtype=self.dtype)

    def noise(self, rows: int) -> Tensor:
        """Uniform noise over the input's range as the model's tensor, the same at every call."""
        low, high = (bound.reshape(1, -1, 1, 1) for bound in self.plane_bounds())
        draw = np.random.default_rng(0).random((rows, *self.shape), dtype=np.float32)
        return self.to_tensor(np.asarray(low + (high - low) * draw, dtype=np.float32))

    def _first(self, tensor: Tensor) -> Tensor:
        """Channels first."""
        return tensor if self.layout == "NCHW" else tensor.transpose(0, 3, 1, 2)

    def _normalisation(self) -> tuple[Float, Float]:
        return _of_channels(self.mean, self.channels), _of_channels(self.std, self.channels)

    def _check_shape(self, shape: tuple[int, ...], item: tuple[int, int, int]) -> None:
        if len(shape) == 4 and shape[0] and shape[1:] == item:
            return
        expected = ", ".join(str(side) for side in item)
        if len(shape) != 4 or shape[1:] != item:
            got = ", ".join(str(side) for side in shape)
            raise WrongShape(f"input '{self.name}' takes (n, {expected}), got ({got})")
        raise WrongCount(f"input '{self.name}' got no items; send at least one of shape ({expected})")


@lru_cache(maxsize=256)
def _of_channels(values: tuple[float, ...], channels: int) -> Float:
    """One value a channel, (C, 1, 1), not to be written to."""
    return np.broadcast_to(np.asarray(values, np.float32), (channels,)).reshape(-1, 1, 1)
