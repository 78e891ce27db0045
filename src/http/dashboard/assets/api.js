// The admin API, and nothing else: every request of this dashboard goes through here or through stream.js.

const BASE = "/api/v1";

/** What the server refused, with its own words. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let signedOut = () => {};

/** Calls `then` whenever the server no longer knows this browser. */
export function onSignedOut(then) {
  signedOut = then;
}

/** A path of the API with its question; what is empty is left out. */
export function path(name, question = {}) {
  const asked = new URLSearchParams();
  for (const [key, value] of Object.entries(question)) {
    if (value !== undefined && value !== null && value !== "") asked.set(key, value);
  }
  const text = asked.toString();
  return `${BASE}${name}${text ? `?${text}` : ""}`;
}

/** One part of a path. */
export const part = encodeURIComponent;

export function get(name, question, options = {}) {
  return ask("GET", path(name, question), undefined, options);
}

/** Says something that is done once, however often the network makes us repeat it. */
export function post(name, body = {}, { question, ...options } = {}) {
  return ask("POST", path(name, question), body, { ...options, key: options.key ?? newKey() });
}

export function erase(name, question) {
  return ask("DELETE", path(name, question));
}

/** Who is signed in; null where nobody is. */
export async function whoAmI() {
  return ask("GET", path("/session"), undefined, { quiet: true }).catch(nobody);
}

function nobody(error) {
  if (error.status === 401) return null;
  throw error;
}

export function signIn(token) {
  return ask("POST", path("/session"), { token }, { quiet: true });
}

export function signOut() {
  return ask("DELETE", path("/session"), undefined, { quiet: true }).catch(nobody);
}

async function ask(method, url, body, { signal, quiet, key } = {}) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  const text = body === undefined ? undefined : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(url, { method, headers, body: text, signal, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "unreachable", "");
  }
  if (answer.ok) return answer.status === 204 ? null : parsed(await answer.text());
  const told = parsed(await answer.text());
  if (answer.status === 401 && !quiet) signedOut();
  const error = told?.error ?? {};
  throw new Refused(answer.status, error.code ?? "refused", error.message ?? (typeof told === "string" ? told : ""));
}

function parsed(text) {
  if (!text) return null;
  try { return JSON.parse(text); } catch { return text.trim(); }
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
