// Calls to the service. A key, where the service asks for one, is kept in this tab's session storage only.

import { byId } from "./dom.js";

const KEY = "raconteur.key";

/** What the service refused or failed to do, in words for people. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const getJson = (path, options = {}) => call("GET", path, undefined, options);
export const postJson = (path, body, options = {}) => call("POST", path, body, options);

async function call(method, path, body, { signal } = {}) {
  for (;;) {
    const response = await send(method, path, body, signal);
    if (response.status !== 401) return read(response);
    await askForKey(sessionStorage.getItem(KEY) !== null);
  }
}

async function send(method, path, body, signal) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.authorization = `Bearer ${key}`;
  try {
    // Relative to the page, so that the service may stand behind a path of its own.
    return await fetch(new URL(path, document.baseURI), {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), credentials: "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The service does not answer.", 0);
  }
}

async function read(response) {
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw new Refused(wording(response, body), response.status);
}

function wording(response, body) {
  if (response.status === 403) return "This key may not do that.";
  if (response.status === 429) {
    const wait = response.headers.get("retry-after");
    return wait ? `The service is busy; try again in ${wait} s.` : "The service is busy; try again in a moment.";
  }
  const detail = body.detail ?? body.error;
  if (Array.isArray(detail)) return detail.map(fault).join("; ");
  return detail ? String(detail) : `The service refused this with status ${response.status}.`;
}

function fault({ loc, msg }) {
  const place = loc.filter((part) => part !== "body").join(".");
  return place ? `${place}: ${msg}` : msg;
}

let asking = null; // calls that were refused together wait for one dialog

function askForKey(refused) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("key-dialog");
    byId("key-note").textContent = refused
      ? "The service did not take this key. Try another one."
      : "It is kept in this tab only, until the tab is closed.";
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, byId("key").value.trim());
      byId("key").value = "";
      dialog.close();
    }, { once: true });
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => {
      asking = null;
      showForget();
      resolve();
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
  return asking;
}

function showForget() {
  byId("forget").hidden = sessionStorage.getItem(KEY) === null;
}

byId("forget").addEventListener("click", () => {
  sessionStorage.removeItem(KEY);
  location.reload();
});
showForget();
