// The answer: who ranked and why, what took how long, and every candidate with the scores of both rankers.

import { byId, count, el, figure, milliseconds, score, withStyle } from "./dom.js";

const MAX_GONE = 4; // titles that are told
const RANKERS = [
  ["retriever", "Retriever", "retriever_score"],
  ["student", "Student", "student_score"],
  ["reasoner", "Reasoner", "reasoner_score"],
];

/**
 * @param inspection what the service told.
 * @param titles of the items of the history, by id.
 * @param before ranks of the answer before it, by item id; null: there was none to compare with.
 * @param give called with (item, took) when a button of an item is pressed.
 */
export function showAnswer(inspection, { titles, before, give }) {
  byId("answer-body").replaceChildren(verdict(inspection), timings(inspection.answer),
    candidates(inspection, { titles, before, give }), facts(inspection));
  byId("changes").replaceChildren(...(before ? changes(inspection, before) : []));
}

export function ranksOf(inspection) {
  return new Map(inspection.answer.items.map((item) => [item.item_id, { rank: item.rank, title: item.title }]));
}

function verdict({ answer, decision }) {
  return el("div", { class: "verdict" },
    el("span", { class: `route ${answer.route}` }, answer.route),
    el("p", { class: "why" }, answer.reason),
    answer.degraded && el("span", { class: "flag bad" }, "degraded"),
    el("span", { class: "flag" }, answer.cached ? "cached" : "not cached"),
    answer.repairs.map((repair) => el("span", { class: "flag bad" }, `guard: ${repair}`)),
    decision && signals(decision));
}

function signals(decision) {
  const facts = [["margin", decision.margin], ["gain", decision.gain], ["threshold", decision.threshold],
    ["probability", decision.probability], ["propensity", decision.propensity], ...Object.entries(decision.signals)];
  const known = new Map(facts.filter(([, fact]) => fact !== null));
  return el("details", { class: "signals" },
    el("summary", {}, "Router chose ", el("b", {}, decision.ranker), `, mode ${decision.mode}`),
    decision.reason !== "" && el("p", {}, decision.reason),
    el("dl", {}, [...known].map(([name, fact]) =>
      el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, figure(fact))))));
}

function timings(answer) {
  const stages = Object.entries(answer.stage_ms);
  const spent = stages.reduce((sum, [, stageMs]) => sum + stageMs, 0);
  const rest = answer.latency_ms - spent;
  if (rest > 0.05) stages.push(["other", rest]);
  const whole = Math.max(answer.latency_ms, spent, 0.001);
  const part = ([, stageMs], place) => withStyle(el("i", { class: `stage s${place % 7}` }), "--share", stageMs / whole);
  return el("div", { class: "timings" },
    el("b", {}, milliseconds(answer.latency_ms)),
    el("div", { class: "bar", "aria-hidden": "true" }, stages.map(part)),
    el("ul", { "aria-label": "Time per stage" }, stages.map(([name, stageMs], place) =>
      el("li", {}, el("i", { class: `dot s${place % 7}`, "aria-hidden": "true" }), `${name} ${milliseconds(stageMs)}`))));
}

function candidates(inspection, context) {
  const shown = new Map(inspection.answer.items.map((item) => [item.item_id, item]));
  const decided = inspection.answer.route === "cold" ? "retriever" : inspection.answer.route;
  const columns = RANKERS.map(([name, title, field]) => ({
    name, title, field, decides: name === decided, ...scale(inspection.candidates, field), asked: inspection[name],
  }));
  const deciding = columns.find((column) => column.decides) ?? columns[0];
  const order = (one) => one.rank ?? Infinity;
  const rows = [...inspection.candidates].sort((one, other) =>
    order(one) - order(other) || (other[deciding.field] ?? -Infinity) - (one[deciding.field] ?? -Infinity));
  const table = (name, items) => el("div", { class: "candidates", role: "table", "aria-label": name },
    el("div", { class: "row head", role: "row" },
      el("span", { role: "columnheader" }, "#"), el("span", { role: "columnheader" }, "Item"),
      columns.map(heading),
      el("span", { role: "columnheader" }, el("span", { class: "hidden" }, "Feedback"))),
    items.map((item) => row(item, shown.get(item.item_id), columns, context)));
  const answered = rows.filter((item) => shown.has(item.item_id));
  const others = rows.filter((item) => !shown.has(item.item_id));
  return el("div", {},
    answered.length ? table("Answer", answered) : el("p", { class: "empty" }, "Nothing is left to propose."),
    others.length > 0 && el("details", { class: "others", open: othersOpen, toggle: keepOpen },
      el("summary", {}, `${count(others.length, "more candidate")}, not shown to the user`),
      table("Candidates that were not shown", others)));
}

let othersOpen = false; // as the reader left it, also for the next answer

function keepOpen(event) {
  othersOpen = event.target.open;
}

function heading({ title, decides, asked }) {
  return el("span", { class: decides ? "num decides" : "num", role: "columnheader" },
    title, decides && el("em", {}, "decided"),
    asked?.failure && el("em", { class: "bad", title: asked.failure }, "failed"));
}

/** Each score's place in the column's order and its length as a bar, between the least and the greatest. */
function scale(items, field) {
  const scores = items.map((item) => item[field]).filter((one) => one !== null);
  const least = Math.min(...scores);
  const range = Math.max(...scores) - least || 1;
  return {
    place: (one) => 1 + scores.filter((other) => other > one).length,
    share: (one) => 0.04 + (0.96 * (one - least)) / range,
  };
}

function row(item, answered, columns, { titles, before, give }) {
  return el("div", { class: answered ? "row" : "row rest", role: "row", "data-item": item.item_id },
    el("span", { class: "rank", role: "cell" }, answered ? String(answered.rank) : "", answered && move(item, before)),
    el("div", { class: "item", role: "cell" },
      el("p", {}, el("b", {}, item.title), " ", el("code", {}, item.item_id)),
      el("p", { class: "muted" }, [...item.categories, `by ${item.source.replaceAll("_", " ")}`].join(" · ")),
      answered?.reason && el("p", { class: "reason" }, answered.reason),
      answered?.evidence.length > 0 && evidence(answered.evidence, titles)),
    columns.map((column) => cell(item[column.field], column)),
    el("span", { class: "give", role: "cell" },
      button("Took it", item, true, give), button("Not for me", item, false, give)));
}

function cell(value, { title, place, share, decides }) {
  const parts = value === null ? ["–"]
    : [withStyle(el("i", { class: "length", "aria-hidden": "true" }), "--share", share(value)),
      el("small", { title: `number ${place(value)} by this score` }, `#${place(value)} `), el("span", {}, score(value))];
  return el("span", { class: decides ? "num decides" : "num", role: "cell", "data-label": title }, parts);
}

function button(label, item, took, give) {
  return el("button", {
    type: "button", class: took ? "take" : "refuse", "aria-label": `${label}: ${item.title}`, click: () => give(item, took),
  }, label);
}

function evidence(parts, titles) {
  return el("ul", { class: "evidence", "aria-label": "What carried the score" }, parts.map((one) =>
    el("li", {}, one.category ?? titles[one.item_id] ?? one.item_id, el("small", {}, `${Math.round(100 * one.weight)} %`))));
}

function move(item, before) {
  if (!before) return null;
  const was = before.get(item.item_id)?.rank;
  if (was === undefined) return el("span", { class: "move up" }, "new");
  const up = was - item.rank;
  if (up === 0) return el("span", { class: "move", title: "same place" }, "=");
  return el("span", { class: up > 0 ? "move up" : "move down", "aria-label": `${up > 0 ? "up" : "down"} ${Math.abs(up)}` },
    `${up > 0 ? "▲" : "▼"}${Math.abs(up)}`);
}

function changes(inspection, before) {
  const now = ranksOf(inspection);
  const moved = [...now].filter(([id, { rank }]) => before.has(id) && before.get(id).rank !== rank).length;
  const come = [...now.keys()].filter((id) => !before.has(id)).length;
  const gone = [...before].filter(([id]) => !now.has(id)).map(([, { title }]) => title);
  const told = [[moved, "moved"], [come, "new"], [gone.length, "gone"]].filter(([number]) => number > 0);
  if (!told.length) return ["The same items in the same order as before."];
  const more = gone.length > MAX_GONE ? ` and ${gone.length - MAX_GONE} more` : "";
  return [`Compared with the answer before: ${told.map(([number, what]) => `${number} ${what}`).join(", ")}`,
    gone.length ? ` (${gone.slice(0, MAX_GONE).join(", ")}${more}).` : "."];
}

function facts({ answer, candidates: all, student, reasoner, text }) {
  const { versions } = answer;
  const ranker = (name, { version, latency_ms: latencyMs, failure }) => {
    const told = [version, latencyMs === null ? null : milliseconds(latencyMs)].filter((one) => one !== null);
    return [name, failure ?? (told.length ? told.join(", ") : "not asked")];
  };
  const named = [["request", answer.request_id], ["model", versions.model], ["prompt", versions.prompt],
    ["narrative", versions.narrative], ["catalogue", versions.catalogue], ranker("student", student),
    ranker("Reasoner", reasoner), ["candidates", count(all.length, "item")]];
  return el("footer", { class: "facts" },
    el("dl", {}, named.filter(([, fact]) => fact).map(([name, fact]) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, fact)))),
    text && el("details", {}, el("summary", {}, "The text that the rankers read"), el("pre", {}, text)));
}
