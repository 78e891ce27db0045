// What the gateway runs with, and where each value is from; and whether another file would be good.

import { h, fill } from "../dom.js";
import { t } from "../words.js";
import { moment, word } from "../format.js";
import { get, post } from "../api.js";
import { changeQuery, query } from "../router.js";
import { badge, code, describe, field, panel, select, table } from "../parts.js";
import { may } from "../session.js";

export async function config() {
  let told = await get("/config");
  const body = h("div");
  const beside = h("div", { class: "beside" });
  const last = h("div");
  const now = query();
  const search = h("input", { type: "search", value: now.get("q") ?? "", "data-filter": true, autocomplete: "off", oninput: () => { changeQuery({ q: search.value.trim() }, { replace: true }); draw(); } });
  const origin = select([["", t("filter.any")], ["set", t("config.set")], ["file", t("origin.file")], ["environment", t("origin.environment")], ["default", t("origin.default")]],
    now.get("origin") ?? "", { onchange: () => { changeQuery({ origin: origin.value }); draw(); } });

  function draw() {
    const wanted = search.value.trim().toLowerCase();
    const from = origin.value;
    const found = told.entries.filter(({ key, value, origin: { kind } }) =>
      (!wanted || `${key} ${shown(value)}`.toLowerCase().includes(wanted)) && (!from || (from === "set" ? kind !== "default" : kind === from)));
    fill(body, table(t("nav.config"), [
      { title: t("config.key"), cell: ({ key }) => h("code", null, key) },
      { title: t("config.value"), class: "wide", cell: ({ value }) => h("code", { class: "data" }, shown(value)) },
      { title: t("config.origin"), cell: ({ origin: each }) => whence(each) },
    ], found));
    const reload = told.last_reload;
    fill(beside, h("code", null, told.path ?? "–"), h("span", { class: "faint" }, t("config.read", { at: moment(told.read_at) })),
      reload && badge(reload.ok ? "good" : "bad", t(reload.ok ? "config.reloaded" : "config.refused", { at: moment(reload.at) })));
    fill(last, reload?.problems && h("details", { open: !reload.ok }, h("summary", null, t("config.problems")), code(reload.problems, t("config.problems"))),
      reload?.needs_restart.length > 0 && h("p", null, t("config.restart"), " ", reload.needs_restart.map((key) => h("code", null, key))));
  }

  async function reread() {
    told = await get("/config");
    draw();
  }

  draw();
  return {
    title: t("nav.config"),
    node: [h("header", { class: "head" }, h("h1", { tabindex: "-1" }, t("nav.config")), beside), last,
      h("div", { class: "columns wide-left" },
        h("div", null, h("div", { class: "bar" }, field(t("event.filter"), search), field(t("config.origin"), origin)), body),
        panel(t("config.check"), { class: "aside" }, may("admin") ? [checker(), reloader(reread)] : h("p", { class: "faint" }, t("config.role"))))],
  };
}

function shown(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function whence(origin) {
  if (origin.kind === "file") return [h("span", null, origin.file ? fileName(origin.file) : t("origin.file")), origin.line && h("span", { class: "faint num" }, `:${origin.line}`)];
  if (origin.kind === "environment") return h("code", null, `$${origin.variable ?? ""}`);
  return h("span", { class: "faint" }, word("origin", origin.kind));
}

function fileName(path) {
  return path.split("/").pop();
}

/** Has the gateway read its file again, and then the page what the gateway has. */
function reloader(reread) {
  const result = h("div", { role: "status" });
  async function reload() {
    try {
      const { changes } = await post("/config/reload");
      fill(result, badge("good", t("config.followed", { count: changes.length })),
        differences(changes));
    } catch (error) {
      fill(result, badge("bad", t("config.refused", { at: moment(Date.now()) })), code(describe(error), t("config.problems")));
    }
    await reread().catch((error) => result.append(h("p", { class: "bad-words" }, describe(error))));
  }
  return h("section", null, h("h3", null, t("config.reload")), h("p", { class: "faint" }, t("config.reload.help")), h("button", { type: "button", onclick: reload }, t("config.do_reload")), result);
}

function differences(changes) {
  return h("ul", { class: "problems" }, changes.map(({ key, old, new: now }) => h("li", null, h("code", null, key), " ", shown(old), " → ", shown(now))));
}

function checker() {
  const text = h("textarea", { rows: 12, required: true, spellcheck: "false", class: "mono", placeholder: "[server]\nlisten = \"0.0.0.0:8080\"" });
  const result = h("div", { role: "status" });
  async function check(event) {
    event.preventDefault();
    try {
      const { ok, problems, rendered, changes } = await post("/config/check", { text: text.value });
      fill(result, badge(ok ? "good" : "bad", ok ? t("config.good") : t("config.bad", { count: problems.length })),
        h("ul", { class: "problems" }, problems.map((each) => h("li", null,
          h("p", null, badge(each.severity === "error" ? "bad" : "warn", each.code ?? each.severity), " ", each.line && h("span", { class: "num faint" }, `${each.line}:${each.column ?? 1} `), each.message),
          each.help && h("p", { class: "faint" }, each.help)))),
        ok && h("p", null, t("config.would", { count: changes.length })),
        differences(changes),
        rendered && h("details", null, h("summary", null, t("config.rendered")), code(rendered, t("config.rendered"))));
    } catch (error) {
      fill(result, h("p", { class: "bad-words" }, describe(error)));
    }
  }
  return h("form", { onsubmit: check }, field(t("config.text"), text, t("config.text.help")), h("button", { type: "submit", class: "main" }, t("config.do_check")), result);
}
