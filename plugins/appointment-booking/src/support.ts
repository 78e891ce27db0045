// What a plugin wants of JavaScript and the guest's small engine does not bring: UTF-8, and errors with a shape.

import type { ToolError } from "switchboard:plugin/types@0.2.0";

/** A failure that the model may speak about; thrown by a tool. */
export function failure(tag: ToolError["tag"], words: string): ToolError {
  return { tag, val: words };
}

/** What a host function failed with: the host's failures arrive as the payload of an `Error`. */
export function reason<T extends { tag: string }>(thrown: unknown): T {
  const payload = (thrown as { payload?: T }).payload;
  if (payload === undefined) throw thrown;
  return payload;
}

/** A text as UTF-8. */
export function encode(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const letter of text) {
    const point = letter.codePointAt(0)!;
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 0x3f));
    else if (point < 0x10000) bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    else {
      bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f));
      bytes.push(0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    }
  }
  return Uint8Array.from(bytes);
}

/** UTF-8 as a text; throws where it is none. */
export function decode(bytes: Uint8Array): string {
  let escaped = "";
  for (const byte of bytes) escaped += "%" + byte.toString(16).padStart(2, "0");
  return decodeURIComponent(escaped);
}
