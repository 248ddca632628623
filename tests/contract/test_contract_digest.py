"""Canonical JSON and SHA-256: one content, one sequence of bytes, one name."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.contract.digest import canonical_json, sha256_hex

LAW = settings(deadline=None, max_examples=100)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@LAW
@given(json_values)
def test_canonical_json_reads_back_as_the_same_value(value: object) -> None:
    back = json.loads(canonical_json(value))

    assert back == value


@LAW
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_canonical_json_does_not_depend_on_the_order_of_insertion(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))

    assert canonical_json(turned) == canonical_json(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"b": 1, "a": [1.5, None]}, b'{"a":[1.5,null],"b":1}', id="sorted_keys_and_no_spaces"),
        pytest.param("Größe", '"Größe"'.encode(), id="utf8_instead_of_escapes"),
        pytest.param({}, b"{}", id="empty"),
        pytest.param([True, 1, 1.0], b"[true,1,1.0]", id="types_stay_apart"),
    ],
)
def test_canonical_json_has_these_bytes(value: object, expected: bytes) -> None:
    assert canonical_json(value) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_canonical_json_refuses_what_json_cannot_carry(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"deep": [value]})


# FIPS 180-2, appendix B.1, and the digest of nothing.
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", id="abc"),
        pytest.param(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", id="nothing"),
    ],
)
def test_sha256_is_the_published_one(content: bytes, expected: str) -> None:
    assert sha256_hex(content) == expected
