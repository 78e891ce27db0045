"""Tells when a business is open, and answers what callers often ask; all of it from the plugin's config.

What needs no host stands in `hours.py` and `faq.py`.
"""

import json
from datetime import datetime

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import clock, config, types
from wit_world.imports.types import (
    PluginInfo,
    Tool,
    ToolError_Internal,
    ToolError_InvalidArguments,
    ToolError_UnknownTool,
)

import faq
import hours

OPENING_HOURS = Tool(
    name="opening_hours",
    description=(
        "Tell whether the business is open at a time, until when, and when it opens next. Without `at` it is about "
        "now. Holidays are known. Use it for every question about opening hours; do not guess."
    ),
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {
                "at": {
                    "type": "string",
                    "pattern": r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2})?$",
                    "description": "Local time, as 2026-12-01T18:30, or a day, as 2026-12-01. Leave it out for now.",
                }
            },
            "additionalProperties": False,
        }
    ),
    repeatable=True,
    timeout_ms=2_000,
    say_first=None,
    interruptible=True,
)

ANSWER_FAQ = Tool(
    name="answer_faq",
    description=(
        "Look a question about the business up: parking, payment, access and the like. Answers {\"found\": false} "
        "when nothing is known; then say so, and offer to have somebody call back."
    ),
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {
                "question": {"type": "string", "minLength": 1, "maxLength": 300, "description": "In the caller's words."}
            },
            "required": ["question"],
            "additionalProperties": False,
        }
    ),
    repeatable=True,
    timeout_ms=2_000,
    say_first=None,
    interruptible=True,
)


class Tools(exports.Tools):
    def describe(self) -> PluginInfo:
        return PluginInfo(name="opening-hours", version="0.1.0", tools=[OPENING_HOURS, ANSWER_FAQ], needs=[])

    def call(self, context: types.CallContext, name: str, arguments: str) -> str:
        given = json.loads(arguments)
        match name:
            case OPENING_HOURS.name:
                answer = opening_hours(given.get("at"))
            case ANSWER_FAQ.name:
                answer = faq.answer(of_config("faq", []), given["question"])
            case _:
                raise Err(ToolError_UnknownTool(name))
        return json.dumps(answer, ensure_ascii=False)


def opening_hours(at: str | None) -> dict:
    try:
        week = hours.Week(
            of_config("hours", {}),
            of_config("holidays", []),
            hours.Zone(config.get("utc_offset") or "+00:00", config.get("summer_time")),
        )
    except (hours.BadConfig, AttributeError, KeyError, TypeError) as error:
        raise Err(ToolError_Internal(f"config: {error}")) from error
    if at is None:
        return week.at(week.zone.local(clock.now_ms()))
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise Err(ToolError_InvalidArguments(f"`{at}` is no day and no time; pass it as 2026-12-01T18:30")) from error
    # A day without a time is asked about as a whole.
    return week.at(moment) if "T" in at else week.on(moment.date())


def of_config(key: str, default):
    """A table or an array of the config, which comes as JSON."""
    text = config.get(key)
    if text is None:
        return default
    try:
        return json.loads(text)
    except ValueError as error:
        raise Err(ToolError_Internal(f"config `{key}`: {error}")) from error
