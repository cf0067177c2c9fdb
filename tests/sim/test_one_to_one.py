"""Messages and items from one to many (S-E2E), against closed forms."""

import pytest
from procedure_stories import grid, outcomes, shaped

from sim.procedures import one_to_one
from sim.procedures.outcome import Occasion
from topologies import procedures


@pytest.mark.parametrize(
    ("server", "read_bytes"),
    [
        ("prosody-0.12", 56 * 4096),  # the last is in the 57th read, each a pause of 0.4 s later
        ("fifo-sketch", 100 * 2298),
    ],
)
def test_messages_one_by_one_take_as_long_as_the_limit_reads_them(server, read_bytes):
    """2 KiB to 100 at 10,240 B/s: N (s + o) / r, or all pauses before the last read of 4,096 B."""
    procedure = procedures.OneToOne.model_validate(
        {"model": "one-to-one", "rate": "1/h", "receivers": 100, "size": "2 KiB",
         "limit": "10 KiB/s", "duration": "10 h", "expansion": 0, "encrypt": "0 s"}
    )  # fmt: skip
    occasion = Occasion(shaped(server), 1, 0)
    cpu_s = occasion.fan_out_s(1, 2048.0)  # of the last: the others are served meanwhile
    last_s = one_to_one.last_s(procedure, 100, occasion)
    assert last_s == pytest.approx(read_bytes / 10240 + cpu_s, rel=1e-9)
    bursts = procedure.model_copy(update={"burst": 8192.0})
    sooner_s = one_to_one.last_s(bursts, 100, occasion)
    saved_s = 0.0 if server == "prosody-0.12" else 8192 / 10240  # a Prosody saves nothing up
    assert last_s - sooner_s == pytest.approx(saved_s, rel=1e-9)


def test_a_relay_pays_for_each_message_and_a_list_is_encrypted_once():
    item = {"model": "one-to-one", "rate": "1/h", "receivers": 100, "size": "2 KiB",
            "expansion": 0.5, "encrypt": "10 ms", "cipher": "1 ms"}  # fmt: skip
    occasion = Occasion(grid(), 1, 0)

    def last_s(manner, **more):
        procedure = procedures.OneToOne.model_validate({**item, "manner": manner, **more})
        return one_to_one.last_s(procedure, 100, occasion)

    one_s, fan_out_s = (occasion.fan_out_s(count, 3072.0) for count in (1, 100))
    assert one_s < 0.01  # the slower of two stages that overlap is the publisher
    assert last_s("messages") == pytest.approx(100 * 0.01 + one_s)
    assert last_s("relay") == pytest.approx(101 * 0.01 + 2 * one_s)
    assert last_s("relay", encrypt_alone="60 ms") == pytest.approx(0.06 + 100 * 0.01 + 2 * one_s)
    assert last_s("addressed") == last_s("sealed") == pytest.approx(0.001 + fan_out_s)
    keys_s = last_s("sealed", key_items=10) - last_s("sealed")
    assert keys_s == pytest.approx(100 * 0.01, rel=0.01)  # and the last of them is served


@pytest.mark.parametrize(
    ("manner", "uplink_bytes", "publisher_s", "exposed"),
    [
        ("publish", 1250, 0.0, 1.0),
        ("messages", 100 * 1750, 1.0, 0.0),
        ("relay", 1750, 0.01, 0.0),
        ("addressed", 1750 + 100 * 60, 0.001, 0.0),
        ("sealed", 1750 + 100 * (250 + 108) / 5, 0.001 + 1.0 / 5, 0.0),
    ],
)
def test_what_an_item_costs_its_publisher_and_who_can_read_it(
    manner, uplink_bytes, publisher_s, exposed
):
    procedure = procedures.OneToOne.model_validate(
        {"model": "one-to-one", "rate": "1/min", "evenly": True, "receivers": 100, "size": "1 KB",
         "expansion": 0.5, "encrypt": "10 ms", "cipher": "1 ms", "manner": manner, "key_items": 5,
         "duration": "10 min"}
    )  # fmt: skip
    (found,) = outcomes(procedure, 1)
    assert found.figures["uplink_bytes"] == pytest.approx(uplink_bytes)
    assert found.figures["publisher_cpu_s"] == pytest.approx(publisher_s)
    assert found.figures["exposed_share"] == exposed
    assert found.latency.sum() == 10 * 100


def test_items_that_come_while_others_wait_in_the_limit_wait_as_well():
    """Ten seconds of work every five: the k-th is late by 5 k s more than the first."""
    procedure = procedures.OneToOne.model_validate(
        {"model": "one-to-one", "rate": "0.2/s", "evenly": True, "receivers": 10, "size": "10 KB",
         "expansion": 0, "envelope": "1 B", "encrypt": "0 s", "limit": "10 KB/s",
         "duration": "40 s", "relayed": "1 ms"}
    )  # fmt: skip
    courier = one_to_one.Courier(procedure, 10, Occasion(shaped(), 1, 0))
    late_s = [float(courier.carry(at_s)[-1]) - at_s for at_s in procedure.even_s]
    assert late_s == pytest.approx([10.0 + 5.0 * number for number in range(8)], rel=1e-3)


def test_goodput_of_procedures_goes_by_the_deadline_of_the_topology():
    item = {"model": "one-to-one", "rate": "1/min", "receivers": 10, "size": "1 KB",
            "limit": "10 KB/s", "duration": "1 h"}  # fmt: skip
    procedure = procedures.OneToOne.model_validate(item)
    topology = shaped()
    patient = topology.model_copy(update={"slo": grid().slo.model_copy(update={"deadline": 60.0})})
    (strict,), (late,) = outcomes(procedure, 1, topology), outcomes(procedure, 1, patient)
    within = strict.figures["goodput_per_s"] / late.figures["goodput_per_s"]
    assert within == pytest.approx(0.6, rel=0.1)  # 1.6 kB each: six are read within the second
