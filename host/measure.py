"""What the machine has, and the most memory that a run took on the card."""

from __future__ import annotations

from typing import Any


def start_measuring() -> None:
    """Forget earlier peaks: what follows is one run."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def measured_peak() -> int | None:
    """The most bytes that torch held on the card since `start_measuring`; None where there is no CUDA card to ask."""
    import torch

    return int(torch.cuda.max_memory_reserved()) if torch.cuda.is_available() else None


def main_memory() -> int:
    """Bytes of main memory, whatever is in it."""
    import psutil

    return int(psutil.virtual_memory().total)


def memory() -> dict[str, Any]:
    """Used and total bytes of main memory and of the card, which is None where models compute in main memory."""
    import psutil
    import torch

    main = psutil.virtual_memory()
    card = None
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        card = {"name": torch.cuda.get_device_name(), "used_bytes": total - free, "total_bytes": total}
    return {"main": {"used_bytes": main.total - main.available, "total_bytes": main.total}, "card": card}
