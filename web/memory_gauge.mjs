// The gauge in the top bar: memory in use, of the card where there is one. It asks only while it can be seen.
// @ts-check
import { app } from "../../scripts/app.js";
import { ask } from "./api.mjs";
import { el, gib, root } from "./dom.mjs";
import { t } from "./words.mjs";

const EVERY_MS = 3000;

/** Put the gauge before the settings of the top bar. */
export function addGauge() {
  const meter = el("meter", { min: 0, max: 1, high: 0.9, optimum: 0, "aria-label": t("memory in use") });
  const text = el("span");
  const gauge = root("div", { class: "gauge", role: "status", "aria-label": t("Memory") }, meter, text);
  app.menu?.settingsGroup?.element.before(gauge);
  everyWhileVisible(gauge, EVERY_MS, async () => {
    const { card, main } = (await ask("status")).memory;
    const { used_bytes: used, total_bytes: total } = card ?? main;
    meter.setAttribute("value", String(used / total));
    text.textContent = `${card ? "VRAM" : "RAM"} ${gib(used)} / ${gib(total)}`;
    gauge.title = `${card ? `${card.name}\n` : ""}${t("Main memory {used} of {total}", { used: gib(main.used_bytes), total: gib(main.total_bytes) })}`;
  });
}

/**
 * Do something now and then while an element is on the screen and the page is in front; nothing at all while not.
 * @param {HTMLElement} element
 * @param {number} ms
 * @param {() => Promise<void>} work
 */
export function everyWhileVisible(element, ms, work) {
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  let running = false;
  const once = async () => {
    if (running || document.hidden) return;
    running = true;
    try {
      await work();
      element.removeAttribute("data-lost");
    } catch (error) {
      element.setAttribute("data-lost", /** @type {Error} */ (error).message); // the server is gone or starting: the next time tells
    } finally {
      running = false;
    }
  };
  new IntersectionObserver(([entry]) => {
    clearInterval(timer);
    if (!entry.isIntersecting) return;
    once();
    timer = setInterval(once, ms);
  }).observe(element);
  return once;
}
