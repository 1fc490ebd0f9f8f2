// The page: a user is chosen, an answer is asked for, feedback is sent, and the answer is asked for again.

import { getJson, postJson } from "./api.js";
import { ranksOf, showAnswer } from "./answer.js";
import { byId } from "./dom.js";
import { showPerson, showStranger } from "./person.js";
import { listCategories, requestBody, requestForm, setLargestK } from "./request.js";
import { watchService } from "./service.js";
import { userChooser } from "./users.js";

let userId = "";
let before = null; // ranks of the answer that is shown
let asking = new AbortController();
let controls = null;

async function ask() {
  if (!userId) return;
  asking.abort(); // only the newest question is answered
  asking = new AbortController();
  const { signal } = asking;
  byId("answer").setAttribute("aria-busy", "true");
  try {
    const [person, inspection] = await Promise.all([
      getJson(`v1/users/${encodeURIComponent(userId)}`, { signal }).catch(unlessUnknown),
      postJson("v1/inspect", requestBody(userId), { signal }),
    ]);
    if (person) showPerson(person);
    else showStranger(userId);
    showAnswer(inspection, { titles: titlesOf(person), before, give });
    before = ranksOf(inspection);
    say("");
  } catch (error) {
    if (error.name === "AbortError") return;
    say(error.message);
  }
  byId("answer").removeAttribute("aria-busy");
}

/** The user took the item or does not want it; the answer after that shows what changed. */
async function give(item, took) {
  for (const button of document.querySelectorAll(".give button")) button.disabled = true;
  try {
    const event = { item_id: item.item_id, ...(took ? controls.take : controls.refuse) };
    const told = await postJson("v1/events", { user_id: userId, events: [event] });
    await ask();
    if (!told.features_updated) say("The event is in the log, but the feature store did not take it yet.");
  } catch (error) {
    say(error.message);
    for (const button of document.querySelectorAll(".give button")) button.disabled = false;
  }
  byId("answer").focus({ preventScroll: true });
}

function choose(chosen) {
  userId = chosen;
  before = null;
  ask();
}

const titlesOf = (person) => Object.fromEntries((person?.events ?? []).map((event) => [event.item_id, event.title]));

function unlessUnknown(error) {
  if (error.status !== 404) throw error;
  return null;
}

function say(message) {
  byId("error").textContent = message;
  byId("error").hidden = !message;
}

async function begin() {
  userChooser(choose);
  requestForm(ask);
  try {
    controls = await getJson("v1/controls");
    setLargestK(controls.max_k);
    listCategories((await getJson("v1/catalogue/categories")).categories);
  } catch (error) {
    say(error.message);
  }
  watchService();
}

begin();
