// Shows openapi.json: every endpoint with its role, what it takes and what it gives. Text only, nothing from outside.

const element = (name, text, className) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};

// A schema with what it refers to put in its place, some levels deep.
const resolved = (schema, all, depth = 0) => {
  if (Array.isArray(schema)) return schema.map((part) => resolved(part, all, depth));
  if (schema === null || typeof schema !== "object") return schema;
  if (typeof schema.$ref === "string") {
    const name = schema.$ref.split("/").pop();
    return depth > 4 ? { $ref: name } : resolved(all[name] ?? {}, all, depth + 1);
  }
  return Object.fromEntries(Object.entries(schema).map(([key, part]) => [key, resolved(part, all, depth)]));
};

const block = (title, schema, all) => {
  const made = document.createDocumentFragment();
  made.append(element("h2", title), element("pre", JSON.stringify(resolved(schema, all), null, 2)));
  return made;
};

const parameters = (list) => {
  const table = element("table");
  for (const parameter of list) {
    const row = element("tr");
    row.append(element("td", parameter.name), element("td", parameter.in, "what"));
    row.append(element("td", parameter.description ?? parameter.schema?.description ?? "", "what"));
    table.append(row);
  }
  return table;
};

const endpoint = (method, path, operation, all) => {
  const made = element("details");
  const head = element("summary");
  const name = element("span");
  name.append(element("code", path), document.createTextNode(" "), element("span", operation.summary, "what"));
  head.append(element("code", method.toUpperCase(), "method"), name);
  head.append(element("span", operation["x-role"] ?? "anybody", "role"));
  const inside = element("div", undefined, "inside");
  made.append(head, inside);
  // Made when it is looked at: some schemas are long.
  made.addEventListener("toggle", () => {
    if (inside.childNodes.length > 0) return;
    if (operation.parameters.length > 0) inside.append(element("h2", "Parameters"), parameters(operation.parameters));
    const body = operation.requestBody?.content?.["application/json"]?.schema;
    if (body) inside.append(block("Takes", body, all));
    for (const [status, response] of Object.entries(operation.responses)) {
      for (const [kind, content] of Object.entries(response.content ?? {})) {
        inside.append(block(`${status} ${kind}`, content.schema, all));
      }
    }
  });
  return made;
};

const main = document.getElementById("endpoints");
try {
  const document_ = await (await fetch("/api/v1/openapi.json")).json();
  const all = document_.components.schemas;
  const made = Object.entries(document_.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => endpoint(method, path, operation, all)));
  main.replaceChildren(...made);
  document.getElementById("about").prepend(`Version ${document_.info.version}. ${document_.info.description} `);
} catch (error) {
  main.replaceChildren(element("p", `The document cannot be read: ${error}`));
}
