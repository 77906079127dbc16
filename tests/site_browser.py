"""Opens pages of the site in Chromium, on a desk and on a phone, and says what cannot be read or reached there.

usage: site_browser.py SITE      needs selenium, chromium, chromedriver
"""
import shutil
import sys

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from readable import tab_through, unreadable

PAGES = ["index.html", "docs/first-steps.html", "docs/operators.html", "docs/report.html", "docs/api-c.html", "docs/scaling.html", "CHANGELOG.html"]


def main():
    options, wrong = Options(), []
    for argument in "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", "--allow-file-access-from-files":
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        for width in 1280, 360:
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700})
            for page in PAGES:
                driver.get(f"file://{sys.argv[1]}/{page}")
                least, short = unreadable(driver)
                wrong += [f"{page} at {width}: {what}" for what in short]
                wide = driver.execute_script("return document.documentElement.scrollWidth")
                if wide > width:
                    wrong.append(f"{page} at {width}: it is {wide} wide")
                print(f"site_browser: {page} at {width}: the least contrast of a text is {least:.2f}")
        driver.get(f"file://{sys.argv[1]}/{PAGES[1]}")
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        names, hidden = tab_through(driver, 80)
        wrong += [f"the keyboard's focus is not seen on {hidden}"] if hidden else []
        wrong += [] if "install.md" in " ".join(names) else [f"the tabulator does not reach the page's links: {names}"]
    finally:
        driver.quit()
    print("\n".join(wrong) or "site_browser: all is well")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
