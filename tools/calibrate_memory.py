"""Write memory/coefficients.json: what the memory estimates of full-size models are made of. Nothing in it is typed by hand.

Builds the class of every component on the meta device (no memory, no download), simulates its forward at several sizes under each way of
holding the weights, and turns that into closed forms (see memory/simulate_forms.py). Components that differ only in depth-independent
values, such as scaling factors, share a form.

    python tools/calibrate_memory.py [COMPONENT ...] [--check]

With components, only their forms are computed and merged into the file; --check compares with the file instead of writing it.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

from advanced_models.errors import UserError
from advanced_models.loaders.registry import REGISTRY_FILE, read_registry
from advanced_models.loaders.schema import ComponentEntry
from advanced_models.memory.estimate_forms import COEFFICIENTS_FILE
from advanced_models.memory.simulate_forms import Variant, fit, variants, weight_record
from advanced_models.memory.simulate_models import ModelSpec, prepared, tensor_sizes
from advanced_models.memory.simulate_schemes import SCHEMES, Scheme

# Values of a config that change no tensor's size.
_IRRELEVANT = {
    "scaling_factor",
    "shift_factor",
    "latents_mean",
    "latents_std",
    "sample_size",
    "architectures",
    "rope_theta",
    "force_upcast",
}


def signature(spec: ModelSpec) -> str:
    """What two configs have in common whose forms are the same."""
    return json.dumps([spec.class_name, {key: value for key, value in sorted(spec.config.items()) if key not in _IRRELEVANT}])


def calibrate(spec: ModelSpec, only: Sequence[str] = ()) -> dict[str, Any]:
    """The record of one component: weights by scheme, and a form for each variant (those whose keys are in `only`, or all)."""
    wanted: list[Variant] = [variant for variant in variants(spec.class_name) if not only or variant.key in only]
    schemes: dict[Scheme, None] = dict.fromkeys(variant.scheme for variant in wanted)
    modules = {scheme: prepared(spec, scheme) for scheme in SCHEMES if scheme in schemes}
    return {
        "weights": {scheme: weight_record(module) for scheme, module in modules.items()},
        "forms": {variant.key: fit(spec, variant, tensor_sizes(modules[variant.scheme])) for variant in wanted},
    }


def calibrate_all(entries: Sequence[ComponentEntry]) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """Records by the id of the first component that has them, component -> that id, and component -> why there is none."""
    records: dict[str, Any] = {}
    shared: dict[str, str] = {}
    skipped: dict[str, str] = {}
    by_signature: dict[str, str] = {}
    for entry in entries:
        started = time.monotonic()
        try:
            spec = ModelSpec.of_component(entry.id, entry.class_name)
            key = signature(spec)
            if key not in by_signature:
                if not variants_known(spec):
                    raise UserError(f"it is not known how a {spec.class_name} is called")
                records[entry.id] = calibrate(spec)
                by_signature[key] = entry.id
                worst = max((form["error"] for form in records[entry.id]["forms"].values()), default=0.0)
                print(f"{entry.id}: worst error {worst:.3%}, {time.monotonic() - started:.0f} s", flush=True)
            shared[entry.id] = by_signature[key]
        except UserError as reason:
            skipped[entry.id] = str(reason)
            print(f"{entry.id}: skipped, {reason}", flush=True)
    return records, shared, skipped


def variants_known(spec: ModelSpec) -> bool:
    """Whether the stages of this class can be simulated."""
    from advanced_models.memory.simulate_inputs import is_known

    return all(is_known(spec.class_name, variant.stage) for variant in variants(spec.class_name))


def versions() -> dict[str, str]:
    """The libraries that were simulated."""
    import diffusers
    import torch
    import transformers

    return {"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__}


def write(records: dict[str, Any], shared: dict[str, str], *, merge: bool) -> None:
    """Write the file, one form a line."""
    old = json.loads(COEFFICIENTS_FILE.read_text()) if merge and COEFFICIENTS_FILE.is_file() else {"components": {}, "records": {}}
    document = {
        "written_by": "tools/calibrate_memory.py",
        "libraries": versions(),
        "components": {**old["components"], **shared},
        "records": {**old["records"], **records},
    }
    lines = ["{"]
    lines += [f" {json.dumps(key)}: {json.dumps(document[key])}," for key in ("written_by", "libraries", "components")]
    lines.append(' "records": {')
    blocks = []
    for name, record in document["records"].items():
        forms = ",\n".join(f"    {json.dumps(key)}: {json.dumps(form)}" for key, form in record["forms"].items())
        blocks.append(f'  {json.dumps(name)}: {{"weights": {json.dumps(record["weights"])}, "forms": {{\n{forms}\n  }}}}')
    lines += [",\n".join(blocks), " }", "}"]
    COEFFICIENTS_FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; 1 when --check finds a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("components", nargs="*", metavar="COMPONENT", help="component ids; all with weights by default")
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    options = parser.parse_args(arguments)
    registry = read_registry(REGISTRY_FILE)
    entries = [registry.component(name) for name in options.components] or [e for e in registry.components.values() if e.parameters]
    records, shared, _ = calibrate_all(entries)
    if options.check:
        known = json.loads(COEFFICIENTS_FILE.read_text())["records"]
        different = [name for name, record in records.items() if known.get(name) != json.loads(json.dumps(record))]
        print(f"different: {', '.join(different) or 'none'}")
        return 1 if different else 0
    write(records, shared, merge=bool(options.components))
    return 0


if __name__ == "__main__":
    # The libraries warn of classes that are only built on the meta device. This process alone is quiet, not one that imports the tool.
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    sys.exit(main())
