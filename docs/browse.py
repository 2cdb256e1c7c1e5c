"""Open every page of a built site in headless Chromium: `python -m docs.browse OUT`.

Fails if a page writes to the console, asks for anything that is not in the site, leads to a page or a
place on a page that is not there, or shows a picture that does not load. Pages in frames are opened as
well, and their players are stepped by keys.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from tqdm import tqdm

LOOK = """
const from = (selector, key) => [...document.querySelectorAll(selector)].map(e => e[key]);
return {
  links: from('a[href]', 'href'),
  frames: from('iframe[src]', 'src'),
  places: from('[id]', 'id').concat(from('a[name]', 'name')),
  broken: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src),
  asked: performance.getEntriesByType('resource').map(e => e.name),
};
"""


def browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    options.add_argument("--window-size=1280,720")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def without_place(address: str) -> str:
    return urldefrag(address)[0]


def step(driver: webdriver.Chrome) -> bool:
    """A player goes on by one frame at every arrow key, and back; says whether it does, where it is one."""
    found = driver.execute_script(
        "return typeof film == 'undefined' ? null : document.getElementById('slider').value"
    )
    body = driver.find_element(By.TAG_NAME, "body")
    for key in ("\ue014", "\ue014", "\ue012"):  # right, right, left
        body.send_keys(key)
    return (
        found is None
        or driver.execute_script("return +document.getElementById('slider').value") == int(found) + 1
    )


def step_in_frames(driver: webdriver.Chrome) -> int:
    """Step what stands in the frames of a page; returns how many players did not go on."""
    stuck = 0
    for frame in driver.find_elements(By.TAG_NAME, "iframe"):
        driver.execute_script("arguments[0].loading = 'eager'; arguments[0].scrollIntoView()", frame)
        driver.switch_to.frame(frame)
        driver.execute_script("window.focus()")
        WebDriverWait(driver, 20).until(
            lambda d: d.execute_script("return document.readyState") == "complete"
        )
        stuck += not step(driver)
        driver.switch_to.default_content()
    return stuck


def browse(site: Path) -> tuple[int, int, list[str]]:
    """All pages; returns how many pages and links there are, and what is wrong."""
    root = site.resolve().as_uri()
    pages = sorted(site.rglob("*.html"))
    seen, wrong = {}, []
    with browser() as driver:
        for page in tqdm(pages):
            address = page.resolve().as_uri()
            driver.get(address)
            found = driver.execute_script(LOOK)
            seen[address] = found
            name = page.relative_to(site)
            if not driver.find_elements(By.CSS_SELECTOR, ".sidebar-container") and not step(driver):
                wrong.append(f"{name}: the player does not step")
            if stuck := step_in_frames(driver):
                wrong.append(f"{name}: {stuck} players in frames do not step")
            wrong += [f"{name}: the picture {source} does not load" for source in found["broken"]]
            wrong += [
                f"{name}: asks for {asked}"
                for asked in found["asked"]
                if not asked.startswith((root, "data:", "blob:"))
            ]
            wrong += [f"{name}: console: {entry['message']}" for entry in driver.get_log("browser")]
    links = 0
    for address, found in seen.items():
        for link in found["links"] + found["frames"]:
            place, parts = urldefrag(link)[1], urlparse(link)
            if parts.scheme != "file":
                continue
            links += 1
            target = without_place(link)
            name = unquote(address.removeprefix(f"{root}/"))
            if target in seen:
                if place and unquote(place) not in seen[target]["places"] and not is_state(target, place):
                    wrong.append(f"{name}: no place {place} on {unquote(target.removeprefix(root))}")
            elif not Path(unquote(parts.path)).exists():
                wrong.append(f"{name}: no page {unquote(parts.path)}")
    return len(pages), links, wrong


def is_state(target: str, place: str) -> bool:
    """Is it the state of a page that plays, such as ``#f=36&dark``, and not a place on it?"""
    return "=" in place or "_static" in target


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.browse", description=__doc__)
    parser.add_argument("site", type=Path, help="the folder that Sphinx wrote")
    pages, links, wrong = browse(parser.parse_args().site)
    print("\n".join(wrong))
    print(json.dumps({"pages": pages, "links": links, "wrong": len(wrong)}))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
