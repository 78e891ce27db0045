// What happens, as it happens: one stream of server-sent events for all pages.
//
// The browser comes back by itself with the last id it saw; where it gives up (the server refused), this comes back
// with `?after=`. What the server no longer remembers it says with `reset`: pages then read everything again.

import { path } from "./api.js";

const KINDS = ["call", "line", "growing", "tool", "happened", "usage", "speaking", "gone"];
/** The longest wait before trying again, in milliseconds. */
const WAIT_MAX = 15_000;
const WAIT_MIN = 500;
/** How long a page waits for the stream before it shows what it can read without, in milliseconds. */
const PATIENCE = 1_500;

/** How long a page may be out of sight before it lets go of its connection, in milliseconds. */
const HIDDEN_FOR = 60_000;

const listeners = new Set();
let watcher = () => {};
let source = null;
let last = null;
let wait = WAIT_MIN;
let timer;
let state = "closed";
let waiting = [];
/** Something may have been read before the stream was open, and nothing says from where to go on. */
let isBehind = false;
/** Who speaks, by call: it is told when it changes, and pages come and go. */
const speakers = new Map();

/** Who speaks in this call, as far as it was told. */
export function speaking(call) {
  return speakers.get(call) ?? { call, caller: false, assistant: false };
}

/** Tells `listener(kind, data)` of every event, and `listener("reset")` when everything is to be read again. Gives
 *  the function that ends it. */
export function follow(listener) {
  listeners.add(listener);
  open();
  return () => listeners.delete(listener);
}

/** A listener for pages that read and follow: what happens while `listener.during(read)` reads is told once more when it
 *  has read, for what was read may be older than that. So `apply` must bear to be told twice. */
export function catchingUp(apply) {
  const reading = new Set();
  const listener = (kind, data) => {
    for (const kept of reading) kept.push([kind, data]);
    apply(kind, data);
  };
  listener.during = async (read) => {
    const kept = [];
    reading.add(kept);
    try {
      return await read();
    } finally {
      reading.delete(kept);
      for (const [kind, data] of kept) if (kind !== "reset") apply(kind, data);
    }
  };
  return listener;
}

/** When the stream is open: what is read from now on misses nothing. Does not wait for ever: a page that is read
 *  before is told `reset` when the stream opens at last. */
export function opened() {
  if (state === "open") return Promise.resolve();
  return new Promise((done) => {
    waiting.push(done);
    setTimeout(() => { isBehind ||= waiting.includes(done); done(); }, PATIENCE);
  });
}

/** Tells `next(state)`, and nobody else any more, whether we are `open`, `connecting` or `closed`; now, and when it changes. */
export function watchConnection(next) {
  watcher = next;
  watcher(state);
}

/** Ends the stream: nobody is signed in any more. */
export function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
  last = null;
  speakers.clear();
  isBehind = false;
  become("closed");
}

function become(next) {
  if (state === next) return;
  state = next;
  watcher(state);
}

function open() {
  if (source) return;
  clearTimeout(timer);
  become("connecting");
  const stream = new EventSource(path("/events", { after: last }));
  source = stream;
  stream.onopen = () => {
    wait = WAIT_MIN;
    become("open");
    const done = waiting;
    waiting = [];
    for (const tellOne of done) tellOne();
    if (isBehind && last === null) tell("reset");
    isBehind = true;
  };
  stream.onerror = () => {
    become("connecting");
    if (stream.readyState === EventSource.CLOSED && source === stream) again();
  };
  // The first thing told: from where to go on, should the connection break before anything happens.
  stream.addEventListener("hello", (event) => { last = event.lastEventId || last; });
  stream.addEventListener("reset", (event) => {
    last = event.lastEventId || null;
    speakers.clear();
    tell("reset");
  });
  for (const kind of KINDS) {
    stream.addEventListener(kind, (event) => {
      last = event.lastEventId || last;
      tell(kind, JSON.parse(event.data));
    });
  }
}

function again() {
  source.close();
  source = null;
  timer = setTimeout(open, wait);
  wait = Math.min(wait * 2, WAIT_MAX);
}

// A browser has six connections for one address. A page that nobody looks at would hold one, and so would a page that was
// left and is kept for the way back.
let hiding;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(rest, HIDDEN_FOR);
  else wake();
});
window.addEventListener("pagehide", rest);
window.addEventListener("pageshow", wake);

/** Lets go of the connection; the last id is kept. */
function rest() {
  clearTimeout(timer);
  source?.close();
  source = null;
  become("closed");
}

/** Goes on where it was, for whoever listens. */
function wake() {
  if (state === "closed" && listeners.size) open();
}

function tell(kind, data) {
  if (kind === "speaking") speakers.set(data.call, data);
  if (kind === "gone" || (kind === "call" && data.ended)) speakers.delete(data.call ?? data.id);
  for (const listener of listeners) listener(kind, data);
}
