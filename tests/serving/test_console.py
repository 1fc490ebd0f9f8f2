"""The console in a headless Chromium, over a real service of the four-film world."""

import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import polars as pl
import pytest
import serving_world
from console_world import open_console, running, write_world
from local_service import user
from serving_world import START, TITLES

from raconteur.keys import add_key, keys_path, new_key
from raconteur.scopes import Scope
from raconteur.types import Event

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it is among the dev dependencies")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; the console is not looked at")

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
# Every text on the page against the ground behind it: the least contrast by WCAG 2, and where it is.
LEAST_CONTRAST = """() => {
  const parse = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return parse("Canvas");
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = [21, "nothing"];
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !node.checkVisibility() || node.closest(":disabled")) continue;
    const [one, other] = [parse(getComputedStyle(node).color), ground(node)].map(luminance);
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < least[0]) least = [contrast, `${node.className} ${node.textContent.slice(0, 40)}`];
  }
  return least;
}"""


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        api.expect.set_options(timeout=15_000)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def world(tmp_path):
    write_world(tmp_path)
    return tmp_path


@pytest.fixture
def console(world, free_ports):
    with serving(world, free_ports) as console:
        yield console


@contextmanager
def serving(workdir, free_ports):
    """An open console and its address."""
    console = open_console(workdir)
    with running(console.app, free_ports(1)[0]) as console.address:
        yield console


@pytest.fixture
def visit(browser):
    """Opens the console; what the page fetched and complained about is on the page object."""
    contexts = []

    def open_page(console, *, viewport=DESK, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.fetched, page.complaints = [], []
        page.on("request", lambda request: page.fetched.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(f"{console.address}/console")
        return page

    yield open_page
    for context in contexts:
        context.close()


def choose(page, user_id):
    page.get_by_role("combobox", name="User").fill(user_id)
    page.keyboard.press("Enter")
    api.expect(page.locator("#person-title")).to_have_text(f"User {user_id}")


def answered(page, *titles):
    """Waits until the answer holds these titles in this order."""
    shown = page.get_by_role("table", name="Answer").locator("[data-item] .item b")
    api.expect(shown).to_have_text(list(titles))


def row(page, item_id):
    return page.locator(f"[data-item={item_id}]")


# The page


def test_page_loads_from_its_own_host_without_an_error(console, visit):
    page = visit(console)
    api.expect(page.get_by_role("heading", name="Raconteur console")).to_be_visible()
    api.expect(page.get_by_text("Choose a user")).to_be_visible()
    choose(page, "sure")
    answered(page, "court drama", "space romance", "war drama")
    assert {urlsplit(url).netloc for url in page.fetched} == {urlsplit(console.address).netloc}
    assert page.complaints == []


def test_user_choice_lists_who_begins_so_and_shows_log_narrative_and_ranking(console, visit):
    console.store.push("torn", [Event("i2", START + timedelta(hours=1), "look")], {})
    page = visit(console)
    page.get_by_role("combobox", name="User").press_sequentially("t")
    page.get_by_role("option", name="torn").click()
    answered(page, "court drama", "war drama")
    rows = page.locator("#log li")
    api.expect(rows).to_have_count(2)
    api.expect(rows.first).to_contain_text(re.compile("01 May 2024 01:00.*look.*space romance.*recent"))
    api.expect(rows.last).to_contain_text(re.compile("01 May 2024 00:00.*play.*space war"))
    narrative = page.locator("#narrative")
    api.expect(narrative).to_contain_text("drama")
    api.expect(narrative.locator(".recent")).to_have_text("0d look space romance")  # the mention reads as its title
    api.expect(page.locator(".verdict .route")).to_have_text("reasoner")


def test_scores_of_all_three_stand_side_by_side_with_their_places(console, visit):
    page = visit(console)
    choose(page, "sure")
    cells = row(page, "i2").locator(".num")
    api.expect(cells).to_have_text(["#1 2.000", "#2 0.000", "#2 0.000"])  # retriever, student, Reasoner
    api.expect(row(page, "i3").locator(".num")).to_have_text(["#2 1.000", "#1 2.000", "#1 20.000"])
    api.expect(page.locator(".head .decides").first).to_have_text("Studentdecided")
    api.expect(page.get_by_role("list", name="Time per stage")).to_contain_text("retrieve")
    api.expect(page.locator(".facts")).to_contain_text("verbalizer-1")


def test_unknown_user_gets_popular_items_and_is_told_so(console, visit):
    page = visit(console)
    choose(page, "nobody")
    api.expect(page.get_by_text("The feature store does not know this user.")).to_be_visible()
    answered(page, "space war", "space romance", "court drama", "war drama")


# Controls


def test_k_filters_and_exclusions_change_the_answer(console, visit):
    page = visit(console)
    choose(page, "sure")
    answered(page, "court drama", "space romance", "war drama")
    page.get_by_label("Items (k)").fill("1")
    page.keyboard.press("Tab")
    answered(page, "court drama")
    api.expect(page.locator(".others summary")).to_have_text("2 more candidates, not shown to the user")
    page.get_by_label("Items (k)").fill("10")
    page.get_by_text("Categories:").click()
    page.get_by_role("checkbox", name="war").check()
    answered(page, "war drama")
    page.get_by_role("checkbox", name="court").check()
    answered(page, "court drama", "war drama")
    page.get_by_label("Never these items").fill("i3, i9")
    page.keyboard.press("Tab")
    answered(page, "war drama")
    page.get_by_role("button", name="Clear filters").click()
    answered(page, "court drama", "space romance", "war drama")


def test_query_explain_and_budget_travel_with_the_request(console, visit):
    page = visit(console)
    choose(page, "sure")
    answered(page, "court drama", "space romance", "war drama")
    page.get_by_label("Query").fill("romance")
    page.get_by_label("Budget, ms").fill("5000")
    page.get_by_label("Lowest price").fill("2.5")
    page.get_by_label("Released to").fill("2024-02-29")
    with page.expect_request(lambda one: one.url.endswith("/v1/inspect") and one.post_data_json["explain"]) as sent:
        page.get_by_label("Explain each item").check()
    assert sent.value.post_data_json == {
        "user_id": "sure",
        "k": 10,
        "query": "romance",
        "explain": True,
        "latency_budget_ms": 5000,
        "filters": {"min_price": 2.5, "released_to": "2024-02-29", "available": True, "exclude": []},
    }


def test_refused_request_is_told_in_the_service_s_words(console, visit):
    page = visit(console)
    choose(page, "sure")
    page.get_by_label("Lowest price").fill("5")
    page.get_by_label("Highest price").fill("2")
    page.keyboard.press("Tab")
    api.expect(page.get_by_role("alert")).to_contain_text("min_price 5 is above max_price 2")
    page.get_by_label("Highest price").fill("")
    page.keyboard.press("Tab")
    api.expect(page.get_by_role("alert")).to_have_count(0)  # hidden again


def test_broken_part_shows_as_degraded_with_its_cause(console, visit):
    console.reasoner.failure = "reasoner failed: connection refused"
    page = visit(console)
    choose(page, "torn")
    api.expect(page.locator(".verdict")).to_contain_text("degraded")
    api.expect(page.locator(".why")).to_contain_text("but reasoner failed: connection refused")
    api.expect(page.locator(".facts")).to_contain_text("connection refused")
    api.expect(row(page, "i3").locator(".num").last).to_have_text("–")


# Feedback


def test_took_it_reaches_the_service_and_the_moves_are_shown(console, visit):
    page = visit(console)
    choose(page, "sure")
    answered(page, "court drama", "space romance", "war drama")
    row(page, "i3").get_by_role("button", name="Took it").click()
    answered(page, "space romance", "war drama")
    taken = console.store.users["sure"].recent_events[-1]
    assert (taken.item_id, taken.event_type) == ("i3", "play")
    assert console.store.users["sure"].recent_items == ("i1", "i3")
    api.expect(row(page, "i2").locator(".move")).to_have_text("▲1")
    api.expect(row(page, "i4").get_by_label("up 1")).to_be_visible()
    changes = "Compared with the answer before: 2 moved, 1 gone (court drama)."
    api.expect(page.locator("#changes")).to_have_text(changes)
    api.expect(page.locator("#log li").first).to_contain_text("court drama")


def test_not_for_me_is_no_take_and_hides_the_item(console, visit):
    page = visit(console)
    choose(page, "sure")
    row(page, "i3").get_by_role("button", name="Not for me").click()
    answered(page, "space romance", "war drama")
    state = console.store.users["sure"]
    assert (state.recent_items, state.seen_items) == (("i1",), ("i1", "i3"))


def test_event_that_the_store_did_not_take_is_told(console, visit):
    page = visit(console)
    choose(page, "sure")
    answered(page, "court drama", "space romance", "war drama")
    console.store.failure = OSError("disk is gone")
    row(page, "i3").get_by_role("button", name="Took it").click()
    api.expect(page.get_by_role("alert")).to_contain_text("the feature store did not take it")


# Texts of others


def test_titles_categories_and_logs_that_look_like_markup_stay_text(tmp_path, monkeypatch, free_ports, visit):
    plain = serving_world.catalogue
    monkeypatch.setitem(TITLES, "i2", EVIL)
    evil = pl.concat_list("categories", pl.lit(EVIL))
    monkeypatch.setattr(serving_world, "catalogue", lambda: plain().with_columns(evil))
    write_world(tmp_path)
    with serving(tmp_path, free_ports) as console:
        looked = Event("i1", START + timedelta(hours=1), EVIL)
        known = user("sure", ["i1"], f"court {EVIL} <item:i2>")
        console.store.users["sure"] = replace(known, recent_events=(looked,))
        page = visit(console)
        page.get_by_text("Categories:").click()
        choose(page, "sure")
        answered(page, EVIL, "court drama", "war drama")
        api.expect(page.locator("#narrative .mention").first).to_have_text(EVIL)
        api.expect(page.locator("#narrative")).to_contain_text(f"court {EVIL}")
        api.expect(page.locator("#log li").first).to_contain_text(EVIL)
        api.expect(page.locator("#categories-list")).to_contain_text(EVIL)
        assert page.locator("main img, main script, header script").count() == 0
        assert page.evaluate("window.hacked") is None
        assert page.complaints == []


def test_browser_refuses_markup_from_text_and_inline_scripts(console, visit):
    page = visit(console)
    refused = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return 'taken' } catch (error) { return error.name } }"
    )
    assert refused == "TypeError"
    page.evaluate(
        "() => { const one = document.createElement('div'); one.setAttribute('style', 'color: red');"
        " document.body.append(one); window.kept = getComputedStyle(one).color }"
    )
    assert page.evaluate("window.kept") != "rgb(255, 0, 0)"


# Keys


@pytest.fixture
def token(world):
    key, token = new_key("console", [Scope.CONSOLE, Scope.EVENTS, Scope.METRICS], rate_per_s=1e4, burst=10_000)
    add_key(keys_path(world), key)
    return token


def test_key_is_asked_for_and_kept_in_this_tab_only(token, console, visit):
    page = visit(console)
    dialog = page.get_by_role("dialog")
    api.expect(dialog).to_be_visible()
    page.get_by_label("API key or token").fill("a wrong one")
    page.keyboard.press("Enter")
    api.expect(dialog).to_contain_text("did not take this key")
    page.get_by_label("API key or token").fill(token)
    page.get_by_role("button", name="Use the key").click()
    api.expect(dialog).to_have_count(0)
    choose(page, "sure")
    answered(page, "court drama", "space romance", "war drama")
    assert page.evaluate("[localStorage.length, document.cookie, Object.values(sessionStorage)]") == [0, "", [token]]
    assert not [url for url in page.fetched if token in url]
    page.get_by_role("button", name="Forget the key").click()
    api.expect(dialog).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_key_without_the_scope_is_told(world, console, visit):
    key, narrow = new_key("app", [Scope.RECOMMEND], rate_per_s=1e4, burst=10_000)
    add_key(keys_path(world), key)
    page = visit(console)
    page.get_by_label("API key or token").fill(narrow)
    page.keyboard.press("Enter")
    api.expect(page.get_by_role("alert")).to_contain_text("This key may not do that.")


# For everybody


def test_keyboard_alone_chooses_a_user_and_gives_feedback(console, visit):
    page = visit(console)
    page.keyboard.press("Tab")
    api.expect(page.get_by_role("link", name="Skip to the answer")).to_be_focused()
    page.keyboard.press("Tab")
    user = page.get_by_role("combobox", name="User")
    api.expect(user).to_be_focused()
    api.expect(page.get_by_role("option")).to_have_text(["shy", "sure", "torn"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    api.expect(user).to_have_attribute("aria-activedescendant", "user-1")
    page.keyboard.press("Enter")
    answered(page, "court drama", "space romance", "war drama")
    api.expect(page.get_by_role("listbox")).to_have_count(0)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Took it: court drama":
            break
    page.keyboard.press("Enter")
    answered(page, "space romance", "war drama")
    api.expect(page.locator("#answer")).to_be_focused()


def test_controls_all_have_a_name(console, visit):
    page = visit(console)
    choose(page, "sure")
    answered(page, "court drama", "space romance", "war drama")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, button, select, textarea")]
          .filter((one) => !one.labels?.length && !one.getAttribute("aria-label") && !one.textContent.trim())
          .map((one) => one.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_easy_to_read_in_both_schemes(console, visit, scheme):
    console.store.push("sure", [Event("i2", START + timedelta(hours=1), "look")], {})
    page = visit(console, color_scheme=scheme)
    choose(page, "sure")
    page.get_by_text("Categories:").click()
    page.locator(".signals summary").click()
    page.get_by_label("Items (k)").fill("1")
    page.keyboard.press("Tab")
    answered(page, "court drama")
    page.locator(".others summary").click()
    contrast, where = page.evaluate(LEAST_CONTRAST)
    assert contrast >= 4.5, where


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_page_never_scrolls_sideways(console, visit, viewport):
    long = "Extraordinarily" * 12
    console.store.users[long] = user(long, ["i1"], f"{long} <item:i2>")
    page = visit(console, viewport=viewport)
    choose(page, long)
    api.expect(page.locator("[data-item]").first).to_be_visible()
    page.locator(".signals summary").click()
    page.get_by_text("The text that the rankers read").click()
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


def test_phone_has_the_filters_folded_and_the_buttons_within_reach(console, visit):
    page = visit(console, viewport=PHONE)
    choose(page, "sure")
    api.expect(page.get_by_label("Lowest price")).to_be_hidden()
    button = row(page, "i3").get_by_role("button", name="Not for me")
    box = button.bounding_box()
    assert box["x"] + box["width"] <= PHONE["width"]
    assert box["height"] >= 32


# The service strip


def test_strip_follows_the_traffic_by_itself(console, visit):
    page = visit(console)
    strip = page.locator("#service")
    api.expect(strip).to_contain_text("v1")
    api.expect(strip).to_contain_text("0 answers")
    choose(page, "sure")
    choose(page, "nobody")
    api.expect(strip).to_contain_text("2 answers")
    api.expect(strip).to_contain_text("student 1")
    api.expect(strip).to_contain_text("cold 1")


def test_strip_tells_which_part_rests_and_that_the_service_is_gone(world, free_ports, visit):
    with serving(world, free_ports) as console:
        console.student.failure = "student failed: connection refused"
        page = visit(console)
        choose(page, "sure")
        choose(page, "torn")
        choose(page, "sure")
        api.expect(page.locator("#service li").filter(has_text="student")).to_contain_text("resting after failures")
    api.expect(page.locator("#service")).to_contain_text("The service does not answer.")
