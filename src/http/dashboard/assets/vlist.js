// A table of any length: only the rows in sight are in the document.

import { h, framed } from "./dom.js";

/** How many rows above and below are kept ready. */
const SPARE = 10;
/** How many rows before the end more are asked for. */
const AHEAD = 60;

/** A virtual table. `columns`: `{ name, title }`; `row(item)` gives one node per column; `more()` is called when the
 *  end comes near. */
export function vlist({ label, columns, row, href, more }) {
  const head = h("div", { role: "rowgroup", class: "vhead" },
    h("div", { role: "row", class: "vrow", "aria-rowindex": "1" },
      columns.map(({ name, title }) => h("div", { role: "columnheader", class: `c-${name}` }, title))));
  const body = h("div", { role: "rowgroup", class: "vbody" });
  const box = h("div", { class: "vlist", role: "table", "aria-label": label, tabindex: "0", onscroll: framed(draw) }, head, body);
  const drawn = new Map();
  let items = [];
  let height = 0;

  function draw() {
    if (!box.isConnected) return;
    height ||= measure();
    const top = box.scrollTop;
    const first = Math.max(0, Math.floor(top / height) - SPARE);
    const last = Math.min(items.length - 1, Math.ceil((top + box.clientHeight) / height) + SPARE);
    for (const [at, node] of drawn) {
      if ((at < first || at > last) && !node.contains(document.activeElement)) { node.remove(); drawn.delete(at); }
    }
    for (let at = first; at <= last; at += 1) {
      if (drawn.has(at)) continue;
      const node = made(items[at], at);
      drawn.set(at, node);
      const after = [...body.children].find((each) => Number(each.dataset.at) > at);
      body.insertBefore(node, after ?? null);
    }
    if (last >= items.length - AHEAD) more?.();
  }

  function made(item, at) {
    const cells = row(item);
    const node = h("div", { role: "row", class: "vrow", "aria-rowindex": at + 2, "data-at": at },
      columns.map(({ name }, n) => h("div", { role: "cell", class: `c-${name}` },
        n === 0 ? h("a", { href: href(item), class: "cover" }, cells[0]) : cells[n])));
    node.style.setProperty("transform", `translateY(${at * height}px)`);
    return node;
  }

  function measure() {
    return parseFloat(getComputedStyle(box).getPropertyValue("--row")) || 40;
  }

  const resized = new ResizeObserver(() => { height = 0; anew(); });
  resized.observe(box);

  function anew() {
    for (const node of drawn.values()) node.remove();
    drawn.clear();
    size();
    draw();
  }

  function size() {
    height ||= measure();
    body.style.setProperty("height", `${items.length * height}px`);
    box.setAttribute("aria-rowcount", String(items.length + 1));
  }

  return {
    node: box,
    /** Other items; `keeps`: the ones that are drawn stay as they are, more follow behind. */
    set(next, { keeps } = {}) {
      items = next;
      if (!keeps) { box.scrollTop = 0; anew(); } else { size(); draw(); }
    },
    /** One item has changed. */
    change(at) {
      const old = drawn.get(at);
      if (!old) return;
      const node = made(items[at], at);
      old.replaceWith(node);
      drawn.set(at, node);
    },
    draw,
    /** Moves the focus so many rows on. */
    step(by) {
      const from = Number(document.activeElement?.closest?.(".vbody .vrow")?.dataset.at ?? -1);
      const to = Math.min(items.length - 1, Math.max(0, from + by));
      if (!items.length) return false;
      if (to * height < box.scrollTop) box.scrollTop = to * height;
      const room = box.clientHeight - head.offsetHeight - height;
      if (to * height > box.scrollTop + room) box.scrollTop = to * height - room;
      draw();
      drawn.get(to)?.querySelector("a")?.focus({ preventScroll: true });
      return true;
    },
    end: () => resized.disconnect(),
  };
}
