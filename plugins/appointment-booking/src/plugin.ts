// Finds free appointments and books them, over an HTTP API (see api.ts).
//
// A booking is written down before it is asked for, under a key of its own: should the answer be lost, asking again
// with the same key books nothing twice, and a slot that this call has booked already is answered from the record.

import kv, { type KvError } from "switchboard:plugin/kv@0.2.0";
import log from "switchboard:plugin/log@0.2.0";
import progress from "switchboard:plugin/progress@0.2.0";
import type { Tools } from "switchboard:plugin/tools@0.2.0";
import type { CallContext, Need, Tool } from "switchboard:plugin/types@0.2.0";

import { baseUrl, book, freeSlots, secret, type Slot } from "./api";
import { decode, encode, failure, reason } from "./support";

/** More than a caller can keep in mind is of no use to the model either. */
const SLOTS_MAX = 12;
/** How long a booking's record is kept: longer than any call. */
const KEPT_S = 24 * 60 * 60;

const FIND_SLOTS: Tool = {
  name: "find_slots",
  description:
    "Find free appointments on a day. Call it before you offer a time; offer only what it answers. " +
    "Read a few times out, not all of them.",
  parameters: JSON.stringify({
    type: "object",
    properties: {
      date: { type: "string", pattern: "^\\d{4}-\\d{2}-\\d{2}$", description: "The day, as 2026-12-01." },
      part: { type: "string", enum: ["morning", "afternoon"], description: "Before or after noon, if the caller says so." },
    },
    required: ["date"],
    additionalProperties: false,
  }),
  repeatable: true,
  timeoutMs: 5_000,
  sayFirst: "One moment, I am looking for a free time.",
  interruptible: true,
};

const BOOK_APPOINTMENT: Tool = {
  name: "book_appointment",
  description:
    "Book an appointment that find_slots has found. Call it once, after the caller has agreed to day and time " +
    "and told their name.",
  parameters: JSON.stringify({
    type: "object",
    properties: {
      slot: { type: "string", minLength: 1, maxLength: 100, description: "The slot's id, as find_slots gave it." },
      name: { type: "string", minLength: 1, maxLength: 100, description: "The caller's name." },
      phone: { type: "string", maxLength: 40, description: "Where to call back, if not the caller's own number." },
      note: { type: "string", maxLength: 300, description: "What the appointment is about." },
    },
    required: ["slot", "name"],
    additionalProperties: false,
  }),
  repeatable: false,
  timeoutMs: 10_000,
  sayFirst: null,
  interruptible: false,
};

export const tools: Tools = {
  describe() {
    const needs: Need[] = [{ tag: "kv" }, { tag: "http", val: `${baseUrl()}/*` }, { tag: "secret", val: secret() }];
    return { name: "appointment-booking", version: "0.1.0", tools: [FIND_SLOTS, BOOK_APPOINTMENT], needs };
  },
  call(context, name, args) {
    switch (name) {
      case FIND_SLOTS.name:
        return JSON.stringify(findSlots(JSON.parse(args)));
      case BOOK_APPOINTMENT.name:
        return JSON.stringify(bookAppointment(context, JSON.parse(args)));
      default:
        throw failure("unknown-tool", name);
    }
  },
};

interface FindArguments {
  date: string;
  part?: "morning" | "afternoon" | null;
}

function findSlots({ date, part }: FindArguments) {
  if (!isDay(date)) throw failure("invalid-arguments", `\`${date}\` is not a day; pass it as 2026-12-01`);
  const slots = freeSlots(date).filter((slot) => !part || (hour(slot) < 12) === (part === "morning"));
  const shown = slots.slice(0, SLOTS_MAX);
  return { date, slots: shown, more: slots.length - shown.length };
}

interface BookArguments {
  slot: string;
  name: string;
  phone?: string | null;
  note?: string | null;
}

/** What is kept of a booking: when it was asked for, and when it was made. */
interface Kept {
  key: string;
  id: string | null;
}

function bookAppointment(context: CallContext, { slot, name, phone, note }: BookArguments) {
  const reachable = phone || context.caller;
  if (!reachable) {
    throw failure("invalid-arguments", "the caller's number is withheld; ask for one and pass it as `phone`");
  }
  const record = `booking/${context.callId}/${slot}`;
  const kept = begun(record, `${context.callId}/${slot}`);
  if (kept.id !== null) return { booked: true, appointment: kept.id };

  progress.report("I am booking it now.");
  const booked = book({ slot, name, phone: reachable, ...(note ? { note } : {}) }, kept.key);
  switch (booked.state) {
    case "taken":
      return { booked: false, reason: "somebody else has just taken this slot; find another one" };
    case "refused":
      return { booked: false, reason: "the booking system does not take this appointment; offer another one" };
    case "booked":
      remember(record, { ...kept, id: booked.id });
      return { booked: true, appointment: booked.id };
  }
}

/** The record of this booking: the one that is there, else a new one. */
function begun(record: string, key: string): Kept {
  try {
    const entry = kv.get(record);
    if (entry) return JSON.parse(decode(entry.value)) as Kept;
    const kept: Kept = { key, id: null };
    kv.put(record, encode(JSON.stringify(kept)), KEPT_S, 0);
    return kept;
  } catch (thrown) {
    const error = reason<KvError>(thrown);
    if (error.tag === "denied") throw failure("internal", "the key-value store is not granted: `allow.kv`");
    log.write("warn", `a booking cannot be written down: ${error.tag}`);
    throw failure("unavailable", "booking does not work at the moment; offer to call back");
  }
}

/** The booking is made; that its record could not be kept is no reason to tell the caller otherwise. */
function remember(record: string, kept: Kept) {
  try {
    kv.put(record, encode(JSON.stringify(kept)), KEPT_S, null);
  } catch (thrown) {
    log.write("warn", `a booking that was made is not in the store: ${reason<KvError>(thrown).tag}`);
  }
}

function isDay(text: string): boolean {
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

/** The hour of a slot's start, in the slot's own offset. */
function hour(slot: Slot): number {
  return Number(slot.start.slice(11, 13));
}
