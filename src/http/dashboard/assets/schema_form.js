// A form out of a tool's JSON Schema. What a form cannot say (nested things, unions) is written as JSON.

import { h, add } from "./dom.js";
import { t } from "./words.js";
import { field, select } from "./parts.js";

/** The form's fields, and `values()`: what was filled in, or throws with the field that is wrong. */
export function schemaForm(schema) {
  const properties = Object.entries(schema?.properties ?? {});
  const required = new Set(schema?.required ?? []);
  const readers = properties.map(([name, one]) => ({ name, ...reader(name, one, required.has(name)) }));
  const node = h("div", { class: "fields" });
  add(node, readers.map((each) => each.node));
  if (!properties.length) add(node, h("p", { class: "faint" }, t("form.none")));
  return {
    node,
    values() {
      const given = {};
      for (const { name, read } of readers) {
        const value = read();
        if (value !== undefined) given[name] = value;
      }
      return given;
    },
  };
}

function reader(name, one, isRequired) {
  const kind = Array.isArray(one.type) ? one.type.find((each) => each !== "null") : one.type;
  const label = h("span", null, h("code", null, name), isRequired && h("span", { class: "faint" }, ` ${t("form.required")}`));
  const help = [one.description, bounds(one)].filter(Boolean).join(" · ");
  const wrap = (control) => field(label, control, help || undefined);
  const common = { required: isRequired, name };

  if (Array.isArray(one.enum)) {
    const options = [["", isRequired ? t("form.choose") : t("form.unset")], ...one.enum.map((each, n) => [String(n), String(each)])];
    const control = select(options, "", common);
    return { node: wrap(control), read: () => (control.value === "" ? undefined : one.enum[Number(control.value)]) };
  }
  if (kind === "boolean") {
    const control = select([["", t("form.unset")], ["true", t("yes")], ["false", t("no")]], "", common);
    return { node: wrap(control), read: () => (control.value === "" ? undefined : control.value === "true") };
  }
  if (kind === "integer" || kind === "number") {
    const control = h("input", { ...common, type: "number", min: one.minimum, max: one.maximum, step: kind === "integer" ? 1 : "any", inputmode: "decimal" });
    return { node: wrap(control), read: () => (control.value === "" ? undefined : Number(control.value)) };
  }
  if (kind === "string" || kind === undefined) {
    const type = { date: "date", email: "email" }[one.format] ?? "text";
    const control = h("input", { ...common, type, maxlength: one.maxLength, minlength: one.minLength, pattern: one.pattern && usable(one.pattern), autocomplete: "off" });
    return { node: wrap(control), read: () => (control.value === "" ? undefined : control.value) };
  }
  const control = h("textarea", { ...common, rows: 3, spellcheck: "false", placeholder: kind === "array" ? "[…]" : "{…}" });
  return {
    node: wrap(control),
    read() {
      if (!control.value.trim()) return undefined;
      try { return JSON.parse(control.value); } catch (error) { throw new Error(t("form.json", { name, what: error.message })); }
    },
  };
}

/** An input's pattern holds for the whole text, a schema's anywhere in it. */
function usable(pattern) {
  try { new RegExp(pattern, "v"); } catch { return undefined; }
  return `.*(?:${pattern}).*`;
}

function bounds(one) {
  const told = [];
  if (one.minimum !== undefined || one.maximum !== undefined) told.push(`${one.minimum ?? ""}…${one.maximum ?? ""}`);
  if (one.pattern) told.push(one.pattern);
  return told.join(" ");
}
