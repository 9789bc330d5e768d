"""Pages in a real browser: they sort, fold and fit a phone, say nothing to the console, and ask for nothing."""

import json
import shutil

import pytest

from flatspot.cli.report import page_of_jobs, write_report
from flatspot.report.sweep import Job

webdriver = pytest.importorskip("selenium.webdriver", reason="the extra browser is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (
            shutil.which("chromedriver") and any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
        ),
        reason="Chromium and its driver are not installed",
    ),
]

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE, DESKTOP = (390, 844), (1280, 900)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    for each in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def run_page(train):
    done = train("data=sines", "report=html", "examine=quick", "optimizer.lr=1e-6", "model.cell=gru")
    assert done.code == 0, done.err
    return write_report(done.folder)


@pytest.fixture
def sweep_page(tmp_path):
    metrics = {"verdict": "healthy", "diversity": {"ratio": 0.5}, "baseline": {}, "seconds": 2.0, "fit_seconds": 1.0}
    jobs = [
        Job(
            at,
            str(at),
            {"model.cell": cell, "data.val_from": f"2024-{9 - at:02}-01", "seed": str(seed)},
            metrics | {"test": {"mae": mae, "r2": 0.5}},
        )
        for at, (cell, seed, mae) in enumerate(
            [("rnn", 0, 9.5), ("rnn", 1, 10.0), ("gru", 0, 2000.0), ("gru", 1, 1999.0), ("lstm", 0, 30.0)]
        )
    ]
    jobs.append(Job(5, "5", {"model.cell": "lstm", "data.val_from": "2024-12-01", "seed": "1"}, None, "it broke"))
    path = tmp_path / "report.html"
    path.write_text(page_of_jobs(tmp_path, jobs, "mae"), encoding="utf-8")
    return path


def opened(browser, page, size):
    browser.set_window_size(*size)
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())
    return browser


def asked_for(browser):
    """What the page asked for, other than itself and what stands within it."""
    events = (json.loads(each["message"])["message"] for each in browser.get_log("performance"))
    urls = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith("data:")]


def wide(browser):
    """How far the page is wider than its window: what is wide scrolls by itself."""
    return browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
@pytest.mark.parametrize("kind", ["run_page", "sweep_page"])
def test_it_fits_is_silent_and_asks_for_nothing(browser, request, kind, size):
    page = request.getfixturevalue(kind)
    opened(browser, page, size)
    assert wide(browser) <= 0
    assert browser.get_log("browser") == []
    assert asked_for(browser) == [page.as_uri()]


def test_pictures_are_drawn_and_have_words(browser, run_page):
    opened(browser, run_page, DESKTOP)
    pictures = browser.find_elements("css selector", "figure svg")
    assert len(pictures) >= 8
    for each in pictures:
        assert each.get_attribute("aria-label")
        assert 200 < each.rect["width"] < 640
        assert each.rect["height"] > 80


def test_what_is_folded_opens_by_the_keyboard(browser, run_page):
    opened(browser, run_page, DESKTOP)
    folded = browser.find_elements("css selector", "details")[-1]
    summary = folded.find_element("css selector", "summary")
    assert folded.get_attribute("open") is None
    summary.send_keys(webdriver.Keys.ENTER)
    assert folded.get_attribute("open") == "true"
    assert folded.find_element("css selector", "table").is_displayed()


def column(browser, table, at):
    cells = browser.find_elements("css selector", f"section:has(#{table}) tbody tr td:nth-child({at})")
    return [each.text for each in cells]


def head(browser, table, name):
    heads = browser.find_elements("css selector", f"section:has(#{table}) th button")
    return next(each for each in heads if each.text.startswith(name))


def test_tables_sort_by_number_and_by_word_and_back(browser, sweep_page):
    opened(browser, sweep_page, DESKTOP)
    assert column(browser, "runs", 5) == ["9.5", "10", "2,000", "1,999", "30", "-"]
    press = head(browser, "runs", "MAE")
    press.click()
    assert column(browser, "runs", 5) == ["9.5", "10", "30", "1,999", "2,000", "-"]
    assert press.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    press.click()
    assert column(browser, "runs", 5) == ["2,000", "1,999", "30", "10", "9.5", "-"]
    head(browser, "runs", "data.val_from").click()
    assert column(browser, "runs", 3) == sorted(column(browser, "runs", 3))
    head(browser, "runs", "model.cell").click()
    assert column(browser, "runs", 2) == ["gru", "gru", "lstm", "lstm", "rnn", "rnn"]
    assert press.find_element("xpath", "..").get_attribute("aria-sort") == "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["run_page", "sweep_page"])
def test_text_can_be_read_in_both_schemes(browser, request, kind, scheme):
    """Contrast of 4.5 at least (WCAG 2.2, 1.4.3), of all text on the colour behind it."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    opened(browser, request.getfixturevalue(kind), DESKTOP)
    try:
        found = browser.execute_script(CONTRASTS)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert len(found) > 20
    assert min(found) >= 4.5


CONTRASTS = """
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const light = colour => {
  const [r, g, b] = parts(colour).slice(0, 3).map(each => each / 255)
    .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = each => {
  for (; each; each = each.parentElement) {
    const colour = getComputedStyle(each).backgroundColor;
    if ((parts(colour)[3] ?? 1) > 0) return colour;
  }
  return "rgb(255, 255, 255)";
};
return [...document.querySelectorAll("main *:not(svg *)")]
  .filter(each => [...each.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()))
  .map(each => [light(getComputedStyle(each).color), light(behind(each))].sort((a, b) => b - a))
  .map(([high, low]) => (high + 0.05) / (low + 0.05));
"""
