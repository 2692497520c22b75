// The one script that the page loads of this pack; what it does lies in the modules beside it.
// @ts-check
import { app } from "../../scripts/app.js";
import { showCost } from "./cost_panel.mjs";
import { showVerdict } from "./guard_bar.mjs";
import { addGauge } from "./memory_gauge.mjs";
import { kind } from "./node_kind.mjs";
import { showPlayer } from "./player.mjs";
import { collectClips } from "./player_clip.mjs";
import { showProgress } from "./progress_line.mjs";
import { addSidebarTab } from "./sidebar.mjs";
import { followRole } from "./text_encoder_picker.mjs";
import { addVideoTab } from "./video_tab.mjs";
import { explainRefusals } from "./wires.mjs";
import { readWords } from "./words.mjs";

const LOADERS = ["FluxLoader", "WanLoader", "WanVAELoader", "QwenImageLoader", "QwenVLLoader", "TextEncoderPicker"];

app.registerExtension({
  name: "AdvancedModels.Page",
  async setup() {
    await readWords();
    showProgress();
    addGauge();
    addSidebarTab();
    addVideoTab();
    collectClips();
    explainRefusals();
  },
  nodeCreated(/** @type {any} */ node) {
    if (kind(node) === "TextEncoderPicker") followRole(node);
    if (LOADERS.includes(kind(node))) showCost(node);
    if (kind(node) === "VRAMGuard") showVerdict(node);
    if (["VideoCombine", "VideoTimeline"].includes(kind(node))) showPlayer(node);
  },
  loadedGraphNode(/** @type {any} */ node) {
    // Values of a loaded graph are set without telling the widget.
    if (kind(node) === "TextEncoderPicker") followRole(node);
    node.refreshCost?.();
  },
});
