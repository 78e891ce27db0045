// The routes in their order, and which of them would take a call.

import { h, fill } from "../dom.js";
import { t } from "../words.js";
import { number, word } from "../format.js";
import { get, post } from "../api.js";
import { changeQuery, query } from "../router.js";
import { badge, button, describe, facts, field, head, nothing, panel } from "../parts.js";

const ASKED = ["to", "from", "at", "headers"];

export async function routes() {
  const { routes: list } = await get("/routes");
  const answer = h("div", { role: "status" });
  const order = h("ol", { class: "routes" });
  const now = query();
  const controls = {
    to: h("input", { name: "to", type: "text", inputmode: "tel", required: true, autocomplete: "off", value: now.get("to") ?? "", placeholder: "+815012345678", "data-filter": true }),
    from: h("input", { name: "from", type: "text", inputmode: "tel", autocomplete: "off", value: now.get("from") ?? "", placeholder: t("routes.anonymous") }),
    at: h("input", { name: "at", type: "datetime-local", value: now.get("at") ?? "" }),
    headers: h("textarea", { name: "headers", rows: 2, spellcheck: "false", value: now.get("headers") ?? "", placeholder: "X-Campaign: spring" }),
  };

  function draw(steps) {
    fill(order, list.map((route, at) => {
      const step = steps?.find((each) => each.route === route.name);
      const kind = !steps ? "" : step?.matched ? "taken" : step ? "passed" : "unseen-by-it";
      return h("li", { class: kind },
        h("span", { class: "num faint" }, at + 1),
        h("div", null,
          h("p", { class: "row" }, h("b", null, route.name), step?.matched && badge("good", t("routes.takes"))),
          h("p", { class: "faint" }, route.match || t("routes.always")),
          step && h("p", { class: step.matched ? "why good-words" : "why" }, step.why)),
        h("div", null, action(route.action), route.session && h("p", { class: "faint" }, route.session)),
        h("span", { class: "num right" }, number(route.hits)));
    }));
  }

  async function explain(event) {
    event?.preventDefault();
    const said = Object.fromEntries(ASKED.map((name) => [name, controls[name].value.trim()]));
    if (event) changeQuery(said);
    const question = { to: said.to };
    if (said.from) question.from = said.from;
    if (said.at) question.at = new Date(said.at).toISOString();
    const headers = headersOf(said.headers);
    if (Object.keys(headers).length) question.headers = headers;
    try {
      const told = await post("/routes/explain", question);
      fill(answer, told.route
        ? [badge("good", told.route), facts([[t("routes.action"), action(told.action)], [t("config.session"), told.session], [t("filter.path"), told.path && word("path", told.path)]])]
        : badge("warn", t("routes.nobody")));
      draw(told.steps);
    } catch (error) {
      fill(answer, h("p", { class: "bad-words" }, describe(error)));
      draw();
    }
  }

  draw();
  const form = h("form", { class: "explain", onsubmit: explain },
    field(t("routes.to"), controls.to), field(t("routes.from"), controls.from),
    field(t("routes.at"), controls.at, t("routes.at.help")), field(t("routes.headers"), controls.headers, t("routes.headers.help")),
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "main" }, t("routes.ask")),
      button(t("filter.clear"), () => { for (const each of Object.values(controls)) each.value = ""; changeQuery(Object.fromEntries(ASKED.map((name) => [name, null]))); fill(answer); draw(); }, { class: "quiet" })),
    answer);
  return {
    title: t("nav.routes"),
    node: [head(t("nav.routes"), h("span", { class: "faint" }, t("routes.first"))),
      h("div", { class: "columns" },
        list.length ? h("div", null, h("div", { class: "routes-head", "aria-hidden": "true" }, h("span", null, "#"), h("span", null, t("calls.route")), h("span", null, t("routes.action")), h("span", { class: "right" }, t("routes.hits"))), order) : nothing(t("nothing")),
        panel(t("routes.which"), { class: "aside" }, form))],
    ready: () => { if (controls.to.value) explain(); },
  };
}

/** `answer`, `reject 404`, `forward tel:+81…`: the first word in the page's language. */
function action(text) {
  const [first, ...rest] = String(text).split(" ");
  return [word("action", first), ...rest].join(" ");
}

/** `Name: value`, one a line. */
function headersOf(text) {
  const pairs = text.split("\n").map((line) => /^\s*([^:\s]+)\s*:\s*(.*?)\s*$/.exec(line)).filter(Boolean);
  return Object.fromEntries(pairs.map(([, name, value]) => [name, value]));
}
