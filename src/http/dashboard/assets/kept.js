// What this browser keeps: theme, language, whether single keys are shortcuts. Never a token, never a call.

const PREFIX = "switchboard.";

export function kept(name) {
  try { return localStorage.getItem(PREFIX + name); } catch { return null; }
}

export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch { /* a browser that keeps nothing asks again */ }
}
