"""A run comes back as it was written, or not at all."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import synthetic

from results import RecordError, Run, default_directory, open_run, store
from results.records import TABLES


@pytest.fixture(scope="module")
def original():
    return Run(synthetic.campaign(replications=2, lost_share=0.01))


@pytest.fixture(scope="module")
def saved(original, tmp_path_factory):
    return original.save(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / saved.name)


def test_a_run_comes_back_as_it_was(original, saved):
    run = open_run(saved)
    assert run.header.model_copy(update={"digests": {}}) == original.header
    for table in TABLES:
        for name, values in original.columns(table).items():
            assert run.columns(table)[name].dtype == values.dtype, (table, name)
            np.testing.assert_array_equal(run.columns(table)[name], values, err_msg=name)
    assert run.summary() == original.summary()


def test_a_run_can_be_named_by_its_header_too(saved):
    assert open_run(saved / "run.json").header.run_id == saved.name


def test_the_directory_holds_the_header_and_three_tables_and_nothing_else(saved):
    assert sorted(path.name for path in saved.iterdir()) == [
        "intervals.parquet", "latency.parquet", "publications.parquet", "run.json",
    ]  # fmt: skip
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_equal_runs_have_equal_files(original, saved, tmp_path):
    again = original.save(tmp_path)
    for path in saved.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_columns_carry_unit_and_meaning(saved):
    fields = pq.read_schema(saved / "publications.parquet")
    assert fields.field("intended_s").metadata == {
        b"unit": b"s", b"meaning": b"instant that the plan asks for",
    }  # fmt: skip


def test_other_programs_open_the_tables_as_they_are(saved):
    import pandas as pd

    frame = pd.read_parquet(saved / "latency.parquet")
    assert frame["count"].sum() == open_run(saved).header.counts.expected
    assert frame.equals(open_run(saved).frames()["latency"])


def test_runs_are_never_overwritten(original, saved):
    with pytest.raises(RecordError, match="exists, and runs are never overwritten"):
        original.save(saved.parent)


def test_an_unfinished_run_is_in_the_way(original, tmp_path):
    (tmp_path / f"{original.header.run_id}.partial").mkdir()
    with pytest.raises(RecordError, match=r"partial: is in the way; remove it"):
        original.save(tmp_path)


def test_a_file_in_place_of_the_directory_is_refused(original, tmp_path):
    (tmp_path / "runs").write_text("not a directory")
    with pytest.raises(RecordError, match="--out"):
        original.save(tmp_path / "runs")


def test_a_write_that_fails_leaves_nothing(original, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_parquet", full)
    with pytest.raises(RecordError, match="No space left on device; choose another directory"):
        original.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_json_cannot_hold_is_refused_before_anything_is_left(tmp_path):
    run = Run(synthetic.steady(replications=1, measurement={"lateness_s": float("nan")}))
    with pytest.raises(RecordError, match="holds what JSON cannot"):
        run.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["run.json", "intervals.parquet", "publications.parquet"])
def test_a_flipped_bit_anywhere_is_found(copy, name):
    path = copy / name
    whole = bytearray(path.read_bytes())
    for place in np.linspace(0, len(whole) - 1, 40).astype(int):
        damaged = whole.copy()
        damaged[place] ^= 0x04
        path.write_bytes(damaged)
        with pytest.raises(RecordError):
            open_run(copy)


@pytest.mark.parametrize("name", ["run.json", *(f"{table}.parquet" for table in TABLES)])
def test_a_truncated_file_is_found(copy, name):
    path = copy / name
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(RecordError, match=name):
            open_run(copy)


@pytest.mark.parametrize("name", ["run.json", *(f"{table}.parquet" for table in TABLES)])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(RecordError, match=name):
        open_run(copy)


def test_a_run_that_is_not_there_names_its_neighbours(saved):
    with pytest.raises(RecordError, match=f"no such run; the newest here are {saved.name}"):
        open_run(saved.parent / "another")


def test_an_unfinished_run_is_not_a_run(copy):
    partial = copy.rename(copy.with_name("r.partial"))
    with pytest.raises(RecordError, match="did not finish; run it again"):
        open_run(partial)


def test_a_newer_record_asks_for_an_update(copy):
    change(copy, record=2)
    with pytest.raises(RecordError, match="record: 2: this gridlab reads version 1; update"):
        open_run(copy)


def test_every_wrong_field_is_named_at_once(copy):
    change(copy, seed="one", origin="dreamt", colour="blue")
    with pytest.raises(RecordError, match=r"(?s)origin:.*seed:.*colour:"):
        open_run(copy)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"record": NaN}', "[" * 100_000])
def test_what_is_no_header_is_refused(copy, text):
    (copy / "run.json").write_text(text)
    with pytest.raises(RecordError, match=r"run\.json"):
        open_run(copy)


def change(directory, **fields):
    path = directory / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_tables_with_other_columns_are_refused():
    draft = synthetic.steady(replications=1)
    del draft.intervals["busy_s"]
    draft.intervals["busy"] = np.zeros(60)
    with pytest.raises(RecordError, match=r"missing \['busy_s'\], unknown \['busy'\]"):
        Run(draft)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (np.zeros(59), "equally long"),
        (np.full(60, 0.5), "holds values that int64 cannot"),
        (np.full(60, np.nan), "holds values that int64 cannot"),
        (np.full(60, "many"), "not int64"),
        (np.zeros((60, 2)), "one dimension"),
    ],
)
def test_columns_of_another_length_or_type_are_refused(values, rule):
    draft = synthetic.steady(replications=1)
    draft.intervals["offered"] = values
    with pytest.raises(RecordError, match=rule):
        Run(draft)


def test_more_publications_than_a_record_holds_are_thinned_and_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("results.run.PUBLICATION_ROWS_MAX", 1000)
    draft = synthetic.steady(replications=1)
    rows = len(draft.publications["publication"])
    run = open_run(Run(draft).save(tmp_path))
    assert run.header.publication_stride == -(-rows // 1000) == 3
    assert (run.publications["publication"] == np.arange(0, rows, 3)).all()


def test_runs_go_where_they_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("GRIDLAB_RUNS", str(tmp_path))
    assert default_directory() == tmp_path
    monkeypatch.delenv("GRIDLAB_RUNS")
    assert default_directory().parts[-2:] == ("results", "runs")
    monkeypatch.setattr(store, "__file__", str(tmp_path / "site-packages" / "results" / "store.py"))
    assert str(default_directory()) == "gridlab-runs"
