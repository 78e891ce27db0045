// The parts that pages are made of: badges, tables, tabs, dialogs, notices.

import { h, fill } from "./dom.js";
import { t } from "./words.js";
import { word } from "./format.js";

/** What a call ended with, or the state it is in, with a mark that does not lean on colour alone. */
export function outcome(call) {
  if (!call.ended) return badge(call.state === "live" ? "live" : "waiting", word("state", call.state));
  return badge(kindOfEnd(call.ended.reason), word("ended", call.ended.reason));
}

const FAILURES = ["provider_silent", "accept_failed", "attach_failed", "provider_dropped", "leg_failed", "gateway_lost"];
const DOUBTFUL = ["apology", "busy", "caller_gone", "max_duration", "stopping", "rejected"];

function kindOfEnd(reason) {
  if (FAILURES.includes(reason)) return "bad";
  return DOUBTFUL.includes(reason) ? "warn" : "done";
}

/** A word with a mark before it: `good`, `bad`, `warn`, `live`, `waiting`, `done`. */
export function badge(kind, text) {
  return h("span", { class: `badge ${kind}` }, h("span", { class: "mark", "aria-hidden": "true" }), text);
}

/** A number that may be masked or missing. */
export function who(text) {
  return text ? h("span", { class: "num" }, text) : h("span", { class: "faint" }, t("caller.withheld"));
}

/** Words that this role may not read. */
export function hidden() {
  return h("span", { class: "faint" }, t("hidden"));
}

/** A page's head: its title, what stands beside it, and what can be done. */
export function head(title, beside, ...actions) {
  return h("header", { class: "head" },
    h("h1", { tabindex: "-1" }, title),
    beside && h("div", { class: "beside" }, beside),
    actions.length > 0 && h("div", { class: "actions" }, actions));
}

export function panel(title, props, ...children) {
  const id = newId();
  return h("section", { ...props, class: `panel ${props?.class ?? ""}`, "aria-labelledby": id },
    h("h2", { id }, title), children);
}

let ids = 0;
export function newId() {
  ids += 1;
  return `n${ids}`;
}

/** A label with its field. */
export function field(label, control, help) {
  const id = control.id || newId();
  control.id = id;
  let described;
  if (help) {
    described = h("small", { id: `${id}-help` }, help);
    control.setAttribute("aria-describedby", described.id);
  }
  return h("div", { class: "field" }, h("label", { for: id }, label), control, described);
}

/** A `select` of `[value, text]`. */
export function select(options, value, props) {
  const node = h("select", props,
    options.map(([each, text]) => h("option", { value: each, selected: each === value }, text)));
  return node;
}

export function button(text, onclick, props = {}) {
  return h("button", { type: "button", ...props, onclick }, text);
}

/** A table in a box that scrolls sideways by itself: `columns` of `{ title, class, cell(row) }`. */
export function table(caption, columns, rows, { empty, foot, row: rowProps } = {}) {
  if (!rows.length) return nothing(empty ?? t("nothing"));
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    h("table", null,
      h("caption", { class: "unseen" }, caption),
      h("thead", null, h("tr", null, columns.map(({ title, class: kind }) => h("th", { scope: "col", class: kind }, title)))),
      h("tbody", null, rows.map((row, at) => h("tr", rowProps?.(row, at),
        columns.map(({ cell, class: kind }) => h("td", { class: kind }, cell(row, at)))))),
      foot && h("tfoot", null, h("tr", null, foot.map((cell, at) => h("td", { class: columns[at].class }, cell))))));
}

/** A list of names and values; what has no value is left out. */
export function facts(pairs) {
  const there = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, there.map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

export function nothing(text, ...more) {
  return h("div", { class: "nothing" }, h("p", null, text), more);
}

export function loading() {
  return h("p", { class: "loading", role: "status" }, t("loading"));
}

/** What went wrong, in the server's words where it has some. */
export function trouble(error, retry) {
  return h("div", { class: "trouble", role: "alert" },
    h("p", null, describe(error)),
    retry && button(t("again"), retry));
}

export function describe(error) {
  if (error.code === "unreachable") return t("unreachable");
  if (error.status === undefined) return t("unexpected", { what: error.message });
  return error.message || t("refused", { status: error.status });
}

/** Tabs: `[{ name, title, make() }]`. What is inside is made when its tab is opened. */
export function tabs(label, list, chosen, onchoose) {
  const id = newId();
  const body = h("div", { role: "tabpanel", id: `${id}-panel`, tabindex: "0", class: "tabpanel" });
  const buttons = list.map((tab) => h("button", {
    type: "button", role: "tab", id: `${id}-${tab.name}`, "aria-controls": body.id,
    onclick: () => choose(tab.name, true),
  }, tab.title, tab.count !== undefined && h("span", { class: "count" }, tab.count)));
  const bar = h("div", { role: "tablist", "aria-label": label, onkeydown: move }, buttons);

  function choose(name, isTold) {
    const at = Math.max(0, list.findIndex((tab) => tab.name === name));
    buttons.forEach((each, n) => {
      each.setAttribute("aria-selected", String(n === at));
      each.tabIndex = n === at ? 0 : -1;
    });
    body.setAttribute("aria-labelledby", buttons[at].id);
    fill(body, list[at].make());
    if (isTold) onchoose?.(list[at].name);
  }

  function move(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    const from = buttons.indexOf(document.activeElement);
    let to = from;
    if (event.key in steps) to = (from + steps[event.key] + list.length) % list.length;
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = list.length - 1;
    else return;
    event.preventDefault();
    buttons[to].focus();
    choose(list[to].name, true);
  }

  choose(chosen);
  return { node: h("div", { class: "tabs" }, bar, body), choose };
}

/** Asks in a dialog; gives what `collect` makes of it, or null where it was closed. */
export function ask(title, content, { yes, danger, collect = () => true } = {}) {
  return new Promise((done) => {
    const id = newId();
    let answer = null;
    const form = h("form", {
      method: "dialog",
      onsubmit: (event) => { event.preventDefault(); answer = collect(); dialog.close(); },
    },
      h("h2", { id }, title), content,
      h("div", { class: "buttons" },
        button(yes ? t("cancel") : t("close"), () => dialog.close(), { class: "quiet" }),
        yes && h("button", { type: "submit", class: danger ? "danger" : "main" }, yes)));
    const dialog = h("dialog", { "aria-labelledby": id, onclose: () => { dialog.remove(); done(answer); } }, form);
    document.body.append(dialog);
    dialog.showModal();
  });
}

const notices = h("div", { class: "notices", role: "status", "aria-live": "polite" });

/** Says for a few seconds that something was done, or was not. */
export function notice(text, kind = "good") {
  if (!notices.isConnected) document.body.append(notices);
  const node = h("p", { class: `notice ${kind}` }, text);
  notices.append(node);
  setTimeout(() => node.remove(), 6_000);
}

/** Does what an operator asked for, and says what came of it. */
export async function act(work, done) {
  try {
    const answer = await work();
    if (done) notice(done);
    return answer;
  } catch (error) {
    notice(describe(error), "bad");
    return undefined;
  }
}

/** Puts text on the clipboard; shows it where the browser has none for this address. */
export async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
    notice(done);
  } catch {
    const area = h("textarea", { rows: 8, readonly: true, value: text, "aria-label": t("copy.by_hand") });
    await ask(t("copy.by_hand"), area);
  }
}

/** JSON as it is read best; other text as it stands. */
export function pretty(text) {
  if (text === null || text === undefined) return "";
  if (typeof text !== "string") return JSON.stringify(text, null, 2);
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

export function code(text, label) {
  return h("pre", { tabindex: "0", role: "group", "aria-label": label }, h("code", null, text));
}

/** Saves text as a file. */
export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
