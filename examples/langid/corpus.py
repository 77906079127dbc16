"""Lines of text in many languages, taken from Debian's translated manual pages.

fetch(folder)   downloads the packages (apt-get download: nothing is installed, no root needed) and unpacks them
load(folder)    {language: ([paragraphs to train on], [held-back pages, each a list of paragraphs])}

A page is held back by its name, so all translations of a page are on the same side, and a paragraph that also occurs in
a training page is no held-back one.  Roff markup, tables and program text are removed; so are paragraphs that were left
untranslated (po4a keeps these in English): by script, or by English function words.
"""
import gzip
import hashlib
import pathlib
import re
import subprocess

# code, name, folder under /usr/share/man, packages manpages-X; folder "" is English.
LANGUAGES = [
    ("cs", "Czech", ["cs"], "cs cs-dev"),
    ("da", "Danish", ["da"], "da da-dev"),
    ("de", "German", ["de"], "de de-dev"),
    ("en", "English", [""], "manpages manpages-dev"),
    ("es", "Spanish", ["es"], "es es-dev"),
    ("fi", "Finnish", ["fi"], "fi"),
    ("fr", "French", ["fr"], "fr fr-dev"),
    ("hu", "Hungarian", ["hu"], "hu"),
    ("it", "Italian", ["it"], "it it-dev"),
    ("ja", "Japanese", ["ja"], "ja ja-dev"),
    ("nb", "Norwegian", ["nb"], "nb"),
    ("nl", "Dutch", ["nl"], "nl nl-dev"),
    ("pl", "Polish", ["pl"], "pl pl-dev"),
    ("pt", "Portuguese", ["pt_BR"], "pt-br pt-br-dev"),
    ("ro", "Romanian", ["ro"], "ro"),
    ("ru", "Russian", ["ru"], "ru ru-dev"),
    ("sr", "Serbian", ["sr"], "sr"),
    ("sv", "Swedish", ["sv"], "sv"),
    ("tr", "Turkish", ["tr"], "tr"),
    ("uk", "Ukrainian", ["uk"], "uk uk-dev"),
    ("vi", "Vietnamese", ["vi"], "vi"),
    ("zh", "Chinese", ["zh_CN", "zh_TW"], "zh"),
]
CODES = [code for code, _, _, _ in LANGUAGES]

HELD_BACK_PERCENT = 15
MIN_BYTES = 40  # of a paragraph

SPECIAL = {"aq": "'", "cq": "’", "oq": "‘", "lq": "“", "rq": "”", "dq": '"', "Fo": "«", "Fc": "»", "en": "–", "em": "—",
           "hy": "-", "ha": "^", "ti": "~", "rs": "\\", "at": "@", "sl": "/", "ga": "`", "bu": "•", "co": "©"}
ESCAPE = re.compile(r"""\\(?:["#].*
  | [f*](?:\(..|\[[^\]]*\]|.)                  # fonts and strings
  | s[+-]?\d{1,2} | [hvwlLo]'[^']*'            # sizes, motions, lines
  | \((?P<two>..) | \[(?P<long>[^\]]*)\]       # named characters
  | (?P<one>.) )""", re.X)
SINGLE = {"-": "-", "e": "\\", "\\": "\\", " ": " ", "~": " ", "0": " ", "'": "'", "`": "`", ".": "."}
SKIPPED = {"nf": ("fi",), "EX": ("EE",), "TS": ("TE",), "Vb": ("Ve",), "de": (".",), "ig": (".",), "Bd": ("Ed",)}
FONT = re.compile(r"[.'][ \t]*(B|I|R|SM|SB|BR|RB|BI|IB|IR|RI)[ \t]+(.*)")
ARGUMENT = re.compile(r'"((?:[^"]|"")*)"?|(\S+)')

# Words that are frequent in English and rare in the other languages with Latin letters ("of" is Dutch too).
ENGLISH = set("the and of with that this which from not will are be been would should when you your its were than each "
              "used uses must into other these only but".split())
SCRIPTS = {
    "ru": r"[а-яё]", "uk": r"[а-яіїєґ]", "sr": r"[а-яђјљњћџ]",
    "ja": r"[\u3040-\u30ff\u4e00-\u9fff]", "zh": r"[\u4e00-\u9fff]",
}
KANA = re.compile(r"[\u3041-\u30fa]")


def plain(text):
    """Without escapes."""
    def one(m):
        if m["two"] or m["long"]:
            return SPECIAL.get(m["two"] or m["long"], " ")
        return SINGLE.get(m["one"], "") if m["one"] else ""
    return ESCAPE.sub(one, text)


def paragraphs(roff, joint):
    """The text paragraphs of a manual page; `joint` goes between two lines."""
    out, lines, until = [], [], ()
    for line in roff.split("\n"):
        if line[:1] in (".", "'"):
            name = line[1:].strip().split(" ")[0].split("\t")[0]
            font = FONT.match(line)
            if until:
                until = () if name in until else until
            elif font:
                words = [a.replace('""', '"') or b for a, b in ARGUMENT.findall(plain(font[2]))]
                lines.append(("" if len(font[1]) == 2 and font[1] not in ("SM", "SB") else " ").join(words))
            elif not line[1:].lstrip().startswith('\\"'):
                out.append(lines)
                lines, until = [], SKIPPED.get(name, ())
        elif not until:
            if not line.strip():
                out.append(lines)
                lines = []
            else:
                lines.append(plain(line))
    out.append(lines)
    return [re.sub(r"\s+", " ", joint.join(p)).strip() for p in out if p]


def is_language(code, text):
    """False for what is no prose of this language: untranslated English, lists of options."""
    letters = [c for c in text.lower() if c.isalpha()]
    if len(text.encode()) < MIN_BYTES or len(letters) < 0.55 * len(text):
        return False
    if code in SCRIPTS:
        own = len(re.findall(SCRIPTS[code], text.lower()))
        return own >= 0.5 * len(letters) and (code == "ja") <= bool(KANA.search(text)) and \
            (code != "zh" or not KANA.search(text))
    words = re.findall(r"[^\W\d_]+", text.lower())
    share = sum(w in ENGLISH and not (code == "nl" and w == "of") for w in words) / max(len(words), 1)
    return share >= 0.04 if code == "en" else share < 0.04


def fetch(folder):
    folder = pathlib.Path(folder).resolve()
    if (folder / "unpacked").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    packages = [p if p.startswith("manpages") else "manpages-" + p for row in LANGUAGES for p in row[3].split()]
    subprocess.run(["apt-get", "download", *packages], cwd=folder, check=True)
    partial = folder / "partial"
    for deb in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", deb, partial], check=True)
    partial.rename(folder / "unpacked")


def pages(folder, man_folders):
    """(name, text) of each page, sorted; links and pages that only include another are left out."""
    for sub in man_folders:
        root = pathlib.Path(folder) / "unpacked/usr/share/man" / sub
        for path in sorted(root.glob("man[0-9]*/*.gz")):
            if not path.is_symlink():
                text = gzip.open(path).read().decode("utf-8", "ignore")
                if not text.startswith(".so "):
                    yield path.name, text


def is_held_back(page_name):
    return hashlib.sha1(page_name.encode()).digest()[0] * 100 < HELD_BACK_PERCENT * 256


def load(folder):
    corpus = {}
    for code, _, man_folders, _ in LANGUAGES:
        train, held, seen = [], [], set()
        found = list(pages(folder, man_folders))
        for name, roff in sorted(found, key=lambda page: is_held_back(page[0])):  # training pages first
            texts = []
            for text in paragraphs(roff, "" if code in ("ja", "zh") else " "):
                if text not in seen and is_language(code, text):
                    seen.add(text)
                    texts.append(text)
            if is_held_back(name):
                held.append(texts)
            else:
                train += texts
        corpus[code] = train, [texts for texts in held if texts]
    return corpus
