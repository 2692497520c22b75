"""fp8 weights widened through a table, against torch's own conversion."""

from __future__ import annotations

import pytest
import torch
from advanced_models.loaders.eight_bit import widened

EVERY_NUMBER = torch.arange(256, dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("stored", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_every_number_of_both_kinds(stored: torch.dtype, dtype: torch.dtype) -> None:
    weight = EVERY_NUMBER.view(stored).reshape(16, 16)
    torch.testing.assert_close(widened(weight, dtype), weight.to(dtype), rtol=0, atol=0, equal_nan=True)
    # What is not a finite number times the scale overflows in the same way.
    expected = (weight.double() * 0.3).to(dtype)
    torch.testing.assert_close(widened(weight, dtype, 0.3), expected, rtol=torch.finfo(dtype).eps, atol=0, equal_nan=True)


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4), (1025, 257), (2, 3, 4)])
def test_every_shape(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(torch.float8_e4m3fn)
    assert torch.equal(widened(weight, torch.bfloat16), weight.to(torch.bfloat16))


def test_what_does_not_lie_in_order() -> None:
    weight = EVERY_NUMBER[:120].view(torch.float8_e4m3fn).reshape(10, 12)
    assert torch.equal(widened(weight.t(), torch.bfloat16), weight.t().to(torch.bfloat16))
    assert torch.equal(widened(weight.flatten()[1:], torch.bfloat16), weight.flatten()[1:].to(torch.bfloat16))
