"""What a process measured is on disk before it ends, so that a killed one leaves it."""

import numpy as np

from loadtest.spool import NEVER, Spool


def test_columns_are_on_disk_as_they_are_written(tmp_path):
    spool = Spool(str(tmp_path / "share-0"))
    sent_ns, answered_ns, refused = spool.publications(np.array([2, 5, 9]))
    sent_ns[1], answered_ns[1], refused[1] = 70, 80, 1
    expected = [[2, 5, 9], [NEVER, 70, NEVER], [NEVER, 80, NEVER], [0, 1, 0]]
    assert Spool(str(tmp_path / "share-0")).read_publications().tolist() == expected


def test_deliveries_add_up_and_a_cut_row_is_left_out(tmp_path):
    spool = Spool(str(tmp_path / "share-0"))
    spool.append(np.array([[1, 2, 3]]))
    spool.append(np.array([[4, 5, 6], [7, 8, 9]]))
    with (tmp_path / "share-0.deliveries").open("ab") as stream:
        stream.write(b"\0" * 20)  # killed while it wrote
    assert spool.read_deliveries().tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_process_that_measured_nothing_leaves_nothing(tmp_path):
    spool = Spool(str(tmp_path / "share-0"))
    assert spool.read_deliveries().shape == (0, 3)
    assert spool.read_publications().shape == (4, 0)
    assert spool.read_facts() is None
    spool.finish({"sessions": 3})
    assert spool.read_facts() == {"sessions": 3}
