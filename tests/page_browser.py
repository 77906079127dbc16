"""Opens the pages that page_browser.sh has made in Chromium, uses them as people do, and says what is not as it should be.

usage: page_browser.py FOLDER [--pictures]      needs selenium, chromium, chromedriver
"""
import os
import shutil
import sys
import time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from readable import tab_through, unreadable

MODELS = {  # an ONNX node that has a kernel, one that has none of its own
    "transformer": ("/up/MatMul", "/Transpose"), "dynconv": (None, None), "conv": ("/block1/conv/Conv", "/head/Flatten"),
    "lstm": ("/lstm/LSTM", "/lstm/Squeeze"), "loop": ("/step/MatMul", None), "bert": ("/bert/encoder/layer.7/intermediate/dense/MatMul", "/bert/encoder/layer.3/attention/self/Transpose"),
}
NOT_PROFILED = "bert"  # its weights are zeros
VIEWS = ["graph", "kernels", "memory", "weights", "fusions", "onnx", "ir"]
wrong = []


def must(condition, what):
    if not condition:
        wrong.append(what)
        print(f"page_browser: {what}")


class Page:
    def __init__(self, driver, folder, name):
        self.driver, self.name, self.folder = driver, name, folder
        driver.get("about:blank")
        driver.get(f"file://{folder}/{name}.html")
        self.wait("document.documentElement.dataset.drawn", "is not drawn", 60)
        self.drawn = int(self.js("document.documentElement.dataset.drawn"))

    def js(self, expression, *arguments):
        return self.driver.execute_script(f"return {expression}", *arguments)

    def must(self, condition, what):
        must(condition, f"{self.name}: {what}")

    def wait(self, expression, otherwise, seconds=10):
        end = time.time() + seconds
        while not self.js(f"Boolean({expression})"):
            if time.time() > end:
                self.must(False, otherwise)
                return
            time.sleep(0.02)

    def quiet(self):
        for entry in self.driver.get_log("browser"):
            self.must(False, f"console: {entry['message'][:300]}")

    def go(self, address):
        self.driver.execute_script("location.hash = arguments[0]", address)
        self.js("1")

    def search(self, words):
        box = self.driver.find_element(By.ID, "query")
        box.click()
        box.clear()
        box.send_keys(words)
        self.wait("document.querySelectorAll('#found li').length", f"search of {words} finds nothing")
        box.send_keys(Keys.ENTER)

    def title(self):
        return self.js("document.querySelector('#details h2').textContent")

    def picture(self, name):
        self.driver.save_screenshot(f"{self.folder}/{name}.png")


def search_and_follow(page, node, viewless):
    """From an ONNX node to its kernel, its step, the text and back."""
    page.driver.find_element(By.TAG_NAME, "body").send_keys("/")
    page.must(page.js("document.activeElement.id") == "query", "/ does not lead to the search")
    page.search(node)
    page.wait(f"document.querySelector('#details h2').textContent === 'ONNX node {node}'", f"search of {node} leads elsewhere: {page.title()}")
    page.must(page.js("shown") == "graph" and page.js("document.querySelectorAll('.box.picked').length") == 1, f"{node} is not picked in the graph")
    box = page.js("document.querySelector('.box.picked').getBoundingClientRect().toJSON()")
    view = page.js("document.querySelector('#view').getBoundingClientRect().toJSON()")
    page.must(view["left"] <= box["left"] and box["right"] <= view["right"] and view["top"] <= box["top"] and box["bottom"] <= view["bottom"],
              f"{node} is outside of the view: {box}, {view}")
    page.driver.find_element(By.CSS_SELECTOR, "#details a[href^='#kernels/kernel/']").click()
    page.wait("shown === 'kernels'", "the link to the kernel does not lead to the kernels")
    page.must(page.title().startswith("Kernel ") and "kernel @" in page.js("document.querySelector('#details pre').textContent"), "the kernel has no text")
    page.must(page.js("document.querySelectorAll('#view tbody tr').length") > 1, "there are no rows of kernels")
    page.driver.find_element(By.CSS_SELECTOR, "#details a[href^='#kernels/step/']").click()
    page.wait("document.querySelector('#details h2').textContent.startsWith('step')", "the link to the step leads elsewhere")
    page.driver.find_element(By.CSS_SELECTOR, "#details a[href^='#graph/row/']").click()
    page.wait("shown === 'graph'", "the link from the step does not lead to the graph")
    page.driver.find_element(By.CSS_SELECTOR, "#details a[href^='#ir/row/']").click()
    page.wait("document.querySelector('.lines .picked')", "the line of the IR is not picked")
    page.must(page.js("document.querySelector('.lines .picked').textContent.includes(picked.ref)"), "another line of the IR is picked")
    page.driver.back()
    page.wait("shown === 'graph'", "the browser's arrow does not lead back")
    if viewless:
        page.search(viewless)
        page.wait(f"document.querySelector('#details h2').textContent === 'ONNX node {viewless}'", f"search of {viewless} leads elsewhere: {page.title()}")
        page.must("no code of its own" in page.js("document.querySelector('#details').textContent"), f"{viewless}: nothing says that it has no code")
        page.must(page.js("document.querySelectorAll('.box.picked').length") == 1, f"{viewless} leads nowhere in the graph")


def all_views(page):
    for key, view in enumerate(VIEWS, 1):
        page.driver.find_element(By.TAG_NAME, "body").send_keys(str(key))
        page.wait(f"shown === '{view}'", f"key {key} does not show {view}")
        page.must(page.js("document.querySelector('#view').children.length"), f"{view} is empty")
    page.must(page.js("rowOfLine.size") > 0 and page.js("rows.filter((r) => r.isNode && r.line < 0).length") == 0, "nodes without a line of the IR")


def all_levels(page):
    """Open every level: each node has a box, inside of its level's, and no two of a level overlap."""
    page.go("#graph")
    page.driver.execute_script("levels.forEach((l) => opened.add(l)); layouts.clear(); show('graph');")
    page.must(page.js("rows.filter((r) => r.kind === 'row' && !boxes.has(r)).length") == 0, "a node has no box")
    page.must(page.js("""[...layouts.values()].every((l) => l.places.every((p, i) => p.x >= 0 && p.y >= 0 && p.x + p.width <= l.width + 1 &&
        l.places.slice(i + 1).every((q) => p.x + p.width <= q.x || q.x + q.width <= p.x || p.y + p.height <= q.y || q.y + q.height <= p.y)))"""),
              "boxes overlap")
    page.must(page.js("[...layouts.values()].every((l) => l.edges.every((e) => !e.points || e.points.every((p) => p.x >= 0 && p.x <= l.width && p.y >= 0 && p.y <= l.height)))"),
              "an edge leaves its level")


def keys_and_clicks(page):
    page.driver.execute_script("opened.clear(); opened.add(root); layouts.clear(); camera = null; show('graph');")
    body = page.driver.find_element(By.TAG_NAME, "body")
    for level in page.driver.find_elements(By.CSS_SELECTOR, ".box.level")[:1]:
        level.click()
        page.wait("picked && picked.kind === 'level'", "a click does not pick a level")
        before = page.js("boxes.size")
        body.send_keys(Keys.ENTER)
        page.must(page.js("boxes.size") > before, "Enter does not open a level")
        body.send_keys(Keys.ENTER)
        page.must(page.js("boxes.size") == before, "Enter does not close a level")
    page.go("#graph/row/0")
    at = page.js("location.hash")
    body.send_keys(Keys.ARROW_DOWN)
    page.wait(f"location.hash !== '{at}' && picked", "an arrow does not move along an edge")
    dark = page.js("document.documentElement.classList.contains('dark')")
    body.send_keys("t")
    page.must(page.js("document.documentElement.classList.contains('dark')") != dark, "t does not change the theme")
    body.send_keys("t")


def profile_is_shown(page):
    page.go("#kernels")
    page.wait("shown === 'kernels'", "no kernels")
    page.must(page.js("document.querySelectorAll('circle.dot').length") > 0, "no kernel in the roofline")
    page.must(page.js("""(() => { const ms = [...[...document.querySelectorAll('#view tbody')].at(-1).children].map((tr) => Number(tr.children[1].textContent));
        return ms.length === steps.length && ms.every((x, i) => !i || x <= ms[i - 1]); })()"""), "kernels are not in the order of their times")
    page.must(page.js("Math.abs(root.ms - profile.steps_ms) <= 0.01 * profile.steps_ms + 1e-9"), "times of levels do not add up")
    page.go("#memory")
    page.wait("shown === 'memory'", "no memory")
    page.must(page.js("document.querySelectorAll('rect.held').length") == page.js("slots.reduce((n, s) => n + s.held.length, 0)"), "not all slots are drawn")
    page.must(page.js("valueOf(data.workspace) > 0 && slots.every((s) => valueOf(s.offset) + valueOf(s.bytes) <= valueOf(data.workspace))"), "slots are outside of the workspace")
    if page.js("document.querySelector('#view input[type=number]') !== null"):
        before = page.js("document.querySelector('#view h2').textContent")
        page.driver.execute_script("const i = document.querySelector('#view input'); i.value = 33; i.dispatchEvent(new Event('change'));")
        page.must(page.js("document.querySelector('#view h2').textContent") != before, "the workspace does not follow a symbol")


def models(driver, folder, pictures):
    for name, (node, viewless) in MODELS.items():
        page = Page(driver, folder, name)
        node = node or page.js("text(onnx.find((n) => n.steps.length && n.rows.length).name)")
        search_and_follow(page, node, viewless)
        all_views(page)
        all_levels(page)
        keys_and_clicks(page)
        if name != NOT_PROFILED:
            profile_is_shown(page)
        page.must(page.drawn < 2000, f"drawn after {page.drawn} ms")
        page.quiet()
        print(f"page_browser: {name}: drawn {page.drawn} ms after the page was asked for")


def modules(driver, folder):
    """Layers that the exporter tells in metadata."""
    page = Page(driver, folder, "layers")
    page.must(page.js("root.children.filter((c) => c.kind === 'level').map((c) => c.title).join()") == "blocks.0,blocks.1,blocks.2,blocks.3", "modules are no layers")
    page.go("#graph/onnx/3")
    page.wait("picked", "nothing is picked")
    page.must("blocks.1/up" in page.js("document.querySelector('#details').textContent"), "the module of a node is not told")
    page.quiet()


def next_iterations(driver, folder):
    """In the picture of a loop an edge leads back to what it carries."""
    page = Page(driver, folder, "loop")
    page.driver.execute_script("levels.forEach((l) => opened.add(l)); layouts.clear(); show('graph');")
    page.must(page.js("[...document.querySelectorAll('.edge.back')].map((e) => [e.edge.b.what, e.edge.rows[0].what].join(' ')).join()") == "carried tanh",
              "no edge leads from what a loop yields to what it carries")
    page.must(page.js("getComputedStyle(document.querySelector('.edge.back')).strokeDasharray") != "none", "it looks like the others")
    page.go(f"#graph/row/{page.js('data.back[0][1]')}")
    page.wait("picked", "nothing is picked")
    page.must("the iteration before gives" in page.js("document.querySelector('#details').textContent"), "the details do not tell what comes from the iteration before")
    page.quiet()


def two_targets(driver, folder):
    """The page shows either target; the profile is of the first."""
    page = Page(driver, folder, "transformer")
    kernels = "[...document.querySelectorAll('#details dd a')].map((a) => a.textContent).join(' ')"
    node = page.js("onnx.findIndex((n) => text(n.name) === '/up/MatMul')")
    page.go(f"#kernels/onnx/{node}")
    page.wait("shown === 'kernels'", "no kernels")
    page.must(page.js("[...document.querySelectorAll('#view table')][0].textContent.includes('avx2')"), "no table of the targets")
    page.must(page.js("data.programs.every((p) => codeOf(p) > 1000) && codeOf(data.programs[0]) !== codeOf(data.programs[1])"), "no sizes of code")
    page.must(".avx512" in page.js(kernels) and ".avx2" in page.js(kernels), f"the node's kernels are not told for both: {page.js(kernels)}")
    page.must(page.js("root.ms") > 0, "no times")
    choice = page.driver.find_element(By.ID, "target")
    choice.send_keys(Keys.ARROW_DOWN)
    page.wait("program.target === 'avx2'", "the choice does not turn to avx2")
    page.must(page.js("shown === 'kernels' && picked === onnx[arguments[0]]", node), "what was chosen is lost")
    page.must(page.js("steps.some((s) => text(s.kernel.name).endsWith('.avx2')) && !steps.some((s) => text(s.kernel.name).endsWith('.avx512'))"), "kernels of the other target")
    page.must(page.js("root.ms === 0 && document.querySelectorAll('circle.dot').length === 0"), "times of the other target")
    step = page.js("steps.findIndex((s) => s.kernel && text(s.kernel.name).endsWith('.avx2'))")
    page.go(f"#kernels/step/{step}/avx2")
    page.wait("document.querySelector('#details pre').textContent.includes('target avx2')", "no text of its kernel")
    page.go(f"#memory/step/{step}/avx2")
    page.wait("document.querySelectorAll('rect.held').length", "no memory")
    choice.send_keys(Keys.ARROW_UP)
    page.wait("program.target === 'avx512'", "the choice does not turn back")
    page.must(page.js("picked.kind") == "onnx" and page.js("root.ms > 0"), "a step of one target stays chosen for the other, or times are lost")
    page.driver.back()
    page.wait("program.target === 'avx2'", "the browser's arrow does not turn back to avx2")
    page.quiet()


def for_everyone(driver, folder):
    """Contrast, names and keyboard, in the light and in the dark."""
    for name in "transformer", "loop":
        page = Page(driver, folder, name)
        least = 21
        for dark in False, True:
            page.driver.execute_script(f"setTheme({str(dark).lower()}); levels.forEach((l) => opened.add(l)); layouts.clear();")
            for view in VIEWS:
                page.go(f"#{view}/onnx/1")
                page.wait(f"shown === '{view}'", f"no view {view}")
                contrast, short = unreadable(driver)
                least = min(least, contrast)
                for what in short:
                    page.must(False, f"{'dark' if dark else 'light'} {view}: {what}")
        print(f"page_browser: {name}: the least contrast of a text is {least:.2f}")
    page.go("#graph")
    names, hidden = tab_through(driver, 20)
    page.must(not hidden, f"the keyboard's focus is not seen on {hidden}")
    for want in "query", "target", "theme", "Graph", "The graph: arrows move along edges, Enter opens and closes", "Larger":
        page.must(want in names, f"the tabulator does not reach {want}: {names}")
    page.driver.execute_script("document.querySelector('#tabs button').focus()")
    driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    page.wait("shown === 'kernels' && document.activeElement.dataset.view === 'kernels'", "an arrow does not lead to the next tab")
    page.go("#ir")
    page.wait("shown === 'ir'", "no IR")
    page.driver.execute_script("document.activeElement.blur()")
    for line in page.js("[...rowOfLine.keys()].sort((a, b) => a - b)")[:2]:
        page.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_DOWN)
        page.wait(f"picked && picked.line === {line} && document.querySelector('.lines .picked')", f"an arrow does not lead to line {line} of the IR")
    page.quiet()


def phone(driver, folder):
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True})
    page = Page(driver, folder, "conv")
    for view in VIEWS:
        page.go(f"#{view}")
        page.wait(f"shown === '{view}'", f"no view {view}")
        page.must(page.js("document.documentElement.scrollWidth <= 360"), f"on a phone {view} is wider than the screen")
        page.must(page.js("document.querySelector('#view').clientHeight > 200"), f"on a phone there is no room for {view}")
    page.go("#graph/onnx/3")
    page.must(page.js("document.querySelector('#details').clientHeight > 100"), "on a phone there is no room for details")
    page.quiet()
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def evil_names(driver, folder):
    scripts = None
    for name in "conv", "evil", "long":
        page = Page(driver, folder, name)
        scripts = scripts or page.js("document.scripts.length")
        all_levels(page)
        for view in VIEWS:
            page.go(f"#{view}/onnx/0")
            page.wait(f"shown === '{view}'", f"no view {view}")
            page.must(page.js("document.querySelectorAll('img').length") == 0 and page.js("document.scripts.length") == scripts, f"a name became an element in {view}")
            page.must(not page.js(r"/[\u0000-\u0008\u000b-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/.test(['header', 'nav', 'main'].map((tag) => document.querySelector(tag).textContent).join())"), f"a raw character in {view}")
        page.search("script")
        page.must(page.js("picked !== null") or name == "conv", "an evil name is not found")
        page.quiet()


def large(driver, folder):
    for name in "many", "flat", "dense", "huge", "weights":
        page = Page(driver, folder, name)
        # the slowest level by itself; what comes of two times, since others run on this machine
        page.driver.execute_script("opened.clear(); opened.add(root);")
        slowest = page.js("""(() => { const time = (level) => { layouts.clear(); const t = performance.now(); layoutOf(level); return performance.now() - t; };
            const some = levels.filter((l) => l.children.length > 1).sort((a, b) => b.children.length - a.children.length).slice(0, 5);
            return Math.max(...some.map((l) => Math.min(time(l), time(l)))); })()""")
        page.must(slowest < 1000, f"a level takes {slowest:.0f} ms")
        if name == "many":  # a row far down a list
            page.go("#onnx/onnx/4500")
            page.wait("document.querySelector('tr.picked')", "the list of ONNX nodes does not show what is chosen")
            page.must(page.js("(() => { const at = document.querySelector('tr.picked').getBoundingClientRect(); return at.top > 0 && at.bottom < innerHeight; })()"), "it is not in view")
        last = page.js("rows.length - 2")
        start = time.time()
        page.go(f"#graph/row/{last}")
        page.wait("document.querySelectorAll('.box.picked').length === 1", f"row {last} is not shown")
        opening = time.time() - start
        page.quiet()
        print(f"page_browser: {name}: drawn {page.drawn} ms after the page was asked for, a level {slowest:.0f} ms, to the last node {1e3 * opening:.0f} ms")


def take_pictures(driver, folder):
    driver.set_window_size(1100, 800)
    page = Page(driver, folder, "bert")
    page.go(f"#graph/onnx/{page.js('onnx.findIndex((n) => text(n.name) === arguments[0])', '/bert/encoder/layer.1/intermediate/dense/MatMul')}")
    page.picture("report-graph")
    page = Page(driver, folder, "transformer")
    page.go("#kernels")
    page.picture("report-kernels")
    page.driver.find_element(By.TAG_NAME, "body").send_keys("t")
    page.go("#memory")
    page.picture("report-memory")


def main():
    folder = sys.argv[1]
    options = Options()
    for argument in "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", "--force-device-scale-factor=1":
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        models(driver, folder, "--pictures" in sys.argv)
        modules(driver, folder)
        next_iterations(driver, folder)
        two_targets(driver, folder)
        for_everyone(driver, folder)
        phone(driver, folder)
        evil_names(driver, folder)
        large(driver, folder)
        if "--pictures" in sys.argv:
            take_pictures(driver, folder)
    finally:
        driver.quit()
    if not wrong:
        print("page_browser: all is well")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
