// The form: what is asked for, as the body of a request.

import { byId, el } from "./dom.js";

const value = (id) => byId(id).value.trim();
const number = (id) => (value(id) === "" ? null : Number(value(id)));

/** The body of a request for a user; empty fields are left out. */
export function requestBody(userId) {
  return given({
    user_id: userId,
    k: number("k") ?? 10,
    query: value("query") || null,
    explain: byId("explain").checked,
    latency_budget_ms: number("budget"),
    filters: given({
      categories: chosenCategories().length ? chosenCategories() : null,
      min_price: number("min-price"),
      max_price: number("max-price"),
      released_from: value("released-from") || null,
      released_to: value("released-to") || null,
      available: byId("available").checked,
      exclude: value("exclude").split(/[\s,]+/).filter(Boolean),
    }),
  });
}

/** Calls `ask()` on every change that matters, and on submit. */
export function requestForm(ask) {
  const form = byId("request");
  byId("filters").open = matchMedia("(min-width: 821px)").matches; // on a phone the answer comes first
  form.addEventListener("change", (event) => {
    if (!["user", "categories-search"].includes(event.target.id)) ask();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  form.addEventListener("reset", (event) => {
    event.preventDefault(); // the user stays
    clearFilters();
    ask();
  });
  byId("categories-search").addEventListener("input", findCategories);
}

export function setLargestK(maxK) {
  byId("k").max = String(maxK);
}

export function listCategories(categories) {
  byId("categories-list").replaceChildren(...categories.map(({ name, num_items: numItems }) =>
    el("li", {}, el("label", { class: "check" },
      el("input", { type: "checkbox", value: name, change: sayChosen }),
      el("span", {}, name), el("small", {}, numItems.toLocaleString("en"))))));
  byId("categories-search").hidden = categories.length <= 12;
}

const categoryBoxes = () => [...byId("categories-list").querySelectorAll("input")];
const chosenCategories = () => categoryBoxes().filter((box) => box.checked).map((box) => box.value);

function sayChosen() {
  const chosen = chosenCategories();
  byId("categories-chosen").textContent = chosen.length ? chosen.join(", ") : "any";
}

function findCategories() {
  const wanted = value("categories-search").toLowerCase();
  for (const box of categoryBoxes()) {
    box.closest("li").hidden = !box.checked && !box.value.toLowerCase().includes(wanted);
  }
}

function clearFilters() {
  for (const id of ["query", "budget", "min-price", "max-price", "released-from", "released-to", "exclude"]) {
    byId(id).value = "";
  }
  for (const box of categoryBoxes()) box.checked = false;
  byId("available").checked = true;
  byId("explain").checked = false;
  sayChosen();
}

const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, field]) => field !== null));
