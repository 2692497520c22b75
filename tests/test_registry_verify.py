"""The tool that proves parameter counts, on what builds in about a second; `python tools/verify_registry.py` does all."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "verify_registry.py"
QUICK = [
    "clip-l-encoder",
    "t5-xxl-encoder",
    "flux1-vae",
    "wan2.1-vae",
    "wan2.2-vae",
    "qwen-image-vae",
    "flux1-dev-transformer",
    "flux1-schnell-transformer",
    "wan2.1-t2v-1.3b-transformer",
    "wan2.2-ti2v-5b-transformer",
    "flux1-redux-image-embedder",
]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_registry", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verify_registry"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("component", QUICK)
def test_parameters_are_those_of_the_class(tool: ModuleType, component: str) -> None:
    (result,) = tool.verify_all([tool.read_registry(tool.REGISTRY_FILE).component(component)])
    assert (result.status, result.reason) == ("ok", "")
    assert result.counts.parameters == result.parameters


def test_a_wrong_count_is_found(tool: ModuleType) -> None:
    entry = tool.read_registry(tool.REGISTRY_FILE).component("clip-l-encoder")
    wrong = entry.model_copy(update={"parameters": entry.parameters + 1})
    (result,) = tool.verify_all([wrong])
    assert result.status == "wrong" and "123,060,480" in result.reason


def test_wrong_recorded_counts_are_found(tool: ModuleType) -> None:
    entry = tool.read_registry(tool.REGISTRY_FILE).component("clip-l-encoder")
    if tool.LibraryRules.installed() != tool.LibraryRules():
        pytest.skip("compared with the newest libraries only")
    assert tool.verify(entry, tool.ParameterCounts(entry.parameters)).status == "wrong"


def test_a_class_that_is_not_there_is_skipped_with_the_reason(tool: ModuleType) -> None:
    entry = tool.read_registry(tool.REGISTRY_FILE).component("flux1-vae")
    with pytest.raises(tool.CannotBuildError, match="has no AutoencoderOfTheFuture"):
        tool._component_class(entry.model_copy(update={"class_name": "AutoencoderOfTheFuture"}))


def test_the_exit_codes(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["clip-l-encoder"]) == 0
    assert "1 ok, 0 skipped, 0 wrong" in capsys.readouterr().out
    assert tool.main(["clip-m-encoder"]) == 2
    assert "Did you mean" in capsys.readouterr().err


def test_counts_are_recorded_for_every_component_with_weights(tool: ModuleType) -> None:
    recorded = tool.parameter_counts()
    for entry in tool.read_registry(tool.REGISTRY_FILE).components.values():
        if entry.parameters:
            assert recorded[entry.id].parameters == entry.parameters, entry.id
        else:
            assert entry.id not in recorded
