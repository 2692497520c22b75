"""What the pack finds around it: Python, the libraries, the device; what is broken or missing, and the remedy.

Every library is imported in another process, so that a broken one is reported and does no harm here.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .packages import (
    THIS_PACK,
    TORCH_COMPANIONS,
    Conflict,
    conflicts,
    import_name,
    installed_version,
    package_of,
    requirements_of,
    torch_remedy,
)
from .probe import causes

OPTIONAL = {
    "bitsandbytes": "weights cannot be held in int8 or nf4.",
    "ftfy": "diffusers 0.36 cannot encode prompts for Wan without it.",
}
"""What the pack works without, and what is then missing."""

CLASSES = ("transformers:CLIPTextModel", "transformers:T5EncoderModel", "diffusers:FluxPipeline")
"""The libraries import their parts late: these show whether the parts work."""

_OLDEST_PYTHON = (3, 10)
_DOCTOR = "`advanced-models doctor` shows what else is missing."


@dataclass
class Finding:
    """One thing that was looked at: well when `problem` is None. Nothing works without what is `needed`."""

    name: str
    version: str | None = None
    problem: str | None = None
    remedy: str | None = None
    needed: bool = True


@dataclass
class Report:
    """Everything that was found."""

    findings: list[Finding] = field(default_factory=list)
    device: dict[str, Any] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether all that is needed works."""
        return not any(finding.problem and finding.needed for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        findings = [asdict(finding) for finding in self.findings]
        return {"healthy": self.healthy, "device": self.device, "findings": findings}


def examine() -> Report:
    """Look at everything. Takes as long as importing torch, diffusers and transformers once."""
    python = Finding("python", platform.python_version())
    if sys.version_info < _OLDEST_PYTHON:
        python.problem = "this pack needs Python 3.10 or newer."
        python.remedy = "Install a newer Python, or ComfyUI's portable build, which brings one."
    needed = [wish.name for wish in requirements_of(THIS_PACK) if wish.name not in OPTIONAL]
    optional = [name for name in OPTIONAL if name != "ftfy" or (installed_version("diffusers") or "").startswith("0.36.")]
    companions = [package for package in TORCH_COMPANIONS if find_spec(package)]
    # torch and what must match it come first, so that what breaks the others is known by its own error.
    packages = list(dict.fromkeys(["torch", *companions, *needed, *optional]))
    probed = probe([*map(import_name, packages), *CLASSES, "device"])
    findings = {package: _package(package, probed[import_name(package)]) for package in packages}
    for conflict in conflicts():
        _note(findings, conflict)
    parts = [_part(target, probed[target]) for target in CLASSES]
    for package in companions:  # harmless while the libraries do not touch it
        findings[package].needed = any(part.problem for part in parts)
    return Report([python, *findings.values(), *parts], _device(probed["device"], findings["torch"]))


def explain_import_error(error: BaseException) -> str:
    """What an error while importing diffusers or transformers means, and the remedy, in one or two sentences.

    The libraries wrap the error that matters in others ("Could not import module 'CLIPImageProcessor'"): all are read.
    """
    chain = causes(error)
    problem, remedy = _explain(chain)
    return f"{problem} {remedy or _DOCTOR}"


def probe(targets: list[str]) -> dict[str, dict[str, Any]]:
    """Import each target (`module` or `module:name`) in another process; see `probe.py` for what is said of each.

    Where that process dies, the target it died of is reported and the others are tried in a new one.
    """
    reports: dict[str, dict[str, Any]] = {}
    script = str(Path(__file__).with_name("probe.py"))
    while remaining := [target for target in targets if target not in reports]:
        command = [sys.executable, script, *remaining]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        trying = remaining[0]
        for line in ended.stdout.splitlines():
            try:
                report = json.loads(line)
            except ValueError:
                continue  # a library's own words
            if "trying" in report:
                trying = report["trying"]
            else:
                reports[report["target"]] = report
        if trying not in reports:
            reports[trying] = {"target": trying, "causes": [f"importing it ended the process (code {ended.returncode})"]}
    return reports


def _package(package: str, probed: dict[str, Any]) -> Finding:
    """What is to be said of one package after it was tried."""
    needed = package not in OPTIONAL
    finding = Finding(package, installed_version(package) or probed.get("version") or None, needed=needed)
    chain = probed["causes"]
    if not chain:
        return finding
    if finding.version is None:
        without = OPTIONAL.get(package)
        finding.problem = f"not installed: {without}" if without else "not installed."
        finding.remedy = f"pip install {package}"
    elif package in TORCH_COMPANIONS:
        finding.problem = f"broken, or built for another torch ({_last(chain)})."
        finding.remedy = torch_remedy(package)
    else:
        problem, remedy = _explain(chain)
        finding.problem = f"is installed but cannot be imported. {problem}"
        finding.remedy = remedy or f"pip install --force-reinstall {package}"
    return finding


def _note(findings: dict[str, Finding], conflict: Conflict) -> None:
    finding = findings.setdefault(conflict.package, Finding(conflict.package, installed_version(conflict.package)))
    finding.problem = f"{finding.problem} {conflict.problem}" if finding.problem else conflict.problem
    finding.remedy = conflict.remedy


def _part(target: str, probed: dict[str, Any]) -> Finding:
    library, _, name = target.partition(":")
    finding = Finding(f"{library} {name}")
    if probed["causes"]:
        finding.problem, finding.remedy = _explain(probed["causes"])
    return finding


def _device(probed: dict[str, Any], torch: Finding) -> dict[str, Any]:
    device: dict[str, Any] = probed.get("device", {})
    if device.get("kind") == "cpu" and not device["for_gpu"] and shutil.which("nvidia-smi"):
        torch.needed = False
        torch.problem = "a build for the CPU, while there is an NVIDIA driver."
        torch.remedy = "Install the CUDA build from pytorch.org/get-started/locally"
    return device


def _explain(chain: list[str]) -> tuple[str, str | None]:
    """The problem and the remedy behind a chain of errors, the outermost first."""
    text = "\n".join(chain)
    if found := re.search(r"requires the (\w+) library but it was not found", text):
        return _missing(found[1].lower())
    if found := re.search(r"No module named '([\w.]+)'", text):
        return _missing(package_of(found[1]))
    for package in TORCH_COMPANIONS:
        if package in text:
            problem = f"{package} is broken or does not match the installed torch ({_last(chain)})."
            return problem, torch_remedy(package)
    if found := re.search(r"cannot import name '(\w+)' from '(\w+)|module '?(\w+)'? has no attribute '(\w+)'", text):
        name, package = (found[1], found[2]) if found[1] else (found[4], found[3])
        return _lacking(name, package)
    if found := re.search(r"([\w-]+)\S* is required for a normal functioning of this module, but found (\S+?)\.?\s", text + " "):
        return _lacking(None, found[1].replace("-", "_"))
    return f"{_last(chain)}.", None


def _missing(package: str) -> tuple[str, str]:
    if package in TORCH_COMPANIONS:
        return f"{package} is not installed.", "Install the one for your torch from pytorch.org/get-started/locally"
    return f"{package} is not installed.", f"pip install {package}"


def _lacking(name: str | None, package: str) -> tuple[str, str]:
    """A package of a wrong version: the conflict that says so, else that it lacks `name`."""
    for conflict in conflicts():
        if conflict.package == package:
            return f"{conflict.problem[0].upper()}{conflict.problem[1:]}", conflict.remedy
    what = f"has no {name}" if name else "does not fit"
    return f"The installed {package} {installed_version(package) or ''} {what}.", f"pip install --upgrade {package}"


def _last(chain: list[str]) -> str:
    """The innermost error in one line."""
    line = chain[-1].strip().splitlines()[0] if chain else "unknown error"
    return line[:200].rstrip(".")
