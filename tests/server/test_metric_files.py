"""Metric folders belong to those who hold their lock, whatever process ids say."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.server import metric_files

PREPARE = """
import sys
from pathlib import Path
from proxy.server import metric_files
print(metric_files.prepare(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""
OWN = """
import sys
from proxy.server import metric_files
metric_files.own_inherited()
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `PROMETHEUS_MULTIPROC_DIR`, which `prepare` sets, restored."""
    monkeypatch.setenv(metric_files.VARIABLE, "")


@contextmanager
def process(program: str, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a program until its standard input ends; yield it with the line that it prints."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as running:
        assert running.stdout is not None
        try:
            yield running, running.stdout.readline().strip()
        finally:
            running.kill()


def test_the_folder_of_a_living_run_stays(tmp_path: Path) -> None:
    with process(PREPARE, str(tmp_path)) as (_, other):
        mine = metric_files.prepare(tmp_path)
        assert Path(other).is_dir()
        assert Path(other) != mine


def test_the_folder_of_a_killed_run_goes_though_its_process_id_lives(tmp_path: Path) -> None:
    with process(PREPARE, str(tmp_path)) as (running, other):
        running.kill()
        running.wait()
        reused = tmp_path / "metrics" / str(os.getpid())
        reused.mkdir()
        metric_files.prepare(tmp_path)
        assert not Path(other).exists()
        assert not reused.exists()


def test_the_folder_of_a_worker_that_outlives_its_supervisor_stays(tmp_path: Path) -> None:
    with process(PREPARE, str(tmp_path)) as (supervisor, folder):
        with process(OWN, PROMETHEUS_MULTIPROC_DIR=folder):
            supervisor.kill()
            supervisor.wait()
            metric_files.prepare(tmp_path)
            assert Path(folder).is_dir()
        metric_files.prepare(tmp_path)
        assert not Path(folder).exists()
