"""The texts and the size of the pages."""

from __future__ import annotations

import re

import pytest

from chalicelib import errors, pages
from chalicelib.address import Address
from chalicelib.errors import LoginError
from tests.support.gateway import GatewayVisitor

ADDRESS = Address("https://login.example.com")


def kinds(branch: type[LoginError] = LoginError) -> list[type[LoginError]]:
    """The errors that have a page."""
    own = [branch] if "reason" in vars(branch) else []
    return [*own, *(kind for child in branch.__subclasses__() for kind in kinds(child))]


@pytest.mark.parametrize("kind", kinds())
def test_an_error_can_be_found_by_its_reason_and_its_page_says_who_must_act(kind: type[LoginError]) -> None:
    error = errors.of(kind.reason)
    assert type(error) is kind
    (label,) = re.findall(r'<p class="label \w+">(.+)</p>', pages.failure(error, "a reference", None))
    assert label == error.acts.value
    assert {"login", "home"} <= set(kind.offers) <= set(pages.LINKS)


def test_no_sentence_is_longer_than_20_words() -> None:
    templates = [path.read_text(encoding="utf-8") for path in pages.HERE.glob("*.html")]
    texts = [pages.WHY_ENDED, pages.KEEPS, pages.KEEPS_NOT, *templates]
    for error in (errors.of(kind.reason) for kind in kinds()):
        texts += [error.title, error.message, error.remedy]
    for text in texts:
        for sentence in re.split(r"[.?!:;](?:\s|$)|</?(?:p|a|dt|dd|h1|li|summary)\b[^>]*>", text):
            assert len(re.sub(r"<[^>]+>", "", sentence).split()) <= 20, sentence


def test_a_page_is_a_few_kilobytes_without_scripts_or_files_of_its_own(visitor: GatewayVisitor) -> None:
    visitor.log_in("premium")
    for html in (pages.home(ADDRESS, ""), visitor.get("/").text, visitor.get("/callback").text):
        assert len(html.encode()) < 8 * 1024
        assert not re.search(r"<script|<link rel=.stylesheet|style=|\bon\w+=|url\(", html)
