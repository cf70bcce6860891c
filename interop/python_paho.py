"""Checks with Python's paho-mqtt, for MQTT 3.1, 3.1.1 and 5.0."""

import itertools
import queue
import threading
import time

import broker as opifex
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

VERSIONS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5.0": mqtt.MQTTv5}
PATIENCE = 15
names = itertools.count()


def properties(packet_type, **values):
    block = Properties(packet_type)
    for name, value in values.items():
        setattr(block, name, value)
    return block


class Peer:
    """A paho client whose calls wait until what they ask for has happened."""

    def __init__(self, broker, version, client_id=None, clean=True, expiry=300, will=None, login=None):
        self.broker, self.version, self.clean, self.expiry = broker, version, clean, expiry
        client_id = client_id or f"paho-{next(names)}"
        v5 = version == mqtt.MQTTv5
        session = {} if v5 else {"clean_session": clean}
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version, transport=opifex.TRANSPORT, **session)
        self.client.on_connect = self._connected
        self.client.on_disconnect = lambda *_: self.disconnected.set()
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.on_subscribe = lambda _client, _data, _mid, reasons, _props: self.subacks.put(reasons)
        self.client.on_unsubscribe = lambda *_: self.unsubacks.put(None)
        self.client.on_publish = lambda _c, _d, _mid, reason, _props: self.acks.put(reason)
        if will:
            self.client.will_set(**will)
        if login:
            self.client.username_pw_set(*login)

    def _connected(self, _client, _data, flags, reason, props):
        self.connack, self.session_present, self.connack_properties = reason, flags.session_present, props
        self.connected.set()

    def connect(self, accepted=True):
        self.connected, self.disconnected = threading.Event(), threading.Event()
        self.messages, self.subacks, self.unsubacks = queue.Queue(), queue.Queue(), queue.Queue()
        self.acks = queue.Queue()
        more = {}
        if self.version == mqtt.MQTTv5:
            expiry = 0 if self.clean else self.expiry
            more = {"clean_start": self.clean, "properties": properties(PacketTypes.CONNECT, SessionExpiryInterval=expiry)}
        self.client.connect(self.broker.host, self.broker.port, keepalive=30, **more)
        self.client.loop_start()
        assert self.connected.wait(PATIENCE), "no CONNACK"
        assert self.connack.is_failure != accepted, self.connack
        return self

    def subscribe(self, topic, qos=0, **more):
        self.client.subscribe(topic, qos=qos, **more) if not more.get("options") else self.client.subscribe(topic, **more)
        reasons = self.subacks.get(timeout=PATIENCE)
        assert not reasons[0].is_failure, reasons
        return reasons

    def unsubscribe(self, topic):
        self.client.unsubscribe(topic)
        self.unsubacks.get(timeout=PATIENCE)

    def publish(self, topic, payload, qos=0, retain=False, **values):
        more = {"properties": properties(PacketTypes.PUBLISH, **values)} if values else {}
        info = self.client.publish(topic, payload, qos=qos, retain=retain, **more)
        info.wait_for_publish(PATIENCE)
        assert info.is_published()
        return self.acks.get(timeout=PATIENCE)

    def receive(self):
        return self.messages.get(timeout=PATIENCE)

    def expect_nothing(self, fence):
        """Nothing has come but a message of our own that was sent after whatever could have come."""
        topic = f"fence/{next(names)}"
        self.subscribe(topic, 1)
        fence.publish(topic, b"fence", 1)
        message = self.receive()
        assert message.topic == topic, f"unexpected: {message.topic} {message.payload}"

    def disconnect(self):
        self.client.disconnect()
        assert self.disconnected.wait(PATIENCE)
        self.client.loop_stop()

    def break_off(self):
        """Ends the connection without DISCONNECT."""
        self.client._sock_close()
        self.client.loop_stop()


def checks(args, broker):
    def connected(version, **more):
        return Peer(broker, version, **more).connect()

    def delivery(version, publish_qos, subscribe_qos):
        topic = f"delivery/{version}/{publish_qos}/{subscribe_qos}"
        publisher, subscriber = connected(version), connected(version)
        reasons = subscriber.subscribe(topic, subscribe_qos)
        assert reasons[0].value == subscribe_qos, reasons
        for index in range(20):
            publisher.publish(topic, f"message {index}", publish_qos)
        for index in range(20):
            message = subscriber.receive()
            assert message.payload == f"message {index}".encode() and message.topic == topic
            assert message.qos == min(publish_qos, subscribe_qos) and not message.retain
        publisher.disconnect(), subscriber.disconnect()

    def wildcards(version):
        publisher, subscriber = connected(version), connected(version)
        subscriber.subscribe(f"wild/{version}/+/x", 1)
        publisher.publish(f"wild/{version}/a/y", "no", 1)
        publisher.publish(f"wild/{version}/a/x", "one level", 1)
        assert subscriber.receive().payload == b"one level"
        subscriber.subscribe(f"wild/{version}/#", 1)
        publisher.publish(f"wild/{version}", "parent", 1)
        assert subscriber.receive().payload == b"parent"
        subscriber.unsubscribe(f"wild/{version}/#")
        subscriber.unsubscribe(f"wild/{version}/+/x")
        publisher.publish(f"wild/{version}/a/x", "unsubscribed", 1)
        subscriber.expect_nothing(publisher)
        publisher.disconnect(), subscriber.disconnect()

    def large(version):
        publisher, subscriber = connected(version), connected(version)
        subscriber.subscribe(f"large/{version}", 2)
        payload = bytes(range(256)) * 4096
        publisher.publish(f"large/{version}", payload, 2)
        assert subscriber.receive().payload == payload
        publisher.disconnect(), subscriber.disconnect()

    def retained(version, qos):
        topic = f"retained/{version}/{qos}"
        publisher = connected(version)
        publisher.publish(topic, "old", qos, retain=True)
        publisher.publish(topic, "kept", qos, retain=True)
        publisher.publish(topic, "passing", 1)
        subscriber = connected(version)
        subscriber.subscribe(f"retained/{version}/+" if qos == 0 else topic, 2)
        message = subscriber.receive()
        assert (message.payload, message.retain, message.qos) == (b"kept", True, qos), message.payload
        publisher.publish(topic, "live", qos, retain=True)
        message = subscriber.receive()
        assert (message.payload, message.retain) == (b"live", False)
        publisher.publish(topic, b"", 1, retain=True)
        assert subscriber.receive().payload == b""
        later = connected(version)
        later.subscribe(topic, 2)
        later.expect_nothing(publisher)
        for peer in (publisher, subscriber, later):
            peer.disconnect()

    def will(version, qos):
        topic = f"will/{version}/{qos}"
        subscriber = connected(version)
        subscriber.subscribe(topic, 2)
        will = {"topic": topic, "payload": "gone", "qos": qos, "retain": True}
        connected(version, will=will).break_off()
        message = subscriber.receive()
        assert (message.payload, message.qos) == (b"gone", qos)
        connected(version, will=will).disconnect()
        publisher = connected(version)
        subscriber.expect_nothing(publisher)
        later = connected(version)
        later.subscribe(topic, 2)
        message = later.receive()
        assert (message.payload, message.retain) == (b"gone", True)
        publisher.publish(topic, b"", 1, retain=True)
        for peer in (publisher, subscriber, later):
            peer.disconnect()

    def resume(version, qos):
        topic = f"resume/{version}/{qos}"
        subscriber = connected(version, client_id=f"resume-{version}-{qos}", clean=False)
        assert not subscriber.session_present
        subscriber.subscribe(topic, qos)
        subscriber.disconnect()
        publisher = connected(version)
        for index in range(50):
            publisher.publish(topic, f"message {index}", qos)
        subscriber.connect()
        # 3.1 has no such flag.
        assert subscriber.session_present or version == mqtt.MQTTv31
        for index in range(50):
            message = subscriber.receive()
            assert message.payload == f"message {index}".encode() and message.qos == qos, (index, message.payload)
        subscriber.disconnect()
        fresh = connected(version, client_id=f"resume-{version}-{qos}", clean=True)
        assert not fresh.session_present
        publisher.publish(topic, "ended", qos)
        fresh.expect_nothing(publisher)
        publisher.disconnect(), fresh.disconnect()

    def takeover(version):
        first = connected(version, client_id=f"same-{version}")
        first.client.reconnect_delay_set(60, 60)
        second = connected(version, client_id=f"same-{version}")
        assert first.disconnected.wait(PATIENCE), "the older connection is still there"
        first.client.loop_stop()
        second.subscribe("any")
        second.disconnect()

    def shared(version):
        topic, members = f"shared/{version}", [connected(version) for _ in range(2)]
        publisher = connected(version)
        for member in members:
            member.subscribe(f"$share/group/{topic}", 1)
        for index in range(40):
            publisher.publish(topic, f"message {index}", 1)
        opifex.eventually(lambda: sum(member.messages.qsize() for member in members) >= 40, "40 messages")
        shares = [sorted(message.payload for message in list(member.messages.queue)) for member in members]
        assert sorted(shares[0] + shares[1]) == sorted(f"message {index}".encode() for index in range(40))
        assert all(shares), [len(share) for share in shares]
        for peer in (publisher, *members):
            peer.disconnect()

    def login(version):
        with opifex.with_users(args, alice="correct horse", bob="staple") as closed:
            if closed is None:
                return
            alice = Peer(closed, version, login=("alice", "correct horse")).connect()
            bob = Peer(closed, version, login=("bob", "staple")).connect()
            for wrong in (("alice", "wrong"), ("nobody", "correct horse"), None):
                refused = Peer(closed, version, login=wrong)
                refused.connect(accepted=False)
                refused.client.loop_stop()
            bob.subscribe("alice/#", 1)
            bob.subscribe("bob/#", 1)
            if version == mqtt.MQTTv5:
                reason = alice.publish("bob/x", "not hers", 1)
                assert reason.value == 0x87, reason
            alice.publish("alice/x", "hers", 1)
            assert bob.receive().payload == b"hers"
            alice.disconnect(), bob.disconnect()

    def v5_properties():
        publisher, subscriber = connected(mqtt.MQTTv5), connected(mqtt.MQTTv5)
        subscriber.subscribe("v5/properties", 2)
        publisher.publish(
            "v5/properties", "text", 2,
            PayloadFormatIndicator=1, ContentType="text/plain", ResponseTopic="v5/answer",
            CorrelationData=b"\x00\xff", MessageExpiryInterval=100,
            UserProperty=[("a", "1"), ("b", "2"), ("a", "3")],
        )
        got = subscriber.receive().properties
        assert got.PayloadFormatIndicator == 1 and got.ContentType == "text/plain"
        assert got.ResponseTopic == "v5/answer" and got.CorrelationData == b"\x00\xff"
        assert got.UserProperty == [("a", "1"), ("b", "2"), ("a", "3")], got.UserProperty
        assert 0 < got.MessageExpiryInterval <= 100
        publisher.disconnect(), subscriber.disconnect()

    def v5_message_expiry():
        subscriber = connected(mqtt.MQTTv5, client_id="v5-expiry", clean=False)
        subscriber.subscribe("v5/expiry", 1)
        subscriber.disconnect()
        publisher = connected(mqtt.MQTTv5)
        publisher.publish("v5/expiry", "short", 1, MessageExpiryInterval=1)
        publisher.publish("v5/expiry", "long", 1, MessageExpiryInterval=1000)
        time.sleep(2.5)  # Until the first has expired.
        subscriber.connect()
        message = subscriber.receive()
        assert message.payload == b"long" and 990 <= message.properties.MessageExpiryInterval < 1000
        publisher.disconnect(), subscriber.disconnect()

    def v5_session_expiry():
        subscriber = connected(mqtt.MQTTv5, client_id="v5-session", clean=False, expiry=1)
        subscriber.subscribe("v5/session", 1)
        subscriber.disconnect()
        time.sleep(2.5)  # Until the session has expired.
        subscriber.connect()
        assert not subscriber.session_present
        subscriber.disconnect()

    def v5_subscription_options():
        peer, other = connected(mqtt.MQTTv5), connected(mqtt.MQTTv5)
        other.publish("v5/options", "kept", 1, retain=True)
        peer.subscribe("v5/options", options=SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True, retainHandling=2))
        peer.publish("v5/options", "own", 1)
        other.publish("v5/options", "theirs", 1, retain=True)
        message = peer.receive()
        assert (message.payload, message.retain) == (b"theirs", True), message.payload
        other.publish("v5/options", b"", 1, retain=True)
        peer.disconnect(), other.disconnect()

    def v5_subscription_identifiers():
        peer = connected(mqtt.MQTTv5)
        for identifier, topic in ((7, "v5/ids/#"), (300, "v5/ids/a")):
            peer.client.subscribe(topic, qos=1, properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=identifier))
            peer.subacks.get(timeout=PATIENCE)
        peer.publish("v5/ids/a", "x", 1)
        found = peer.receive().properties.SubscriptionIdentifier
        if len(found) == 1:  # One message for each subscription is allowed, too.
            found += peer.receive().properties.SubscriptionIdentifier
        assert sorted(found) == [7, 300], found
        peer.disconnect()

    def v5_will_delay():
        subscriber = connected(mqtt.MQTTv5)
        subscriber.subscribe("v5/will-delay", 1)
        delayed = {"topic": "v5/will-delay", "payload": "gone", "qos": 1, "properties": properties(PacketTypes.WILLMESSAGE, WillDelayInterval=1)}
        victim = connected(mqtt.MQTTv5, client_id="v5-will-delay", clean=False, will=delayed)
        begun = time.monotonic()
        victim.break_off()
        assert subscriber.receive().payload == b"gone"
        assert time.monotonic() - begun > 0.8
        subscriber.disconnect()

    def v5_no_matching_subscribers():
        peer = connected(mqtt.MQTTv5)
        reason = peer.publish("v5/nobody/listens", "x", 1)
        assert reason.value in (0x00, 0x10), reason
        peer.disconnect()

    for version, number in VERSIONS.items():
        for publish_qos, subscribe_qos in itertools.product(range(3), repeat=2):
            yield f"{version} publish QoS {publish_qos}, subscribe QoS {subscribe_qos}", lambda n=number, p=publish_qos, s=subscribe_qos: delivery(n, p, s)
        for qos in range(3):
            yield f"{version} retained QoS {qos}", lambda n=number, q=qos: retained(n, q)
            yield f"{version} will QoS {qos}", lambda n=number, q=qos: will(n, q)
        for qos in (1, 2):
            yield f"{version} resume QoS {qos}", lambda n=number, q=qos: resume(n, q)
        for check in (wildcards, large, takeover, shared, login):
            yield f"{version} {check.__name__}", lambda n=number, c=check: c(n)
    for check in (
        v5_properties, v5_message_expiry, v5_session_expiry, v5_subscription_options, v5_subscription_identifiers,
        v5_will_delay, v5_no_matching_subscribers,
    ):
        yield check.__name__, check


def main():
    args = opifex.arguments()
    broker = opifex.start(args)
    try:
        opifex.run("paho-mqtt", args, checks(args, broker))
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
