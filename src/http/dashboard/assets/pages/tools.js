// Tools and plugins: how they fare, what they are granted, and a form to try them.

import { h, fill } from "../dom.js";
import { t } from "../words.js";
import { bytes, moment, number, took, word } from "../format.js";
import { get, part, post } from "../api.js";
import { changeQuery, query } from "../router.js";
import { act, badge, button, code, describe, facts, field, head, nothing, panel, pretty, table } from "../parts.js";
import { may } from "../session.js";
import { schemaForm } from "../schema_form.js";

export async function tools({ refresh }) {
  const [{ tools: list }, { plugins, out_of_order: broken }] = await Promise.all([get("/tools"), get("/plugins")]);
  const side = h("div", { class: "aside-box" });
  let links = [];

  function row(tool) {
    const rate = tool.calls ? tool.failures / tool.calls : 0;
    const link = h("a", { href: `/tools?tool=${part(tool.name)}`, "data-tool": tool.name, onclick: (event) => { event.preventDefault(); choose(tool.name); changeQuery({ tool: tool.name }); } }, h("code", null, tool.name));
    links.push(link);
    return { ...tool, link, rate };
  }
  const rows = list.map(row);

  function choose(name) {
    const tool = list.find((each) => each.name === name);
    for (const link of links) {
      if (link.dataset.tool === name) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    }
    fill(side, tool ? one(tool) : panel(t("tools.try"), null, nothing(t("tools.choose"))));
  }

  const reload = may("operator") && button(t("tools.reload"), () => act(() => post("/plugins/reload"), t("tools.reloaded")).then(() => setTimeout(refresh, 800)));
  choose(query().get("tool"));
  return {
    title: t("nav.tools"),
    node: [head(t("nav.tools"), null, reload),
      broken?.length > 0 && h("div", { class: "trouble" }, broken.map((each) => h("p", null, badge("bad", each.name), " ", each.why, " ", h("span", { class: "faint" }, moment(each.at))))),
      h("div", { class: "columns wide-left" },
        h("div", null,
          panel(t("tools.tools"), null, table(t("tools.tools"), [
            { title: t("tools.name"), cell: (each) => each.link },
            { title: t("tools.kind"), cell: (each) => [word("kind", each.kind), h("div", { class: "faint cut" }, each.from ?? "")] },
            { title: t("tools.calls"), class: "num right", cell: (each) => number(each.calls) },
            { title: t("tools.failures"), class: "num right", cell: (each) => each.failures ? h("span", { class: each.rate > 0.05 ? "bad-words" : "" }, `${number(each.failures)} · ${number(each.rate * 100, 1)} %`) : "–" },
            { title: "p50", class: "num right", cell: (each) => took(each.p50_ms) },
            { title: "p99", class: "num right", cell: (each) => took(each.p99_ms) },
            { title: t("tools.breaker"), cell: (each) => breaker(each.breaker) },
          ], rows, { empty: t("tools.none") })),
          panel(t("tools.plugins"), null, plugins.length ? plugins.map(plugin) : nothing(t("tools.no_plugins")))),
        side)],
  };
}

function breaker(state) {
  return badge(state === "open" ? "bad" : state === "closed" ? "good" : "waiting", word("breaker", state));
}

/** What a tool is, and the form to try it. */
function one(tool) {
  const form = schemaForm(tool.parameters);
  const caller = h("input", { type: "text", inputmode: "tel", autocomplete: "off", placeholder: "+819012345678" });
  const result = h("div", { role: "status" });
  const submit = h("button", { type: "submit", class: "main" }, t("tools.run"));

  async function run(event) {
    event.preventDefault();
    submit.disabled = true;
    fill(result, h("p", { class: "faint" }, t("tool.running")));
    try {
      const body = { arguments: form.values() };
      if (caller.value.trim()) body.caller = caller.value.trim();
      const answer = await post(`/tools/${part(tool.name)}/call`, body);
      fill(result, h("p", { class: "row" }, badge(answer.outcome === "ok" ? "good" : "bad", word("tool", answer.outcome)), h("span", { class: "num faint" }, took(answer.took_ms))),
        code(pretty(answer.output), t("tool.output")));
    } catch (error) {
      fill(result, h("p", { class: "bad-words" }, describe(error)));
    }
    submit.disabled = false;
  }

  return panel(tool.name, null,
    h("p", null, tool.description),
    facts([
      [t("tools.from"), tool.from], [t("tools.sessions"), tool.sessions?.join(", ")], [t("tools.timeout"), tool.timeout_ms && took(tool.timeout_ms)],
      [t("tools.repeat"), t(tool.may_repeat ? "yes" : "no")], [t("tools.say_first"), tool.say_first],
    ]),
    h("details", null, h("summary", null, t("tools.schema")), code(pretty(tool.parameters), t("tools.schema"))),
    h("h3", null, t("tools.try")),
    may("operator")
      ? h("form", { class: "try", onsubmit: run }, tool.may_repeat ? null : h("p", { class: "tagline" }, t("tools.really")), form.node,
        field(t("tools.caller"), caller, t("tools.caller.help")), submit, result)
      : h("p", { class: "faint" }, t("tools.role")));
}

function plugin(each) {
  const { grants, limits } = each;
  const granted = [
    grants.kv && `kv ${grants.kv}`, ...grants.http.map((pattern) => `http ${pattern}`), ...grants.private_hosts.map((name) => `private ${name}`),
    ...grants.secrets.map((name) => `secret ${name}`), ...grants.reveal.map((name) => `reveal ${name}`), grants.history && "history",
    ...grants.calls.map((power) => `call ${power}`), ...grants.hooks.map((hook) => `hook ${hook}`),
  ].filter(Boolean);
  const chips = (list) => list.length ? h("span", { class: "chips" }, list.map((text) => h("code", null, text))) : "–";
  const change = each.last_change;
  return h("details", { class: "plugin" },
    h("summary", null, h("b", null, each.name), breaker(each.breaker), change?.refused && badge("warn", t("tools.refused")), h("span", { class: "faint num" }, `${bytes(each.memory_peak_bytes)} / ${bytes(limits.memory_bytes)}`)),
    facts([
      [t("tools.tools"), chips(each.tools)], [t("tools.needs"), chips(each.needs)], [t("tools.grants"), chips(granted)],
      [t("tools.limits"), `${took(limits.time_ms)} · ${bytes(limits.memory_bytes)} · ${t("tools.at_once", { count: limits.concurrency })} · ${t("tools.requests", { count: limits.http_requests })}`],
      [t("tools.loaded"), `${took(each.loaded_in_ms)}${each.from_cache ? ` · ${t("tools.cache")}` : ""}`],
      ["SHA-256", h("code", { class: "data" }, each.digest)],
      [t("tools.change"), change && `${moment(change.at)}: ${change.refused ?? t("tools.in_use")}`],
    ]));
}
