"""Import modules one after another and report each as a line of JSON. Run as a script by `environment`, in a process of its own.

A module that is built for another torch may end the process instead of raising; the line that is printed before each
import tells the caller which one it was. Nothing of this package is imported here.
"""

import contextlib
import importlib
import json
import sys
from pathlib import Path


def causes(error: BaseException) -> list[str]:
    """What went wrong, the outermost error first: the libraries wrap the one that says it."""
    found: list[str] = []
    following: BaseException | None = error
    while following is not None and len(found) < 10:
        found.append(f"{type(following).__name__}: {following}")
        following = following.__cause__ or following.__context__
    return found


def attempt(target: str) -> dict[str, object]:
    """Import `module` or `module:name` and say what came of it."""
    name, _, attribute = target.partition(":")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            module = importlib.import_module(name)
            if attribute:
                getattr(module, attribute)
    except BaseException as error:  # noqa: BLE001  # whatever a broken library does is what is asked for
        return {"target": target, "causes": causes(error)}
    return {"target": target, "causes": [], "version": str(getattr(module, "__version__", "") or "")}


def device() -> dict[str, object]:
    """Where torch would compute, and how much memory is there: the card's, and the machine's."""
    import psutil
    import torch

    memory = psutil.virtual_memory()
    found = {"main_memory_bytes": memory.total, "free_main_memory_bytes": memory.available}
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return {"kind": "cuda", "name": torch.cuda.get_device_name(), "memory_bytes": total, "free_memory_bytes": free, **found}
    kind = "mps" if torch.backends.mps.is_available() else "cpu"
    return {"kind": kind, "name": kind, "for_gpu": bool(torch.version.cuda or torch.version.hip), **found}


def _say(report: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def main(targets: list[str]) -> None:
    """Try every target; `device` asks torch for the device instead."""
    for target in targets:
        _say({"trying": target})
        report: dict[str, object]
        if target == "device":
            try:
                report = {"target": target, "causes": [], "device": device()}
            except Exception as error:  # noqa: BLE001
                report = {"target": target, "causes": causes(error)}
        else:
            report = attempt(target)
        _say(report)


if __name__ == "__main__":
    # Python put this folder first, and its modules must not stand in for packages of the same name.
    here = Path(__file__).resolve().parent
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    main(sys.argv[1:])
