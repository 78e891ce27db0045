// The interface switchboard:plugin@0.2.0, as a component built with componentize-qjs sees it: an `option` is a
// value or null, a `variant` has a tag and a value, names are in camel case. A failure of a `result` is thrown: by us as
// it is, by the host as an `Error` whose `payload` it is. What each of these means in full: plugin.wit.

declare module "switchboard:plugin/types@0.2.0" {
  /** JSON as text. */
  export type Json = string;

  /** What a plugin may know about the call it serves. */
  export interface CallContext {
    callId: string;
    direction: "inbound" | "outbound";
    /** Who calls: E.164 where it could be normalised; null when withheld. */
    caller: string | null;
    callee: string | null;
    /** ISO 639-1. */
    language: string | null;
    route: string | null;
    session: string | null;
    /** Unix milliseconds; the guest is stopped soon after. */
    deadlineMs: number;
    /** The session's and the route's variables, and those that were set during the call. */
    variables: [name: string, value: string][];
  }

  export interface Tool {
    /** What the model calls it: letters, digits, `_` and `-`, at most 64. */
    name: string;
    /** What it does and when to call it; the model reads this. */
    description: string;
    /** JSON Schema of the argument object. */
    parameters: Json;
    /** Running it twice does no harm. */
    repeatable: boolean;
    /** The longest it should take. */
    timeoutMs: number | null;
    /** What the caller hears when the answer takes a while. */
    sayFirst: string | null;
    /** Whether the model listens while it runs. */
    interruptible: boolean;
  }

  export type CallPower = "say" | "inject-context" | "transfer" | "hang-up" | "set-variable";
  export type Hook = "incoming" | "event" | "ended";

  /** Something that the operator has to grant before it works. */
  export type Need =
    | { tag: "kv" }
    | { tag: "http"; val: string }
    | { tag: "secret"; val: string }
    | { tag: "history" }
    | { tag: "call"; val: CallPower }
    | { tag: "hook"; val: Hook };

  export interface PluginInfo {
    name: string;
    version: string;
    tools: Tool[];
    needs: Need[];
  }

  /** What a tool throws. The model reads the words; those of `internal` go to the operator's log instead. */
  export type ToolError = {
    tag: "unknown-tool" | "invalid-arguments" | "not-found" | "denied" | "unavailable" | "internal";
    val: string;
  };

  export interface Line {
    speaker: "caller" | "assistant";
    text: string;
    startedMs: number;
  }
}

/** The operator's log. Callers' words and numbers do not belong there. */
declare module "switchboard:plugin/log@0.2.0" {
  export type Level = "debug" | "info" | "warn" | "error";
  const log: { write(level: Level, message: string): void };
  export default log;
}

/** The plugin's own `[plugins.NAME.config]`: texts as they are, all else as JSON. */
declare module "switchboard:plugin/config@0.2.0" {
  const config: { get(key: string): string | null };
  export default config;
}

/** Secrets that the operator grants by name. Most plugins use `http`'s `credential` instead. */
declare module "switchboard:plugin/secrets@0.2.0" {
  /** What `reveal` throws. */
  export type SecretsError = { tag: "denied" };
  const secrets: { reveal(name: string): string };
  export default secrets;
}

/** Values that outlive a call. Needs `kv`. */
declare module "switchboard:plugin/kv@0.2.0" {
  /** What all of these throw. */
  export type KvError =
    | { tag: "denied" | "too-large" | "quota" | "conflict" }
    | { tag: "unavailable"; val: string };
  export interface Entry {
    value: Uint8Array;
    revision: number;
  }
  export interface Page {
    keys: string[];
    next: string | null;
  }
  const kv: {
    get(key: string): Entry | null;
    /** `ifRevision`: only if the key is at this revision; 0: only if there is none. Gives the new one. */
    put(key: string, value: Uint8Array, ttlS: number | null, ifRevision: number | null): number;
    delete(key: string): boolean;
    listKeys(prefix: string, after: string | null, limit: number): Page;
  };
  export default kv;
}

/** Requests to where the operator allows. Needs `http` with a pattern. */
declare module "switchboard:plugin/http@0.2.0" {
  export interface Request {
    method: "get" | "head" | "post" | "put" | "patch" | "delete";
    url: string;
    headers: [name: string, value: string][];
    body: Uint8Array | null;
    timeoutMs: number | null;
    /** A secret that the host puts into a header; the plugin never sees it. Needs `secret` with its name. */
    credential: { header: string; prefix: string; secret: string } | null;
  }
  export interface Response {
    status: number;
    headers: [name: string, value: string][];
    body: Uint8Array;
  }
  /** What `fetch` throws. */
  export type HttpError =
    | { tag: "denied" | "invalid-request" | "dns" | "connect" | "other"; val: string }
    | { tag: "timeout" | "too-large" | "quota" };
  const http: { fetch(request: Request): Response };
  export default http;
}

/** What can be done to the call itself. Each needs its own `call` power. */
declare module "switchboard:plugin/calls@0.2.0" {
  export type Action =
    | { tag: "say" | "inject-context" | "transfer"; val: string }
    | { tag: "hang-up" }
    | { tag: "set-variable"; val: [name: string, value: string] };
  /** What `act` throws. */
  export type CallsError = { tag: "denied" | "no-call" | "quota" };
  const calls: { act(action: Action): void };
  export default calls;
}

/** How far a long tool is, in words for the caller. */
declare module "switchboard:plugin/progress@0.2.0" {
  const progress: { report(text: string): void };
  export default progress;
}

/** What was said in the call so far. Needs `history`. */
declare module "switchboard:plugin/history@0.2.0" {
  import type { Line } from "switchboard:plugin/types@0.2.0";
  const history: { lines(last: number): Line[] };
  export default history;
}

declare module "switchboard:plugin/clock@0.2.0" {
  const clock: {
    /** Unix milliseconds. */
    nowMs(): number;
    monotonicNs(): number;
  };
  export default clock;
}

declare module "switchboard:plugin/random@0.2.0" {
  const random: { bytes(count: number): Uint8Array };
  export default random;
}

/** What a plugin exports as `tools`. */
declare module "switchboard:plugin/tools@0.2.0" {
  import type { CallContext, Json, PluginInfo } from "switchboard:plugin/types@0.2.0";
  export interface Tools {
    describe(): PluginInfo;
    /** Throws a `ToolError`. */
    call(context: CallContext, name: string, args: Json): Json;
  }
}

/** What a plugin of the world `call-plugin` exports as `hooks`. */
declare module "switchboard:plugin/hooks@0.2.0" {
  import type { CallContext, Json, Line } from "switchboard:plugin/types@0.2.0";
  export type Decision = { tag: "proceed" } | { tag: "reject"; val: number } | { tag: "forward"; val: string };
  export type Instructions = { tag: "append" | "replace"; val: string };
  export interface IncomingAnswer {
    decision: Decision;
    session: string | null;
    variables: [name: string, value: string][];
    instructions: Instructions | null;
  }
  export type CallEvent = { tag: "line"; val: Line } | { tag: "keys"; val: string } | { tag: "state"; val: string };
  export interface Hooks {
    incoming(context: CallContext, headers: [name: string, value: string][]): IncomingAnswer;
    event(context: CallContext, event: CallEvent): void;
    ended(context: CallContext, call: Json): void;
  }
}
