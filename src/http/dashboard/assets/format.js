// How numbers, times and money are written, in the language of the page.

import { language, t, known } from "./words.js";

/** Milliseconds since 1970 of a time as the API gives it: microseconds, or RFC 3339. */
export function ms(time) {
  if (time === null || time === undefined) return null;
  return typeof time === "number" ? time / 1000 : Date.parse(time);
}

const cached = new Map();
function formatter(kind, options) {
  const name = `${language()}${kind.name}${JSON.stringify(options)}`;
  if (!cached.has(name)) cached.set(name, new kind(language(), options));
  return cached.get(name);
}

export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return formatter(Intl.NumberFormat, options).format(value);
}

/** 1.2 M, 48 k: for tables of tokens. */
export function compact(value) {
  if (value === null || value === undefined) return "–";
  return formatter(Intl.NumberFormat, { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** US dollars: cents, and finer where it is little. */
export function usd(value) {
  if (value === null || value === undefined) return "–";
  const digits = value === 0 ? 0 : Math.abs(value) < 0.1 ? 4 : Math.abs(value) < 10 ? 3 : 2;
  return `$${number(value, digits)}`;
}

/** `1:02:03` or `1:02`, for lengths of calls. */
export function clockLength(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "–";
  const all = Math.max(0, Math.floor(milliseconds / 1000));
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** `01:02.3`, for places on the time line of a call. */
export function place(seconds) {
  const sign = seconds < 0 ? "−" : "";
  const tenths = Math.round(Math.abs(seconds) * 10);
  const minutes = String(Math.floor(tenths / 600)).padStart(2, "0");
  return `${sign}${minutes}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

/** 0.61 s, 143 ms, 1.4 ms. */
export function took(milliseconds) {
  if (milliseconds === null || milliseconds === undefined || Number.isNaN(milliseconds)) return "–";
  if (milliseconds >= 1000) return `${number(milliseconds / 1000, 2)} s`;
  return `${number(milliseconds, milliseconds < 10 ? 1 : 0)} ms`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
  return `${number(value, at && value < 100 ? 1 : 0)} ${units[at]}`;
}

/** `Nov 29, 12:04:05`; of another year with it. */
export function moment(time) {
  const at = ms(time);
  if (at === null) return "–";
  const isThisYear = new Date(at).getFullYear() === new Date().getFullYear();
  return formatter(Intl.DateTimeFormat, {
    year: isThisYear ? undefined : "numeric", month: monthStyle(), day: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  }).format(at);
}

/** In Japanese dates are numbers anyway, and shorter so. */
function monthStyle() {
  return language() === "ja" ? "numeric" : "short";
}

/** The same to the millisecond, for events; of today without the date. */
export function exactly(time) {
  const at = ms(time);
  if (at === null) return "–";
  const isToday = new Date(at).toDateString() === new Date().toDateString();
  return formatter(Intl.DateTimeFormat, {
    month: isToday ? undefined : monthStyle(), day: isToday ? undefined : "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
  }).format(at);
}

/** `2026-11-29` as people say it. */
export function day(text, { isShort } = {}) {
  const at = Date.parse(`${text}T00:00:00`);
  if (Number.isNaN(at)) return text;
  return formatter(Intl.DateTimeFormat, { month: monthStyle(), day: "numeric", weekday: isShort ? undefined : "short" }).format(at);
}

/** 1 d 2 h, for how long something has run. */
export function uptime(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return t("time.days_hours", { days, hours });
  if (hours) return t("time.hours_minutes", { hours, minutes });
  return t("time.minutes", { minutes });
}

/** A word of the API in the page's language; as it stands where it is new to us. */
export function word(group, value) {
  if (value === null || value === undefined || value === "") return "–";
  const name = `${group}.${value}`;
  return known(name) ? t(name) : String(value).replaceAll("_", " ");
}

/** The `q`-th part of numbers, as one of them. */
export function quantile(values, q) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}
