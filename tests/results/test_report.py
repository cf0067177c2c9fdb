"""The page opens in a browser, says the answer, and asks nothing of any network."""

import json
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
import synthetic
from PIL import Image

import results
from results import RecordError, Run, report
from results.assumptions import assumptions

# The browser calls home by itself; it is given nobody to ask but this machine.
CHROMIUM = (
    "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


def browse(page: Path, *options: str) -> tuple[str, list[str], set[str]]:
    """Open a page: its DOM, what the console says, and what the page asks of a network."""
    with tempfile.TemporaryDirectory() as profile:
        log = Path(profile) / "net.json"
        command = [*CHROMIUM, f"--user-data-dir={profile}/data", f"--log-net-log={log}", *options]
        run = subprocess.run(
            [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60
        )
        events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    console = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    asked = {
        event["url"]
        for event in events
        if event.get("initiator", "not an origin") != "not an origin"
        and event.get("url", "").startswith(("http", "ws"))
    }
    return run.stdout, console, asked


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return report.write([Run(synthetic.campaign())], path)


@pytest.mark.parametrize(("scheme", "paper"), [("0", (13, 17, 23)), ("1", (255, 255, 255))])
def test_the_page_opens_by_day_and_night_without_errors_or_requests(page, tmp_path, scheme, paper):
    picture = tmp_path / "page.png"
    dom, console, asked = browse(
        page, f"--blink-settings=preferredColorScheme={scheme}", "--window-size=1100,1500",
        f"--screenshot={picture}",
    )  # fmt: skip
    assert "During flood, p99 latency rises" in dom
    assert dom.count("<svg") == 5
    assert (console, asked) == ([], set())
    image = Image.open(picture).convert("RGB")
    assert image.getpixel((5, 5)) == paper
    assert len(image.getcolors(1 << 24)) > 100


def test_a_page_that_complained_or_asked_would_be_caught(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<img src=http://127.0.0.1:9/picture.png><script>nothing()</script>")
    _, console, asked = browse(path)
    assert "nothing is not defined" in console[0]
    assert asked == {"http://127.0.0.1:9/picture.png"}


class Outline(HTMLParser):
    """Tags, ids and outside references of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                self.references.append(value)


def test_the_page_refers_to_nothing_outside_itself(page):
    text = page.read_text()
    outline = Outline(text)
    assert "script" not in outline.tags
    assert "default-src 'none'" in text
    assert len(outline.ids) == len(set(outline.ids))
    assert {reference for reference in outline.references if reference[0] != "#"} == {"data:,"}


def test_the_page_is_small_and_repeats_byte_for_byte(page, tmp_path):
    again = report.write([Run(synthetic.campaign())], tmp_path / "again.html")
    assert page.read_bytes() == again.read_bytes()
    assert page.stat().st_size < 300_000


def test_sources_are_listed_with_their_figures():
    found = assumptions(synthetic.TEXT)
    assert [(a.part, a.figures, a.kind) for a in found] == [
        ("controllers nac", "profile fifo", "assumed"),
        ("workload", "duration 2 min", "published"),
    ]


def test_what_a_topology_says_cannot_become_markup(tmp_path):
    hostile = "x: '<script>alert(1)</script>' # <img src=http://127.0.0.1:9/>"
    header = synthetic.steady(replications=1).header
    topology = header.topology.model_copy(update={"text": hostile, "name": "<b>bold</b>"})
    run = Run(synthetic.steady(replications=1, topology=topology))
    outline = Outline(report.write([run], tmp_path / "page.html").read_text())
    assert not {"script", "img", "b"} & set(outline.tags)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({}, "gridlab simulate synthetic.yaml --seed 1 --replications 2"),
        (
            {"measurement": {"load": 1.5}},
            "gridlab simulate synthetic.yaml --seed 1 --load 1.5 --replications 2",
        ),
        ({"door": "gridlab validate"}, "gridlab validate synthetic.yaml --seed 1"),
    ],
)
def test_the_page_says_how_to_get_it_again(header, expected):
    assert report.command(synthetic.steady(replications=2, **header).header) == expected


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: *a, provenance: {kind: assumed}}",
        "\n".join(["a: &x0 [1]", *(f"b{n}: &x{n + 1} [*x{n}, *x{n}, *x{n}]" for n in range(40))]),
    ],
)
def test_aliases_in_a_topology_cost_nothing(text):
    assert len(assumptions(text)) <= 1


def test_a_topology_that_cannot_be_read_has_no_sources():
    assert assumptions("a: [") == assumptions("") == assumptions("- 1") == []


def test_a_measured_run_stands_beside_its_prediction(tmp_path):
    predicted = Run(synthetic.steady())
    measured = Run(synthetic.steady(replications=1, speed=1.1, origin="measured", run_id="real"))
    text = report.write([predicted, measured], tmp_path / "page.html").read_text()
    plain = text.replace("\u00a0", " ")
    assert "Measured p99 latency is 112 ms where 89.5 ms was predicted (−20.4 %)" in plain
    assert text.count("<svg") == 4
    assert ">predicted<" in text


def test_runs_without_a_partner_stand_one_after_another(tmp_path):
    runs = [Run(synthetic.steady(seed=seed, replications=2)) for seed in (1, 2)]
    text = report.write(runs, tmp_path / "page.html").read_text()
    assert text.count('class="answer"') == 2
    assert len(Outline(text).ids) == len(set(Outline(text).ids))


def test_what_goes_wrong_is_shown(tmp_path):
    identity = results.records.Identity(
        name="Little's law", left=1.0, right=2.0, tolerance=1e-9, holds=False
    )
    verdict = results.records.Verdict(valid=False, reasons=("Little's law does not hold",))
    run = Run(synthetic.steady(replications=1, identities=(identity,), verdict=verdict))
    text = report.write([run], tmp_path / "page.html").read_text()
    assert '<td class="bad">no</td>' in text
    assert "This run is not valid: Little&#39;s law does not hold." in text


def test_a_page_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(RecordError, match="No such file or directory; choose another file"):
        report.write([Run(synthetic.steady(replications=1))], tmp_path / "none" / "page.html")
    with pytest.raises(RecordError, match="at least one run"):
        report.write([], tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
