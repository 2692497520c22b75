"""Streamed blocks are on the device while they compute, two at most, and in main memory at all other times."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from advanced_models import host
from advanced_models.host.streaming import stream
from advanced_models.loaders.store import STORE
from step_cache_support import with_cache
from test_step_cache_runs import flux_parts, paint
from torch.multiprocessing.reductions import StorageWeakRef


class Network(torch.nn.Module):
    """Six blocks of two layers, of which some may be left out or fail."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.blocks = torch.nn.ModuleList(
            torch.nn.Sequential(torch.nn.Linear(8, 8 + n % 3), torch.nn.Linear(8 + n % 3, 8)) for n in range(6)
        )
        self.left_out: set[int] = set()
        self.fails: int | None = None
        self.weights: list[torch.Tensor] = []
        """Of each block, as its forward pass found them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, block in enumerate(self.blocks):
            if number not in self.left_out:
                x = x + block(x).tanh()
        return x


def device() -> torch.device:
    return host.current().device()


def watched(network: Network) -> Network:
    """The network, which notes the weights that each block computes with; block `fails` raises."""
    for number, block in enumerate(network.blocks):

        def note(module: Any, _: Any, number: int = number) -> None:
            network.weights.append(module.weight.data)
            if number == network.fails:
                raise RuntimeError("broken")

        block[0].register_forward_pre_hook(note)  # type: ignore[index]
    return network


@pytest.fixture
def plain() -> Network:
    return Network().to(device())


@pytest.fixture
def streamed() -> Network:
    network = watched(Network())
    stream(network, list(network.blocks), device())
    return network


@pytest.fixture
def x() -> torch.Tensor:
    return torch.linspace(-1, 1, 32).reshape(4, 8).to(device())


def in_main_memory(network: Network) -> list[int]:
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
    return [parameter.data_ptr() for parameter in network.parameters()]


def test_two_places_serve_all_blocks(plain: Network, streamed: Network, x: torch.Tensor) -> None:
    before = in_main_memory(streamed)
    with torch.inference_mode():
        assert torch.equal(streamed(x), plain(x))
    assert in_main_memory(streamed) == before
    places = [weight.data_ptr() for weight in streamed.weights]
    assert len(places) == 6
    assert places[0::2] == places[:1] * 3
    assert places[1::2] == places[1:2] * 3
    assert len({*places[:2], *before}) == 2 + len(before)


@pytest.mark.parametrize("left_out", [{0}, {3}, {5}, {1, 2}, {0, 1, 2, 3, 4}])
def test_blocks_that_are_left_out(plain: Network, streamed: Network, x: torch.Tensor, left_out: set[int]) -> None:
    with torch.inference_mode():
        for these in (left_out, set(), left_out, left_out):
            plain.left_out = streamed.left_out = these
            assert torch.equal(streamed(x), plain(x))
    in_main_memory(streamed)


@pytest.mark.parametrize("number", [0, 2, 5])
def test_a_block_that_fails_leaves_nothing_on_the_device(plain: Network, streamed: Network, x: torch.Tensor, number: int) -> None:
    before = in_main_memory(streamed)
    streamed.fails = number
    with torch.inference_mode(), pytest.raises(RuntimeError, match="broken"):
        streamed(x)
    assert in_main_memory(streamed) == before
    streamed.fails = None
    with torch.inference_mode():
        assert torch.equal(streamed(x), plain(x))


def test_the_device_holds_nothing_between_two_runs(streamed: Network, x: torch.Tensor) -> None:
    streamed.left_out = {4, 5}
    with torch.inference_mode():
        streamed(x)
    places = [StorageWeakRef(weight.untyped_storage()) for weight in streamed.weights[:2]]
    streamed.weights.clear()
    assert [place.expired() for place in places] == [True, True]


def test_a_step_cache_skips_the_copies_too(use_host: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from advanced_models.host import streaming

    copied: list[int] = []
    take = streaming._Place.take
    monkeypatch.setattr(streaming._Place, "take", lambda self, number, weights: (copied.append(number), take(self, number, weights))[1])
    transformer, conditioning = flux_parts()
    handle = with_cache(transformer, kind="FirstBlock", threshold=1.5)
    expected = paint(handle, conditioning)
    found = paint(replace(handle, placement="offload_group"), conditioning)
    assert torch.equal(found, expected)
    with STORE.use(transformer) as (module,):
        blocks = len(module.transformer_blocks) + len(module.single_transformer_blocks)
    # The first block decides, with the second one copied ahead: steps that are skipped need these two alone.
    assert copied.count(blocks - 1) < copied.count(0) == copied.count(1) == 8
