// The booking service: what is asked of it, and what its answers mean.
//
//   GET  {base_url}/slots?date=2026-12-01   200 {"slots": [{"id": "…", "start": "2026-12-01T10:00:00+09:00", "with": "…"}]}
//   POST {base_url}/appointments            201 {"id": "…"}   409: the slot is taken   422: it cannot be booked so
//        {"slot": "…", "name": "…", "phone": "…", "note": "…"}, with an `Idempotency-Key`

import config from "switchboard:plugin/config@0.2.0";
import http, { type HttpError, type Request, type Response } from "switchboard:plugin/http@0.2.0";
import log from "switchboard:plugin/log@0.2.0";

import { decode, encode, failure, reason } from "./support";

const UNREACHABLE = "the booking system does not answer at the moment; offer to call back";

/** A free appointment. */
export interface Slot {
  id: string;
  /** RFC 3339. */
  start: string;
  /** Who has time, where the service says so. */
  with?: string;
}

export interface Appointment {
  slot: string;
  name: string;
  phone: string;
  note?: string;
}

/** What came of a booking. */
export type Booked = { state: "booked"; id: string } | { state: "taken" } | { state: "refused" };

/** The secret that opens the service, by name. */
export function secret(): string {
  return config.get("secret") ?? "BOOKING_TOKEN";
}

/** Where the service is, without a slash at the end. */
export function baseUrl(): string {
  const url = config.get("base_url");
  if (!url) {
    const words = "`base_url` is missing in its config: write where the booking service is";
    // Where a plugin says what it is nobody hears of an exception; what was logged last is shown.
    log.write("error", words);
    throw failure("internal", words);
  }
  return url.replace(/\/+$/, "");
}

export function freeSlots(date: string): Slot[] {
  const response = send("get", `/slots?date=${encodeURIComponent(date)}`);
  if (response.status === 404) return [];
  const { slots } = read<{ slots?: unknown }>(response, [200]);
  if (!Array.isArray(slots)) throw failure("internal", "GET /slots: the answer has no list `slots`");
  return slots.filter((slot): slot is Slot => typeof slot?.id === "string" && typeof slot?.start === "string");
}

/** Books a slot; the same key never books twice. */
export function book(appointment: Appointment, key: string): Booked {
  const response = send("post", "/appointments", appointment, key);
  if (response.status === 409) return { state: "taken" };
  if (response.status === 422) return { state: "refused" };
  const { id } = read<{ id?: unknown }>(response, [200, 201]);
  if (typeof id !== "string") throw failure("internal", "POST /appointments: the answer has no `id`");
  return { state: "booked", id };
}

function send(method: Request["method"], path: string, body?: object, key?: string): Response {
  const headers: Request["headers"] = [["Accept", "application/json"]];
  if (body) headers.push(["Content-Type", "application/json"]);
  if (key) headers.push(["Idempotency-Key", key]);
  const request: Request = {
    method,
    url: baseUrl() + path,
    headers,
    body: body ? encode(JSON.stringify(body)) : null,
    timeoutMs: null,
    credential: { header: "Authorization", prefix: "Bearer ", secret: secret() },
  };
  try {
    return http.fetch(request);
  } catch (thrown) {
    const error = reason<HttpError>(thrown);
    const words = "val" in error ? `${error.tag}: ${error.val}` : error.tag;
    if (["denied", "invalid-request", "too-large", "quota"].includes(error.tag)) throw failure("internal", words);
    log.write("warn", `the booking service cannot be reached: ${words}`);
    throw failure("unavailable", UNREACHABLE);
  }
}

/** The body of an answer with one of these statuses. */
function read<T>(response: Response, statuses: number[]): T {
  const { status } = response;
  if (status === 401 || status === 403) {
    throw failure("internal", `the booking service refuses the secret \`${secret()}\` (status ${status})`);
  }
  if (!statuses.includes(status)) {
    log.write("warn", `the booking service answered with status ${status}`);
    throw failure("unavailable", UNREACHABLE);
  }
  try {
    return JSON.parse(decode(response.body)) as T;
  } catch {
    throw failure("internal", "the booking service's answer is not JSON");
  }
}
