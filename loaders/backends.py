"""The packages that hold quantised weights: which one does it here, and what to do where none can."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from ..errors import UserError, first_line

if TYPE_CHECKING:
    from .precision import Precision


class PrecisionError(UserError):
    """Weights cannot be held so, here or at all."""


def check_gguf() -> None:
    """Raises PrecisionError when the package that knows the quantisations of GGUF files is missing."""
    if (fault := _fault_of("gguf")) is not None:
        raise PrecisionError(
            f"GGUF files need the gguf package, which cannot be imported ({fault}): run `python -m pip install gguf` with the Python that "
            "runs this, or choose a safetensors file."
        )


def backend(precision: Precision, device_type: str) -> Literal["bitsandbytes", "torchao"]:
    """What holds weights as int8 or nf4: bitsandbytes, and for int8 torchao where that is missing or does not know the device.

    Raises PrecisionError with the remedy when there is none.
    """
    fault = _fault_of("bitsandbytes") or _unknown_device(device_type)
    if fault is None:
        return "bitsandbytes"
    if precision == "int8" and _fault_of("torchao") is None:
        return "torchao"
    needed = "bitsandbytes or torchao, of which neither can be used" if precision == "int8" else "bitsandbytes, which cannot be used"
    raise PrecisionError(
        f"{precision} needs {needed} ({fault}): run `python -m pip install --upgrade bitsandbytes` with the Python that runs this, or "
        "choose fp8 or bf16."
    )


def torchao_stands_in() -> bool:
    """Whether int8 is torchao's since bitsandbytes is not installed; told without importing either, for what is said before loading."""
    return find_spec("bitsandbytes") is None and find_spec("torchao") is not None


def _fault_of(package: str) -> str | None:
    """Why a package cannot be imported; None when it can."""
    try:
        importlib.import_module(package)
    except (ImportError, RuntimeError, OSError) as error:
        return first_line(error)
    return None


def _unknown_device(device_type: str) -> str | None:
    known = getattr(sys.modules["bitsandbytes"], "supported_torch_devices", {"cpu", "cuda"})
    return None if device_type in known else f"it does not know the device {device_type}"
