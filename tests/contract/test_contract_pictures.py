"""Pictures: what Pillow makes of them is what the model gets, and nothing else ever comes out of a hostile one."""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import PrivateAttr

from service.contract.errors import DamagedPicture, TooManyPixels, UnknownFormat, UnreadablePicture
from service.contract.input_spec import InputSpec
from service.contract.pictures import decode_picture

FUZZ = settings(deadline=None, max_examples=150)

GREY = InputSpec(name="image", shape=(1, 8, 6))
COLOUR = InputSpec(name="image", shape=(3, 8, 6))
MAX_PIXELS = 100_000

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
NOISE_16 = np.random.default_rng(0).integers(0, 1 << 16, (20, 30, 3), dtype=np.uint16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    """A PNG by hand (RFC 2083): header, one data chunk, end; `data` should be the filtered rows, deflated."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def png_16(values: NDArray[np.uint16]) -> bytes:
    """A 16-bit PNG, grey (H, W) or RGB (H, W, 3); Pillow writes no 16-bit colour."""
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in values)
    return png(values.shape[1], values.shape[0], 16, 0 if values.ndim == 2 else 2, zlib.compress(rows))


def stretched(image: Image.Image, spec: InputSpec) -> NDArray[np.int16]:
    """What Pillow itself makes of it, as (C, H, W); signed, for differences."""
    converted = image.convert({1: "L", 3: "RGB"}[spec.channels])
    resized = np.asarray(converted.resize(spec.size[::-1], Image.Resampling.BILINEAR), np.int16)
    return resized[None] if spec.channels == 1 else resized.transpose(2, 0, 1)


def transparent_palette() -> bytes:
    return encoded(NOISE.convert("P", palette=Image.Palette.ADAPTIVE), "PNG", transparency=3)


models = pytest.mark.parametrize("spec", [GREY, COLOUR], ids=["grey_model", "colour_model"])

PNGS = [
    pytest.param(encoded(NOISE.convert("1"), "PNG"), id="bilevel"),
    pytest.param(encoded(NOISE.convert("L"), "PNG"), id="grey"),
    pytest.param(encoded(NOISE.convert("LA"), "PNG"), id="grey_with_alpha"),
    pytest.param(encoded(NOISE, "PNG"), id="rgb"),
    pytest.param(encoded(NOISE.convert("RGBA"), "PNG"), id="rgba"),
    pytest.param(encoded(NOISE.convert("P"), "PNG"), id="palette"),
    pytest.param(transparent_palette(), id="transparent_palette"),
    pytest.param(encoded(NOISE.resize((6, 8)), "PNG"), id="already_of_the_models_size"),
    pytest.param(encoded(NOISE.resize((1, 1)), "PNG"), id="a_single_pixel"),
    pytest.param(encoded(NOISE.resize((299, 2)), "PNG"), id="wide_and_flat"),
]


@models
@pytest.mark.parametrize("content", PNGS)
def test_a_png_is_stretched_as_pillow_does(content: bytes, spec: InputSpec) -> None:
    pixels = decode_picture(content, spec, max_pixels=MAX_PIXELS)

    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels, stretched(Image.open(io.BytesIO(content)), spec))


SMOOTH = Image.linear_gradient("L").resize((90, 120)).convert("RGB")


@models
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded(SMOOTH.convert("L"), "JPEG", quality=95), id="grey"),
        pytest.param(encoded(SMOOTH, "JPEG", quality=95), id="rgb"),
        pytest.param(encoded(SMOOTH, "JPEG", quality=95, progressive=True), id="progressive"),
        pytest.param(encoded(SMOOTH.convert("CMYK"), "JPEG", quality=95), id="cmyk"),
        pytest.param(encoded(SMOOTH.resize((9, 10)), "JPEG", quality=95), id="hardly_larger_than_the_model"),
    ],
)
def test_a_jpeg_is_stretched_as_pillow_does_up_to_the_reduced_decoding(content: bytes, spec: InputSpec) -> None:
    pixels = decode_picture(content, spec, max_pixels=MAX_PIXELS)

    expected = stretched(Image.open(io.BytesIO(content)), spec)
    assert pixels.dtype == np.uint8
    assert pixels.shape == spec.shape
    # A decoder that reduces by 2 to 8 averages blocks first: on a smooth picture a few of 255 levels.
    assert np.abs(pixels - expected).max() <= 4


@pytest.mark.parametrize("value", [0, 255, 4096, 32768, 65535])
def test_16_bit_colour_becomes_its_upper_byte(value: int) -> None:
    content = png_16(np.full((4, 4, 3), value, np.uint16))

    pixels = decode_picture(content, COLOUR, max_pixels=MAX_PIXELS)

    assert pixels.shape == COLOUR.shape
    assert set(pixels.ravel().tolist()) == {value >> 8}


@models
@pytest.mark.parametrize("value", [255, 4096, 32768])
def test_16_bit_grey_becomes_its_upper_byte(value: int, spec: InputSpec) -> None:
    content = png_16(np.full((4, 4), value, np.uint16))

    pixels = decode_picture(content, spec, max_pixels=MAX_PIXELS)

    # Either rounding of 65535 levels to 255 will do.
    np.testing.assert_allclose(pixels, value / 257, atol=1)


@pytest.mark.parametrize("channels", [2, 4])
def test_a_model_that_takes_neither_grey_nor_colour_takes_no_picture(channels: int) -> None:
    with pytest.raises(UnknownFormat, match=f"takes {channels} channels"):
        decode_picture(encoded(NOISE, "PNG"), InputSpec(name="image", shape=(channels, 8, 8)), max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_cap_is_the_largest_picture_accepted(kind: str) -> None:
    content = encoded(NOISE, kind)

    accepted = decode_picture(content, COLOUR, max_pixels=600)

    assert accepted.shape == COLOUR.shape
    with pytest.raises(TooManyPixels, match="30 x 20 pixels; at most 599"):
        decode_picture(content, COLOUR, max_pixels=599)


def jpeg_that_claims(width: int, height: int) -> bytes:
    """A small JPEG whose frame header (marker SOF0: length, precision, height, width) says otherwise."""
    content = bytearray(encoded(NOISE, "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


# Their bodies do not inflate, or end early: whoever decodes them finds damage instead.
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(png(400, 300, 8, 0, b"nothing"), id="png_just_above_our_cap"),
        pytest.param(png(10_000, 10_000, 8, 2, b"nothing"), id="png_that_pillow_warns_about"),
        pytest.param(png(20_000, 20_000, 8, 0, b"nothing"), id="png_that_pillow_refuses"),
        pytest.param(png(2**31 - 1, 2**31 - 1, 8, 2, b"nothing"), id="largest_png"),
        pytest.param(png(1, 2**31 - 1, 1, 0, b"nothing"), id="one_pixel_wide"),
        pytest.param(jpeg_that_claims(400, 300), id="jpeg_just_above_our_cap"),
        pytest.param(jpeg_that_claims(65_500, 65_500), id="largest_jpeg"),
    ],
)
def test_too_many_pixels_are_refused_by_the_header(content: bytes) -> None:
    with pytest.raises(TooManyPixels):
        decode_picture(content, COLOUR, max_pixels=MAX_PIXELS)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"", UnknownFormat, id="nothing"),
        pytest.param(b"\x00", UnknownFormat, id="one_zero_byte"),
        pytest.param(bytes(1000), UnknownFormat, id="zero_bytes"),
        pytest.param(b"Dear model, what is this?", UnknownFormat, id="text"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', UnknownFormat, id="svg"),
        pytest.param(encoded(NOISE, "GIF"), UnknownFormat, id="gif"),
        pytest.param(encoded(NOISE, "BMP"), UnknownFormat, id="bmp"),
        pytest.param(encoded(NOISE, "TIFF"), UnknownFormat, id="tiff"),
        pytest.param(encoded(NOISE, "PPM"), UnknownFormat, id="ppm"),
        pytest.param(encoded(NOISE, "PNG")[:-600], DamagedPicture, id="png_that_ends_early"),
        pytest.param(encoded(NOISE, "JPEG")[:-300], DamagedPicture, id="jpeg_that_ends_early"),
        pytest.param(png(8, 8, 8, 0, b""), DamagedPicture, id="png_without_data"),
        pytest.param(png(8, 8, 8, 0, b"nothing"), DamagedPicture, id="png_that_does_not_inflate"),
        pytest.param(png(8, 8, 8, 0, zlib.compress(b"")), DamagedPicture, id="png_without_rows"),
        pytest.param(png(8, 8, 8, 0, zlib.compress(b"\x09" * 9 * 8)), DamagedPicture, id="png_with_an_unknown_filter"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, error: type[UnreadablePicture]) -> None:
    with pytest.raises(error):
        decode_picture(content, GREY, max_pixels=MAX_PIXELS)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded(NOISE, "PNG")[:33], id="png_that_ends_after_its_header"),
        pytest.param(encoded(NOISE, "JPEG")[:22], id="jpeg_that_ends_within_its_header"),
    ],
)
def test_a_picture_that_ends_within_its_header_is_damaged(content: bytes) -> None:
    with pytest.raises(DamagedPicture):
        decode_picture(content, GREY, max_pixels=MAX_PIXELS)


def test_rows_that_a_png_never_had_are_black_as_pillow_reads_them() -> None:
    # Not what one would choose, but Pillow does not tell such a picture from a whole one.
    content = png(6, 8, 8, 0, zlib.compress((b"\x00" + b"\xff" * 6) * 5))

    pixels = decode_picture(content, GREY, max_pixels=MAX_PIXELS)

    assert (pixels[0, :5] == 255).all()
    assert (pixels[0, 5:] == 0).all()


class Slow(InputSpec):
    """A spec that tells when the decoder asks for its size, and makes it wait for the answer."""

    _asked: threading.Event = PrivateAttr(default_factory=threading.Event)
    _answer: threading.Event = PrivateAttr(default_factory=threading.Event)

    @property
    def size(self) -> tuple[int, int]:
        self._asked.set()
        assert self._answer.wait(20)
        return super().size


def test_decoding_in_two_threads_leaves_the_warning_filters_alone() -> None:
    content = encoded(NOISE, "PNG")
    specs = [Slow(name="image", shape=(3, 8, 6)) for _ in range(2)]
    threads = [
        threading.Thread(target=decode_picture, args=(content, spec), kwargs={"max_pixels": MAX_PIXELS})
        for spec in specs
    ]
    with warnings.catch_warnings():
        before = list(warnings.filters)

        # The first to enter is the first to leave.
        for spec, thread in zip(specs, threads, strict=True):
            thread.start()
            assert spec._asked.wait(20)
        for spec, thread in zip(specs, threads, strict=True):
            spec._answer.set()
            thread.join()

        after = list(warnings.filters)
    assert after == before


SOUND = {
    "png": encoded(NOISE, "PNG"),
    "palette": transparent_palette(),
    "png_16": png_16(NOISE_16[..., 0]),
    "jpeg": encoded(NOISE, "JPEG"),
    "progressive": encoded(NOISE, "JPEG", progressive=True),
}
sound = st.sampled_from(sorted(SOUND)).map(SOUND.__getitem__)


@st.composite
def flipped(draw: st.DrawFn) -> bytes:
    """A sound picture with one to four bits flipped, half of them among the headers."""
    content = bytearray(draw(sound))
    places = st.integers(0, 60) | st.integers(0, len(content) - 1)
    for place in draw(st.lists(places, min_size=1, max_size=4)):
        content[place] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)


def cut(draw: Callable[[st.SearchStrategy[int]], int], content: bytes) -> bytes:
    return content[: draw(st.integers(0, len(content)))]


truncated = st.composite(lambda draw: cut(draw, draw(sound)))()
signatures = st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"])
anything = st.builds(bytes.__add__, signatures, st.binary(max_size=200))


@pytest.mark.parametrize("hostile", [anything, truncated, flipped()], ids=["random_bytes", "truncated", "flipped_bits"])
@models
@FUZZ
@given(data=st.data())
def test_any_bytes_are_pixels_or_an_unreadable_picture(
    hostile: st.SearchStrategy[bytes], spec: InputSpec, data: st.DataObject
) -> None:
    content = data.draw(hostile)

    try:
        pixels = decode_picture(content, spec, max_pixels=MAX_PIXELS)
    except UnreadablePicture:
        return

    assert pixels.shape == spec.shape
    assert pixels.dtype == np.uint8
