"""Build the wheel and try it where nothing else is installed.

A venv made for this run gets the pinned run-time dependencies and the wheel, nothing of the
source tree and none of the development tools. What the wheel forgets to name fails here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Build, install, try; the exit code of the first thing that fails."""
    with tempfile.TemporaryDirectory(prefix="tapekeeper-wheel-") as folder:
        work = Path(folder)
        try:
            wheel = build(work / "dist")
            refuse_strangers(wheel)
            python = install(wheel, work / "clean venv")
            attempt(python, work)
        except subprocess.CalledProcessError as error:
            print(f"the wheel fails: {error}", file=sys.stderr)
            return error.returncode or 1
    print(f"the wheel works: {wheel.name}")
    return 0


def build(out: Path) -> Path:
    """The wheel, built by way of the sdist, so that the sdist is known to be whole too."""
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out)], ROOT, quiet=True)
    (wheel,) = out.glob("*.whl")
    return wheel


def refuse_strangers(wheel: Path) -> None:
    """Nothing but the package and its metadata may be in the wheel, and `py.typed` must be."""
    names = zipfile.ZipFile(wheel).namelist()
    strangers = [name for name in names if not name.startswith(("tapekeeper/", "tapekeeper-"))]
    if strangers:
        sys.exit(f"the wheel holds what does not belong in it: {strangers}")
    if "tapekeeper/py.typed" not in names:
        sys.exit("the wheel lacks tapekeeper/py.typed, so its types would be ignored")


def install(wheel: Path, folder: Path) -> Path:
    """The interpreter of a new venv with the locked dependencies and the wheel.

    The folder's name has a space in it, because users' folders do.
    """
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    lock = ROOT / "requirements" / "runtime.txt"
    run([*pip, "--only-binary", ":all:", "--require-hashes", "-r", str(lock)], folder)
    run([*pip, "--no-deps", "--no-index", str(wheel)], folder)
    run([str(python), "-m", "pip", "check"], folder, quiet=True)
    return python


def attempt(python: Path, folder: Path) -> None:
    """What a new user does first, from a folder that is not the source tree."""
    command = python.with_name("tapekeeper.exe" if os.name == "nt" else "tapekeeper")
    run([str(python), "-c", "import tapekeeper"], folder)
    for arguments in (["--version"], ["--help"], ["config"]):
        run([str(command), *arguments], folder, quiet=True)


def run(command: list[str], folder: Path, *, quiet: bool = False) -> None:
    """Run `command` in `folder`; its output is shown if it fails, or if it is not `quiet`.

    `PYTHON*` variables are left out: they could let the source tree in.

    Raises:
        CalledProcessError: it failed.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=quiet, text=True
    )
    if done.returncode and quiet:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    done.check_returncode()


if __name__ == "__main__":
    sys.exit(main())
