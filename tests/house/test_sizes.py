"""Files stay small enough to read in one sitting."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 300


def test_no_file_of_the_product_is_longer_than_a_sitting():
    paths = [ROOT / "app.py", ROOT / "celery_worker.py", *(ROOT / "campaigns").rglob("*.py")]
    own = [path for path in paths if "migrations" not in path.parts]
    assert [str(path.relative_to(ROOT)) for path in own if path.read_text().count("\n") > MOST_LINES] == []
