// The choice of a user: an input with a list below it, by the ARIA pattern of a combobox. Any id may be typed.

import { getJson } from "./api.js";
import { byId, el } from "./dom.js";

const WAIT_MS = 150; // after the last key, before the service is asked
const LIMIT = 12;

/** Calls `choose(userId)` when the user is decided: from the list, by Enter, or by leaving the field. */
export function userChooser(choose) {
  const input = byId("user");
  const list = byId("users");
  let active = -1;
  let timer = 0;
  let asked = 0;
  let chosen = "";

  const options = () => [...list.querySelectorAll("[role=option]")];

  function close() {
    clearTimeout(timer);
    asked += 1; // an answer that comes later opens nothing
    active = -1;
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function decide(userId) {
    close();
    input.value = userId;
    if (userId && userId !== chosen) choose(userId);
    chosen = userId;
  }

  function mark(index) {
    const all = options();
    active = all.length ? (index + all.length) % all.length : -1;
    all.forEach((option, place) => option.setAttribute("aria-selected", String(place === active)));
    if (active < 0) return;
    input.setAttribute("aria-activedescendant", all[active].id);
    all[active].scrollIntoView({ block: "nearest" });
  }

  async function search() {
    const turn = ++asked;
    const found = await getJson(`v1/users?limit=${LIMIT}&prefix=${encodeURIComponent(input.value.trim())}`)
      .catch(() => ({ users: [], complete: true }));
    if (turn !== asked || document.activeElement !== input) return;
    list.replaceChildren(
      ...found.users.map((userId, place) => el("li", {
        id: `user-${place}`, role: "option", "aria-selected": "false",
        mousedown: (event) => event.preventDefault(), // the field keeps its focus
        click: () => decide(userId),
      }, userId)),
      found.complete ? "" : el("li", { class: "muted", role: "presentation" }, "… more; type on"),
    );
    active = -1;
    list.hidden = found.users.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, WAIT_MS);
  });
  input.addEventListener("focus", () => input.value || search());
  input.addEventListener("blur", () => decide(input.value.trim()));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter") {
      event.preventDefault();
      decide(active >= 0 ? options()[active].textContent : input.value.trim());
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) search();
      else mark(active < 0 && event.key === "ArrowUp" ? -1 : active + (event.key === "ArrowDown" ? 1 : -1));
    }
  });
}
