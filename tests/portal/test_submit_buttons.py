"""Enter in a field presses the first button of its form. Hazard: it decides what nobody has chosen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import proxy.portal

TEMPLATES = sorted((Path(proxy.portal.__path__[0]) / "templates").rglob("*.html"))
FORM = re.compile(r"<form\b.*?</form>", re.DOTALL)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda each: each.stem)
def test_a_form_has_one_button_that_sends_it(template: Path) -> None:
    for form in FORM.findall(template.read_text()):
        sent_by = [each for each in re.findall(r"<button\b[^>]*>", form) if 'type="button"' not in each]
        assert len(sent_by) == 1, form


def test_what_is_decided_about_an_event_has_to_be_chosen() -> None:
    [page] = [each for each in TEMPLATES if each.name == "attention.html"]
    [form] = FORM.findall(page.read_text())
    assert '<select name="decision" required>' in form
    assert re.search(r'<select name="decision" required>\s*<option value="">', form), "nothing is chosen at first"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda each: each.stem)
def test_a_button_of_a_row_says_which_row(template: Path) -> None:
    """Hazard: a screen reader lists ten buttons that are all called "End"."""
    rows = re.findall(r"<tr\b.*?</tr>", template.read_text(), re.DOTALL)
    for button in (each for row in rows for each in re.findall(r"<button\b.*?</button>", row, re.DOTALL)):
        assert "aria-label=" in button or '<span class="hidden">' in button, button
