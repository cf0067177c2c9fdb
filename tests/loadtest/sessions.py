"""A Platform's session as the tests of deployed servers use it: plain slixmpp."""

import asyncio
import ssl

import slixmpp

WITHIN_S = 10.0
FAILURES = ("failed_all_auth", "connection_failed", "ssl_invalid_chain", "stream_error")


def play(story):
    return asyncio.run(asyncio.wait_for(story, 20))


class Session:
    """A Platform that is logged in; entering raises ConnectionError with the reason it is not.

    `account` is a bare JID, or the local part of one at the Controller `alpha`. With the path of a
    `certificate` it logs in by SASL EXTERNAL, as itself.
    """

    def __init__(
        self,
        grid,
        account,
        *,
        password=None,
        tls="direct",
        trust=None,
        mechanism="SCRAM-SHA-256",
        certificate=None,
        version=None,
    ):
        controllers = grid.document()["controllers"]
        jid = account if "@" in account else f"{account}@{controllers['alpha']['domain']}"
        domain = jid.partition("@")[2]
        self._served = next(each for each in controllers.values() if each["domain"] == domain)
        trusted = ssl.create_default_context(cafile=trust or self._served["ca_file"])
        if version is not None:
            trusted.minimum_version = trusted.maximum_version = version
        self.client = slixmpp.ClientXMPP(
            jid,
            password or grid.credentials()[jid],
            sasl_mech="EXTERNAL" if certificate else mechanism,
            ssl_context=trusted,
        )
        if certificate:
            self.client.certfile = self.client.keyfile = str(certificate)
            self.client.credentials["authzid"] = jid
        self.within_s = WITHIN_S
        self.client.enable_direct_tls = tls == "direct"
        self.client.enable_starttls = tls != "direct"
        self.client.register_plugin("xep_0060")
        self.pubsub = self.client.plugin["xep_0060"]
        self._port = self._served["direct_tls_port" if tls == "direct" else "port"]

    async def __aenter__(self):
        outcome = asyncio.get_running_loop().create_future()

        def settle(event, _=None):
            if not outcome.done():
                outcome.set_result(event)

        for event in ("session_start", *FAILURES):
            self.client.add_event_handler(event, lambda _, event=event: settle(event))
        self.client.connect(self._served["address"], self._port)
        try:
            event = await asyncio.wait_for(outcome, self.within_s)
        except TimeoutError:
            event = "no answer"
        if event != "session_start":
            self.client.abort()
            raise ConnectionError(event)
        self.client.send_presence()
        return self

    async def __aexit__(self, *_):
        await self.client.disconnect(wait=0.5)
