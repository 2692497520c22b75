"""Which versions of the libraries are installed, what each asks of the others, and where that does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement

THIS_PACK = "advanced-models"

TORCH_COMPANIONS = ("torchvision", "torchaudio")
"""Built against one exact torch. diffusers and transformers import them as soon as they are installed."""

_CHECKED = (THIS_PACK, "diffusers", "transformers", "accelerate", "tokenizers", *TORCH_COMPANIONS)
_IMPORT_NAMES = {"pyyaml": "yaml", "pillow": "PIL", "protobuf": "google.protobuf"}


@dataclass(frozen=True)
class Conflict:
    """An installed package whose version another installed package does not work with."""

    package: str
    problem: str
    remedy: str


def import_name(package: str) -> str:
    """The module by which a package is imported."""
    return _IMPORT_NAMES.get(package.lower(), package.replace("-", "_"))


def package_of(module: str) -> str:
    """The package to install for a module that is missing."""
    for package, name in _IMPORT_NAMES.items():
        if module == name or module.startswith(name + "."):
            return package
    return module.partition(".")[0]


def installed_version(package: str) -> str | None:
    """The version pip knows, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def requirements_of(package: str) -> list[Requirement]:
    """What an installed package asks for in this Python, without its extras. Empty for one that is not installed."""
    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in _requirement_lines(package)]
    for requirement in requirements:  # one spelling for all: huggingface-hub and huggingface_hub are the same
        requirement.name = requirement.name.replace("-", "_").lower()
    return [found for found in requirements if found.marker is None or found.marker.evaluate({"extra": ""})]


def conflicts() -> Iterator[Conflict]:
    """Every installed package that is not of a version which the others can work with."""
    wishes = [(package, wish) for package in _CHECKED for wish in requirements_of(package)]
    for package, wish in wishes:
        version = installed_version(wish.name)
        if version is None or wish.specifier.contains(version, prereleases=True):
            continue
        asker = "this pack" if package == THIS_PACK else f"{package} {installed_version(package)}"
        subject = package if package in TORCH_COMPANIONS else wish.name
        yield Conflict(
            subject,
            f"{asker} needs {wish.name} {wish.specifier}, and {version} is installed.",
            _remedy(package, wish.name, wishes),
        )
    yield from _mixed_builds()


def torch_remedy(package: str) -> str:
    """How to put a package right that was built for another torch than the installed one."""
    return (
        f"Install torch, torchvision and torchaudio anew in one command from pytorch.org/get-started/locally, "
        f"or, outside ComfyUI, which needs it, remove it: pip uninstall {package}"
    )


def _remedy(asker: str, package: str, wishes: Iterable[tuple[str, Requirement]]) -> str:
    if asker in TORCH_COMPANIONS:
        return torch_remedy(asker)
    concerned = [(name, wish.specifier) for name, wish in wishes if wish.name == package]
    together = concerned[0][1]
    for _, specifier in concerned[1:]:
        together = together & specifier
    lowest = [part.version for part in together if part.operator in (">=", "==", "~=")]
    if any(together.contains(version, prereleases=True) for version in lowest) or not lowest:
        return f'pip install "{package}{together}"'
    capped = sorted({name for name, specifier in concerned if any(part.operator[0] == "<" for part in specifier)})
    return f"No version of {package} suits all who need it: pip install --upgrade {' '.join([*capped, package])}"


def _mixed_builds() -> Iterator[Conflict]:
    """Builds for different devices (`+cpu`, `+cu128`) do not load into each other, though their versions match."""
    torch = installed_version("torch") or ""
    for package in TORCH_COMPANIONS:
        version = installed_version(package) or ""
        builds = {label for found in (torch, version) if (label := found.partition("+")[2])}
        if len(builds) > 1:
            yield Conflict(package, f"{package} {version} was built for another torch than {torch}.", torch_remedy(package))


def _requirement_lines(package: str) -> list[str]:
    if package == THIS_PACK:
        # Inside ComfyUI the pack is a folder that pip does not know.
        file = Path(__file__).parents[1] / "requirements.txt"
        if file.is_file():
            lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
            return [line for line in lines if line]
    try:
        return metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []
