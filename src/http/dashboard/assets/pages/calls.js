// All calls, newest first: filters in the address, totals of what is shown, ten thousand rows as smooth as ten.

import { h, fill, calmly } from "../dom.js";
import { t } from "../words.js";
import { clockLength, moment, ms, number, took, usd, word } from "../format.js";
import { get, part } from "../api.js";
import { catchingUp, follow } from "../stream.js";
import { changeQuery, query } from "../router.js";
import { button, describe, field, head, outcome, save, select, who } from "../parts.js";
import { may } from "../session.js";
import { vlist } from "../vlist.js";
import { beganAt } from "../timeline.js";

/** How many calls are read at once. */
const PAGE = 200;
/** How many are read at most: for more there are filters. */
const MOST = 20_000;
/** How many pages may come nearly empty, one after the other, before the reader is asked whether to look on. */
const EMPTY_PAGES = 20;
const FILTERS = ["number", "since", "until", "route", "outcome", "path", "tool", "text"];
const ENDS = ["caller_hangup", "assistant_hangup", "transferred", "forwarded", "rejected", "apology", "busy", "provider_silent", "accept_failed", "attach_failed", "caller_gone", "max_duration", "provider_dropped", "operator", "leg_failed", "stopping", "gateway_lost"];

export async function calls() {
  let items = [];
  let next = null;
  let reading = null;
  let isAtEnd = false;
  const known = new Map();

  const columns = ["when", "from", "route", "outcome", "length", "first", "tools", "cost"].map((name) => ({ name, title: t(`calls.${name}`) }));
  const list = vlist({ label: t("nav.calls"), columns, row, href: (call) => `/calls/${part(call.id)}`, more: () => { if (!isAtEnd && !reading) load(); } });
  const totals = h("p", { class: "totals", role: "status" });
  const problem = h("div", { role: "alert" });
  const routes = await get("/routes").then((answer) => answer.routes.map((each) => each.name), () => []);
  const form = filters(routes, changed);

  function row(call) {
    const length = call.stages.ended ? ms(call.stages.ended) - beganAt(call) : null;
    const first = call.stages.first_audio && call.stages.webhook_received ? ms(call.stages.first_audio) - ms(call.stages.webhook_received) : null;
    return [
      moment(beganAt(call) ? beganAt(call) * 1000 : null),
      [who(call.caller), h("span", { class: "faint" }, " → "), h("span", { class: "num" }, call.callee ?? "–")],
      [call.route ?? "–", call.path === "media-streams" && h("span", { class: "tag" }, t("path.short"))],
      outcome(call),
      h("span", { class: "num" }, clockLength(length)),
      h("span", { class: "num" }, first === null ? "–" : took(first)),
      h("span", { class: "num" }, call.counts.tool_calls || "–"),
      h("span", { class: "num" }, usd(call.cost_usd)),
    ];
  }

  async function load({ isFirst } = {}) {
    const mine = new AbortController();
    reading = mine;
    try {
      let tries = 0;
      const before = items.length;
      do {
        await news.during(() => take(mine, isFirst && !tries));
        if (reading !== mine) return;
        tries += 1;
      } while (next && items.length < (isFirst ? 0 : before) + PAGE / 2 && tries < EMPTY_PAGES);
      isAtEnd = !next || items.length >= MOST;
      fill(problem);
      list.set(items, { keeps: !isFirst });
      tell();
    } catch (error) {
      if (error.name !== "AbortError") { fill(problem, h("p", { class: "bad-words" }, describe(error))); isAtEnd = true; tell(); }
    } finally {
      if (reading === mine) reading = null;
    }
  }

  /** One page more, or the first one anew; nothing where meanwhile something else was asked for. */
  async function take(mine, isAnew) {
    const page = await get("/calls", { ...asked(), limit: PAGE, after: isAnew ? null : next }, { signal: mine.signal });
    if (reading !== mine) return;
    if (isAnew) { items = []; known.clear(); }
    for (const call of page.calls) if (!known.has(call.id)) { known.set(call.id, items.length); items.push(call); }
    next = page.next;
  }

  function tell() {
    let [length, cost, tools] = [0, 0, 0, 0];
    for (const call of items) {
      if (call.stages.ended) length += ms(call.stages.ended) - beganAt(call);
      cost += call.cost_usd ?? 0;
      tools += call.counts.tool_calls;
    }
    fill(totals,
      h("b", null, t(isAtEnd ? "calls.total" : "calls.so_far", { count: items.length, number: number(items.length) })),
      [["calls.length", clockLength(length)], ["calls.tools", number(tools)], ["calls.cost", usd(cost)]].map(([name, value]) =>
        h("span", null, h("span", { class: "faint" }, t(name)), " ", h("span", { class: "num" }, value))),
      !isAtEnd && button(t("calls.all"), all, { class: "quiet" }),
      button("CSV", () => exported("csv"), { class: "quiet", "aria-label": t("calls.export", { format: "CSV" }) }),
      button("JSON", () => exported("json"), { class: "quiet", "aria-label": t("calls.export", { format: "JSON" }) }));
  }

  async function all() {
    while (!isAtEnd && list.node.isConnected) {
      const before = next;
      await load();
      if (next === before) break;
    }
  }

  async function exported(format) {
    await all();
    if (format === "json") save("calls.json", "application/json", JSON.stringify(items, null, 2));
    else save("calls.csv", "text/csv", csv(items));
  }

  function changed(changes, options) {
    changeQuery(changes, options);
    reading?.abort();
    list.set([]);
    load({ isFirst: true });
  }

  // New calls come to the top while nobody has scrolled away from it; known ones change where they are.
  const news = catchingUp((kind, call) => {
    if (kind === "reset") load({ isFirst: true });
    if (kind === "gone" && known.has(call.call)) load({ isFirst: true });
    if (kind !== "call") return;
    const at = known.get(call.id);
    if (at !== undefined) { items[at] = call; list.change(at); } else if (list.node.scrollTop === 0) again();
  });
  const stop = follow(news);
  const again = calmly(() => { if (list.node.isConnected && list.node.scrollTop === 0 && !list.node.contains(document.activeElement)) load({ isFirst: true }); }, 1_000);

  load({ isFirst: true });
  return {
    title: t("nav.calls"),
    node: h("div", { class: "filling" }, head(t("nav.calls")), form, problem, list.node, totals),
    ready: () => list.draw(),
    onKey: (key) => (key === "j" ? list.step(1) : key === "k" ? list.step(-1) : false),
    dispose: () => { stop(); reading?.abort(); list.end(); },
  };
}

/** What the address asks for, as the API wants it: days begin and end at this browser's midnight. */
function asked() {
  const from = query();
  const given = Object.fromEntries(FILTERS.map((name) => [name, from.get(name)]));
  if (given.since) given.since = midnight(given.since, 0);
  if (given.until) given.until = midnight(given.until, 1);
  return given;
}

function midnight(day, later) {
  const at = new Date(`${day}T00:00:00`);
  if (Number.isNaN(at.getTime())) return null;
  at.setDate(at.getDate() + later);
  return at.toISOString();
}

function filters(routes, changed) {
  const now = query();
  const typed = calmly((name, value) => changed({ [name]: value }, { replace: true }), 300);
  const input = (name, props) => field(t(`filter.${name}`), h("input", {
    type: "search", name, value: now.get(name) ?? "", autocomplete: "off", ...props,
    oninput: (event) => typed(name, event.target.value.trim()) }));
  const date = (name) => field(t(`filter.${name}`), h("input", { type: "date", name, value: now.get(name) ?? "", onchange: (event) => changed({ [name]: event.target.value }) }));
  const choice = (name, options) => field(t(`filter.${name}`), select([["", t("filter.any")], ...options], now.get(name) ?? "", { name, onchange: (event) => changed({ [name]: event.target.value }) }));
  return h("details", { class: "filters", open: matchMedia("(min-width: 60rem)").matches || FILTERS.some((name) => now.get(name)) },
    h("summary", null, t("filter.title")),
    h("form", { role: "search", onsubmit: (event) => event.preventDefault() },
      input("number", { "data-filter": true, inputmode: "tel", placeholder: "+819012345678" }),
      choice("outcome", ENDS.map((each) => [each, word("ended", each)])),
      choice("route", routes.map((each) => [each, each])),
      date("since"), date("until"),
      choice("path", ["sip", "media-streams", "none"].map((each) => [each, word("path", each)])),
      input("tool", { spellcheck: "false" }),
      may("listener") && input("text"),
      h("div", { class: "field" }, button(t("filter.clear"), (event) => {
        event.target.form.querySelectorAll("input, select").forEach((each) => { each.value = ""; });
        changed(Object.fromEntries(FILTERS.map((name) => [name, null])));
      }, { class: "quiet" }))));
}

const CSV = ["id", "began", "caller", "callee", "route", "session", "path", "state", "ended", "seconds", "tool_calls", "cost_usd"];

function csv(items) {
  const line = (call) => [
    call.id, beganAt(call) ? new Date(beganAt(call)).toISOString() : "", call.caller, call.callee, call.route, call.session, call.path, call.state,
    call.ended?.reason, call.stages.ended ? (ms(call.stages.ended) - beganAt(call)) / 1000 : "", call.counts.tool_calls, call.cost_usd,
  ].map(cell).join(",");
  return `${[CSV.join(","), ...items.map(line)].join("\r\n")}\r\n`;
}

/** A cell that no spreadsheet takes for a formula. */
function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
