"""Plans: they fit, they can be combined, they name what cannot be executed, and the better ones come first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from advanced_models.errors import UserError
from advanced_models.loaders.precision import PRECISIONS
from advanced_models.loaders.registry import load_registry
from advanced_models.memory.estimate import estimate
from advanced_models.memory.estimate_values import Libraries, Workload
from advanced_models.memory.pins import check_pins, read_pins
from advanced_models.memory.plan import as_it_is, best, plans
from advanced_models.memory.plan_values import GIB, Backends, Choice, Machine, Part, Pin, Wishes, compatible
from advanced_models.memory.preflight import model_preflight

LIBRARIES = Libraries()
EVERYTHING = Backends(
    frozenset({"bf16", "fp16", "fp32", "fp8", "int8", "nf4"}), frozenset({"resident", "offload_model", "offload_group", "cpu"})
)
FLUX = (
    Part("transformer", "flux1-dev-transformer", "denoiser", (("denoise", Workload()),), "bf16", runs=28),
    Part("text_encoder", "clip-l-encoder", "text_encoder", (("encode", Workload(text_tokens=77)),), "bf16"),
    Part("text_encoder_2", "t5-xxl-encoder", "text_encoder", (("encode", Workload()),), "bf16"),
    Part("vae", "flux1-vae", "vae", (("decode", Workload()),), "bf16"),
)
CARDS = [(8, 32), (8, 64), (12, 64), (16, 32), (24, 64), (32, 32), (48, 64), (80, 64)]


@pytest.mark.parametrize(("card", "ram"), CARDS)
@pytest.mark.parametrize("model", ["FLUX.1-dev", "Wan2.2-TI2V-5B", "Qwen-Image", "Qwen2.5-VL-7B-Instruct"])
def test_no_plan_exceeds_the_machine(model: str, card: int, ram: int) -> None:
    machine = Machine.of(card, ram)
    parts = model_preflight(load_registry().model(model), LIBRARIES).parts
    found = plans(parts, machine, backends=EVERYTHING, libraries=LIBRARIES)
    for plan in found:
        assert plan.peak <= machine.usable
        assert plan.host <= machine.usable_host
        assert all(compatible(choice.precision, choice.placement) for choice in plan.choices.values())
        # The needs again, part by part from the estimates.
        between = {
            part.name: estimate(part.component, part.stages[0][0], part.workload, precision=choice.precision, libraries=LIBRARIES)
            for part in parts
            if (choice := plan.choices[part.name]).placement == "resident"
        }
        for need in plan.needs:
            others = sum(other.weights + other.gaps for name, other in between.items() if name != need.part)
            part, choice = next(part for part in parts if part.name == need.part), plan.choices[need.part]
            own = estimate(
                part.component,
                need.stage,
                dict(part.stages)[need.stage],
                precision=choice.precision,
                placement=choice.placement,
                tile=choice.tile,
                resident_blocks=choice.resident_blocks,
                libraries=LIBRARIES,
            )
            assert need.device == pytest.approx(own.needed + others, abs=4096)


def test_better_cards_get_better_plans() -> None:
    costs = []
    for card in (8, 12, 16, 24, 32, 48):
        plan = best(plans(FLUX, Machine.of(card, 128), backends=EVERYTHING, libraries=LIBRARIES))
        assert plan is not None
        costs.append(plan.cost)
    assert costs == sorted(costs, reverse=True)
    assert plan.choices["transformer"] == Choice("bf16", "resident")


def test_plans_come_best_first_and_what_can_be_executed_before_the_rest() -> None:
    found = plans(FLUX, Machine.of(32, 64), libraries=LIBRARIES)
    executable = [plan for plan in found if not plan.missing]
    assert found[: len(executable)] == executable
    assert [plan.cost for plan in executable] == sorted(plan.cost for plan in executable)
    assert all(choice.precision in PRECISIONS for plan in executable for choice in plan.choices.values())


def test_what_the_loaders_cannot_do_is_named() -> None:
    assert Backends.of_the_loaders().precisions == {"bf16", "fp16", "fp32", "fp8", "int8", "nf4"}
    less = Backends(frozenset({"bf16", "fp16", "fp32"}), frozenset({"resident", "offload_model", "cpu"}))
    plan = best(plans(FLUX, Machine.of(12, 64), backends=less, libraries=LIBRARIES))
    assert plan is not None
    assert "offload_group" in plan.missing
    everything = best(plans(FLUX, Machine.of(12, 64), libraries=LIBRARIES))
    assert everything is not None and everything.missing == ()


def test_wishes() -> None:
    machine = Machine.of(16, 64)
    unquantised = plans(FLUX, machine, backends=EVERYTHING, wishes=Wishes(forbid_quantisation=True), libraries=LIBRARIES)
    assert unquantised
    assert {choice.precision for plan in unquantised for choice in plan.choices.values()} == {"bf16"}
    for pin in (Pin("nf4", "resident"), Pin("fp8"), Pin(placement="offload_group")):
        kept = plans(FLUX, machine, backends=EVERYTHING, wishes=Wishes(pinned={"transformer": pin}), libraries=LIBRARIES)
        assert kept
        assert all(pin.allows(plan.choices["transformer"]) for plan in kept)
    assert not plans(
        FLUX, machine, backends=EVERYTHING, wishes=Wishes(pinned={"transformer": Pin("bf16", "resident")}), libraries=LIBRARIES
    )


def test_pins_in_words() -> None:
    assert read_pins("transformer: bf16\n\n Text encoder 2 : CPU\nvae: fp32, resident") == {
        "transformer": Pin("bf16"),
        "text_encoder_2": Pin(placement="cpu"),
        "vae": Pin("fp32", "resident"),
    }
    for wrong, answer in (
        ("transformer", "is no pin"),
        ("transformer: int3", "must name a precision"),
        ("transformer: bf16, fp8", "one of each"),
        ("transformer: int8, offload_group", "do not go together"),
    ):
        with pytest.raises(UserError, match=answer):
            read_pins(wrong)
    with pytest.raises(UserError, match="its parts are transformer, text encoder"):
        check_pins({"unet": Pin("bf16")}, ["transformer", "text_encoder"])


def test_what_cannot_be_combined() -> None:
    assert not compatible("int8", "offload_model")  # bitsandbytes int8 does not move
    assert not compatible("nf4", "offload_group")  # bitsandbytes does not stream
    assert not compatible("nf4", "cpu")
    assert compatible("nf4", "offload_model")
    assert compatible("fp8", "offload_group")


def test_the_graph_as_it_is() -> None:
    plan = as_it_is(FLUX, Backends.of_the_loaders(), LIBRARIES)
    largest = estimate("flux1-dev-transformer", "denoise", Workload(), libraries=LIBRARIES).needed
    assert plan.peak == pytest.approx(largest, abs=4096)
    assert plan.largest.part == "transformer"
    on_cpu = tuple(replace(part, on_cpu=True) if part.name == "text_encoder_2" else part for part in FLUX)
    moved = as_it_is(on_cpu, Backends.of_the_loaders(), LIBRARIES)
    assert "text_encoder_2" not in {need.part for need in moved.needs}
    assert moved.host > plan.host


def test_a_file_that_is_smaller_than_its_precision() -> None:
    size = 11_901_408_320  # fp8: a byte a weight
    small = (replace(FLUX[0], size=size), *FLUX[1:])
    plan = as_it_is(small, Backends.of_comfyui(), LIBRARIES)
    assert plan.needs[0].weights == pytest.approx(size, rel=0.01)


@pytest.mark.parametrize(("card", "verdict"), [(8, "fits_with_plan"), (24, "fits_with_plan"), (32, "fits")])
def test_verdicts_for_flux(card: int, verdict: str) -> None:
    flight = model_preflight(load_registry().model("FLUX.1-dev"), LIBRARIES)
    assert flight.judge(Machine.of(card, 64)).verdict == verdict


def test_what_does_not_fit_names_what_would() -> None:
    model = load_registry().model("Wan2.2-T2V-A14B")
    report = model_preflight(model, LIBRARIES).judge(Machine.of(6, 32))
    assert report.verdict == "does_not_fit"
    assert report.nearest is not None
    assert report.nearest.words() == "Wan 2.1 T2V 1.3B fits, at 832x480"
    wan_5b = model_preflight(load_registry().model("Wan2.2-TI2V-5B"), LIBRARIES).judge(Machine.of(24, 64))
    assert wan_5b.verdict == "fits_with_plan"
    assert wan_5b.plan is not None and wan_5b.plan.choices["vae"].tile == 0
    assert wan_5b.plan.peak < 24 * GIB


def test_a_plan_that_costs_quality_names_the_next_better_one_and_what_is_short_for_it() -> None:
    flight = model_preflight(load_registry().model("Qwen-Image"), LIBRARIES)
    report = flight.judge(Machine.of(16, 32), look_further=True)
    assert report.plan is not None and report.plan.choices["transformer"].precision == "nf4"
    better = report.better
    assert better is not None
    assert "transformer: fp8 instead of nf4" in better.text
    assert better.plan.quality_lost <= report.plan.quality_lost / 2
    # With what it says is short, that plan fits, and with clearly less it does not.
    enough = Machine(report.machine.device + better.device, report.machine.host + better.host)
    assert better.plan.peak <= enough.usable + 2 and better.plan.host <= enough.usable_host
    assert flight.judge(enough).plan is not None
    assert better.plan.peak > Machine(enough.device - 2**28, enough.host).usable or better.plan.host > enough.usable_host - 2**28


def test_a_plan_that_is_as_good_as_any_names_no_better_one() -> None:
    flight = model_preflight(load_registry().model("FLUX.1-dev"), LIBRARIES)
    assert flight.judge(Machine.of(32, 64), look_further=True).better is None
    assert flight.judge(Machine.of(24, 64), look_further=True).better is None
