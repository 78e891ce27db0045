// A call on a line of time: when the caller spoke, the assistant, the tools, and which stages the gateway reached.

import { h, svg, fill } from "./dom.js";
import { t } from "./words.js";
import { ms, place, took, word } from "./format.js";
import { button } from "./parts.js";

const LANES = ["caller", "assistant", "tools", "gateway"];
const LANE_HEIGHT = 30;
const TOP = 22;
const ZOOMS = [1, 2, 4, 8, 16];
/** How wide a second may be drawn at most before a tick is written at every half, in pixels. */
const TICK_MIN = 64;
const STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800];
/** The least width of something that happened, in pixels: one can still point at it. */
const LEAST = 3;

/** The time line of a call as `GET /calls/ID` gives it. `onSeek(seconds)` is told where somebody pointed. */
export function timeline({ onSeek }) {
  const drawing = h("div", { class: "drawing", tabindex: "0", role: "group", "aria-label": t("timeline") });
  const told = h("p", { class: "told", "aria-hidden": "true" });
  const names = h("div", { class: "lanes", "aria-hidden": "true" }, LANES.map((lane) => h("span", null, t(`lane.${lane}`))));
  let zoom = 0;
  let detail = null;
  let head = null;
  let scale = { began: 0, length: 1, width: 1 };
  let at = null;

  const closer = button("+", () => zoomTo(zoom + 1), { class: "quiet", "aria-label": t("zoom.in") });
  const further = button("−", () => zoomTo(zoom - 1), { class: "quiet", "aria-label": t("zoom.out") });

  function zoomTo(next) {
    zoom = Math.max(0, Math.min(ZOOMS.length - 1, next));
    closer.disabled = zoom === ZOOMS.length - 1;
    further.disabled = zoom === 0;
    draw();
  }

  function show(next) {
    detail = next;
    draw();
  }

  function draw() {
    if (!detail || !drawing.isConnected) return;
    const things = everything(detail);
    const length = Math.max(1, ...things.map(({ to }) => to)) * 1.01;
    const began = Math.min(0, ...things.map(({ from }) => from));
    const width = Math.max(200, (drawing.clientWidth - 2) * ZOOMS[zoom]);
    scale = { began, length: length - began, width };
    const x = (seconds) => ((seconds - began) / scale.length) * width;
    const height = TOP + LANES.length * LANE_HEIGHT;
    const image = svg("svg", {
      width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": t("timeline.summary", { count: things.length, length: place(length) }),
    });
    image.append(...ticks(x, height), ...LANES.slice(1).map((_, n) => svg("line", {
      class: "rule", x1: 0, x2: width, y1: TOP + (n + 1) * LANE_HEIGHT - 0.5, y2: TOP + (n + 1) * LANE_HEIGHT - 0.5 })));
    for (const thing of things) image.append(drawn(thing, x));
    head = svg("line", { class: "playhead", x1: -5, x2: -5, y1: 0, y2: height });
    image.append(head);
    image.addEventListener("click", (event) => {
      const left = event.clientX - image.getBoundingClientRect().left;
      onSeek?.(began + (left / width) * scale.length);
    });
    image.addEventListener("pointermove", (event) => {
      const thing = event.target.closest("[data-told]");
      told.textContent = thing?.dataset.told ?? "";
    });
    fill(drawing, image);
    if (at !== null) mark(at);
  }

  function ticks(x, height) {
    const step = STEPS.find((each) => x(each) - x(0) >= TICK_MIN) ?? 3600;
    const nodes = [];
    for (let seconds = 0; seconds < scale.began + scale.length; seconds += step) {
      nodes.push(svg("line", { class: "tick", x1: x(seconds), x2: x(seconds), y1: TOP - 6, y2: height }),
        svg("text", { x: x(seconds) + 4, y: 12 }, place(seconds).replace(/\.0$/, "")));
    }
    return nodes;
  }

  function drawn({ lane, from, to, kind, text }, x) {
    const y = TOP + LANES.indexOf(lane) * LANE_HEIGHT;
    const width = Math.max(LEAST, x(to) - x(from));
    const mark = kind.startsWith("stage")
      ? svg("path", { class: kind, d: `M${x(from)} ${y + 5}v${LANE_HEIGHT - 10}` })
      : svg("rect", { class: kind, x: x(from), y: y + 7, width, height: LANE_HEIGHT - 14, rx: 2 });
    const group = svg("g", null, svg("title", null, text), mark);
    group.dataset.told = text;
    return group;
  }

  function mark(seconds) {
    at = seconds;
    if (!head) return;
    const x = ((seconds - scale.began) / scale.length) * scale.width;
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
    if (x < drawing.scrollLeft || x > drawing.scrollLeft + drawing.clientWidth) drawing.scrollLeft = x - drawing.clientWidth / 3;
  }

  const resized = new ResizeObserver(() => draw());
  resized.observe(drawing);
  further.disabled = true;

  return {
    node: h("div", { class: "timeline" }, h("div", { class: "zoom" }, told, further, closer), h("div", { class: "lanes-and-drawing" }, names, drawing)),
    show,
    mark,
    end: () => resized.disconnect(),
  };
}

/** When the call began, in milliseconds: the first thing that was heard of it. */
export function beganAt(call) {
  return ms(call.stages.carrier_asked ?? call.stages.webhook_received ?? call.stages.webhook_created) ?? 0;
}

const STAGES = ["carrier_asked", "webhook_received", "accept_sent", "accepted", "attached", "leg_answered", "first_audio", "ended"];

function everything({ call, lines, tool_calls: tools, events }) {
  const began = beganAt(call);
  const after = (time) => (ms(time) - began) / 1000;
  const end = call.stages.ended ? after(call.stages.ended) : (Date.now() - began) / 1000;
  const things = [];
  for (const line of lines) {
    const from = after(line.started);
    const to = line.ended ? after(line.ended) : Math.min(end, from + 1);
    const lane = line.speaker === "assistant" ? "assistant" : "caller";
    const said = line.text ? ` · ${line.text.slice(0, 120)}` : "";
    const mark = line.status === "interrupted" ? ` · ${t("line.interrupted")}` : "";
    things.push({ lane, from, to, kind: `bar ${line.speaker} ${line.status}`, text: `${place(from)} ${t(`speaker.${line.speaker}`)}${mark}${said}` });
  }
  for (const tool of tools) {
    const from = after(tool.requested);
    const to = tool.finished ? after(tool.finished) : end;
    const time = tool.finished ? took((to - from) * 1000) : t("tool.running");
    const kind = tool.outcome && tool.outcome !== "ok" ? "bar tool failed" : "bar tool";
    things.push({ lane: "tools", from, to, kind, text: `${place(from)} ${tool.name} · ${word("tool", tool.outcome)} · ${time}` });
  }
  for (const stage of STAGES) {
    if (!call.stages[stage]) continue;
    const from = after(call.stages[stage]);
    things.push({ lane: "gateway", from, to: from, kind: "stage", text: `${place(from)} ${t(`stage.${stage}`)}` });
  }
  for (const event of events) {
    const from = after(event.at);
    const isBad = /lost|failed|error|damaged|unanswered|refused|missing/.test(event.kind);
    things.push({ lane: "gateway", from, to: from, kind: isBad ? "stage event bad" : "stage event", text: `${place(from)} ${event.kind}` });
  }
  return things;
}
