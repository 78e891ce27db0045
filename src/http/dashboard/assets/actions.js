// What an operator does to a live call.

import { h } from "./dom.js";
import { t } from "./words.js";
import { post, part } from "./api.js";
import { act, ask, button, field, select } from "./parts.js";
import { may } from "./session.js";

/** The buttons for this call; none where the role may not act, or the call is over. */
export function actions({ call, transfer_targets: targets }) {
  if (call.ended || !may("operator")) return [];
  const at = `/calls/${part(call.id)}`;
  const text = (label, help) => {
    const area = h("textarea", { rows: 3, required: true, maxlength: 2000, autofocus: true });
    return { node: field(label, area, help), read: () => area.value.trim() };
  };

  async function tell(way) {
    const words = text(t(`act.${way}.label`), t(`act.${way}.help`));
    const said = await ask(t(`act.${way}`), words.node, { yes: t(`act.${way}.do`), collect: words.read });
    if (said) await act(() => post(`${at}/${way}`, { text: said }), t(`act.${way}.done`));
  }
  async function transfer() {
    const choice = select(targets.map((name) => [name, name]), targets[0]);
    const to = await ask(t("act.transfer"), field(t("act.transfer.label"), choice), { yes: t("act.transfer.do"), collect: () => choice.value });
    if (to) await act(() => post(`${at}/transfer`, { to }), t("act.transfer.done", { to }));
  }
  async function hangUp() {
    const isSure = await ask(t("act.hangup"), h("p", null, t("act.hangup.text")), { yes: t("act.hangup"), danger: true });
    if (isSure) await act(() => post(`${at}/hangup`), t("act.hangup.done"));
  }

  return [
    button(t("act.note"), () => tell("note")),
    button(t("act.say"), () => tell("say")),
    targets?.length > 0 && button(t("act.transfer"), transfer),
    button(t("act.hangup"), hangUp, { class: "danger" }),
  ];
}
