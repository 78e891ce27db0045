// Who is told of calls by webhooks, how that goes, and what nobody took: to be sent again.

import { h, fill } from "../dom.js";
import { t } from "../words.js";
import { exactly, moment, number, word } from "../format.js";
import { get, part, post } from "../api.js";
import { changeQuery, query } from "../router.js";
import { act, ask, badge, button, describe, field, head, nothing, notice, panel, select, table } from "../parts.js";
import { may } from "../session.js";

/** How often it is asked, in milliseconds. */
const EVERY = 5_000;
/** How long after something was sent again it is looked whether it was taken, in milliseconds. */
const SOON = 1_000;
/** How many notifications are shown at most. */
const MOST = 200;

export async function notifications() {
  const now = query();
  const asked = () => ({ endpoint: query().get("endpoint"), state: query().get("state"), limit: MOST });
  let turn = 0;
  let soon;
  let told = await get("/notifications", asked());
  const endpoints = h("div");
  const body = h("div");
  const problem = h("div", { role: "alert" });
  const named = told.endpoints.map(({ name }) => [name, name]);
  const controls = {
    endpoint: select([["", t("filter.any")], ...named], now.get("endpoint") ?? "", { onchange: filtered, "data-filter": true }),
    state: select([["", t("filter.any")], ...["dead", "waiting"].map((each) => [each, word("told", each)])], now.get("state") ?? "", { onchange: filtered }),
  };

  function filtered() {
    changeQuery({ endpoint: controls.endpoint.value, state: controls.state.value });
    return load();
  }

  async function load() {
    turn += 1;
    const mine = turn;
    try {
      const next = await get("/notifications", asked());
      if (mine !== turn) return;
      told = next;
      fill(problem);
      draw();
    } catch (error) {
      if (mine === turn) fill(problem, h("p", { class: "bad-words" }, describe(error)));
    }
  }

  /** Drawn anew every few seconds: whoever stands on a button stays on it, or on the table where it is gone. */
  function draw() {
    const held = body.contains(document.activeElement) ? document.activeElement.dataset.key ?? "" : null;
    fill(endpoints, table(t("notifications.endpoints"), [
      { title: t("tools.name"), cell: (each) => h("code", null, each.name) },
      { title: t("health.state"), cell: standing },
      { title: t("notifications.waiting"), class: "num right", cell: (each) => number(each.waiting) },
      { title: t("notifications.oldest"), class: "num", cell: (each) => moment(each.oldest) },
      { title: t("notifications.events"), cell: (each) => h("span", { class: "chips" }, each.events.map((kind) => h("code", null, kind))) },
      { title: t("notifications.content"), cell: (each) => t(each.content ? "yes" : "no") },
    ], told.endpoints));
    fill(body, table(t("notifications.pending"), [
      { title: t("event.time"), class: "num", cell: (each) => exactly(each.at) },
      { title: t("event.kind"), cell: (each) => [h("code", null, each.type), " ", h("span", { class: "faint" }, each.endpoint)] },
      { title: t("health.state"), cell: (each) => badge(each.state === "dead" ? "bad" : each.problem ? "warn" : "waiting", word("told", each.state)) },
      { title: t("notifications.tries"), class: "num right", cell: (each) => number(each.tries) },
      { title: t("notifications.next"), class: "num", cell: (each) => moment(each.next) },
      { title: t("notifications.problem"), cell: (each) => each.problem ?? "–" },
      { title: t("webhooks.call"), cell: (each) => h("a", { href: `/calls/${part(each.call)}`, "data-key": `call ${each.id} ${each.endpoint}` }, h("code", null, `…${each.call.slice(-6)}`)) },
      ...(may("operator") ? [{ title: h("span", { class: "unseen" }, t("notifications.resend")), class: "right", cell: again }] : []),
    ], told.notifications, { empty: t(asked().endpoint || asked().state ? "nothing" : "notifications.none") }));
    if (held === null) return;
    const same = [...body.querySelectorAll("[data-key]")].find((each) => each.dataset.key === held);
    (same ?? body.querySelector(".scroll") ?? controls.endpoint).focus({ preventScroll: true });
  }

  function again(each) {
    return button(t("notifications.resend"), () => sent(`/notifications/${part(each.id)}/resend`, each.endpoint), {
      class: "quiet", "data-key": `${each.id} ${each.endpoint}`, "aria-label": t("notifications.resend.one", { type: each.type, endpoint: each.endpoint }) });
  }

  async function all() {
    const { endpoint } = asked();
    const text = h("p", null, endpoint ? t("notifications.all.of", { endpoint }) : t("notifications.all.text"));
    if (await ask(t("notifications.all"), text, { yes: t("notifications.resend") })) await sent("/notifications/resend", endpoint);
  }

  async function sent(address, endpoint) {
    const answer = await act(() => post(address, {}, { question: { endpoint } }));
    if (!answer) return;
    notice(t("notifications.resent", { count: answer.notifications.length }));
    await load();
    soon = setTimeout(load, SOON);
  }

  draw();
  const timer = setInterval(() => { if (!document.hidden) load(); }, EVERY);
  const isTold = told.endpoints.length > 0;
  return {
    title: t("nav.notifications"),
    node: [head(t("nav.notifications"), null, may("operator") && isTold && button(t("notifications.all"), all)),
      isTold
        ? panel(t("notifications.endpoints"), null, endpoints)
        : nothing(t("notifications.unset"), h("pre", null, h("code", null, "[notifications.crm]\nurl = \"…\"\nsecrets = \"${CRM_WEBHOOK_SECRET}\""))),
      (isTold || told.notifications.length > 0) && [
        h("div", { class: "bar" }, field(t("notifications.endpoint"), controls.endpoint), field(t("health.state"), controls.state)), problem, body]],
    dispose: () => { clearInterval(timer); clearTimeout(soon); },
  };
}

/** How an endpoint fares. */
function standing(each) {
  if (each.disabled) return [badge("bad", t("told.disabled")), h("div", { class: "faint" }, t("told.disabled.help"))];
  return each.waiting ? badge("warn", t("told.behind")) : badge("good", t("told.well"));
}
