// Bars over days, as plain SVG. The table beside it says the same in words.

import { svg } from "./dom.js";

const HEIGHT = 180;
const BOTTOM = 22;
const LEFT = 52;

/** Bars of `[label, value, told]`; `axis(value)` writes a value. */
export function bars(label, list, axis, width) {
  const top = nice(Math.max(...list.map(([, value]) => value ?? 0), 0));
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - 12);
  const room = (width - LEFT - 4) / list.length;
  const image = svg("svg", { class: "chart", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
  for (const part of [0, 0.5, 1]) {
    image.append(
      svg("line", { class: "rule", x1: LEFT, x2: width, y1: y(top * part), y2: y(top * part) }),
      svg("text", { x: LEFT - 8, y: y(top * part) + 4, "text-anchor": "end" }, axis(top * part)));
  }
  const every = Math.max(1, Math.ceil(54 / room));
  list.forEach(([text, value, told], at) => {
    const x = LEFT + at * room + room * 0.14;
    const rect = svg("rect", { class: "bar", x, y: y(value ?? 0), width: Math.max(2, room * 0.72), height: Math.max(0, HEIGHT - BOTTOM - y(value ?? 0)), rx: 2 });
    image.append(svg("g", null, svg("title", null, told), rect));
    if (at % every === 0) image.append(svg("text", { x: x + room * 0.36, y: HEIGHT - 6, "text-anchor": "middle" }, text));
  });
  return image;
}

/** The next round number above. */
function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= value);
}
