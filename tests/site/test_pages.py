"""Every page of the built site, in a real browser; `make site-test`."""

from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from conftest import LOOKS, SITE

PAGES = sorted(str(file.relative_to(SITE)) for file in SITE.glob("**/*.html"))
assert PAGES, "make site builds what is opened here"
# What sticks out of the window and cannot be scrolled to by itself.
OVERFLOWING = """() => {
    const inside = document.documentElement.clientWidth + 1;
    const scrolls = (node) => node.closest('pre, code, .md-typeset__scrollwrap,'
        + ' .highlight, .arithmatex');
    const found = [...document.querySelectorAll('.md-content *')]
        .filter((node) => node.getBoundingClientRect().right > inside)
        .filter((node) => !scrolls(node))
        .map((node) => node.tagName + ': ' + node.textContent.slice(0, 60));
    if (document.documentElement.scrollWidth > inside) found.push('page');
    return found;
}"""
BAD_IMAGES = """() => [...document.images]
    .filter((image) => !image.naturalWidth || !image.alt)
    .map((image) => image.src)"""
LINKS = "() => [...document.querySelectorAll('a[href]')].map((a) => a.href)"
IDS = """() => [...document.querySelectorAll('[id], a[name]')]
    .map((node) => node.id || node.name)"""


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("page", PAGES)
def test_page_opens_whole_and_without_a_word(page, look, views, address):
    problems = []
    tab = views[look]
    heard = {
        "console": lambda message: (
            message.type in ("error", "warning")
            and problems.append(message.text)
        ),
        "pageerror": lambda error: problems.append(str(error)),
        "requestfailed": lambda request: problems.append(request.url),
        "request": lambda request: (
            request.url.startswith((address, "data:"))
            or problems.append(f"another host: {request.url}")
        ),
        "response": lambda response: (
            response.status >= 400
            and problems.append(f"{response.status}: {response.url}")
        ),
    }
    for event, listener in heard.items():
        tab.on(event, listener)
    try:
        tab.goto(f"{address}/{page}")
        scheme = {"light": "default", "dark": "slate"}[look.split()[1]]
        body = tab.locator(f"body[data-md-color-scheme={scheme}]")
        assert body.count() == 1
        problems += [f"sticks out: {x}" for x in tab.evaluate(OVERFLOWING)]
        problems += [f"no image: {x}" for x in tab.evaluate(BAD_IMAGES)]
    finally:
        for event, listener in heard.items():
            tab.remove_listener(event, listener)
    assert not problems


def test_links_lead_somewhere(views, address, capsys):
    tab = views["desktop light"]
    links, ids, images = {}, {}, 0
    for page in PAGES:
        tab.goto(f"{address}/{page}")
        links[page] = set(tab.evaluate(LINKS))
        ids[page] = {"", *tab.evaluate(IDS)}
        images += tab.evaluate("document.images.length")
    broken = [
        f"{page}: {link}"
        for page, targets in links.items()
        for link in targets
        if not _leads_somewhere(link, address, ids)
    ]
    with capsys.disabled():
        number = sum(map(len, links.values()))
        print(f"\n{len(PAGES)} pages, {number} links, {images} images")
    assert not broken, "\n".join(broken)


def _leads_somewhere(link, address, ids):
    """Files and anchors of the site; other hosts are only to be https."""
    if not link.startswith(f"{address}/"):
        return link.startswith("https://")
    url, anchor = urldefrag(link)
    name = unquote(urlsplit(url).path).removeprefix("/")
    if not name or name.endswith("/"):
        name += "index.html"
    if name in ids:
        return unquote(anchor) in ids[name]
    return (SITE / name).is_file()


@pytest.mark.parametrize("look", LOOKS)
def test_answers_for_fastai_are_on_screen(look, views, address):
    tab = views[look]
    tab.goto(f"{address}/from_fastai.html")
    ends = tab.evaluate(
        "() => [...document.querySelectorAll('.versions td:last-child')]"
        ".map((cell) => cell.getBoundingClientRect().right)"
    )
    assert len(ends) > 100
    assert max(ends) <= tab.evaluate("innerWidth")


@pytest.mark.parametrize("look", ["desktop light", "phone dark"])
def test_search_finds_lr_find(look, views, address):
    tab = views[look]
    tab.goto(address, wait_until="networkidle")
    if look.startswith("phone"):
        tab.locator("label[for=__search]").first.click()
    tab.locator("input[name=query]").click()
    tab.keyboard.type("lr_find", delay=20)
    found = tab.locator(".md-search-result__item a").first
    found.wait_for(timeout=10_000)
    assert "lr_find" in tab.locator(".md-search-result__list").inner_text()
    found.click()
    assert "lr_find" in tab.locator("article").inner_text()
