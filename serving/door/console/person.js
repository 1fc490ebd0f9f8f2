// The user: the log as it was written, beside the narrative that stands for it.

import { byId, count, el, moment } from "./dom.js";

const MENTION = /<item:([^<>\s]+)>/g;

export function showPerson(person) {
  byId("person").hidden = false;
  byId("person-title").textContent = `User ${person.user_id}`;
  byId("log-size").textContent = `${count(person.num_events, "event")}, newest first`;
  byId("log").replaceChildren(...logRows(person.events));
  byId("narrative-age").replaceChildren(...(person.as_of
    ? [`${person.narrative_version}, covers up to `, moment(person.as_of)] : []));
  byId("narrative").replaceChildren(...narrative(person));
}

export function showStranger(userId) {
  byId("person").hidden = false;
  byId("person-title").textContent = `User ${userId}`;
  byId("log-size").textContent = "";
  byId("narrative-age").textContent = "";
  byId("log").replaceChildren(el("li", { class: "muted" }, "The feature store does not know this user."));
  byId("narrative").replaceChildren(el("p", { class: "muted" }, "Nothing to tell: popular items stand in."));
}

function logRows(events) {
  if (!events.length) return [el("li", { class: "muted" }, "No event yet.")];
  return events.map((event) => el("li", { class: event.appended ? "event new" : "event" },
    moment(event.event_time),
    el("span", { class: event.taken ? "kind taken" : "kind", title: event.taken ? "read as a take" : "no take" },
      event.event_type, event.value === null ? null : ` ${Number(event.value.toFixed(2))}`),
    el("span", { class: "what" }, event.title, " ", el("code", {}, event.item_id)),
    event.appended && el("span", { class: "tag", title: "Newer than the narrative; appended to it" }, "recent")));
}

function narrative(person) {
  const parts = [person.narrative
    ? el("p", { class: "story" }, ...withTitles(person.narrative, person.titles))
    : el("p", { class: "muted" }, "No narrative was written yet; the newest events stand in.")];
  if (person.recent) {
    parts.push(el("h4", {}, "Appended as recent"),
      el("p", { class: "story recent" }, ...withTitles(person.recent, person.titles)));
  }
  return parts;
}

/** The text, with the title of each mentioned item in place of its mention; the id shows on hover. */
export function withTitles(text, titles) {
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(MENTION)) {
    const itemId = unquoted(match[1]);
    parts.push(text.slice(from, match.index), el("span", { class: "mention", title: match[0] }, titles[itemId] ?? itemId));
    from = match.index + match[0].length;
  }
  return [...parts, text.slice(from)];
}

function unquoted(code) {
  try {
    return decodeURIComponent(code);
  } catch {
    return code;
  }
}
