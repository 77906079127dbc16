"""What people cannot read or reach on a page that a browser shows: contrast of texts (4.5 to 1) and of frames and bars (3 to 1), as the
guidelines WCAG 2.2 count it; what has no name for those who hear the page; what has no sign of the keyboard's focus.
For page_browser.py and site_browser.py.
"""
from selenium.webdriver.common.keys import Keys

SCRIPT = r"""
const parse = (c) => { const n = (c.match(/[\d.]+/g) || []).map(Number); return n.length < 3 ? null : [n[0], n[1], n[2], n[3] ?? 1]; };
const over = (a, b) => [0, 1, 2].map((i) => a[3] * a[i] + (1 - a[3]) * b[i]).concat(1);
const light = (c) => { const x = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * x[0] + 0.7152 * x[1] + 0.0722 * x[2]; };
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
function behind(e) {
	const below = [];
	for (let at = e; at; at = at.parentElement) {
		const c = parse(getComputedStyle(at).backgroundColor);
		if (c && c[3] > 0)
			below.push(c);
		if (c && c[3] === 1)
			break;
	}
	return below.reduceRight((under, c) => over(c, under), [255, 255, 255, 1]);
}
function paper(e) { // behind a text
	if (!(e instanceof SVGElement))
		return behind(e);
	const before = e.previousElementSibling, box = e.closest('.box'), rect = box ? box.querySelector(':scope > rect') : e.matches('.on') && before ? before : null;
	return rect ? parse(getComputedStyle(rect).fill) : behind(e.closest('svg'));
}
const seen = (e) => { const b = e.getBoundingClientRect(); return b.width > 0 && b.height > 0 && getComputedStyle(e).visibility === 'visible' && !e.closest('[aria-hidden=true], .visually-hidden'); };
const said = [], say = (e, what) => said.push(`${e.tagName}.${e.getAttribute('class') || e.id} '${(e.textContent || "").trim().replace(/\s+/g, " ").slice(0, 30)}': ${what}`);
let least = 21;
for (const e of document.body.querySelectorAll('*')) {
	if (/^(SCRIPT|STYLE|NOSCRIPT|TITLE|OPTION|title)$/.test(e.tagName) || !seen(e))
		continue;
	const style = getComputedStyle(e), isSvg = e instanceof SVGElement;
	if ([...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) && !e.disabled) {
		const ink = parse(isSvg ? style.fill : style.color), under = paper(e), r = ratio(over(ink, under), under);
		least = Math.min(least, r);
		if (r < 4.5)
			say(e, `contrast ${r.toFixed(2)}`);
	}
	if (/^(INPUT|SELECT|BUTTON)$/.test(e.tagName) && style.borderTopWidth !== '0px') {
		const around = behind(e.parentElement), r = Math.max(ratio(parse(style.borderTopColor), around), ratio(behind(e), around));
		if (r < 3)
			say(e, `its frame has contrast ${r.toFixed(2)}`);
	}
	if (e.matches('.box > rect:first-child, rect.held, .edge')) {
		const r = ratio(parse(style.stroke), behind(e.closest('svg')));
		if (r < 3)
			say(e, `its line has contrast ${r.toFixed(2)}`);
	}
	if (e.matches('.bar')) {
		const r = Math.max(ratio(parse(style.backgroundColor), behind(e.parentElement)), style.outlineStyle === 'none' ? 0 : ratio(parse(style.outlineColor), behind(e.parentElement)));
		if (r < 3)
			say(e, `contrast ${r.toFixed(2)}`);
	}
	if (e.matches('a[href], button, input, select, [role=button], [role=tab], svg[role=img]')) {
		const name = e.getAttribute('aria-label') || e.textContent.trim() || e.title || e.alt || (e.labels && e.labels.length && e.labels[0].textContent.trim()) || e.querySelector('img[alt]')?.alt;
		if (!name)
			say(e, 'has no name');
	}
}
return [least, [...new Set(said)]];
"""


def unreadable(driver):
    """The least contrast of a text of what is shown now; what falls short."""
    return driver.execute_script(SCRIPT)


def tab_through(driver, most=60):
    """The names of what the tabulator reaches from the begin of the page on, and what does not show that it was reached."""
    driver.execute_script("document.activeElement.blur(); getSelection().removeAllRanges(); document.body.tabIndex = -1; document.body.focus();")
    names, hidden = [], []
    for _ in range(most):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        name, shown = driver.execute_script("""const e = document.activeElement, s = getComputedStyle(e);
            return [e === document.body ? '' : e.id || e.getAttribute('aria-label') || e.textContent.trim().slice(0, 40) || e.tagName,
                    (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== 'none'];""")
        if not name:
            break
        names.append(name)
        if not shown:
            hidden.append(name)
    return names, hidden
