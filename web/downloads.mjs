// Downloads in progress: which file, how far, how fast, and a button to stop.
// @ts-check
import { api } from "../../scripts/api.js";
import { decimal, t } from "./words.mjs";
import { el, gb } from "./dom.mjs";

const MB = 1e6;

/** A list of downloads; `show` brings it up to date. A row stays the same element, so that the keyboard's focus stays on its button. */
export function downloadList() {
  const none = el("p", { class: "quiet" }, t("None. A loader downloads what is missing when the graph runs."));
  const element = el("div", {}, none);
  /** @type {Map<string, ReturnType<typeof row>>} */
  const rows = new Map();
  /** @param {any[]} active as the server's `status` gives them */
  const show = (active) => {
    const found = new Map(active.map((download) => [`${download.repository}/${download.file}`, download]));
    for (const [name, { element }] of rows) {
      if (found.has(name)) continue;
      element.remove();
      rows.delete(name);
    }
    for (const [name, download] of found) {
      const shown = rows.get(name) ?? row(download);
      if (!rows.has(name)) element.append(shown.element);
      rows.set(name, shown);
      shown.update(download);
    }
    none.hidden = rows.size > 0;
  };
  return { element, show };
}

/** @param {any} first */
function row(first) {
  const name = `${first.repository}: ${first.file}`;
  const bar = el("progress", { max: first.total, "aria-label": t("Download of {name}", { name }) });
  const text = el("span", { class: "quiet" });
  // A download belongs to the run that waits for it: both are stopped, and what has arrived is kept.
  const stop = el("button", { type: "button", "aria-label": t("Stop the download of {name}", { name }), title: t("Stops the run that waits for it. What has arrived is kept."), onclick: () => api.interrupt(null) }, t("Stop"));
  const element = el("div", { class: "download" }, el("div", { class: "name", title: name }, first.file), bar, el("div", { class: "row" }, text, stop));
  /** @param {any} download */
  const update = ({ done, total, rate }) => {
    bar.setAttribute("value", String(done));
    const left = rate > 0 ? ` · ${duration((total - done) / rate)}` : "";
    text.textContent = `${t("{done} of {total}", { done: gb(done), total: gb(total) })} · ${decimal(rate / MB)} MB/s${left}`;
  };
  return { element, update };
}

/** @param {number} seconds */
function duration(seconds) {
  return seconds < 90 ? t("{seconds} s left", { seconds: Math.ceil(seconds) }) : t("{minutes} min left", { minutes: Math.round(seconds / 60) });
}
