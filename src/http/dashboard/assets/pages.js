// Which page answers at which address, and the navigation.

import { audit } from "./pages/audit.js";
import { call } from "./pages/call.js";
import { calls } from "./pages/calls.js";
import { config } from "./pages/config.js";
import { cost } from "./pages/cost.js";
import { health } from "./pages/health.js";
import { live } from "./pages/live.js";
import { lost } from "./pages/lost.js";
import { notifications } from "./pages/notifications.js";
import { routes } from "./pages/routes.js";
import { signin } from "./pages/signin.js";
import { tools } from "./pages/tools.js";
import { webhooks } from "./pages/webhooks.js";

/** In the order of the navigation: address, name, the key after `g`, and the role that is needed. */
export const NAVIGATION = [
  { href: "/live", name: "live", key: "l" },
  { href: "/calls", name: "calls", key: "c" },
  { href: "/routes", name: "routes", key: "r" },
  { href: "/tools", name: "tools", key: "t" },
  { href: "/webhooks", name: "webhooks", key: "w" },
  { href: "/notifications", name: "notifications", key: "n" },
  { href: "/config", name: "config", key: "o" },
  { href: "/health", name: "health", key: "h" },
  { href: "/cost", name: "cost", key: "m" },
  { href: "/audit", name: "audit", key: "a", role: "admin" },
];

const PAGES = {
  "/": live, "/live": live, "/calls": calls, "/routes": routes, "/tools": tools, "/webhooks": webhooks,
  "/notifications": notifications, "/config": config, "/health": health, "/cost": cost, "/audit": audit, "/signin": signin,
};

/** The page at this path. */
export function pageAt(path) {
  const found = /^\/calls\/([^/]+)$/.exec(path);
  if (found) return { page: call, params: { id: decodeURIComponent(found[1]) } };
  return { page: PAGES[path] ?? lost, params: {} };
}
