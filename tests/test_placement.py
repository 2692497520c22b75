"""Where weights are: streamed blocks compute what resident ones do, and the handle decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from advanced_models import host
from advanced_models.errors import UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.host.tensors import byte_count, device_bytes, streamed_parts
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.placement import repeated_blocks
from advanced_models.loaders.store import Store
from advanced_models.pipelines.tiles import use_vae
from test_precision import FLUX, QWEN, WAN, models, result

__all__ = ["models"]


@pytest.fixture
def store(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("advanced_models.host._standalone", StandaloneHost.below(tmp_path, models=(models,)))
    store = Store()
    yield store
    store.clear()


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
@pytest.mark.parametrize("resident_blocks", [0, 1])
@pytest.mark.parametrize(("model", "role"), [(FLUX, "transformer"), (FLUX, "text_encoder_2"), (WAN, "transformer"), (QWEN, "text_encoder")])
def test_streamed_blocks_compute_the_same(store: Store, model: str, role: str, resident_blocks: int, precision: str) -> None:
    plain = select_component(model, role, precision=precision)  # type: ignore[arg-type]
    streamed = replace(plain, placement="offload_group", resident_blocks=resident_blocks)
    assert torch.equal(result(store, streamed), result(store, plain))
    assert store.loads == 2


def test_all_but_the_first_blocks_are_streamed(store: Store) -> None:
    plain = select_component(FLUX, "transformer")
    with store.use(plain) as (module,):
        whole = byte_count(module)
        blocks = repeated_blocks(module)
        assert blocks == [*module.transformer_blocks, *module.single_transformer_blocks]
        expected = whole - sum(p.nbytes for block in blocks[1:] for p in block.parameters())
    with store.use(replace(plain, placement="offload_group", resident_blocks=1)) as (module,):
        assert byte_count(module) == whole
        assert device_bytes(module) == expected
        assert streamed_parts(module)


def test_what_stays_is_not_sent_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def place(_: StandaloneHost, modules: object, *, staying: list[torch.nn.Module] = []) -> None:  # noqa: B006
        seen.append([type(module).__name__ for module in staying])

    monkeypatch.setattr(StandaloneHost, "place", place)
    text_encoder = replace(select_component(FLUX, "text_encoder"), placement="resident")
    for component in (text_encoder, select_component(FLUX, "transformer"), replace(text_encoder, placement="offload_model")):
        with store.use(component):
            pass
    with store.use(select_component(FLUX, "transformer")):
        pass
    assert seen == [["CLIPTextModel"], ["CLIPTextModel"], [], []]
    assert store.loads == 2


def test_bitsandbytes_is_not_streamed(store: Store) -> None:
    component = replace(select_component(FLUX, "transformer", precision="nf4"), placement="offload_group")
    with pytest.raises(UserError, match="nf4 cannot be streamed"), store.use(component):
        pass
    assert store.loads == 0


def _tile_state(vae: Component) -> tuple[bool, int]:
    with use_vae(vae) as module:
        return module.use_tiling, getattr(module, "tile_sample_min_size", 0) or module.tile_sample_min_height


def test_tiles_are_the_handles_alone(store: Store) -> None:
    flux, wan = select_component(FLUX, "vae"), select_component(WAN, "vae")
    assert _tile_state(replace(flux, tile=0)) == (True, 512)
    assert _tile_state(replace(flux, tile=256)) == (True, 256)
    assert _tile_state(flux) == (False, 1024)
    assert _tile_state(replace(wan, tile=0)) == (True, 256)
    assert _tile_state(replace(wan, tile=128)) == (True, 128)
    assert _tile_state(wan) == (False, 256)


def test_int8_comes_back_whole_after_a_call(store: Store) -> None:
    """A module that computed on the device holds nothing there afterwards. Where that is the CPU, it stands in for a card."""
    from advanced_models.host.placement import Moved
    from advanced_models.host.tensors import slots

    component = select_component(FLUX, "transformer", precision="int8")
    with store.use(component) as (module,):
        before = {getattr(owner, name).data_ptr() for owner, name in slots(module)}
        size = device_bytes(module)
        moved = Moved(module, host.current().device())
        result(store, component)
        moved.back()
        assert {getattr(owner, name).data_ptr() for owner, name in slots(module)} == before
        assert device_bytes(module) == size


@pytest.mark.parametrize("role", ["text_encoder", "text_encoder_2", "transformer", "vae"])
def test_all_that_came_to_the_device_leaves_it(store: Store, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    """Tied weights too, as T5's embeddings, which two layers name. A copy in main memory stands in for the device."""
    from advanced_models.host.placement import Moved

    with store.use(select_component(FLUX, role)) as (module,):
        tensors = [*module.parameters(), *module.buffers()]
        before = [tensor.data_ptr() for tensor in tensors]
        monkeypatch.setattr(torch.Tensor, "to", lambda tensor, _: tensor.clone())
        moved = Moved(module, torch.device("cpu"))
        assert not {tensor.data_ptr() for tensor in tensors if tensor.numel()} & set(before)
        moved.back()
        assert [tensor.data_ptr() for tensor in tensors] == before
