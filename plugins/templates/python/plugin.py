"""{{name}}: tools for Switchboard."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config
from wit_world.imports.types import CallContext, PluginInfo, Tool, ToolError_UnknownTool

GREET = Tool(
    name="greet",
    description="Greet the caller by name. Call it once, when the caller has told their name.",
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {
                "name": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 100,
                    "description": "The caller's name, as they said it.",
                }
            },
            "required": ["name"],
            "additionalProperties": False,
        }
    ),
    repeatable=True,
    timeout_ms=1_000,
    say_first=None,
    interruptible=True,
)

GREETINGS = {"ja": "NAME様、お電話ありがとうございます。"}


class Tools(exports.Tools):
    def describe(self) -> PluginInfo:
        return PluginInfo(name="{{name}}", version="0.1.0", tools=[GREET], needs=[])

    def call(self, context: CallContext, name: str, arguments: str) -> str:
        given = json.loads(arguments)
        match name:
            case GREET.name:
                answer = greet(context, given["name"])
            case _:
                raise Err(ToolError_UnknownTool(name))
        return json.dumps(answer, ensure_ascii=False)


def greet(context: CallContext, name: str) -> str:
    greeting = config.get("greeting") or GREETINGS.get(context.language or "", "Hello NAME, thank you for calling.")
    return greeting.replace("NAME", name)
