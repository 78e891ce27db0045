// {{name}}: tools for Switchboard.

import config from "switchboard:plugin/config@0.2.0";
import type { Tools } from "switchboard:plugin/tools@0.2.0";
import type { CallContext, Tool, ToolError } from "switchboard:plugin/types@0.2.0";

const GREET: Tool = {
  name: "greet",
  description: "Greet the caller by name. Call it once, when the caller has told their name.",
  parameters: JSON.stringify({
    type: "object",
    properties: {
      name: { type: "string", minLength: 1, maxLength: 100, description: "The caller's name, as they said it." },
    },
    required: ["name"],
    additionalProperties: false,
  }),
  repeatable: true,
  timeoutMs: 1_000,
  sayFirst: null,
  interruptible: true,
};

export const tools: Tools = {
  describe() {
    return { name: "{{name}}", version: "0.1.0", tools: [GREET], needs: [] };
  },
  call(context, name, args) {
    switch (name) {
      case GREET.name:
        return JSON.stringify(greet(context, JSON.parse(args)));
      default:
        throw { tag: "unknown-tool", val: name } satisfies ToolError;
    }
  },
};

function greet(context: CallContext, { name }: { name: string }): string {
  const greeting = config.get("greeting") ?? greetings[context.language ?? ""] ?? "Hello NAME, thank you for calling.";
  return greeting.replace("NAME", name);
}

const greetings: Record<string, string> = { ja: "NAME様、お電話ありがとうございます。" };
