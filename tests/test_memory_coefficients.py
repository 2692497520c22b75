"""The generated file of coefficients: it is what the tool makes of the installed libraries, and its forms hold where nothing was fitted."""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
from pathlib import Path
from types import ModuleType

import pytest
from advanced_models.loaders.registry import load_registry
from advanced_models.memory.estimate import component_config, estimate
from advanced_models.memory.estimate_features import features
from advanced_models.memory.estimate_forms import COEFFICIENTS_FILE, record_of
from advanced_models.memory.estimate_simulated import estimate_class
from advanced_models.memory.estimate_values import Libraries, Workload
from advanced_models.memory.simulate_models import ModelSpec
from packaging.version import Version

TOOL = Path(__file__).parent.parent / "tools" / "calibrate_memory.py"
DOCUMENT = json.loads(COEFFICIENTS_FILE.read_text(encoding="utf-8"))
QUICK = {
    "clip-l-encoder": ["encode/half/fused", "encode/nf4/fused/batched"],
    "t5-xxl-encoder": ["encode/half/fused", "encode/fp8/fused"],
    "flux1-dev-transformer": ["denoise/half/fused", "denoise/int8/fused"],
    "wan2.1-t2v-1.3b-transformer": ["denoise/half/fused/batched"],
}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calibrate_memory", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibrate_memory"] = module
    spec.loader.exec_module(module)
    return module


def older(tool: ModuleType) -> bool:
    """Whether a library is older than the one the file was written with. Newer ones have to agree with it, or it is to be written anew."""
    installed = tool.versions()
    return any(Version(installed[name]).release < Version(known).release for name, known in DOCUMENT["libraries"].items())


@pytest.mark.parametrize("component", QUICK)
def test_the_tool_writes_what_is_in_the_file(tool: ModuleType, component: str) -> None:
    if older(tool):
        pytest.skip(f"the file was written with {DOCUMENT['libraries']}")
    spec = ModelSpec.of_component(component, load_registry().component(component).class_name)
    made = json.loads(json.dumps(tool.calibrate(spec, only=QUICK[component])))
    known = DOCUMENT["records"][DOCUMENT["components"][component]]
    for key in QUICK[component]:
        assert made["forms"][key] == known["forms"][key]
    for scheme, weights in made["weights"].items():
        assert weights == known["weights"][scheme]


def test_every_form_was_checked_on_other_sizes() -> None:
    """Each form's largest error at sizes it was not fitted to: what the estimate's range is made of."""
    errors = {(name, key): form["error"] for name, record in DOCUMENT["records"].items() for key, form in record["forms"].items()}
    assert len(errors) > 400
    assert max(errors.values()) < 0.025
    assert statistics.quantiles(errors.values(), n=20)[-1] < 0.004  # 19 of 20


@pytest.mark.parametrize(
    ("component", "stage", "workload"),
    [
        ("flux1-dev-transformer", "denoise", Workload(1344, 768, text_tokens=300)),
        ("qwen-image-transformer", "denoise", Workload(1472, 1104, text_tokens=77)),
        ("wan2.2-ti2v-5b-transformer", "denoise", Workload(704, 704, 61)),
        ("flux1-vae", "decode", Workload(1216, 832)),
        ("t5-xxl-encoder", "encode", Workload(text_tokens=328)),
        ("qwen2.5-vl-3b", "encode", Workload(text_tokens=900)),
    ],
)
def test_forms_agree_with_the_simulated_forward(tool: ModuleType, component: str, stage: str, workload: Workload) -> None:
    libraries = Libraries()
    form = estimate(component, stage, workload, libraries=libraries)  # type: ignore[arg-type]
    try:
        real = estimate_class(
            load_registry().component(component).class_name,
            component_config(component),
            stage,  # type: ignore[arg-type]
            workload,
            libraries=libraries,
        )
    except Exception as error:
        if "cannot be simulated" in str(error):
            pytest.skip(str(error))
        raise
    assert form.weights == real.weights
    if older(tool):
        assert form.allocated == pytest.approx(real.allocated, rel=0.01)  # transformers 4 computes T5's attention in another way
        return
    assert form.allocated == pytest.approx(real.allocated, rel=2e-3)
    assert form.total("activations") == pytest.approx(real.total("activations"), rel=0.01)
    assert form.reserved == pytest.approx(real.reserved, rel=0.02)


def test_a_long_clip_is_given_the_room_that_the_allocator_loses_in_its_chunks() -> None:
    """Between the lengths that were replayed the room is interpolated: enough, and little too much."""
    workload, libraries = Workload(640, 384, 61), Libraries()
    form = estimate("wan2.2-vae", "decode", workload, precision="fp32", libraries=libraries)
    real = estimate_class("AutoencoderKLWan", component_config("wan2.2-vae"), "decode", workload, precision="fp32", libraries=libraries)
    assert form.allocated == pytest.approx(real.allocated, rel=1e-3)
    assert real.minimum_activations <= form.minimum_activations <= 1.15 * real.minimum_activations


def test_features_and_forms_have_the_same_names() -> None:
    for component in DOCUMENT["components"]:
        record = record_of(component)
        assert record is not None
        names = set(features(load_registry().component(component).class_name, component_config(component), Workload()))
        assert all(set(form.names) == names for form in record.forms.values())
