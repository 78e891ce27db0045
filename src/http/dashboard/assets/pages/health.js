// Whether the gateway can take calls, and why not.

import { h, fill } from "../dom.js";
import { known, t } from "../words.js";
import { bytes, number, took, uptime, word } from "../format.js";
import { get } from "../api.js";
import { badge, describe, facts, head, panel, table } from "../parts.js";

/** How often it is asked, in milliseconds. */
const EVERY = 5_000;

export async function health() {
  const body = h("div");
  const beside = h("span", { role: "status" });
  draw(await get("/health"));

  function draw(told) {
    const isWhole = told.checks.every((check) => check.ok);
    const text = t(told.ready ? (isWhole ? "health.ready" : "health.degraded") : "health.not_ready");
    if (beside.textContent !== text) fill(beside, badge(told.ready ? (isWhole ? "good" : "warn") : "bad", text));
    fill(body,
      h("dl", { class: "strip" }, [
        [t("health.uptime"), uptime(told.uptime_s)], [t("health.calls"), number(told.calls_active)], [t("health.lag"), took(told.lag_ms)],
      ].map(([name, value]) => h("div", null, h("dt", null, name), h("dd", { class: "num" }, value)))),
      table(t("health.checks"), [
        { title: t("health.check"), cell: (check) => named(check.name) },
        { title: t("health.state"), cell: (check) => badge(check.ok ? "good" : "bad", t(check.ok ? "health.ok" : "health.bad")) },
        { title: t("health.detail"), class: "wide", cell: (check) => check.detail ?? "" },
      ], told.checks),
      h("div", { class: "pair" }, panel(t("health.store"), null, values(told.store)), panel(t("health.build"), null, values(told.build))));
  }

  const timer = setInterval(async () => {
    if (document.hidden || body.contains(document.activeElement)) return;
    try { draw(await get("/health")); } catch (error) { fill(beside, badge("bad", describe(error))); }
  }, EVERY);
  return { title: t("nav.health"), node: [head(t("nav.health"), beside), body], dispose: () => clearInterval(timer) };
}

/** `store`, `path sip`, `plugin NAME`: the first word in the page's language. */
function named(name) {
  const [first, ...rest] = name.split(" ");
  return rest.length && known(`check.${first}`) ? [word("check", first), " ", h("code", null, rest.join(" "))] : word("check", name);
}

function values(object) {
  return facts(Object.entries(object ?? {}).map(([name, value]) => [word("fact", name), value === null ? null : shown(name, value)]));
}

function shown(name, value) {
  if (typeof value === "number") return h("span", { class: "num" }, name.endsWith("_bytes") || name === "bytes" ? bytes(value) : number(value));
  if (typeof value === "boolean") return t(value ? "yes" : "no");
  return typeof value === "string" ? value : h("code", { class: "data" }, JSON.stringify(value));
}
