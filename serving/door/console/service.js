// The strip at the top: what serves, which parts are asked, and the answers of the last minutes.

import { getJson } from "./api.js";
import { byId, count, el, milliseconds, percent, withStyle } from "./dom.js";

const EVERY_MS = 3000;
const BREAKERS = { closed: "up", open: "resting after failures", "half-open": "being tried again" };

/** Asks again and again, while somebody looks. */
export async function watchService() {
  if (!document.hidden) {
    try {
      show(await getJson("v1/status"));
    } catch (error) {
      byId("service").replaceChildren(title(), el("p", { class: "bad" }, error.message));
    }
  }
  setTimeout(watchService, EVERY_MS);
}

const title = () => el("h2", { id: "service-title", class: "hidden" }, "Service");

function show({ version, parts, traffic, caches }) {
  const routes = Object.entries(traffic.routes).sort(([, one], [, other]) => other - one);
  byId("service").replaceChildren(title(),
    tile("Champion", el("b", {}, version), partList(parts, version)),
    tile(`Latency, ${Math.round(traffic.window_s / 60)} min`,
      el("b", {}, milliseconds(traffic.p50_ms), el("small", {}, "p50")),
      el("b", {}, milliseconds(traffic.p99_ms), el("small", {}, "p99"))),
    tile(count(traffic.num_answers, "answer"), routeBar(routes, traffic.num_answers),
      el("ul", { class: "legend" }, routes.map(([route, number]) =>
        el("li", {}, el("i", { class: `dot ${route}`, "aria-hidden": "true" }), `${route} ${number.toLocaleString("en")}`)))),
    tile("Degraded", el("b", { class: traffic.num_degraded ? "bad" : "" },
      traffic.num_answers ? percent(traffic.num_degraded / traffic.num_answers) : "–")),
    caches.length > 0 && tile("Cache hits", el("dl", {}, caches.map(cache))));
}

const tile = (name, ...children) => el("div", { class: "tile" }, el("h3", {}, name), el("div", {}, ...children));

/** A part's version is told where it is not the champion's. */
function partList(parts, champion) {
  return el("ul", { class: "legend" }, parts.map(({ name, version, breaker }) => el("li", {},
    el("i", { class: `dot ${breaker ?? ""}`, "aria-hidden": "true" }), name,
    version !== null && version !== champion && el("small", {}, ` ${version}`),
    breaker && el(breaker === "closed" ? "span" : "b", { class: breaker === "closed" ? "hidden" : "bad" }, BREAKERS[breaker]))));
}

function routeBar(routes, whole) {
  return el("div", { class: "bar", "aria-hidden": "true" },
    routes.map(([route, number]) => withStyle(el("i", { class: route }), "--share", number / Math.max(whole, 1))));
}

function cache({ name, hits, misses, entries }) {
  const asked = hits + misses;
  const kept = entries === null ? "" : `, ${entries} entries`;
  return el("div", { title: `${hits} hits, ${misses} misses${kept}` },
    el("dt", {}, name), el("dd", {}, asked ? percent(hits / asked) : "–"));
}
