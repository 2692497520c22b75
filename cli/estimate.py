"""`advanced-models estimate`: the memory that components need, case by case, with the terms each figure is made of."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from ..errors import UserError
from ..loaders.registry import load_registry
from ..memory.estimate import Placement, component_config, estimate
from ..memory.estimate_simulated import default_stage, estimate_class
from ..memory.estimate_values import STAGES, Allocator, AttentionKind, Libraries, StageEstimate, Workload
from ..memory.weights import WEIGHT_PRECISIONS, weight_bytes
from . import quiet_libraries

GIB = 2**30

EXAMPLE = '[{"component": "flux1-dev-transformer", "precision": "bf16", "stage": "denoise", "width": 1024, "height": 1024}]'
DESCRIPTION = f"""\
CASES.json is a list of cases, or one case; - reads them from the standard input. A case is an object:
  component            a component of the registry; or "class" and "config": a class of diffusers or transformers and its config
  stage                encode, denoise or decode; by default what the component is for
  precision            {", ".join(WEIGHT_PRECISIONS)}; bf16 by default
  width, height, frames, batch, text_tokens, reference_images, new_tokens, doubled (guidance runs both prompts in one batch)
  placement            resident, offload_model, offload_group, cpu
  tile                 a VAE's tiles in pixels; 0: its own size
  libraries            {{"torch": "2.9.1", "transformers": 5, "diffusers": "0.36", "cudnn": 91002, "allocator": "native" or
                       "cuda_malloc_async", "attention": "fused" or "math"}}; what is left out is as installed
  method               "closed_form" (default for a component) or "simulate" (always for a class)
Example: {EXAMPLE}"""

_WORKLOAD = {field.name for field in dataclasses.fields(Workload)}
_ALIASES = {"task": "stage", "text_length": "text_tokens", "tiling": "tile", "library_versions": "libraries"}
_KEYS = _WORKLOAD | {"component", "class", "config", "precision", "stage", "placement", "tile", "libraries", "method", "name"}
_CHOICES = {
    "precision": WEIGHT_PRECISIONS,
    "stage": STAGES,
    "placement": get_args(Placement),
    "method": ("closed_form", "simulate"),
    "allocator": get_args(Allocator),
    "attention": get_args(AttentionKind),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.add_argument("cases", metavar="CASES.json", help="the cases; - for the standard input")
    parser.add_argument("--json", action="store_true", help="print JSON: every figure in bytes")


def run(args: argparse.Namespace) -> int:
    """Print an estimate for each case; a UserError names the case that cannot be used."""
    quiet_libraries()
    results = []
    for number, case in enumerate(read_cases(args.cases), start=1):
        try:
            results.append(answer(case))
        except UserError as error:
            raise UserError(f"Case {number}: {error}") from error
    if args.json:
        print(json.dumps(results, indent=2))
    else:
        print("\n".join(_lines(results)))
    return 0


def read_cases(path: str) -> list[Mapping[str, Any]]:
    """The cases of a file. Raises UserError when it cannot be read or is no list of objects."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
        cases = json.loads(text)
    except OSError as error:
        raise UserError(f"{Path(path).name} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise UserError(f"{Path(path).name} is not valid JSON: {error}.") from error
    cases = cases if isinstance(cases, list) else [cases]
    if not all(isinstance(case, dict) for case in cases):
        raise UserError(f"Cases are JSON objects, for example {EXAMPLE}.")
    return cases


def answer(case: Mapping[str, Any]) -> dict[str, Any]:
    """The estimate of one case, in bytes. Raises UserError for a case that cannot be used."""
    case = {_ALIASES.get(name, name): value for name, value in case.items()}
    unknown = sorted(set(case) - _KEYS)
    if unknown:
        raise UserError(f"there is no key '{unknown[0]}'; `advanced-models estimate --help` lists them.")
    for name in ("precision", "stage", "placement", "method"):
        _check(name, case.get(name))
    workload = _workload(case)
    libraries = _libraries(case.get("libraries") or {})
    options = {
        "precision": case.get("precision", "bf16"),
        "placement": case.get("placement", "resident"),
        "tile": _tile(case.get("tile")),
        "libraries": libraries,
    }
    if "component" in case:
        component = load_registry().component(str(case["component"]))
        stage = case.get("stage") or default_stage(component.class_name)
        if case.get("method") == "simulate":
            result = estimate_class(component.class_name, component_config(component.id), stage, workload, **options)
        else:
            result = estimate(component.id, stage, workload, **options)
        return describe(case, result, whole=weight_bytes(component.id, options["precision"], libraries.weight_rules))
    if not isinstance(case.get("class"), str) or not isinstance(case.get("config", {}), dict):
        raise UserError('name a "component" of the registry, or a "class" and its "config".')
    stage = case.get("stage") or default_stage(case["class"])
    return describe(case, estimate_class(case["class"], case.get("config", {}), stage, workload, **options))


def describe(case: Mapping[str, Any], result: StageEstimate, whole: int | None = None) -> dict[str, Any]:
    """An estimate as JSON."""
    return {
        "case": {name: value for name, value in case.items() if name != "config"},
        "stage": result.stage,
        "weight_bytes": whole if whole is not None else result.weights,
        "device_weight_bytes": result.weights,
        "allocated_peak_bytes": result.allocated,
        "reserved_peak_bytes": result.reserved,
        "needed_free_bytes": result.needed,
        "low_bytes": result.low,
        "high_bytes": result.high,
        "terms": [dataclasses.asdict(term) for term in result.terms],
    }


def _workload(case: Mapping[str, Any]) -> Workload:
    values = {name: case[name] for name in _WORKLOAD & case.keys()}
    for name, value in values.items():
        least = 0 if name in ("reference_images", "new_tokens", "doubled") else 1
        if not isinstance(value, (bool, int)) or value < least:
            raise UserError(f"'{name}' is {value!r}; it has to be a whole number from {least} on.")
    return Workload(**values)


def _libraries(given: Any) -> Libraries:
    if not isinstance(given, dict):
        raise UserError('\'libraries\' is an object such as {"torch": "2.9.1", "transformers": 5}.')
    result = Libraries.installed()
    for name, value in given.items():
        if name not in {field.name for field in dataclasses.fields(Libraries)}:
            raise UserError(f"there is no library setting '{name}'.")
        _check(name, value if name in _CHOICES else None)
        if name in ("torch", "diffusers"):
            numbers = _numbers(name, value)
            value = (*numbers, 0, 0, 0)[: 3 if name == "torch" else 2]
        elif name == "transformers":
            value = _numbers(name, value)[0]
        result = dataclasses.replace(result, **{name: value})
    return result


def _numbers(name: str, value: Any) -> tuple[int, ...]:
    parts = str(value).split("+")[0].split(".")
    if not all(part.isdigit() for part in parts):
        raise UserError(f"'{value}' is no version of {name}; write it as 2.9.1.")
    return tuple(int(part) for part in parts)


def _tile(value: Any) -> int | None:
    if isinstance(value, bool):
        return 0 if value else None
    if value is None or (isinstance(value, int) and value >= 0):
        return value
    raise UserError(f"'tile' is {value!r}; give pixels, or 0 for the VAE's own size.")


def _check(name: str, value: Any) -> None:
    if value is not None and value not in _CHOICES[name]:
        raise UserError(f"there is no {name} '{value}'; choose one of {', '.join(_CHOICES[name])}.")


def _lines(results: list[dict[str, Any]]) -> Iterator[str]:
    for result in results:
        case = result["case"]
        name = case.get("name") or case.get("component") or case.get("class")
        yield f"{name} ({case.get('precision', 'bf16')}), {result['stage']}"
        yield (
            f"  allocated {result['allocated_peak_bytes'] / GIB:.2f} GiB, reserved {result['reserved_peak_bytes'] / GIB:.2f}, "
            f"needs {result['needed_free_bytes'] / GIB:.2f} free"
        )
        for term in result["terms"]:
            between = f"({term['low'] / GIB:.3f} to {term['high'] / GIB:.3f})"
            yield f"    {term['name']:<12} {term['expected'] / GIB:8.3f}  {between}  {term['reason']}"
