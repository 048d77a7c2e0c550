"""Run a command that opens windows: ``python scripts/with_display.py COMMAND [ARGUMENT ...]``.

On Linux the command gets a virtual screen of its own (Xvfb), always of the same size, so that tests
and pictures neither depend on a screen nor disturb the one that is there. Where Xvfb is missing and
apt-get may be used (as root, or by sudo without a password) it is installed; where it may not, a
real screen does. macOS and Windows need none of this and run the command as it is.

The exit status is the command's own. No screen at all is an error, never a reason to skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

SCREEN = "-screen 0 1600x1000x24"

# Xvfb, and the libraries that the PyQt6 wheels expect of the system.
DEBIAN_PACKAGES = (
    "xvfb",
    "xauth",
    "libdbus-1-3",
    "libegl1",
    "libfontconfig1",
    "libgl1",
    "libgl1-mesa-dri",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-randr0",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxcb-xinerama0",
    "libxcb-xkb1",
    "libxkbcommon-x11-0",
)


def xvfb_is_here() -> bool:
    return all(shutil.which(program) for program in ("xvfb-run", "Xvfb", "xauth"))


def install_xvfb() -> None:
    """Install Xvfb from Debian packages, where that needs nobody's password."""
    if not shutil.which("apt-get"):
        return
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and not shutil.which("sudo"):
        return
    apt_get = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    apt_get += ["-o", "DPkg::Lock::Timeout=300"]
    print("with_display: installing Xvfb from Debian packages", file=sys.stderr, flush=True)
    # A package source that does not answer need not be the one that is needed: go on after update.
    subprocess.run([*apt_get, "update"], stdout=sys.stderr, check=False)
    subprocess.run(
        [*apt_get, "install", "-y", "--no-install-recommends", "--no-upgrade", *DEBIAN_PACKAGES],
        stdout=sys.stderr,
        check=False,
    )


def on_a_display(command: list[str]) -> list[str]:
    """Return `command`, wrapped if it needs a virtual screen."""
    if not sys.platform.startswith("linux"):
        return command
    if not xvfb_is_here():
        install_xvfb()
    if xvfb_is_here():
        return ["xvfb-run", "-a", "-s", SCREEN, *command]
    if os.environ.get("DISPLAY"):
        return command
    sys.exit("with_display: no screen, and no Xvfb: install the packages xvfb and xauth")


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit("usage: python scripts/with_display.py COMMAND [ARGUMENT ...]")
    return subprocess.run(on_a_display(sys.argv[1:]), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
