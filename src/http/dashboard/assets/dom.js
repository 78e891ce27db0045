// Nodes out of data. Callers choose what they say and what their number looks like, so nothing here, and nothing
// anywhere else, makes markup out of text: children that are not nodes become text nodes.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("a", { class: "quiet", href: "/calls", onclick: open }, "Calls")`. */
export function h(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) set(node, name, value);
  add(node, children);
  return node;
}

function set(node, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name.startsWith("on")) {
    node.addEventListener(name.slice(2), value);
  } else if (name === "style") {
    // Properties one by one: an attribute would be refused by the content security policy.
    for (const [property, set] of Object.entries(value)) node.style.setProperty(property, set);
  } else if (name === "value" || name === "checked" || name === "indeterminate") {
    node[name] = value;
  } else if (name === "href" || name === "src") {
    if (!/^(\/(?!\/)|#|\?|blob:)/.test(value)) throw new Error(`not an address of this origin: ${value}`);
    node.setAttribute(name, value);
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Appends nodes, texts and lists of them; nothing for what is missing. */
export function add(node, children) {
  for (const child of [children].flat(4)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/** Puts these children in place of those that are there. */
export function fill(node, ...children) {
  node.replaceChildren();
  add(node, children);
  return node;
}

/** Runs `work` when nothing more happened for so many milliseconds. */
export function calmly(work, ms) {
  let timer;
  return (...words) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...words), ms);
  };
}

/** Runs `work` at most once per frame. */
export function framed(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; work(); });
  };
}
