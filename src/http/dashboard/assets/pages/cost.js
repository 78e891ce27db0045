// What calls cost: per day, per route, per model.

import { h, fill, calmly } from "../dom.js";
import { t } from "../words.js";
import { compact, day, number, usd } from "../format.js";
import { get } from "../api.js";
import { changeQuery, query } from "../router.js";
import { field, head, panel, select, table } from "../parts.js";
import { bars } from "../chart.js";

const RANGES = ["7", "14", "30", "90"];
const TOKENS = ["text_in", "audio_in", "text_cached", "audio_cached", "text_out", "audio_out"];

export async function cost({ refresh }) {
  const days = RANGES.includes(query().get("days")) ? query().get("days") : "14";
  const since = new Date();
  since.setHours(0, 0, 0, 0);
  since.setDate(since.getDate() - Number(days) + 1);
  const [byDay, byRoute, byModel] = await Promise.all(["day", "route", "model"].map((by) => get("/cost", { since: since.toISOString(), by })));
  const rows = byDay.rows.map((row) => ({ ...row, key: keyOf(row) })).sort((a, b) => String(a.key).localeCompare(String(b.key)));
  const total = (name) => rows.reduce((sum, row) => sum + (row[name] ?? 0), 0);
  const unpriced = total("unpriced_calls");
  const chart = h("div", { class: "chart-box" });
  const draw = () => {
    if (!chart.isConnected || !rows.length) return;
    const points = rows.map((row) => [day(row.key, { isShort: true }), row.cost_usd ?? 0, `${day(row.key)}: ${usd(row.cost_usd)} · ${t("cost.calls", { count: row.calls })}`]);
    fill(chart, bars(t("cost.chart", { total: usd(total("cost_usd")), count: rows.length }), points, usd, Math.max(280, chart.clientWidth)));
  };
  const resized = new ResizeObserver(calmly(draw, 50));
  resized.observe(chart);

  return {
    title: t("nav.cost"),
    node: [head(t("nav.cost"), null, field(t("cost.range"), select(RANGES.map((each) => [each, t("cost.days", { count: each })]), days, { onchange: (event) => { changeQuery({ days: event.target.value }); refresh({ isBack: true }); } }))),
      h("dl", { class: "strip" }, [
        [t("cost.total"), usd(total("cost_usd"))], [t("nav.calls"), number(total("calls"))], [t("cost.minutes"), number(total("minutes"))],
        [t("cost.per_call"), total("calls") ? usd(total("cost_usd") / total("calls")) : "–"], [t("cost.per_minute"), total("minutes") ? usd(total("cost_usd") / total("minutes")) : "–"],
      ].map(([name, value]) => h("div", null, h("dt", null, name), h("dd", { class: "num" }, value)))),
      unpriced > 0 && h("p", { class: "tagline" }, t("cost.unpriced", { count: unpriced })),
      [byDay, byRoute, byModel].some((each) => each.is_cut) && h("p", { class: "tagline" }, t("cost.cut")),
      panel(t("cost.per_day"), null, rows.length ? chart : h("p", { class: "faint" }, t("nothing")),
        h("details", null, h("summary", null, t("cost.table")), grouped(t("cost.per_day"), t("cost.day"), rows, (key) => day(key)))),
      panel(t("cost.per_route"), null, grouped(t("cost.per_route"), t("calls.route"), byRoute.rows)),
      panel(t("cost.per_model"), null, grouped(t("cost.per_model"), t("turn.model"), byModel.rows)),
      byDay.priced_as_of && h("p", { class: "faint" }, t("cost.as_of", { date: byDay.priced_as_of }))],
    ready: draw,
    dispose: () => resized.disconnect(),
  };
}

function keyOf(row) {
  return typeof row.key === "object" && row.key !== null ? Object.values(row.key).filter((each) => each !== null).join(" · ") || "–" : row.key ?? "–";
}

function grouped(caption, title, rows, write = (key) => key) {
  return table(caption, [
    { title, cell: (row) => write(keyOf(row)) },
    { title: t("nav.calls"), class: "num right", cell: (row) => number(row.calls) },
    { title: t("cost.minutes"), class: "num right", cell: (row) => number(row.minutes, 1) },
    ...TOKENS.map((name) => ({ title: t(`tokens.${name}`), class: "num right faint", cell: (row) => row[name] === undefined ? "–" : compact(row[name]) })),
    { title: t("calls.cost"), class: "num right", cell: (row) => usd(row.cost_usd) },
  ], rows);
}
