"""The page's modules, run by node on graphs of plain objects."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from advanced_models.nodes.text_encoders import ROLES, TextEncoderPicker

WEB = Path(__file__).parent.parent / "web"

PICKER = """
import { followRole } from "./text_encoder_picker.mjs";
const sockets = JSON.parse(process.argv[1]);
class Picker {}
Picker.nodeData = { input: { required: { role: [[], { sockets }] } } };
const dropped = [];
const target = {
  inputs: [{ type: "T5_XXL" }, { type: "*" }, { type: "CLIP_L" }],
  getInputNode: (slot) => (slot < 2 ? node : null),
  disconnectInput: (slot) => dropped.push(slot),
};
const calls = [];
const role = { name: "role", value: "FLUX.1: T5-XXL", callback: (value) => calls.push(value) };
const node = Object.assign(new Picker(), {
  widgets: [role], outputs: [{ type: "ANY" }], getOutputNodes: () => [target],
});
followRole(node);
followRole(node);
const first = [node.outputs[0].type, [...dropped]];
role.value = "Wan: UMT5-XXL";
role.callback(role.value);
console.log(JSON.stringify({ first, second: [node.outputs[0].type, dropped], calls }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_pickers_output_follows_its_role() -> None:
    sockets = TextEncoderPicker.INPUT_TYPES()["required"]["role"][1]["sockets"]
    assert sockets == {role: socket for role, (_, socket) in ROLES.items()}
    command = ["node", "--input-type=module", "-e", PICKER, json.dumps(sockets)]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["first"] == ["T5_XXL", []]
    # The wire into a T5 input is taken off, the one into an input of any type stays; the widget's own callback still runs, once.
    assert answer["second"] == ["UMT5_XXL", [0]]
    assert answer["calls"] == ["Wan: UMT5-XXL"]
