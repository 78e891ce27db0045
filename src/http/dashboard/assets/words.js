// Two languages. A page never writes words itself: it asks for them by name, and both dictionaries have the same names.

import { en } from "./words/en.js";
import { ja } from "./words/ja.js";
import { keep, kept } from "./kept.js";

const DICTIONARIES = { en, ja };
export const LANGUAGES = { en: "English", ja: "日本語" };

let current = kept("language") ?? document.documentElement.lang;
if (!(current in DICTIONARIES)) current = "en";
document.documentElement.lang = current;

export function language() {
  return current;
}

export function speak(next) {
  current = next;
  keep("language", next);
  document.documentElement.lang = next;
}

export function known(name) {
  return name in DICTIONARIES[current];
}

/** The words of this name; `{x}` in them is what is given for `x`. `name|one` is used where `count` is one. */
export function t(name, given = {}) {
  const dictionary = DICTIONARIES[current];
  const text = (given.count === 1 && dictionary[`${name}|one`]) || dictionary[name] || en[name] || name;
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in given ? String(given[key]) : whole));
}
