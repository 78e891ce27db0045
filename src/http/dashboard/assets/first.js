// Before the first paint: the theme and the language that were chosen here, so that nothing flashes.
(() => {
  const root = document.documentElement;
  const kept = (name) => { try { return localStorage.getItem(`switchboard.${name}`); } catch { return null; } };
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const first = (navigator.languages ?? [navigator.language]).find((tag) => /^(ja|en)\b/i.test(tag)) ?? "en";
  root.lang = kept("language") ?? first.slice(0, 2).toLowerCase();
})();
