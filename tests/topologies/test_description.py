"""The summary in numbers and in words; a file of one's own; one text and one hash."""

import json
import pickle

import pytest
from grids import grid
from rich.console import Console

import topologies
from topologies import TopologyError, starter
from topologies import description as summary

POISSON = {"process": "poisson", "rate": "10/s"}


def test_describe_counts_rates_and_deliveries():
    topology = grid(POISSON, {"process": "poisson", "rate": "4/s", "topic": "health"}, attacks=[{}])
    description = topologies.describe(topology)
    json.dumps(description, allow_nan=False)
    assert description["offered_load_per_s"] == pytest.approx(14.0)
    assert description["deliveries_per_s"] == pytest.approx(10 * 100 + 4 * 25)
    assert description["platforms"] == 107
    assert description["controllers"]["controller"]["discipline"] == "fifo"
    assert description["attacks"]["flood"]["deliveries_per_s"] == 5000.0
    assert description["file"] is None


def test_render_says_it_in_lines_that_fit():
    console = Console(width=100, record=True)
    with console.capture() as capture:
        console.print(topologies.render(topologies.describe(topologies.load("campus-nac"))))
    text = capture.get()
    for words in ("campus-nac", "session-flood", "27,560", "ejabberd", "campaign of 600 s"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 100


class TestStarter:
    def test_a_file_of_ones_own_loads_and_says_what_was_asked(self, tmp_path):
        path = tmp_path / "My Grid.yaml"
        starter.write(
            path, platforms=5000, publishers=3, rate="2/s", payload="4 KiB", server="ejabberd"
        )
        topology = topologies.load(path)
        assert topology.name == "my-grid"
        description = topologies.describe(topology)
        assert description["deliveries_per_s"] == pytest.approx(10_000.0)
        assert description["controllers"]["controller"]["server"] == "ejabberd"
        assert topology.topics[0].payload.size == 4096.0
        assert [population.count for population in topology.platforms] == [3, 5000]
        assert "#" in path.read_text()

    def test_it_never_writes_over_a_file(self, tmp_path):
        path = tmp_path / "mine.yaml"
        path.write_text("precious")
        with pytest.raises(TopologyError, match="is there already; name another file"):
            starter.write(path)
        assert path.read_text() == "precious"
        with pytest.raises(TopologyError, match=r"cannot be written \(No such file or directory\)"):
            starter.write(tmp_path / "gone" / "mine.yaml")

    def test_wrong_figures_are_told_at_once_and_nothing_is_written(self, tmp_path):
        path = tmp_path / "mine.yaml"
        with pytest.raises(TopologyError) as caught:
            starter.write(path, platforms=0, publishers=-1, rate="6", payload="big")
        assert len(caught.value.problems) == 4
        assert '--rate: "6": has no unit; write for example 689/s or 12/min' in str(caught.value)
        assert not path.exists()

    @pytest.mark.parametrize("name", ["ÄÖ", "...", "-x", "A" * 100, "", "a b/c"])
    def test_any_file_name_gives_a_valid_name(self, name):
        assert topologies.parse(starter.compose(name)).name


class TestIdentity:
    def test_the_text_is_the_file_as_written(self):
        topology = topologies.load("single-broker")
        assert topologies.text(topology) == topology.source.text

    @pytest.mark.parametrize("name", ["single-broker", "campus-nac"])
    def test_a_changed_topology_is_written_anew_and_means_the_same(self, name):
        changed = topologies.load(name, ["workload.duration=7 min", "controllers[0].nic=3 kbit/s"])
        again = topologies.parse(topologies.text(changed))
        assert again.model_dump() == changed.model_dump()
        assert topologies.sha256(again) == topologies.sha256(changed)
        assert topologies.sha256(changed) != topologies.sha256(topologies.load(name))
        assert topologies.Plan(again).sha256 == topologies.Plan(changed).sha256

    def test_a_copy_changed_in_a_program_does_not_claim_the_old_text(self):
        topology = topologies.load("campus-nac")
        calm = topology.model_copy(update={"attacks": ()})
        assert topologies.parse(topologies.text(calm)).attacks == ()

    def test_the_hash_is_of_the_meaning_not_of_the_layout(self):
        text = topologies.load("single-broker").source.text
        same = text.replace("size: 1.6 KB", "size: 1600 B").replace("# One", "# The one")
        assert same != text
        assert topologies.sha256(topologies.parse(same)) == topologies.sha256(
            topologies.parse(text)
        )

    def test_a_topology_travels_to_other_processes(self):
        topology = topologies.load("campus-nac", ["controllers[0].cores=8"])
        again = pickle.loads(pickle.dumps(topology))
        assert again == topology
        assert again.source == topology.source


def test_a_notebook_shows_headline_and_tables_of_text():
    topology = topologies.load("campus-nac", ["description=<b>bold</b> & quick"])
    text = topology._repr_html_()
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; quick" in text
    assert summary.headline(topologies.describe(topology)) in text
    assert text.count("<table>") == text.count("</table>") == 4
    assert topology.topics[0].name in text


def test_a_notebook_is_not_flooded_by_a_long_file():
    tenants = topologies.describe(topologies.load("mssp-tenants"))
    one = next(iter(tenants["populations"].values()))
    many = {**tenants, "populations": {f"tenant-{n}": one for n in range(60)}}
    shown = summary.html(many)
    assert f"and {60 - summary.ROWS_MAX} more" in shown
    assert f"tenant-{summary.ROWS_MAX - 1}<" in shown
    assert f"tenant-{summary.ROWS_MAX}<" not in shown
