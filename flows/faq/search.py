"""Find the passages of the handbook that fit a question best (BM25, by the library lunr)."""

import re
import threading
from functools import lru_cache
from pathlib import Path

from lunr import lunr
from lunr.index import Index
from promptflow.core import tool

HANDBOOK = Path(__file__).with_name("handbook.md")
# Requests run side by side in threads, and all searches of lunr share one stemmer.
LOCK = threading.Lock()
# The rest of a longer question is left out: lunr takes its time for each word, and others wait.
LONGEST = 2_000


@lru_cache(maxsize=1)
def load() -> tuple[Index, dict[str, str]]:
    """Read the handbook once: its index, and the text of each section by title."""
    parts = re.split(r"^## +(.+)$", HANDBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = {title.strip(): text.strip() for title, text in zip(parts[1::2], parts[2::2])}
    documents = [{"title": title, "text": text} for title, text in sections.items()]
    index = lunr(
        ref="title",
        fields=[{"field_name": "title", "boost": 2}, "text"],
        documents=documents,
    )
    return index, sections


@tool
def search(query: str, limit: int = 2) -> dict:
    """Return the best `limit` passages and the titles of the sections they come from."""
    index, sections = load()
    # The query language of lunr gives meaning to + - : ~ ^ *; a question means none of it.
    words = re.sub(r"[^\w\s]", " ", query[:LONGEST])
    with LOCK:
        hits = index.search(words)[:limit] if words.strip() else []
    titles = [hit["ref"] for hit in hits]
    return {
        "passages": [{"title": title, "text": sections[title]} for title in titles],
        "sources": titles,
    }
