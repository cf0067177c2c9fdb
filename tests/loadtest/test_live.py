"""What the tab in Locust's page shows, and what a real browser makes of it."""

import http.server
import json
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from loadtest.live import Live, curve
from results import histogram

PAGE = Path(__file__).parents[2] / "loadtest" / "templates" / "live.html"
COUNTS = {"publications": 20, "expected": 4000, "delivered": 3990, "rejected": 0, "lost": 10}
COUNTS |= {"duplicated": 0, "reordered": 0, "replayed": 0}


@pytest.fixture
def live():
    """Four seconds of 1,000 deliveries, 1 ms to 1 s; then the end, and a prediction."""
    live, latency_s = Live(), np.arange(1, 1001) / 1e3
    for second in range(4):
        receive = {"role": "receive", "deliveries": 1000, "latency": histogram.pairs(latency_s)}
        publish = {"role": "publish", "sent": 5, "refused": 1}
        publish |= {"answer": histogram.pairs([0.01] * 5), "late": histogram.pairs([1e-4] * 5)}
        login = {"login": histogram.pairs([0.05]), "query": histogram.pairs([0.002])}
        live.take(
            {
                **{"state": "playing", "elapsed_s": float(second), "duration_s": 4.0},
                **{"online": second, "sessions": 4, "logins": [login]},
                "windows": [{"second": second, **receive}, {"second": second, **publish}],
            }
        )
    predicted = curve(histogram.count(latency_s / 2))
    live.take({"state": "predicted", "run_id": "p", "curve": predicted})
    return live


def test_histograms_add_up(live):
    document = live.document()
    assert document["stages"]["delivery"]["n"] == document["books"]["deliveries"] == 4000
    assert document["stages"]["delivery"]["p99"] == pytest.approx(0.99, rel=0.005)
    assert document["stages"]["login"]["n"] == document["stages"]["query"]["n"] == 4
    assert document["books"] == {"sent": 20, "answered": 20, "refused": 4, "deliveries": 4000}
    assert [each["deliveries"] for each in document["seconds"]] == [1000.0] * 4
    assert document["outcome"] is None
    assert json.loads(json.dumps(document)) is not None


def test_curve_goes_as_deep_as_its_counts():
    assert curve(histogram.empty()) == []
    assert curve(histogram.count(np.full(100, 0.1)))[-1][0] == 0.99
    assert curve(histogram.count(np.full(10_000, 0.1)))[-1][0] == 0.9999


def test_next_run_starts_afresh(live):
    live.reset()
    assert live.document()["stages"]["delivery"]["n"] == 0
    assert live.document()["predicted"] is None


def test_browser_draws_curves_books_and_verdict(live, tmp_path):
    live.take({"state": "done", "code": 3, "reasons": ["a <b> reason"], "warnings": [], "path": "x",
               "counts": COUNTS})  # fmt: skip
    seen = look(live.document(), tmp_path)
    assert 'class="measured"' in seen
    assert 'class="predicted"' in seen
    assert "<th>delivered</th><td>3990</td>" in seen
    assert "<li>a &lt;b&gt; reason</li>" in seen
    assert "delivery (DELIVER)" in seen


def look(document, place):
    """The page as headless Chromium has it in the end; only this machine can be asked."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.endswith(".json"):
                kind, body = "application/json", json.dumps(document).encode()
            else:
                kind, body = "text/html", PAGE.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    chromium = shutil.which("chromium")
    assert chromium, "Debian's chromium is needed"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shown = subprocess.run(
            [
                *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
                *("--no-first-run", "--disable-background-networking", "--disable-sync"),
                *("--disable-component-update", f"--user-data-dir={place / 'profile'}"),
                *("--virtual-time-budget=3000", "--dump-dom"),
                f"http://127.0.0.1:{server.server_port}/gridlab",
            ],
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
        server.shutdown()
    return shown.stdout
