"""PNG and JPEG bytes to pixels of the frozen model's size: the one decoder of service and trainer."""

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from service.contract.errors import DamagedPicture, TooManyPixels, UnknownFormat, UnreadablePicture
from service.contract.input_spec import InputSpec

FORMATS = ("PNG", "JPEG")
# Pillow warns of large pictures between its limit and twice that; our own cap lies below, and is compared first.
Image.MAX_IMAGE_PIXELS = None
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
QUICK_BYTES = 16 * 1024
QUICK_PIXELS = 128 * 128
PNG_SIZE_ENDS = 24
MODES = {1: "L", 3: "RGB"}


def decode_picture(content: bytes, spec: InputSpec, *, max_pixels: int) -> NDArray[np.uint8]:
    """One picture as pixels (C, H, W) uint8, stretched to the model's height and width.

    The size is read from the header and compared with `max_pixels` before a pixel is decoded.

    Raises:
        UnknownFormat: not a PNG or JPEG, or the model takes neither 1 nor 3 channels.
        TooManyPixels: more than `max_pixels`.
        DamagedPicture: it does not decode.
    """
    if spec.channels not in MODES:
        raise UnknownFormat(f"the model takes {spec.channels} channels, pictures have 1 or 3; send a tensor instead")
    try:
        return to_pixels(_open(content, spec, max_pixels), spec)
    except UnreadablePicture:
        raise
    except UnidentifiedImageError as error:
        if content.startswith(SIGNATURES):
            raise DamagedPicture("the picture ends within its header") from error
        raise UnknownFormat("the content is neither a PNG nor a JPEG picture") from error
    # Pillow reports damage through many unrelated types: OSError, SyntaxError, ValueError, struct.error, EOFError.
    except Exception as error:
        raise DamagedPicture("the picture is damaged and cannot be decoded") from error


def is_quick_to_decode(content: bytes) -> bool:
    """Whether a picture is decoded in less time than it takes to hand it to another thread."""
    if len(content) > QUICK_BYTES:
        return False
    if content.startswith(SIGNATURES[0]) and len(content) >= PNG_SIZE_ENDS:
        # A PNG says so at a fixed place; to open it for that would cost half of its decoding.
        width, height = struct.unpack_from(">II", content, PNG_SIZE_ENDS - 8)
        return bool(width * height <= QUICK_PIXELS)
    return announced_pixels(content) <= QUICK_PIXELS


def announced_pixels(content: bytes) -> int:
    """How many pixels a picture's header announces; 0 where it cannot be read."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return image.width * image.height
    # As above: what is wrong with it is said when it is decoded.
    except Exception:  # noqa: BLE001
        return 0


def _open(content: bytes, spec: InputSpec, max_pixels: int) -> Image.Image:
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.width * image.height > max_pixels:
        raise TooManyPixels(f"the picture has {image.width} x {image.height} pixels; at most {max_pixels} are accepted")
    # A large JPEG is decoded at a fraction of its size, never below the one asked for.
    image.draft(MODES[spec.channels], (spec.size[1], spec.size[0]))
    return image


def to_pixels(image: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    """An opened picture as pixels (C, H, W) uint8: converted to grey or RGB and stretched bilinearly."""
    height, width = spec.size
    if image.mode.startswith("I"):
        # 16-bit grey: Pillow's own conversion clips at 255 instead of dividing.
        image = image.point(lambda level: level / 257).convert("L")
    converted = image.convert(MODES[spec.channels])
    if converted.size != (width, height):
        converted = converted.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(converted, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
