"""Manifests: reading and writing changes no byte, whatever a later release put in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from service.contract.bundle import Bundle
from service.contract.digest import canonical_json
from service.contract.errors import BadManifest
from service.contract.input_spec import InputSpec
from service.contract.manifest import (
    CorrectorManifest,
    FileName,
    Manifest,
    ModelManifest,
    Name,
    OutputSpec,
    Tap,
)

LAW = settings(deadline=None, max_examples=60)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
unknown_fields = st.dictionaries(st.text(max_size=8).map("later-".__add__), json_values, max_size=3)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
file_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, object]:
    """The JSON of a manifest of schema 1.x, with unknown fields at every level."""
    entry = st.fixed_dictionaries({"sha256": digests, "size_bytes": st.integers(0, 1 << 40)})
    entries = draw(st.dictionaries(file_names, entry, max_size=3))
    return {
        "schema_version": draw(st.sampled_from(["1.0", "1.7"])),
        "frozen_sha256": draw(digests),
        "input": {
            "name": draw(st.text(max_size=8)),
            "dtype": "float32",
            "layout": "NCHW",
            "shape": [3, draw(st.integers(1, 9)), draw(st.integers(1, 9))],
            "bounds": [0.0, draw(st.floats(0.5, 1e6))],
            "mean": draw(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3)),
            "std": [draw(st.floats(1e-6, 1e6))],
            "resize": "bilinear",
            **draw(unknown_fields),
        },
        "files": {name: {**fields, **draw(unknown_fields)} for name, fields in entries.items()},
        **draw(unknown_fields),
    }


@LAW
@given(manifests())
def test_reading_and_writing_a_manifest_changes_no_byte(raw: dict[str, object]) -> None:
    content = canonical_json(raw)

    assert Manifest.from_bytes(content).to_bytes() == content


def test_reading_back_a_written_manifest_gives_an_equal_one(bundle: Bundle[CorrectorManifest]) -> None:
    back = CorrectorManifest.from_bytes(bundle.manifest.to_bytes())

    assert back == bundle.manifest


@pytest.mark.parametrize("field", ["to_bytes", "model_dump", "model_config", "_private", "__class__", ""])
def test_an_unknown_field_may_have_any_name(field: str, bundle: Bundle[CorrectorManifest]) -> None:
    content = canonical_json({**bundle.manifest.model_dump(mode="json"), field: 1})

    assert CorrectorManifest.from_bytes(content).to_bytes() == content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("frozen_sha256", "F" * 64, id="upper_case_digest"),
        pytest.param("frozen_sha256", "f" * 63, id="short_digest"),
        pytest.param("batch_sha256", "b" * 64 + "\n", id="digest_with_a_newline"),
        pytest.param("golden_tolerance", 0.0, id="no_tolerance"),
        pytest.param("golden_tolerance", -1.0, id="negative_tolerance"),
        pytest.param("parameters", -1, id="negative_count"),
        pytest.param("method", "Tone Map", id="method_is_no_name"),
        pytest.param("kind", "model", id="the_other_kind"),
        pytest.param("stages", "tone", id="text_for_a_list"),
        pytest.param("seed", 0.0, id="float_for_an_integer"),
        pytest.param("opset", True, id="boolean_for_an_integer"),
        pytest.param("schema_version", 1, id="number_for_a_text"),
    ],
)
def test_a_field_that_does_not_fit_is_refused(field: str, value: object, bundle: Bundle[CorrectorManifest]) -> None:
    content = canonical_json({**bundle.manifest.model_dump(mode="json"), field: value})

    with pytest.raises(BadManifest):
        CorrectorManifest.from_bytes(content)


def test_the_refusal_names_the_field(bundle: Bundle[CorrectorManifest]) -> None:
    raw = bundle.manifest.model_dump(mode="json")
    raw["files"]["golden.npz"]["size_bytes"] = -1

    with pytest.raises(BadManifest, match=r"does not fit CorrectorManifest: see files\.golden\.npz\.size_bytes"):
        CorrectorManifest.from_bytes(canonical_json(raw))


@pytest.mark.parametrize("name", ["a", "0", "scanner-b", "line_2", "a" * 63])
def test_a_name_may_be(name: str) -> None:
    assert TypeAdapter(Name).validate_python(name) == name


@pytest.mark.parametrize(
    "name", ["", "a" * 64, "A", "-a", "_a", "a b", "a/b", "..", "a\n", "ä", "a\x00", "a.b"], ids=ascii
)
def test_a_name_may_not_be(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Name).validate_python(name)


@pytest.mark.parametrize("name", ["corrector.onnx", "README.md", "a..b", "0", "a" * 100])
def test_a_file_name_may_be(name: str) -> None:
    assert TypeAdapter(FileName).validate_python(name) == name


def test_taps_are_either_fitted_or_reserved() -> None:
    taps = (
        Tap(name="conv0", channels=6, reserved=False),
        Tap(name="conv1", channels=8, reserved=True),
        Tap(name="conv2", channels=8, reserved=False),
    )
    manifest = ModelManifest(
        frozen_sha256="f" * 64,
        input=InputSpec(name="image", shape=(1, 8, 8)),
        files={},
        name="tiny",
        output=OutputSpec(name="logits", classes=4, scores="logits"),
        labels=("a", "b", "c", "d"),
        taps=taps,
        fingerprint="full",
    )

    assert manifest.fitted_taps() == ("conv0", "conv2")
    assert manifest.reserved_taps() == ("conv1",)
