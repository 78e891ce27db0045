// Who read what, and who did what.

import { h, fill } from "../dom.js";
import { t } from "../words.js";
import { exactly, word } from "../format.js";
import { get, part } from "../api.js";
import { changeQuery, query } from "../router.js";
import { act, button, field, head, nothing, table } from "../parts.js";
import { may } from "../session.js";

const PAGE = 100;

export async function audit() {
  if (!may("admin")) return { title: t("nav.audit"), node: [head(t("nav.audit")), nothing(t("audit.role"))] };
  const entries = [];
  let next = null;
  const body = h("div");
  const search = h("input", { type: "search", value: query().get("q") ?? "", "data-filter": true, oninput: () => { changeQuery({ q: search.value.trim() }, { replace: true }); draw(); } });

  async function load() {
    const page = await get("/audit", { limit: PAGE, after: next });
    entries.push(...page.entries);
    next = page.next;
  }

  function draw() {
    const wanted = search.value.trim().toLowerCase();
    const found = entries.filter((each) => !wanted || JSON.stringify(each).toLowerCase().includes(wanted));
    fill(body, table(t("nav.audit"), [
      { title: t("event.time"), class: "num", cell: (each) => exactly(each.at) },
      { title: t("audit.who"), class: "num", cell: (each) => [each.who, " ", h("span", { class: "faint" }, word("role", each.role))] },
      { title: t("audit.what"), class: "num", cell: (each) => word("audit", each.what) },
      { title: t("webhooks.call"), cell: (each) => each.call ? h("a", { href: `/calls/${part(each.call)}` }, h("code", null, `…${each.call.slice(-6)}`)) : "–" },
      { title: t("audit.detail"), class: "wide", cell: (each) => each.detail === null || each.detail === undefined ? "" : typeof each.detail === "string" ? each.detail : JSON.stringify(each.detail) },
      { title: t("audit.from"), class: "num", cell: (each) => each.from ?? "–" },
    ], found), next && button(t("audit.more"), () => act(load).then(draw)));
  }

  await load();
  draw();
  return { title: t("nav.audit"), node: [head(t("nav.audit")), h("div", { class: "bar" }, field(t("event.filter"), search)), body] };
}
