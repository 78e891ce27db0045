// The frame around the pages: navigation, who is signed in, theme, language, shortcuts.

import { h, fill } from "./dom.js";
import { t, language, speak, LANGUAGES } from "./words.js";
import { keep, kept } from "./kept.js";
import * as api from "./api.js";
import * as stream from "./stream.js";
import * as router from "./router.js";
import * as session from "./session.js";
import { act, ask, describe, head, loading, select, trouble } from "./parts.js";
import { shortcuts } from "./shortcuts.js";
import { pageAt, NAVIGATION } from "./pages.js";

const main = h("main", { id: "main", tabindex: "-1" });
let shown = null;
let turn = 0;

async function show({ isBack } = {}) {
  turn += 1;
  const mine = turn;
  shown?.dispose?.();
  shown = null;
  if (!session.whoIs() && location.pathname !== "/signin") {
    return router.go(`/signin?next=${encodeURIComponent(location.pathname + location.search + location.hash)}`, { replace: true });
  }
  const { page, params } = pageAt(location.pathname);
  document.body.classList.toggle("signed-out", !session.whoIs());
  markCurrent();
  const waiting = setTimeout(() => fill(main, loading()), 150);
  try {
    const made = await page({ params, query: router.query(), refresh: show });
    clearTimeout(waiting);
    if (mine !== turn) return made.dispose?.();
    shown = made;
    document.title = `${made.title} · Switchboard`;
    fill(main, made.node);
    if (made.ready) made.ready();
    if (!isBack) window.scrollTo(0, 0);
    if (isStarted && made.takesFocus !== false) main.querySelector("h1")?.focus({ preventScroll: true });
    isStarted = true;
  } catch (error) {
    clearTimeout(waiting);
    if (mine !== turn) return;
    document.title = `${t("trouble.title")} · Switchboard`;
    fill(main, head(t("trouble.title")), trouble(error, () => show()));
  }
}
let isStarted = false;

function frame() {
  const nav = h("nav", { id: "nav", "aria-label": t("nav.label") },
    h("ul", null, NAVIGATION.filter(({ role }) => !role || session.may(role)).map(({ href, name, key }) =>
      h("li", null, h("a", { href, "data-page": href }, t(`nav.${name}`), h("kbd", { "aria-hidden": "true" }, `g ${key}`))))));
  const menu = h("button", {
    type: "button", class: "menu", "aria-expanded": "false", "aria-controls": "nav",
    onclick: () => openMenu(!document.body.classList.contains("menu-open")),
  }, t("nav.menu"));
  const connection = h("p", { class: "connection", role: "status" });
  stream.watchConnection((state) => {
    connection.dataset.state = state;
    fill(connection, h("span", { class: "mark", "aria-hidden": "true" }), state === "connecting" ? t("connection.connecting") : state === "open" ? t("connection.open") : "");
  });
  const person = session.whoIs();
  const side = h("header", { class: "side" },
    h("div", { class: "brand" }, h("a", { href: "/live" },
      h("img", { src: "/assets/icon.svg", width: 22, height: 22, alt: "" }), "Switchboard"), menu),
    nav,
    connection,
    h("div", { class: "foot" },
      h("p", { class: "person" }, h("b", null, person?.name), " ", h("span", { class: "faint" }, person && t(`role.${person.role}`))),
      h("div", { class: "switches" },
        select(Object.entries(LANGUAGES), language(), { "aria-label": t("switch.language"), onchange: (event) => { speak(event.target.value); build(); show(); } }),
        select([["", t("theme.system")], ["light", t("theme.light")], ["dark", t("theme.dark")]], kept("theme") ?? "",
          { "aria-label": t("switch.theme"), id: "theme", onchange: (event) => wear(event.target.value) })),
      h("div", { class: "switches" },
        h("button", { type: "button", class: "quiet", onclick: () => shortcuts.help() }, t("shortcuts.title"), " ", h("kbd", { "aria-hidden": "true" }, "?")),
        person && h("button", { type: "button", class: "quiet", onclick: leave }, t("signout")))));
  return [h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, t("skip")), side, main];
}

function build() {
  shown?.dispose?.();
  shown = null;
  fill(document.body, frame());
}

function openMenu(isOpen) {
  document.body.classList.toggle("menu-open", isOpen);
  document.querySelector(".menu")?.setAttribute("aria-expanded", String(isOpen));
}

function markCurrent() {
  openMenu(false);
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = location.pathname === link.dataset.page || location.pathname.startsWith(`${link.dataset.page}/`);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Puts on a theme: `light`, `dark`, or the system's. */
function wear(theme) {
  keep("theme", theme || null);
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  const choice = document.getElementById("theme");
  if (choice) choice.value = theme;
}

async function leave() {
  // Who could not be signed out still is.
  if (await act(() => api.signOut()) !== undefined) forget();
}

function forget() {
  if (!session.whoIs()) return;
  session.become(null);
  stream.close();
  build();
  show();
}

async function begin() {
  router.start(show, () => shown?.onHash?.());
  shortcuts.start({
    go: router.go,
    pages: NAVIGATION,
    may: session.may,
    theme: () => wear(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
    page: () => shown,
    ask,
  });
  api.onSignedOut(forget);
  document.addEventListener("switchboard:signed-in", () => { build(); });
  try {
    session.become(await api.whoAmI());
  } catch (error) {
    build();
    fill(main, trouble(error, () => location.reload()));
    document.title = `${describe(error)} · Switchboard`;
    return;
  }
  build();
  await show();
}

begin();
