"""Hook of mkdocs (mkdocs.yml): the pages lie where they lie in the repository, and so links between them, and to files outside of
docs/, are right in both.  README.md is the first page; a file that a page links to is part of the site: Markdown as a page."""

import os
import re

from mkdocs.structure.files import File, Files

LINK = re.compile(r"\]\(([^):#]+)[^)]*\)")


def linked(root, pages):
    """The pages, and what they link to, as paths below root."""
    found, waiting = {}, list(pages)
    while waiting:
        path = waiting.pop()
        if path in found or path.startswith("..") or not os.path.isfile(os.path.join(root, path)):
            continue
        found[path] = None
        if path.endswith(".md"):
            with open(os.path.join(root, path), encoding="utf-8") as f:
                waiting += [os.path.normpath(os.path.join(os.path.dirname(path), link)) for link in LINK.findall(f.read())]
    return list(found)


def on_files(files, config):
    root, docs = os.path.dirname(config["config_file_path"]), config["docs_dir"]
    own = [file for file in files if file.abs_src_path.startswith(docs + os.sep)]
    paths = linked(root, ["README.md", "CHANGELOG.md", *(os.path.relpath(file.abs_src_path, root) for file in own)])
    theirs = [file for file in files if file not in own]  # of the theme
    return Files([*theirs, *(File(path, root, config["site_dir"], config["use_directory_urls"]) for path in paths)])


def on_post_page(output, **_):
    """The theme of mkdocs 1.4 names the way home by an attribute that links do not have."""
    return output.replace('class="icon icon-home" alt=', 'class="icon icon-home" aria-label=')
