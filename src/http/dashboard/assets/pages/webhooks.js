// The last requests of carrier and provider: what they said, whether their signature was good, what they got.

import { h, fill } from "../dom.js";
import { t } from "../words.js";
import { bytes, exactly, took, word } from "../format.js";
import { get, part } from "../api.js";
import { changeQuery, query } from "../router.js";
import { ask, badge, button, code, copy, facts, field, head, hidden, nothing, panel, pretty, select, table } from "../parts.js";
import { may } from "../session.js";

export async function webhooks({ refresh }) {
  const { webhooks: list } = await get("/webhooks");
  const body = h("div");
  const side = h("div", { class: "aside-box" });
  const now = query();
  const verdicts = [...new Set(list.map((each) => each.verdict))];
  const controls = {
    source: select([["", t("filter.any")], ["openai", "OpenAI"], ["twilio", "Twilio"]], now.get("source") ?? "", { onchange: filtered, "data-filter": true }),
    verdict: select([["", t("filter.any")], ...verdicts.map((each) => [each, word("verdict", each)])], now.get("verdict") ?? "", { onchange: filtered }),
  };

  function filtered() {
    changeQuery({ source: controls.source.value, verdict: controls.verdict.value });
    draw();
  }

  function draw() {
    const { source, verdict } = { source: controls.source.value, verdict: controls.verdict.value };
    const found = list.filter((each) => (!source || each.source === source) && (!verdict || each.verdict === verdict));
    const chosen = query().get("webhook");
    fill(body, table(t("nav.webhooks"), [
      { title: t("event.time"), class: "num", cell: (each) => exactly(each.at) },
      { title: t("webhooks.request"), cell: (each) => h("a", {
        href: `/webhooks?webhook=${part(each.id)}`, "aria-current": String(each.id) === chosen ? "true" : null,
        onclick: (event) => { event.preventDefault(); changeQuery({ webhook: each.id }); draw(); },
      }, h("span", { class: "faint" }, word("source", each.source)), " ", h("code", null, each.path)) },
      { title: t("webhooks.verdict"), cell: (each) => [verdictOf(each), each.duplicate && h("span", { class: "tag" }, t("webhooks.again"))] },
      { title: t("webhooks.status"), class: "num right", cell: (each) => each.status },
      { title: t("webhooks.took"), class: "num right", cell: (each) => took(each.took_ms) },
      { title: t("webhooks.call"), cell: (each) => each.call ? h("a", { href: `/calls/${part(each.call)}` }, h("code", null, `…${each.call.slice(-6)}`)) : "–" },
    ], found, { empty: t("webhooks.none") }));
    const one = list.find((each) => String(each.id) === chosen);
    fill(side, one ? detail(one) : panel(t("webhooks.request"), null, nothing(t("webhooks.choose"))));
  }

  draw();
  return {
    title: t("nav.webhooks"),
    node: [head(t("nav.webhooks"), h("span", { class: "faint" }, t("webhooks.kept")), button(t("refresh"), refresh)),
      h("div", { class: "bar" }, field(t("webhooks.source"), controls.source), field(t("webhooks.verdict"), controls.verdict)),
      h("div", { class: "columns wide-left" }, body, side)],
  };
}

function verdictOf(each) {
  const isGood = each.status >= 200 && each.status < 300;
  return badge(isGood ? "good" : each.status >= 500 ? "bad" : "warn", word("verdict", each.verdict));
}

function detail(one) {
  return panel(one.path, null,
    facts([[t("event.time"), exactly(one.at)], [t("webhooks.verdict"), word("verdict", one.verdict)], [t("webhooks.status"), one.status], [t("webhooks.took"), took(one.took_ms)], [t("webhooks.size"), bytes(one.bytes)]]),
    button(t("webhooks.curl"), () => { const text = curl(one); copy(text, t("copied")); }),
    " ", button(t("webhooks.show_curl"), () => ask(t("webhooks.curl"), code(curl(one), t("webhooks.curl"))), { class: "quiet" }),
    h("h3", null, t("provider.headers")), table(t("provider.headers"), [
      { title: t("provider.header"), cell: ([name]) => h("code", null, name) }, { title: t("provider.value"), class: "wide", cell: ([, value]) => h("code", { class: "data" }, value ?? "") },
    ], one.headers ?? []),
    h("h3", null, t("webhooks.body")), one.body === null || one.body === undefined ? (may("listener") ? nothing(t("webhooks.no_body")) : hidden()) : code(pretty(one.body), t("webhooks.body")));
}

/** Headers that curl makes itself. */
const ITS_OWN = ["host", "content-length", "connection", "accept-encoding", "transfer-encoding"];

/** The request as a command. What was redacted stays so: the signature will not be good. */
export function curl(one) {
  const words = ["curl", "-i", "-X", "POST", `"$BASE_URL"${quoted(one.path)}`];
  for (const [name, value] of one.headers ?? []) if (!ITS_OWN.includes(name.toLowerCase())) words.push("\\\n  -H", quoted(`${name}: ${value}`));
  if (one.body) words.push("\\\n  --data-binary", quoted(one.body));
  return words.join(" ");
}

/** One word of a shell, whatever is in it. */
function quoted(text) {
  return `'${String(text).replaceAll("'", "'\\''")}'`;
}
