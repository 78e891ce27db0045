// The calls that are up now: who speaks, what is said, which tools run, what it costs.

import { h, fill } from "../dom.js";
import { t } from "../words.js";
import { clockLength, ms, usd } from "../format.js";
import { get, part } from "../api.js";
import { catchingUp, follow, opened, speaking as speakingIn } from "../stream.js";
import { changeQuery } from "../router.js";
import { actions } from "../actions.js";
import { head, nothing, outcome, trouble, who } from "../parts.js";
import { transcript } from "../transcript.js";
import { beganAt } from "../timeline.js";

const STATES = ["live", "accepted", "offered", "dialing"];
/** How many calls of a state are shown at most. */
const MOST = 200;
/** How long a call that is over is still shown, in milliseconds. */
const LINGER = 8_000;

export async function live({ query }) {
  const calls = new Map();
  let selected = query.get("call");
  let shown = null;
  let turn = 0;
  const list = h("ul", { class: "livecalls", "aria-label": t("live.list") });
  const side = h("section", { class: "livecall", "aria-label": t("live.call") });
  const beside = h("span", { role: "status" });
  const empty = nothing(t("live.empty"), h("p", { class: "faint" }, t("live.try")), h("pre", null, h("code", null, "switchboard demo")));
  const body = h("div", { class: "livepage" }, list, side);

  const news = catchingUp((kind, data) => {
    if (kind === "reset") return news.during(read);
    if (kind === "call") return changed(data);
    if (kind === "speaking") return speaking(data);
    if (kind === "usage") return spent(data);
    if (kind === "gone") { drop(data.call); count(); }
    if (shown?.detail.call.id === data.call) {
      if (kind === "line") { keep(shown.detail.lines, data.line); shown.words.line(data.line); }
      if (kind === "growing") shown.words.growing(data);
      if (kind === "tool") { keep(shown.detail.tool_calls, data.tool_call); shown.words.tool(data.tool_call); }
    }
    return tools(kind, data);
  });
  const stop = follow(news);

  async function read() {
    const pages = await Promise.all(STATES.map((state) => get("/calls", { state, limit: MOST })));
    const there = new Set();
    for (const call of pages.flatMap((page) => page.calls)) { there.add(call.id); upsert(call); }
    for (const id of [...calls.keys()]) if (!there.has(id)) drop(id);
    if (!selected || !calls.has(selected)) await choose(newest(), { replace: true });
    else await open(selected);
    count();
  }

  function newest() {
    const all = [...calls.values()].sort((a, b) => b.began - a.began);
    return all[0]?.call.id ?? null;
  }

  function upsert(call) {
    let entry = calls.get(call.id);
    if (!entry) {
      entry = { speaks: h("span", { class: "speaks" }), time: h("span", { class: "num" }), cost: h("span", { class: "num faint" }), state: h("span"), running: h("span", { class: "running" }), tools: new Set() };
      entry.link = h("a", { href: `/live?call=${part(call.id)}`, onclick: (event) => { event.preventDefault(); choose(call.id); } },
        h("span", { class: "from" }, who(call.caller), h("span", { class: "faint" }, " → ", call.route ?? call.callee ?? "")),
        entry.time, entry.speaks, entry.cost, entry.state, entry.running);
      entry.node = h("li", null, entry.link);
      entry.began = beganAt(call);
      calls.set(call.id, entry);
      const after = [...list.children].find((node) => Number(node.dataset.began) < entry.began);
      entry.node.dataset.began = entry.began;
      list.insertBefore(entry.node, after ?? null);
    }
    entry.call = call;
    entry.cost.textContent = usd(call.cost_usd);
    fill(entry.state, call.state === "live" && !call.ended ? null : outcome(call));
    speaking(speakingIn(call.id));
    tick(entry);
    return entry;
  }

  function changed(call) {
    const isKnown = calls.has(call.id);
    if (!isKnown && call.ended) return;
    const entry = upsert(call);
    if (shown?.detail.call.id === call.id) { shown.detail.call = call; bar(); }
    // What was still growing is told as it stands.
    if (call.ended && call.id === selected && !entry.leaves) open(call.id);
    if (call.ended && !entry.leaves) {
      entry.leaves = setTimeout(() => { if (selected !== call.id) { drop(call.id); count(); } }, LINGER);
    }
    if (!selected) choose(call.id, { replace: true });
    count();
  }

  function drop(id) {
    const entry = calls.get(id);
    clearTimeout(entry?.leaves);
    entry?.node.remove();
    calls.delete(id);
  }

  function speaking({ call, caller, assistant }) {
    const entry = calls.get(call);
    if (!entry) return;
    const whose = assistant ? "assistant" : caller ? "caller" : "";
    entry.speaks.dataset.who = caller && assistant ? "both" : whose;
    fill(entry.speaks, whose && [h("span", { class: "bars", "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i")),
      caller && assistant ? t("speaks.both") : t(`speaks.${whose}`)]);
  }

  function spent({ call, cost_usd: cost }) {
    const entry = calls.get(call);
    if (!entry) return;
    entry.call.cost_usd = cost ?? entry.call.cost_usd;
    entry.cost.textContent = usd(entry.call.cost_usd);
    if (shown?.detail.call.id === call) bar();
  }

  function tools(kind, data) {
    const entry = kind === "tool" && calls.get(data.call);
    if (!entry) return;
    if (data.tool_call.finished) entry.tools.delete(data.tool_call.name); else entry.tools.add(data.tool_call.name);
    entry.running.textContent = [...entry.tools].join(", ");
  }

  async function choose(id, options = {}) {
    selected = id;
    changeQuery({ call: id }, options);
    await open(id);
  }

  const open = (id) => news.during(() => readCall(id));
  async function readCall(id) {
    turn += 1;
    const mine = turn;
    for (const [each, entry] of calls) {
      if (each === id) entry.link.setAttribute("aria-current", "true");
      else entry.link.removeAttribute("aria-current");
      if (each !== id && entry.call.ended) drop(each);
    }
    if (!id) { shown = null; fill(side); return; }
    try {
      const detail = await get(`/calls/${part(id)}`);
      if (mine !== turn) return;
      shown = { detail, words: transcript({ began: beganAt(detail.call), follows: true, isHidden: detail.call.hidden }), head: h("div"), actions: h("div", { class: "actions" }), isOver: null };
      bar();
      fill(side, h("div", { class: "livehead" }, shown.head, shown.actions), shown.words.node);
      shown.words.all(detail.lines, detail.tool_calls);
      detail.tool_calls.filter((call) => !call.finished).forEach((call) => tools("tool", { call: id, tool_call: call }));
    } catch (error) {
      if (mine === turn) fill(side, trouble(error, () => open(id)));
    }
  }

  function bar() {
    const { call } = shown.detail;
    fill(shown.head, h("h2", null, who(call.caller), h("span", { class: "faint" }, " → "), who(call.callee)),
      h("p", { class: "faint" }, [call.route, call.session, usd(calls.get(call.id)?.call.cost_usd ?? call.cost_usd)].filter(Boolean).join(" · "), " ", call.ended && outcome(call)));
    // Buttons stay what they are while somebody may stand on one.
    if (shown.isOver === Boolean(call.ended)) return;
    shown.isOver = Boolean(call.ended);
    fill(shown.actions, h("a", { class: "button quiet", href: `/calls/${part(call.id)}` }, t("live.detail")), actions(shown.detail));
  }

  function count() {
    const up = [...calls.values()].filter((entry) => !entry.call.ended);
    const cost = up.reduce((sum, entry) => sum + (entry.call.cost_usd ?? 0), 0);
    fill(beside, h("span", { class: "badge live" }, h("span", { class: "mark", "aria-hidden": "true" }), t("live.active", { count: up.length })), up.length > 0 && h("span", { class: "faint num" }, usd(cost)));
    empty.hidden = calls.size > 0;
    body.hidden = calls.size === 0;
  }

  function tick(entry) {
    const until = entry.call.ended ? ms(entry.call.stages.ended) ?? Date.now() : Date.now();
    entry.time.textContent = clockLength(until - entry.began);
  }
  const clock = setInterval(() => calls.forEach(tick), 1_000);

  const step = (by) => {
    const ids = [...list.querySelectorAll("a")];
    const to = ids[Math.max(0, Math.min(ids.length - 1, ids.findIndex((link) => link.hasAttribute("aria-current")) + by))];
    to?.click();
    to?.focus();
    return Boolean(to);
  };

  const dispose = () => { stop(); clearInterval(clock); };
  try {
    await opened();
    await news.during(read);
  } catch (error) {
    dispose();
    throw error;
  }
  return {
    title: t("nav.live"),
    node: [head(t("nav.live"), beside), empty, body],
    onKey: (key) => (key === "j" ? step(1) : key === "k" ? step(-1) : false),
    dispose,
  };
}

/** Puts a numbered record in the place of its earlier form. */
function keep(list, record) {
  const at = list.findIndex((each) => each.n === record.n);
  if (at < 0) list.push(record); else list[at] = record;
}
