// The one script that the page loads of this pack; what it does lies in the modules beside it.
// @ts-check
import { app } from "../../scripts/app.js";
import { followRole } from "./text_encoder_picker.mjs";

app.registerExtension({
  name: "AdvancedModels.Page",
  nodeCreated(node) {
    if (node.comfyClass === "TextEncoderPicker") followRole(node);
  },
  loadedGraphNode(node) {
    // Values of a loaded graph are set without telling the widget.
    if (node.comfyClass === "TextEncoderPicker") followRole(node);
  },
});
