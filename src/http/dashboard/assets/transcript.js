// The transcript: who said what, with the tools woven in where they were asked for. Lines grow while they are spoken.

import { h, fill, framed } from "./dom.js";
import { t } from "./words.js";
import { ms, place, took, word } from "./format.js";
import { button, hidden } from "./parts.js";

/** How near its end the transcript must stand for it to follow, in pixels. */
const NEAR = 48;
/** How near in time two places are one, in seconds: addresses tell milliseconds. */
const CLOSE = 0.002;

/** A transcript that begins at `began` (milliseconds). `onSeek(seconds)` is told which line was chosen. `follows`:
 *  it scrolls along with what is said, until somebody scrolls back. `isHidden`: whoever looks may not read words. */
export function transcript({ began, onSeek, follows, isHidden }) {
  const list = h("ol", { class: "transcript" });
  const box = h("div", { class: "transcript-box", tabindex: "0", role: "group", "aria-label": t("transcript") }, list);
  // Only finished lines are read aloud: a line that grows word by word would be read over and over.
  const aloud = h("div", { class: "unseen", "aria-live": "polite" });
  const newest = button(t("transcript.newest"), () => { isFollowing = true; scroll(); }, { class: "newest", hidden: true });
  const entries = new Map();
  const nodes = new Map();
  let isFollowing = follows;
  let current = null;
  let isTold = false;

  box.addEventListener("scroll", () => {
    if (!follows) return;
    isFollowing = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
    newest.hidden = isFollowing;
  });
  const scroll = framed(() => {
    if (isFollowing) box.scrollTop = box.scrollHeight;
  });

  function put(key, at, item, content, kind) {
    let entry = entries.get(key);
    if (!entry) {
      const body = onSeek
        ? h("button", { type: "button", class: "line", onclick: () => onSeek(entry.seconds) })
        : h("div", { class: "line" });
      entry = { node: h("li", null, body), body };
      entries.set(key, entry);
      nodes.set(entry.node, entry);
    }
    list.querySelector(".empty")?.remove();
    const isMoved = entry.at !== at;
    Object.assign(entry, { at, item, seconds: (at - began) / 1000 });
    entry.node.className = kind;
    fill(entry.body, h("span", { class: "at" }, place(entry.seconds)), content);
    if (isMoved) insert(entry);
    scroll();
    return entry;
  }

  function insert(entry) {
    const rest = [...list.children].filter((node) => node !== entry.node);
    const after = rest.find((node) => nodes.get(node)?.at > entry.at);
    list.insertBefore(entry.node, after ?? null);
  }
  function line(record) {
    const isGrowing = record.n === undefined;
    const speaker = t(`speaker.${record.speaker}`);
    if (!isGrowing) drop(keyOf(record));
    const words = isHidden && !record.text ? hidden()
      : record.status === "untranscribed" && !record.text ? h("span", { class: "faint" }, t("line.untranscribed")) : record.text;
    put(isGrowing ? keyOf(record) : `l${record.n}`, ms(record.started), record, [
      h("span", { class: "who" }, speaker),
      h("span", { class: "words", lang: "" }, words,
        isGrowing && h("span", { class: "caret", "aria-hidden": "true" }),
        record.status === "interrupted" && h("span", { class: "tag" }, t("line.interrupted")),
        !isGrowing && record.status === "partial" && h("span", { class: "tag" }, t("line.partial")))],
      `${record.speaker}${isGrowing ? " growing" : ""}`);
    if (isTold && !isGrowing && record.text) aloud.textContent = `${speaker}: ${record.text}`;
  }

  /** What grows is known by its item or turn; the line that comes of it has a number, and takes its place. */
  function keyOf({ turn, item }) {
    return `g${turn ?? item}`;
  }

  function drop(key) {
    const entry = entries.get(key);
    if (!entry) return;
    entry.node.remove();
    nodes.delete(entry.node);
    entries.delete(key);
  }

  function tool(record) {
    const time = record.finished ? took(ms(record.finished) - ms(record.requested)) : t("tool.running");
    put(`t${record.n}`, ms(record.requested), record, [
      h("span", { class: "who" }, t("speaker.tool")),
      h("span", { class: "words" }, h("code", null, record.name), " ",
        record.outcome
          ? h("span", { class: record.outcome === "ok" ? "faint" : "bad-words" }, `${word("tool", record.outcome)} · ${time}`)
          : h("span", { class: "running" }, time))],
      `tool${record.finished ? "" : " growing"}`);
  }

  return {
    node: h("div", { class: "transcript-frame" }, box, newest, aloud),
    line,
    tool,
    /** Words that are no line yet. */
    growing(words) {
      const isLine = [...entries.values()].some(({ item }) => item.n !== undefined && item.speaker
        && (words.turn ? item.turn === words.turn : item.item === words.item));
      if (!isLine) line({ ...words, status: "final" });
    },
    /** Everything anew. */
    all(lines, tools) {
      isTold = false;
      entries.clear();
      nodes.clear();
      list.replaceChildren();
      lines.forEach(line);
      tools.forEach(tool);
      isTold = true;
      if (!entries.size) list.append(h("li", { class: "empty" }, t("transcript.empty")));
    },
    /** Marks what is heard at this place, and keeps it in sight. */
    mark(seconds, isSeen) {
      let found = null;
      for (const entry of entries.values()) {
        if (entry.seconds <= seconds + CLOSE && (!found || entry.seconds >= found.seconds)) found = entry;
      }
      if (found === current) return;
      current?.body.removeAttribute("aria-current");
      current = found;
      if (!current) return;
      current.body.setAttribute("aria-current", "true");
      if (isSeen) reveal(current.node);
    },
    /** The beginning of the line after, or before, this place; null where there is none. */
    next(seconds, step) {
      const all = [...entries.values()].map((entry) => entry.seconds).sort((a, b) => a - b);
      const found = step > 0 ? all.find((each) => each > seconds + CLOSE) : all.findLast((each) => each < seconds - CLOSE);
      return found ?? null;
    },
  };

  function reveal(node) {
    const [top, bottom] = [node.offsetTop, node.offsetTop + node.offsetHeight];
    if (top < box.scrollTop || bottom > box.scrollTop + box.clientHeight) box.scrollTop = top - box.clientHeight / 3;
  }
}
