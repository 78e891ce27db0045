// Every page has an address, filters included, and the browser's own back button is the only one there is.

let render = () => {};
let hashChanged = () => {};

/** Calls `then()` when another page is to be shown, and `onHash()` when only what is behind `#` changed. */
export function start(then, onHash) {
  render = then;
  hashChanged = onHash;
  let shown = here();
  window.addEventListener("popstate", () => {
    const next = here();
    if (next === shown) return hashChanged();
    shown = next;
    render({ isBack: true });
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const url = new URL(link.href, location.href);
    const isOurs = url.origin === location.origin && !url.pathname.startsWith("/api/") && !link.hasAttribute("download");
    if (!isOurs || link.target || url.protocol === "blob:") return;
    if (link.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    go(url.pathname + url.search + url.hash);
  });
  const remember = () => { shown = here(); };
  go = (to, { replace } = {}) => {
    history[replace ? "replaceState" : "pushState"](null, "", to);
    remember();
    render({});
  };
  changeQuery = (changes, { replace } = {}) => {
    const asked = query();
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "") asked.delete(name);
      else asked.set(name, value);
    }
    const text = asked.toString();
    const to = location.pathname + (text ? `?${text}` : "");
    if (to === here() && !location.hash) return;
    history[replace ? "replaceState" : "pushState"](null, "", to);
    remember();
  };
}

/** Goes to an address of this dashboard. */
export let go = () => {};

/** Changes filters in the address without making the page anew: null takes one away. */
export let changeQuery = () => {};

export function query() {
  return new URLSearchParams(location.search);
}

/** Seconds behind `#t=`; null where there are none. */
export function timeInHash() {
  const found = /^#t=(-?\d+(?:\.\d+)?)$/.exec(location.hash);
  return found ? Number(found[1]) : null;
}

export function setTimeInHash(seconds) {
  history.replaceState(null, "", `${location.pathname}${location.search}#t=${Math.round(seconds * 1000) / 1000}`);
}

function here() {
  return location.pathname + location.search;
}
