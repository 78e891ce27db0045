// One call, whole: recording, transcript and time line in step, and below them everything that is kept of it.

import { h, fill, calmly } from "../dom.js";
import { t } from "../words.js";
import { clockLength, compact, exactly, moment, ms, number, place, quantile, took, usd, word } from "../format.js";
import { erase, get, part, path } from "../api.js";
import { catchingUp, follow, opened } from "../stream.js";
import { changeQuery, go, query, setTimeInHash, timeInHash } from "../router.js";
import { actions } from "../actions.js";
import { act, ask, button, code, copy, facts, field, hidden, nothing, outcome, panel, pretty, table, tabs, who } from "../parts.js";
import { may } from "../session.js";
import { player as makePlayer } from "../player.js";
import { beganAt, timeline as makeTimeline } from "../timeline.js";
import { transcript as makeTranscript } from "../transcript.js";

const TABS = ["turns", "tools", "events", "carrier", "config"];

export async function call({ params }) {
  const address = `/calls/${part(params.id)}`;
  let detail = null;
  let isShown = false;
  let isUnmasked = false;
  const news = catchingUp((kind, data) => {
    if (kind === "reset") return isShown && again();
    return detail && happened(kind, data);
  });
  const stop = follow(news);
  try {
    await opened();
    await news.during(async () => { detail = await get(address); });
  } catch (error) {
    stop();
    throw error;
  }
  const began = beganAt(detail.call);
  const isLive = !detail.call.ended;
  const words = makeTranscript({ began, onSeek: chosen, follows: isLive, isHidden: detail.call.hidden });
  const line = makeTimeline({ onSeek: chosen });
  const sound = makePlayer({ onTime: (seconds, isSeen) => { line.mark(seconds); words.mark(seconds, isSeen); } });
  const top = header({ remove, unmask });
  const below = tabs(t("call.tabs"), TABS.map((name) => ({ name, title: t(`tab.${name}`), make: () => make[name](detail) })),
    query().get("tab") ?? "turns", (tab) => changeQuery({ tab: tab === "turns" ? null : tab, q: null }));
  const tab = () => query().get("tab") ?? "turns";

  function chosen(seconds) {
    setTimeInHash(Math.max(0, seconds));
    sound.seek(seconds);
  }

  function all() {
    top.show(detail);
    words.all(detail.lines, detail.tool_calls);
    sound.show(detail, lengthOf(detail.call));
    line.show(detail);
  }

  function happened(kind, data) {
    const id = kind === "call" ? data.id : data?.call;
    if (id !== detail.call.id) return;
    const isOver = kind === "call" && data.ended && !detail.call.ended;
    learn(kind, data);
    if (!isShown) return;
    if (kind === "call") top.show(detail);
    if (kind === "line") words.line(data.line);
    if (kind === "growing") words.growing(data);
    if (kind === "tool") words.tool(data.tool_call);
    if (isOver) again();
    if (kind !== "growing") redraw();
  }

  /** Puts what happened where it belongs in what is known. */
  function learn(kind, data) {
    // The stream tells masked numbers.
    if (kind === "call") detail.call = isUnmasked ? { ...data, ...numbersOf(detail.call) } : data;
    if (kind === "line") keep(detail.lines, data.line);
    if (kind === "tool") keep(detail.tool_calls, data.tool_call);
    if (kind === "happened") keep(detail.events, data.event);
    if (kind === "usage") { keep(detail.usage, data.usage); detail.call.cost_usd = data.cost_usd ?? detail.call.cost_usd; }
  }
  const redraw = calmly(() => {
    if (!top.node.isConnected) return;
    line.show(detail);
    if (!below.node.contains(document.activeElement)) below.choose(tab());
  }, 300);

  async function unmask() {
    isUnmasked = true;
    await again();
  }

  async function again() {
    await news.during(async () => {
      const next = await act(() => get(address, { unmasked: isUnmasked || null }));
      if (!next) return;
      detail = next;
      all();
    });
    redraw();
  }

  async function remove() {
    const isSure = await ask(t("call.delete"), h("p", null, t("call.delete.text")), { yes: t("call.delete"), danger: true });
    if (!isSure) return;
    if (await act(() => erase(address), t("call.delete.done")) !== undefined) go("/calls");
  }

  function jump(step) {
    const to = words.next(sound.at(), step);
    if (to !== null) chosen(to);
    return to !== null;
  }

  const start = () => {
    const seconds = timeInHash();
    if (seconds !== null) sound.seek(seconds);
  };
  return {
    title: `${detail.call.caller ?? t("caller.withheld")} · ${moment(began * 1000)}`,
    node: [top.node, sound.node,
      h("div", { class: "columns" },
        panel(t("transcript"), { class: "said" }, words.node),
        panel(t("timeline"), { class: "drawn" }, line.node, summary(detail))),
      below.node],
    ready() {
      isShown = true;
      all();
      start();
    },
    onHash: start,
    onKey(key) {
      if (key === "p") return sound.toggle();
      if (key === "]") return jump(1);
      return key === "[" ? jump(-1) : false;
    },
    dispose: () => { stop(); sound.end(); line.end(); },
  };
}

function lengthOf(call) {
  return ((ms(call.stages.ended) ?? Date.now()) - beganAt(call)) / 1000;
}

/** From the end of the caller's words to the beginning of the answer, in milliseconds, by the assistant's line. */
function latencies({ lines }) {
  const sorted = [...lines].sort((a, b) => ms(a.started) - ms(b.started));
  const found = new Map();
  sorted.forEach((line, at) => {
    const before = sorted[at - 1];
    if (line.speaker === "assistant" && before?.speaker === "caller" && before.ended) {
      found.set(line.n, ms(line.started) - ms(before.ended));
    }
  });
  return found;
}

function numbersOf({ caller, callee, handed_to, masked }) {
  return { caller, callee, handed_to, masked };
}

/** The head of the page. Its buttons stay what they are while they do the same: somebody may stand on one. */
function header({ remove, unmask }) {
  const crumb = h("p", { class: "crumb" });
  const title = h("h1", { tabindex: "-1" });
  const beside = h("div", { class: "beside" });
  const buttons = h("div", { class: "actions" });
  const rest = h("div");
  let drawn = null;

  function show(detail) {
    const { call } = detail;
    const replies = [...latencies(detail).values()].filter((each) => each >= 0);
    fill(crumb, h("a", { href: "/calls" }, t("nav.calls")), " / ", h("code", null, call.id));
    fill(title, who(call.caller), h("span", { class: "faint" }, " → "), who(call.callee));
    fill(beside, outcome(call));
    const kind = JSON.stringify([Boolean(call.ended), call.masked, detail.transfer_targets]);
    if (drawn !== kind) fill(buttons, buttonsOf(detail, { remove, unmask }));
    drawn = kind;
    fill(rest, h("dl", { class: "strip" }, [
      [t("call.when"), moment(beganAt(call) * 1000)],
      [t("calls.length"), clockLength(lengthOf(call) * 1000)],
      [t("calls.route"), [call.route ?? "–", call.session && h("span", { class: "faint" }, ` · ${call.session}`)]],
      [t("filter.path"), word("path", call.path)],
      [t("call.reply"), replies.length ? `${took(quantile(replies, 0.5))} · p99 ${took(quantile(replies, 0.99))}` : "–"],
      [t("calls.cost"), usd(call.cost_usd)],
    ].map(([name, value]) => h("div", null, h("dt", null, name), h("dd", { class: "num" }, value)))),
    call.ended?.detail && h("p", { class: "bad-words" }, call.ended.detail),
    call.moved && h("p", { class: "tagline" }, t("call.moved", { from: word("path", call.moved.from), why: word("ended", call.moved.reason) })),
    call.hidden && h("p", { class: "tagline" }, t("call.hidden")));
  }

  return { node: h("div", { class: "callhead" }, crumb, h("div", { class: "head" }, title, beside, buttons), rest), show };
}

function buttonsOf(detail, { remove, unmask }) {
  const { call } = detail;
  return [actions(detail),
    call.masked && may("listener") && button(t("call.unmask"), unmask, { class: "quiet", title: t("call.unmask.help") }),
    button(t("call.copy"), () => copy(location.href, t("copied")), { class: "quiet" }),
    h("a", { class: "button quiet", href: path(`/calls/${part(call.id)}`), download: `${call.id}.json` }, "JSON"),
    may("admin") && call.ended && button(t("call.delete"), remove, { class: "quiet" })];
}

/** The stages as a list: how long after the first of them. */
function summary({ call }) {
  const began = beganAt(call);
  const stage = (name) => {
    const at = call.stages[name];
    return [t(`stage.${name}`), at && h("span", { class: "num" }, took(ms(at) - began))];
  };
  const handed = call.handed_to && [t("call.handed"), h("span", { class: "num" }, call.handed_to)];
  return facts([...["webhook_received", "accept_sent", "accepted", "attached", "first_audio", "ended"].map(stage), ...(handed ? [handed] : [])]);
}

const make = {
  turns(detail) {
    const wait = latencies(detail);
    const began = beganAt(detail.call);
    const lineOf = (turn) => (turn ? detail.lines.find((each) => each.turn === turn) : undefined);
    const total = (name) => detail.usage.reduce((sum, each) => sum + (each.usage[name] ?? 0), 0);
    const columns = [
      { title: t("turn.at"), class: "num", cell: (each) => place(((ms(lineOf(each.turn)?.started) ?? ms(each.at)) - began) / 1000) },
      { title: t("turn.what"), class: "wide", cell: (each) => each.turn ? lineOf(each.turn)?.text || (lineOf(each.turn) ? hidden() : h("span", { class: "faint" }, t("turn.silent"))) : h("span", { class: "faint" }, t("turn.transcription")) },
      { title: t("turn.latency"), class: "num right", cell: (each) => { const one = lineOf(each.turn); return one && wait.has(one.n) ? took(wait.get(one.n)) : "–"; } },
      { title: t("turn.in"), class: "num right", cell: ({ usage }) => tokens(usage.text_in + usage.transcription_in, usage.audio_in) },
      { title: t("turn.cached"), class: "num right", cell: ({ usage }) => tokens(usage.text_cached, usage.audio_cached) },
      { title: t("turn.out"), class: "num right", cell: ({ usage }) => tokens(usage.text_out + usage.transcription_out, usage.audio_out) },
      { title: t("turn.model"), cell: (each) => h("code", null, each.model) },
      { title: t("calls.cost"), class: "num right", cell: (each) => usd(each.cost_usd) },
    ];
    const foot = [t("total"), "", "", tokens(total("text_in") + total("transcription_in"), total("audio_in")), tokens(total("text_cached"), total("audio_cached")), tokens(total("text_out") + total("transcription_out"), total("audio_out")), "", usd(detail.call.cost_usd)];
    return table(t("tab.turns"), columns, detail.usage, { empty: t("turn.none"), foot });
  },

  tools(detail) {
    const calls = detail.tool_calls;
    const began = beganAt(detail.call);
    if (!calls.length) return nothing(t("tool.none"));
    return h("ol", { class: "toolcalls" }, calls.map((each) => h("li", null,
      h("p", { class: "row" }, h("span", { class: "num faint" }, place((ms(each.requested) - began) / 1000)), h("code", null, each.name),
        h("span", { class: each.outcome && each.outcome !== "ok" ? "bad-words" : "" }, word("tool", each.outcome ?? "running")),
        h("span", { class: "num faint" }, each.finished ? took(ms(each.finished) - ms(each.requested)) : t("tool.running"))),
      h("div", { class: "pair" },
        h("div", null, h("h3", null, t("tool.arguments")), !each.arguments && detail.call.hidden ? hidden() : code(pretty(each.arguments), t("tool.arguments"))),
        h("div", null, h("h3", null, t("tool.output")), each.output === null && detail.call.hidden ? hidden() : code(pretty(each.output), t("tool.output")))))));
  },

  events({ call, events }) {
    const began = beganAt(call);
    const body = h("div");
    const input = h("input", { type: "search", value: query().get("q") ?? "", "data-filter": true, oninput: () => { changeQuery({ q: input.value.trim() }, { replace: true }); draw(); } });
    const draw = () => {
      const wanted = input.value.trim().toLowerCase();
      const found = events.filter((each) => !wanted || `${each.kind} ${JSON.stringify(each.data ?? "")}`.toLowerCase().includes(wanted));
      fill(body, table(t("tab.events"), [
        { title: "#", class: "num faint", cell: (each) => each.n },
        { title: t("turn.at"), class: "num", cell: (each) => place((ms(each.at) - began) / 1000) },
        { title: t("event.kind"), cell: (each) => h("code", null, each.kind) },
        { title: t("event.data"), class: "wide", cell: (each) => each.data === undefined || each.data === null ? "" : h("code", { class: "data" }, JSON.stringify(each.data)) },
        { title: t("event.time"), class: "num", cell: (each) => exactly(each.at) },
      ], found, { empty: events.length ? t("nothing") : t("event.none") }));
    };
    draw();
    return [h("div", { class: "bar" }, field(t("event.filter"), input)), body];
  },

  carrier({ call }) {
    const { carrier, provider } = call;
    return h("div", { class: "pair" },
      panel(t("carrier.title"), null, carrier ? facts([
        [t("carrier.name"), carrier.name], ["CallSid", h("code", null, carrier.call_sid)], [t("carrier.account"), h("code", null, carrier.account_sid)],
        [t("carrier.status"), carrier.status], [t("carrier.leg"), carrier.leg_sid && h("code", null, carrier.leg_sid)], [t("carrier.leg_status"), carrier.leg_status],
        [t("carrier.code"), carrier.sip_code], ["Call-ID", carrier.sip_call_id && h("code", null, carrier.sip_call_id)],
        [t("carrier.bridged"), carrier.bridged === null ? null : t(carrier.bridged ? "yes" : "no")], [t("carrier.billed"), carrier.leg_duration_s && `${number(carrier.leg_duration_s)} s`],
        [t("carrier.signature"), t("carrier.verified")],
      ]) : nothing(t("carrier.none"))),
      panel(t("provider.title"), null, provider ? [facts([
        [t("carrier.name"), provider.name], [t("provider.id"), h("code", null, provider.call_id)], [t("provider.webhook"), h("code", null, provider.webhook_id)],
        [t("carrier.signature"), t("provider.verified")], [t("provider.joined"), word("joined", provider.joined_by)], [t("turn.model"), provider.model && h("code", null, provider.model)],
        [t("provider.expires"), provider.expires_at && moment(provider.expires_at)], [t("provider.reattached"), provider.reattached || null],
      ]), h("h3", null, t("provider.headers")), provider.sip_headers?.length ? table(t("provider.headers"), [
        { title: t("provider.header"), cell: ([name]) => h("code", null, name) },
        { title: t("provider.value"), class: "wide", cell: ([, value]) => value === null ? hidden() : h("code", { class: "data" }, value) },
      ], provider.sip_headers) : nothing(t(call.hidden ? "hidden" : "provider.no_headers"))] : nothing(t("provider.none"))));
  },

  config({ call }) {
    const variables = Object.entries(call.vars ?? {});
    return [facts([
      [t("calls.route"), call.route], [t("config.session"), call.session], [t("turn.model"), call.provider?.model && h("code", null, call.provider.model)],
      [t("filter.path"), word("path", call.path)], [t("config.other_path"), call.other_path && word("path", call.other_path)],
      [t("config.limit"), call.carrier?.time_limit_s && clockLength(call.carrier.time_limit_s * 1000)],
      [t("config.consent"), call.consent && (call.consent.announcement ?? t("config.unsaid"))],
    ]), variables.length > 0 && [h("h3", null, t("config.vars")), table(t("config.vars"), [
      { title: t("config.key"), cell: ([name]) => h("code", null, name) }, { title: t("config.value"), class: "wide", cell: ([, value]) => value ?? hidden() },
    ], variables)], h("p", { class: "faint" }, t("config.kept"))];
  },
};

function tokens(text, audio) {
  if (!text && !audio) return "–";
  return [text ? compact(text) : null, audio ? `${compact(audio)} ♪` : null].filter(Boolean).join(" + ");
}

/** Puts a numbered record in the place of its earlier form. */
function keep(list, record) {
  const at = list.findIndex((each) => each.n === record.n);
  if (at < 0) list.push(record); else list[at] = record;
}
