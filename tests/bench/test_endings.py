"""Signals: a stop comes through whatever a library does to it, waits where work must not be cut in two, and is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bench
from bench import endings
from bench.endings import Stopped

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")
ROOT = str(Path(bench.__file__).parents[1])


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "AGAIN", 0.05)


def python(code: str, *arguments: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process that minds signals, as those of a terminal do; its stdout goes where the test wants it."""
    start = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", start + code, *arguments]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=environment, **kwargs)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "stopped by Ctrl-C: "),
        (signal.SIGTERM, 143, "stopped by SIGTERM: "),
        (signal.SIGHUP, 129, "stopped by SIGHUP: "),
    ],
)
def test_a_signal_stops_what_runs(signals: None, number: signal.Signals, code: int, words: str) -> None:
    with pytest.raises(Stopped) as caught:
        signal.raise_signal(number)
    assert caught.value.code == code
    assert str(caught.value) == f"{words}what was finished is kept; the same command goes on from here"
    assert endings.stopped() is caught.value


def test_a_swallowed_stop_comes_again_at_the_next_check(signals: None) -> None:
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
    for _ in range(2):
        with pytest.raises(Stopped):
            endings.check()


def test_a_swallowed_stop_comes_again_by_itself(signals: None) -> None:
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Stopped):
        time.sleep(60)


def test_what_is_put_away_is_not_stopped_again(signals: None) -> None:
    ended = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            time.sleep(5 * endings.AGAIN)
            ended.append("put away")

    with pytest.raises(Stopped):
        work()
    assert ended == ["put away"]


class Deaf:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_stop_in_a_finaliser_is_quiet_and_comes_again(signals: None, capsys: pytest.CaptureFixture[str]) -> None:
    deaf = Deaf()
    del deaf
    with pytest.raises(Stopped):
        endings.check()
    assert capsys.readouterr().err == ""


def test_a_stop_waits_for_what_must_not_be_cut(signals: None) -> None:
    done = []

    def work() -> None:
        with endings.deferred():
            with endings.deferred():
                signal.raise_signal(signal.SIGTERM)
                done.append("inner")
            time.sleep(5 * endings.AGAIN)
            done.append("outer")

    with pytest.raises(Stopped):
        work()
    assert done == ["inner", "outer"]
    endings.install()
    with endings.deferred():
        done.append("no signal")
    assert done[-1] == "no signal"


def test_a_check_stops_where_it_can_go_on(signals: None) -> None:
    def work() -> None:
        with endings.deferred():
            signal.raise_signal(signal.SIGTERM)
            endings.check()
            pytest.fail("it went on")

    with pytest.raises(Stopped):
        work()


def test_other_words_on_what_is_kept(signals: None) -> None:
    with pytest.raises(Stopped, match=r"^stopped by SIGTERM: nothing is kept$"), endings.keeping("nothing is kept"):
        signal.raise_signal(signal.SIGTERM)
    endings.install()
    with pytest.raises(Stopped, match="what was finished is kept"):
        signal.raise_signal(signal.SIGTERM)


def test_what_a_process_was_started_to_ignore_stays_ignored() -> None:
    code = (
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nfrom bench import endings\nendings.install()\n"
        "signal.raise_signal(signal.SIGHUP)\nendings.check()"
    )
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_signal_ends_at_once() -> None:
    """But not one that comes with the first, as `timeout` sends it to the process and to its group."""
    code = """
import time
from bench import endings
endings.install()
endings.TWICE = 0.2
with endings.deferred():
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    time.sleep(0.3)
    print("still here", flush=True)
    signal.raise_signal(signal.SIGINT)
    print("no more")
"""
    done = python(code, stdout=subprocess.PIPE)
    assert done.returncode == 130
    assert done.stdout == "still here\n"
    assert done.stderr.strip() == "stopped at once; what was saved before is kept"


IMPORTING = """
import os, sys
from bench.__main__ import main
class Ring:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["MODULE"]:
            signal.raise_signal(int(os.environ["SIGNAL"]))
sys.meta_path.insert(0, Ring())
main()
"""


@pytest.mark.parametrize(
    ("module", "number", "code"),
    [
        ("bench.cli.commands", signal.SIGINT, 130),
        ("segcam.models", signal.SIGTERM, 143),
        ("numpy", signal.SIGTERM, 143),
        ("torch._C", signal.SIGINT, 130),
    ],
)
def test_stopped_while_modules_are_imported(
    module: str, number: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODULE", module)
    monkeypatch.setenv("SIGNAL", str(int(number)))
    done = python(IMPORTING, "list", "models", stdout=subprocess.DEVNULL)
    assert done.returncode == code
    assert done.stderr.count("\n") == done.stderr.count("; the same command goes on from here\n") == 1, done.stderr


MAIN = "from bench.__main__ import main\nmain()"
COMMANDS = [("--help",), ("list", "profiles", "--json")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_has_gone_ends_it_quietly(command: tuple[str, ...]) -> None:
    """As with `| head`."""
    reading, writing = os.pipe()
    os.close(reading)
    done = python(MAIN, *command, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_behind_standard_output_is_one_error(command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = python(MAIN, *command, stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("descriptors", [(0,), (1,), (2,), (0, 1, 2)])
def test_no_file_becomes_a_stream_that_was_closed(descriptors: tuple[int, ...], tmp_path: Path) -> None:
    """Else what is printed by a library would stand in a file of the run."""
    code = f"""
import os, sys
from pathlib import Path
from bench.__main__ import main
try:
    main()
except SystemExit as end:
    with Path({str(tmp_path / "file")!r}).open("w") as file:
        file.write(f"{{file.fileno() > 2}}, {{end.code}}")
"""

    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    environment = {**os.environ, "PYTHONPATH": ROOT}
    subprocess.run([sys.executable, "-c", code, "list", "profiles"], preexec_fn=close, check=True, env=environment)
    assert (tmp_path / "file").read_text() == "True, 0"


def test_a_folder_that_is_gone_is_one_error(tmp_path: Path) -> None:
    """There torch would end the process from within."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os\nos.chdir({str(gone)!r})\nos.rmdir({str(gone)!r})\n"
    done = python(code + MAIN, "list", "models", stdout=subprocess.DEVNULL)
    assert done.returncode == 1
    assert done.stderr == "error: the folder in which this was started is gone: change to another one\n"


def test_what_an_encoding_lacks_is_written_as_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    printing = "import bench.planning.shipped as s\ns.profiles = lambda: {'caf\\xe9': 'one'}\n"
    done = python(printing + MAIN, "list", "profiles", stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "caf\\xe9" in done.stdout
