"""The repository has these rooms and no others."""

import subprocess

from tests.docs.pages import ROOT

TOP = {
    *("config", "middlewares", "proxy", "tests", "deploy", ".ci"),
    *("pyproject.toml", "README.md", "Makefile", "LICENSE", "CHANGELOG.md", "requirements.lock", ".gitignore"),
}


def test_top_level() -> None:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    tracked = {line.partition("/")[0] for line in listing.stdout.splitlines()}
    assert tracked <= TOP
