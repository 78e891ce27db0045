// Signing in: a token becomes a session of this browser. The token itself is kept nowhere.

import { h, fill } from "../dom.js";
import { t } from "../words.js";
import * as api from "../api.js";
import { become, whoIs } from "../session.js";
import { go } from "../router.js";
import { describe, field } from "../parts.js";

export async function signin({ query }) {
  const next = query.get("next") ?? "/live";
  const to = /^\/(?!\/)/.test(next) && !next.startsWith("/signin") ? next : "/live";
  if (whoIs()) {
    queueMicrotask(() => go(to, { replace: true }));
    return { title: t("signin.title"), node: [] };
  }
  const token = h("input", { type: "password", name: "token", required: true, autocomplete: "current-password", spellcheck: "false" });
  const problem = h("div", { role: "alert" });
  const submit = h("button", { type: "submit", class: "main" }, t("signin.do"));
  const form = h("form", { class: "signin", onsubmit: enter },
    h("img", { src: "/assets/icon.svg", width: 40, height: 40, alt: "" }),
    h("h1", { tabindex: "-1" }, t("signin.title")),
    h("input", { type: "text", name: "name", autocomplete: "username", hidden: true }),
    field(t("signin.token"), token, t("signin.help")), problem, submit);

  async function enter(event) {
    event.preventDefault();
    submit.disabled = true;
    fill(problem);
    try {
      become(await api.signIn(token.value.trim()));
      token.value = "";
      document.dispatchEvent(new Event("switchboard:signed-in"));
      go(to, { replace: true });
    } catch (error) {
      fill(problem, h("p", { class: "bad-words" }, describe(error)));
      submit.disabled = false;
      token.select();
    }
  }

  return { title: t("signin.title"), node: form, takesFocus: false, ready: () => token.focus() };
}
