"""A lock keeps others out while its owner lives."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.storage import exclusive

OWNER = """
import sys, time
from pathlib import Path
from napari_hqsam.storage import exclusive
with exclusive(Path(sys.argv[1]), "it"):
    print("mine", flush=True)
    time.sleep(600)
"""


def test_a_lock_goes_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        try:
            assert owner.stdout.readline().strip() == b"mine"
            taken = pytest.raises(HQSAMError, match=r"^the store: another process is at work")
            with taken, exclusive(path, "the store", timeout=0.1):
                pass
        finally:
            owner.kill()
        owner.wait()
    assert path.exists()
    began = time.monotonic()
    with exclusive(path, "the store", timeout=20):
        assert time.monotonic() - began < 10


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), exclusive(tmp_path / "lock", "it"):
        raise KeyError
    with exclusive(tmp_path / "lock", "it", timeout=0):
        pass


def test_where_no_lock_file_can_be_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"), exclusive(tmp_path / "file" / "lock", "it"):
        pass
