"""Placeholders are refused as secrets, random bytes never."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goald.domain.credentials.weakness import weakness_of

LENGTHS = st.integers(24, 64)


@given(st.integers(0, 255), LENGTHS)
def test_equal_bytes_are_weak(value: int, length: int) -> None:
    assert weakness_of(bytes([value]) * length) == "all its bytes are equal"


@given(st.binary(min_size=1, max_size=12), LENGTHS)
def test_repeated_bytes_are_weak(unit: bytes, length: int) -> None:
    assert weakness_of((unit * length)[:length]) is not None


@given(st.integers(0, 255), st.integers(0, 255), LENGTHS)
def test_bytes_that_count_are_weak(first: int, step: int, length: int) -> None:
    assert weakness_of(bytes((first + step * place) % 256 for place in range(length))) is not None


@given(st.lists(st.sampled_from(b"abcdefg"), min_size=24, max_size=64))
def test_few_different_bytes_are_weak(values: list[int]) -> None:
    assert weakness_of(bytes(values)) is not None


@pytest.mark.parametrize("length", [24, 32, 64])
def test_random_bytes_and_hexadecimal_digits_are_not_weak(length: int) -> None:
    generator = random.Random(length)
    for _ in range(2_000):
        assert weakness_of(generator.randbytes(length)) is None
        assert weakness_of(generator.randbytes(16).hex().encode()) is None
