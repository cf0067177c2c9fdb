"""Tsung, another load generator, doing the same as ours: what `gridlab bench load` compares with.

Debian's `tsung` 1.7: STARTTLS, SASL PLAIN (it knows no SCRAM), one subscription, presence; then it
reads and adds up sizes. It runs in Erlang's virtual machine, with a port mapper of its own here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from loadtest.problems import LoadError

USERS_PER_S = 100
SETTLE_S = 3.0  # thrice its think times: when it is quiet for so long, all are online
STAY_S = 240

_SUBSCRIBE = (
    "<iq type='set' id='s' to='{broker}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
    "<subscribe node='{node}' jid='%%_username%%@{domain}'/></pubsub></iq>"
)
_PUBLISH = (
    "<iq type='set' id='p' to='{broker}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
    "<publish node='{node}'><item id='t-%%_i%%'><data xmlns='urn:gridlab:opaque'>{fill}</data>"
    "</item></publish></pubsub></iq>"
)
_SCENARIO = """<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "/usr/share/tsung/tsung-1.0.dtd" [] >
<tsung loglevel="error" dumptraffic="false" version="1.0">
<clients><client host="localhost" maxusers="20000" use_controller_vm="true"/></clients>
<servers><server host="{address}" port="{port}" type="tcp"/></servers>
<load duration="{stay}" unit="second"><arrivalphase phase="1" duration="{stay}" unit="second">
<users maxnumber="{sessions}" arrivalrate="{rate}" unit="second"/></arrivalphase></load>
<options><option type="ts_jabber" name="domain" value="{domain}"/>
<option type="ts_jabber" name="userid_max" value="0"/>
<option type="ts_jabber" name="random_from_fileid" value="users"/>
<option type="ts_jabber" name="offline_from_fileid" value="users"/>
<option type="ts_jabber" name="fileid_delimiter" value=","/>
<option name="file_server" id="users" value="{users}"/></options>
<sessions><session bidi="true" probability="100" name="platform" type="ts_jabber">
<setdynvars sourcetype="file" fileid="users" delimiter="," order="iter">
<var name="username"/><var name="password"/></setdynvars>
<request subst="true"><jabber type="connect" ack="local">
<xmpp_authenticate username="%%_username%%" passwd="%%_password%%"/></jabber></request>
<thinktime value="1"/><request><jabber type="starttls" ack="bidi_ack"/></request>
<request><jabber type="connect" ack="local"/></request><thinktime value="1"/>
<transaction name="auth"><request><jabber type="auth_sasl" ack="local"/></request>
<request><jabber type="connect" ack="local"/></request></transaction><thinktime value="1"/>
<transaction name="bind"><request><jabber type="auth_sasl_bind" ack="local"/></request>
</transaction>{work}<thinktime value="{stay}"/>
<request><jabber type="close" ack="no_ack"/></request></session></sessions></tsung>
"""


def available() -> bool:
    """Whether Tsung is installed."""
    return shutil.which("tsung") is not None


def subscribing(broker: str, node: str, domain: str) -> str:
    """Work of a session that subscribes and then receives."""
    stanza = _SUBSCRIBE.format(broker=broker, node=node, domain=domain)
    return (
        f'<request subst="true"><jabber type="raw" ack="local" data={quoteattr(stanza)}/></request>'
        '<request><jabber type="presence:initial" ack="no_ack"/></request>'
    )


def publishing(
    broker: str, node: str, count: int, payload_bytes: int, sessions: int = 1, think_s: float = 0.0
) -> str:
    """Work of a session that publishes `count` items without waiting for answers.

    It begins once `sessions` have had the time to log in, and waits `think_s` [s] after each item.
    """
    stanza = _PUBLISH.format(broker=broker, node=node, fill="x" * (payload_bytes - 50))
    think = f'<thinktime value="{think_s:g}"/>' if think_s else ""
    return (
        f'<thinktime value="{3 + sessions // USERS_PER_S}"/>'
        f'<for from="1" to="{count}" var="i"><request subst="true">'
        f'<jabber type="raw" ack="no_ack" data={quoteattr(stanza)}/></request>{think}</for>'
    )


@contextmanager
def running(
    directory: Path,
    served: Mapping[str, Any],
    accounts: Mapping[str, str],
    work: str,
    cores: tuple[int, ...],
) -> Iterator[int]:
    """Tsung with a session for each account; gives the process id of its virtual machine.

    Parameters
    ----------
    directory : Path
        For its files.
    served : mapping
        `address`, `port` and `domain` of the Controller.
    accounts : mapping of str to str
        Password of each local part.
    work : str
        What a session does once online, as Tsung writes it.
    cores : tuple of int
        Processors that it is kept to.

    Raises
    ------
    LoadError
        Tsung did not start.
    """
    users, scenario = directory / "users.csv", directory / "scenario.xml"
    users.write_text("".join(f"{name},{password}\n" for name, password in accounts.items()))
    scenario.write_text(
        _SCENARIO.format(
            address=served["address"],
            port=served["port"],
            domain=served["domain"],
            stay=STAY_S,
            sessions=len(accounts),
            rate=USERS_PER_S,
            users=users,
            work=work,
        )
    )
    environment = {
        **os.environ,
        "ERL_AFLAGS": "+sbwt none +sbwtdcpu none +sbwtdio none",  # no spinning while idle
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(20_000 + os.getpid() % 10_000),
        "ERL_MAX_PORTS": "32768",
        "HOME": str(directory),
    }

    mapper = subprocess.Popen(["epmd"], env=environment, stdout=subprocess.DEVNULL)
    command = ["tsung", "-f", str(scenario), "-l", str(directory / "log"), "start"]
    log = (directory / "output").open("wb")
    program = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, cores)), *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield _machine(program, directory)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        mapper.kill()
        mapper.wait()
        log.close()


def _machine(program: subprocess.Popen[bytes], directory: Path) -> int:
    """Process id of the virtual machine that the program starts."""
    deadline_s = time.monotonic() + 15.0
    while time.monotonic() < deadline_s and program.poll() is None:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                ours = os.getpgid(int(entry.name)) == program.pid
                if ours and "beam" in (entry / "comm").read_text():
                    return int(entry.name)
        time.sleep(0.05)
    said = (directory / "output").read_text(errors="replace")[-500:]
    raise LoadError(f"tsung: did not start: {said}")
