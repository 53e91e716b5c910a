"""What MkDocs calls while it builds the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lexer
import pages
import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

HERE = Path(__file__).parent
ASSETS = ("style.css", "iframe-worker.js")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the lexer of the language known."""
    lexer.register()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside ``docs/``, and the site's own style and script."""
    own = [file.src_uri for file in files.documentation_pages()]
    nav = [page for page in named(config.nav) if page not in own]
    outside = pages.outside([pages.HOME, *nav, *own])
    for page, text in outside.items():
        inclusion = InclusionLevel.NOT_IN_NAV if page.endswith(pages.OF_CODE) else InclusionLevel.INCLUDED
        files.append(File.generated(config, page, content=text, inclusion=inclusion))
    inside = {page: (HERE.parent / page).read_text(encoding="utf-8") for page in own}
    for path in pages.pictures(inside | outside):
        files.append(File.generated(config, path, abs_src_path=str(pages.ROOT / path)))
    for name in ASSETS:
        files.append(File.generated(config, f"assets/{name}", content=(HERE / name).read_text(encoding="utf-8")))
    return files


def named(nav: Any) -> list[str]:
    """The pages that a navigation names."""
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav or []
    return [page for entry in entries for page in named(entry)]


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The Markdown of the site for that of the repository."""
    name = page.file.src_uri

    def changed(prose: str) -> str:
        return pages.with_references(pages.spaced(pages.linked(prose, name)), reference.ANCHORS)

    text = pages.prose(text, changed)
    if name.startswith("reference/"):
        text = reference.with_objects(text)
        text = reference.with_commands(text)
    if name == pages.HOME:
        page.meta["title"] = "Neural networks as short texts"  # the site's name follows it
    if name.endswith(pages.OF_CODE):
        page.meta["search"] = {"exclude": True}  # what they show stands on other pages, too
    return pages.plain_fences(text)
