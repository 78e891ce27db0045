// An address at which there is nothing.

import { h } from "../dom.js";
import { t } from "../words.js";
import { head, nothing } from "../parts.js";

export async function lost() {
  return { title: t("lost.title"), node: [head(t("lost.title")), nothing(t("lost.text"), h("a", { href: "/live" }, t("nav.live")))] };
}
