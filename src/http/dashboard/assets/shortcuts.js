// Single keys, for people who do this all day. They can be turned off, as some people's input makes keys by itself.

import { h } from "./dom.js";
import { t } from "./words.js";
import { keep, kept } from "./kept.js";

/** How long after `g` the second key may come, in milliseconds. */
const SECOND_KEY_WITHIN = 1_200;

let house = null;
let isAfterG = false;
let timer;

export const shortcuts = { start, help };

function start(given) {
  house = given;
  document.addEventListener("keydown", pressed);
}

function isOn() {
  return kept("shortcuts") !== "off";
}

function pressed(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !isOn()) return;
  if (event.target.closest?.("input, select, textarea, dialog, [contenteditable]")) return;
  const key = event.key;
  if (isAfterG) {
    isAfterG = false;
    const page = house.pages.find((each) => each.key === key && (!each.role || house.may(each.role)));
    if (page) { event.preventDefault(); house.go(page.href); }
    return;
  }
  if (key === "g") {
    isAfterG = true;
    clearTimeout(timer);
    timer = setTimeout(() => { isAfterG = false; }, SECOND_KEY_WITHIN);
  } else if (key === "?") {
    event.preventDefault();
    help();
  } else if (key === "T") {
    house.theme();
  } else if (key === "/") {
    const first = document.querySelector("main [data-filter]");
    if (first) { event.preventDefault(); first.focus(); }
  } else if (house.page()?.onKey?.(key)) {
    event.preventDefault();
  }
}

/** Shows what there is. */
async function help() {
  const row = (keys, text) => [h("dt", null, keys.split(" ").map((key) => h("kbd", null, key))), h("dd", null, text)];
  const toggle = h("input", { type: "checkbox", checked: isOn(), onchange: (event) => keep("shortcuts", event.target.checked ? null : "off") });
  await house.ask(t("shortcuts.title"), h("div", null,
    h("dl", { class: "keys" },
      row("?", t("shortcuts.help")),
      house.pages.filter((page) => !page.role || house.may(page.role)).map(({ key, name }) => row(`g ${key}`, t(`nav.${name}`))),
      row("/", t("shortcuts.filter")),
      row("j k", t("shortcuts.rows")),
      row("Enter", t("shortcuts.open")),
      row("p", t("shortcuts.play")),
      row("[ ]", t("shortcuts.lines")),
      row("T", t("shortcuts.theme"))),
    h("label", { class: "check" }, toggle, t("shortcuts.on"))));
}
