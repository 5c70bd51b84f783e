"""Configuration files that cannot be used: missing, not text, not YAML, not a mapping."""

from pathlib import Path

import pytest

from config.loader import ConfigError, load
from tests.config.conftest import Problems, Write


def problem(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    [only] = caught.value.problems
    assert only.path == str(path)
    return only.message


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("workers: 2\nplans: {gold: [\n", "found '<stream end>' (line 3, column 1)"),
        ("workers: 2\n\tlisten: x\n", "(line 2, column 1)"),
        ("workers: 2\nlog: {level: info}\nworkers: 3\n", "the key workers is given twice (line 3, column 1)"),
        ("plans:\n  a: {}\n  b: {}\n  a: {}\n", "the key a is given twice (line 4, column 3)"),
        ("data_dir: 2026-13-01\n", "needs quotes"),
        ("workers: " + "9" * 5_000, "looks like a number or a date and is none"),
        ("workers: 2\n---\nworkers: 3\n", "a single document in the stream: but found another document (line 2,"),
        ("log: {<<: debug}\n", "expected a mapping or list of mappings for merging, but found scalar (line 1,"),
        ("? [workers]\n: 2\n", "found unhashable key (line 1,"),
        ("log: {<<: *hunter2}\n", "a value needs quotes, as text that begins with `*`"),
        ("log: !hunter2 {}\n", "a value needs quotes, as text that begins with `*`"),
        ("plans:\n  a: {prices: [{amount: 010}]}\n", "is another one to YAML; write it plainly, or in quotes (line 2,"),
        ("workers: 1:30\n", "a number begins with 0 or has a colon"),
        ("plans: " + "[" * 2_000, "it is nested too deeply"),
        ("data_dir: \x07\n", "a character that YAML does not allow"),
        ("- workers\n", "must be a mapping"),
        ("workers", "must be a mapping"),
    ],
)
def test_unusable_text(write: Write, text: str, words: str) -> None:
    assert words in problem(write(text))


def test_missing_file(tmp_path: Path) -> None:
    assert problem(tmp_path / "nowhere.yaml") == "cannot be read: No such file or directory"


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"workers: \xff\xfe")
    assert problem(tmp_path / "binary.yaml") == "is not UTF-8 text (byte 9)"


def test_an_unusable_file_does_not_hide_an_unknown_variable(
    problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLLGATE_WORKER", "2")
    assert len(problems("{")) == 2


@pytest.mark.parametrize("name", ["Workers", "WORKERS", "Log"])
def test_a_setting_in_another_case_is_no_second_spelling_of_it(problems: Problems, name: str) -> None:
    found = problems(f"workers: 3\nlog: {{level: info}}\n{name}: {{}}\n")
    assert found == {name: "is not a setting; remove it or correct its name"}


def test_true_is_not_one(problems: Problems) -> None:
    """Hazard: a limit of one request, from a file that says `on`."""
    text = "workers: on\nhold_ttl: yes\nstore: {deadline_seconds: true}\nidempotency: {keys_per_app: true}\n"
    found = problems(text + "plans: {a: {limits: {app: {requests_per_minute: on, concurrent: yes}}}}\n")
    assert found.keys() == {
        "workers",
        "hold_ttl",
        "store.deadline_seconds",
        "idempotency.keys_per_app",
        "plans.a.limits.app.requests_per_minute",
        "plans.a.limits.app.concurrent",
    }
    assert found["hold_ttl"] == "must be a whole number or a fraction, not true or false, as yes and no are to YAML"


def test_an_empty_file_is_all_defaults(write: Write) -> None:
    assert load(write("# nothing yet\n")) == load()


def test_anchors_and_merge_keys_work(write: Write) -> None:
    settings = load(write("plans:\n  a: &base {tier: basic}\n  b: {<<: *base, on_orphan: estimate}\n"))
    assert (settings.plans["b"].tier, settings.plans["b"].on_orphan) == ("basic", "estimate")
