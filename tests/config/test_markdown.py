"""Writing the generated parts of a page: only between their markers, and never into a page that has none."""

from pathlib import Path

import pytest

from config.markdown import fill, table
from config.reference import main, reference


def test_only_what_stands_between_the_markers_changes() -> None:
    page = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb"
    assert fill(page, "x", "new") == "a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nb"
    assert fill(fill(page, "x", "new"), "x", "new") == fill(page, "x", "new")


@pytest.mark.parametrize("page", ["", "<!-- x:begin -->", "<!-- x:begin --><!-- x:end --><!-- x:begin -->"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="needs exactly one <!-- x:begin -->"):
        fill(page, "x", "new")


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(["a", "b"], [["1|2", "3"]]).splitlines()[2] == "| 1\\|2 | 3 |"


def test_the_reference_is_written_into_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- configuration:begin -->\n<!-- configuration:end -->\n")
    main(page)
    assert page.read_text() == f"<!-- configuration:begin -->\n{reference()}\n<!-- configuration:end -->\n"
