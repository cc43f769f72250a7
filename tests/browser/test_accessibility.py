"""The page for those who use a keyboard, a screen reader or little contrast: axe-core's rules, and what it cannot see."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import pytest

from app.examples import EXAMPLES
from tests.browser.conftest import Tab, open_pages
from tests.waiting import until

pytestmark = pytest.mark.browser
AXE = files("axe_playwright_python").joinpath("axe.min.js")
TABS = ("Reconstruct", "Generate", "Interpolate", "Complete", "Inspect", "History")
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
CONTRASTS = """() => {
  const light = ([r, g, b]) => {
    const one = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * one(r) + 0.7152 * one(g) + 0.0722 * one(b);
  };
  const pen = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const mixed = (colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const ground = (node) => {
    const layers = ['#fff'];
    const chain = [];
    for (let one = node; one; one = one.parentElement) chain.unshift(getComputedStyle(one).backgroundColor);
    return [...layers, ...chain];
  };
  return [...document.querySelectorAll('input')].filter((one) => one.placeholder && one.offsetParent && !one.disabled).map((one) => {
    const below = ground(one), over = [...below, getComputedStyle(one, '::placeholder').color];
    const [a, b] = [light(mixed(below)), light(mixed(over))].sort((x, y) => y - x);
    return [one.ariaLabel ?? one.name, (a + 0.05) / (b + 0.05)];
  });
}"""
"""Contrast of every placeholder that is seen; axe does not look at them."""


def opened(browser, url: str, theme: str) -> Iterator[Tab]:
    """A tab with two generated objects in it, in light or dark, and axe in all its frames."""
    with open_pages(browser, f"{url}?__theme={theme}") as make:
        tab = make()
        tab.tab("Generate")
        tab.page.fill("#count input[type=number]", "2")
        tab.run("#generate")
        for frame in tab.page.frames:
            frame.evaluate(AXE.read_text(encoding="utf-8"))
        yield tab


@pytest.fixture(scope="module", params=["light", "dark"])
def themed(request, explorer, chromium) -> Iterator[Tab]:
    yield from opened(chromium, explorer[0], request.param)


@pytest.fixture(scope="module")
def tab(explorer, chromium) -> Iterator[Tab]:
    yield from opened(chromium, explorer[0], "light")


def violations(tab: Tab) -> list[str]:
    """What axe-core finds, all rules, the frame of the view included."""
    found = tab.page.evaluate("axe.run(document)")
    return [
        f"{rule['id']}: {node['target']} {node['html'][:120]} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
def test_axe_finds_nothing_in_any_tab(themed, size):
    themed.page.set_viewport_size({"width": size[0], "height": size[1]})
    for name in TABS:
        themed.tab(name)
        if name == "Inspect":
            until(lambda: themed.page.locator(".chart").count() == 6, "the curves")
        assert violations(themed) == [], name
        faint = [one for one in themed.page.evaluate(CONTRASTS) if one[1] < 4.5]
        assert not faint, name


def test_axe_finds_nothing_in_an_open_dialog_and_an_error(themed):
    themed.page.set_viewport_size({"width": 1280, "height": 800})
    themed.page.click("[data-dialog=about]")
    assert violations(themed) == []
    themed.page.keyboard.press("Escape")
    assert not themed.page.locator("#about").is_visible()
    themed.tab("Complete")
    themed.page.evaluate(
        "document.querySelector('#complete-problem').innerHTML = '<p class=error role=alert>Said.</p>'"
    )
    assert violations(themed) == []


def outlined(tab: Tab) -> bool:
    """Whether the element that has the focus, or the label around it, is outlined."""
    return tab.page.evaluate(
        """() => [document.activeElement, document.activeElement.closest('label')].some((one) => one
          && getComputedStyle(one).outlineStyle !== 'none' && parseFloat(getComputedStyle(one).outlineWidth) >= 2)"""
    )


def test_everything_that_can_be_pressed_is_reached_by_the_tab_key_and_outlined(tab):
    tab.page.set_viewport_size({"width": 1280, "height": 800})
    for name in TABS:
        tab.tab(name)
        wanted = tab.page.evaluate(
            """() => (window.stops = [...document.querySelectorAll('#panel, #toolbar, #timeline')].flatMap((part) =>
              [...part.querySelectorAll('button, a[href], input, select, [role=slider], [data-arrows]')])
              .filter((one) => one.checkVisibility() && !one.disabled && one.type !== 'file'
                && (one.type !== 'radio' || one.checked) && one.tabIndex >= 0)
              ).map((_, k) => k)"""
        )
        reached, bare = set(), []
        tab.page.evaluate("document.getElementById('prior').querySelector('input').focus()")
        for _ in range(len(wanted) + 8):
            stop = tab.page.evaluate("window.stops.indexOf(document.activeElement)")
            reached.add(stop)
            if stop >= 0 and not outlined(tab):
                bare.append(tab.page.evaluate("document.activeElement.outerHTML.slice(0, 120)"))
            if reached.issuperset(wanted):
                break
            tab.page.keyboard.press("Tab")
        missed = [stop for stop in wanted if stop not in reached]
        told = [
            tab.page.evaluate(
                "stop => window.stops[stop].outerHTML.slice(0, 120)",
                stop,
            )
            for stop in missed
        ]
        assert not told, name
        assert not bare, name


def test_the_procedure_is_chosen_by_the_keyboard(tab):
    tab.tab("Generate")
    tab.page.locator("#generate-mode input").first.focus()
    tab.page.keyboard.press("ArrowRight")
    chosen = tab.page.locator("#generate-mode label.selected")
    until(lambda: chosen.inner_text().strip() == "Paper", "the other procedure")
    assert outlined(tab)

    def back() -> bool:
        tab.page.keyboard.press("ArrowLeft")  # the answer may draw the choice anew meanwhile
        return chosen.inner_text().strip() == "Ours"

    until(back, "the first procedure")


def test_steps_and_parts_of_a_latent_are_gone_through_by_the_keyboard(tab):
    tab.tab("Inspect")
    until(lambda: tab.page.locator(".chart").count() == 6, "the curves")
    strip = tab.page.get_by_role("slider", name="Step of this run")
    strip.focus()
    tab.page.keyboard.press("Home")
    until(lambda: tab.shown == 0, "the first step")
    assert strip.get_attribute("aria-valuenow") == "1"
    tab.page.keyboard.press("ArrowRight")
    until(lambda: tab.shown == 1, "the second step")
    assert "2 of" in strip.get_attribute("aria-valuetext")
    branch = tab.page.locator(".insp-primary")
    until(branch.is_enabled, "a step to branch from")
    tab.page.keyboard.press("End")
    until(branch.is_disabled, "the end, from which nothing branches")
    assert tab.page.locator(".insp-why").inner_text().endswith(".")
    tab.page.locator(".sheet").focus()
    tab.page.keyboard.press("Enter")
    name = tab.page.locator(".insp-enlarged .name")
    until(lambda: name.count() and name.inner_text() == "code 1", "a part of the latent")
    tab.page.keyboard.press("ArrowRight")
    until(lambda: name.inner_text() == "code 2", "the next part")
    tab.page.keyboard.press("Escape")
    assert not tab.page.locator(".insp-enlarged").is_visible()


def test_escape_ends_the_comparison_and_closes_the_list_of_priors(tab):
    tab.page.locator("#prior input").click()
    options = tab.page.locator("#prior").get_by_role("option")
    until(lambda: options.count() > 1, "the priors")
    tab.page.keyboard.press("Escape")
    until(lambda: options.count() == 0, "the list's end")
    tab.tab("History")
    tab.page.locator("#cards .hcard").last.hover()
    tab.page.locator("#cards .hcard").last.locator("[data-act=compare]").click()
    ending = tab.page.locator("#end-comparison")
    until(ending.is_visible, "a comparison")
    tab.page.keyboard.press("Escape")
    until(lambda: not ending.is_visible(), "its end")


def test_a_main_button_that_cannot_work_yet_is_off_and_says_why(tab):
    tab.tab("Reconstruct")
    go, why = tab.page.locator("#reconstruct"), tab.page.locator("#reconstruct-why")
    assert go.is_disabled()
    assert why.is_visible()
    assert "picture" in why.inner_text()
    tab.page.locator("#examples button, #slots input[type=file]").first.wait_for(state="attached")
    tab.page.set_input_files("#image-1 input[type=file]", str(EXAMPLES[0].path))
    until(go.is_enabled, "a picture")
    assert not why.is_visible()
    tab.tab("Complete")
    until(tab.page.locator("#regenerate").is_disabled, "nothing that is marked")
    assert "Mark first" in tab.page.locator("#regenerate-why").inner_text()


def test_the_end_of_a_run_is_told_aloud(tab):
    live = tab.page.locator("#live")
    assert live.get_attribute("role") == "status"
    tab.tab("Generate")
    tab.page.evaluate(
        """() => { window.said = []; new MutationObserver(() => said.push(document.getElementById('live').textContent))
          .observe(document.getElementById('live'), {childList: true, characterData: true, subtree: true}) }"""
    )
    tab.page.fill("#count input[type=number]", "1")
    tab.run("#generate")
    until(lambda: any(one.startswith("Done") for one in tab.page.evaluate("said")), "the end")
    said = tab.page.evaluate("said")
    assert any("enois" in one for one in said)
    assert len(said) < tab.figures(), "not every step"
    assert not tab.problems


def test_nothing_moves_by_itself_for_those_who_ask_for_less_motion(tab):
    tab.page.emulate_media(reduced_motion="reduce")
    slow = tab.page.evaluate(
        """() => [...document.querySelectorAll('body *')].filter((one) => {
          const {transitionDuration, animationDuration} = getComputedStyle(one);
          return [transitionDuration, animationDuration].some((text) => text.split(',').some((part) => parseFloat(part) > 0.01));
        }).map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert not slow
    assert tab.page.evaluate("explorer.motion()") == "instant"
    tab.page.emulate_media(reduced_motion="no-preference")
    assert tab.page.evaluate("explorer.motion()") == "smooth"
