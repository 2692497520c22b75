// Our styles, in the colours of ComfyUI's own theme. Marks are mixed with its text colour, so that they stand out from light and dark alike.
// A state has a colour and a word, never the colour alone.
// @ts-check

export const STYLES = `
.advanced-models {
  --am-text: var(--input-text, #ddd); --am-quiet: var(--descrip-text, #999);
  --am-good: color-mix(in srgb, #2e9e5b 70%, var(--am-text)); --am-warn: color-mix(in srgb, #d08a00 55%, var(--am-text));
  --am-bad: color-mix(in srgb, #d64545 70%, var(--am-text));
  box-sizing: border-box; color: var(--am-text); font: 12px/1.4 sans-serif; text-align: start;
}
.advanced-models.panel {
  width: 100%; height: 100%; overflow: auto; padding: 6px 8px; border-radius: 6px;
  background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #444);
}
.advanced-models.wire-tip { position: fixed; inset: auto; margin: 0; width: max-content; max-width: 320px; padding: 6px 8px; border: 1px solid var(--am-bad); border-inline-start-width: 4px; border-radius: 6px; background: var(--comfy-menu-bg, #222); pointer-events: none; }
.advanced-models p { margin: 0 0 2px; }
.advanced-models .quiet { color: var(--am-quiet); }
.advanced-models .mark { display: inline-block; margin-inline-end: 4px; padding: 0 5px; border: 1px solid currentColor; border-radius: 8px; font-size: 11px; }
.advanced-models .state { padding-inline-start: 6px; border-inline-start: 4px solid var(--am-quiet); }
.advanced-models .good { border-color: var(--am-good); }
.advanced-models .caution { border-color: var(--am-warn); }
.advanced-models .danger { border-color: var(--am-bad); }
.advanced-models .bar { position: relative; display: flex; height: 16px; margin: 4px 0; background: var(--comfy-menu-bg, #333); outline: 1px solid var(--border-color, #555); }
.advanced-models .bar > span { height: 100%; box-sizing: border-box; border-inline-end: 1px solid var(--comfy-input-bg, #222); }
.advanced-models .bar > .limit { position: absolute; top: -3px; bottom: -3px; height: auto; width: 0; border: 0; border-inline-start: 2px solid var(--am-text); }
.advanced-models .key { display: inline-block; width: 9px; height: 9px; margin-inline-end: 3px; }
.advanced-models .legend span { margin-inline-end: 8px; white-space: nowrap; }
.advanced-models button { color: inherit; background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #555); border-radius: 4px; padding: 1px 8px; cursor: pointer; font: inherit; }
.advanced-models button:focus-visible, .advanced-models summary:focus-visible { outline: 2px solid var(--p-primary-color, #4aa3ff); }
.advanced-models .mark .pi { font-size: inherit; }
.advanced-models meter, .advanced-models progress { width: 100%; height: 10px; border-radius: 5px; }
.advanced-models meter::-webkit-meter-bar, .advanced-models progress::-webkit-progress-bar { height: 8px; background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #555); border-radius: 5px; }
.advanced-models meter::-webkit-meter-optimum-value { background: var(--am-good); }
.advanced-models meter::-webkit-meter-suboptimum-value { background: var(--am-warn); }
.advanced-models progress::-webkit-progress-value { background: var(--p-primary-color, #4aa3ff); border-radius: 5px; }
.advanced-models.sidebar { height: 100%; overflow: auto; padding: 10px; }
.advanced-models.sidebar section { margin-bottom: 14px; }
.advanced-models.sidebar h3 { font-size: 13px; font-weight: 600; margin: 0 0 6px; padding-bottom: 3px; border-bottom: 1px solid var(--border-color, #444); }
.advanced-models.sidebar summary { padding: 3px 0; cursor: pointer; }
.advanced-models.sidebar .model { margin-inline-start: 14px; }
.advanced-models .download { padding: 2px 0 6px; }
.advanced-models .download .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.advanced-models .row { display: flex; gap: 8px; align-items: center; justify-content: space-between; padding: 2px 0; }
.advanced-models.gauge { display: inline-flex; gap: 6px; align-items: center; padding: 0 8px; white-space: nowrap; }
.advanced-models.gauge meter { width: 60px; }
`;
