"""Checks with mosquitto_pub, mosquitto_sub and mosquitto_rr (Debian's mosquitto-clients), for MQTT 3.1, 3.1.1 and 5.0."""

import atexit
import itertools
import queue
import signal
import subprocess
import threading

import broker as opifex

VERSIONS = {"3.1": "mqttv31", "3.1.1": "mqttv311", "5.0": "mqttv5"}
PATIENCE = 15
names = itertools.count()


def session(version):
    """Flags of a session that outlives its connection."""
    return ["-c", *(["-x", "300"] if version == "5.0" else [])]


def publish(broker, version, topic, payload, qos=0, *more, expect=0):
    command = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-V", VERSIONS[version], "-t", topic, "-q", str(qos)]
    lines = payload if isinstance(payload, list) else None
    command += (["-l"] if lines else ["-m", payload] if payload else ["-n"]) + list(more)
    text = "".join(f"{line}\n" for line in lines) if lines else None
    done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=PATIENCE)
    assert (done.returncode == 0) == (expect == 0), (command, done)
    return done


class Subscriber:
    """mosquitto_sub as a child process. Ready when its SUBACK is there."""

    def __init__(self, broker, version, topic, qos=0, *more, ready="Subscribed", client_id=None):
        self.client_id = client_id or f"mosquitto-{next(names)}"
        command = ["stdbuf", "-oL", "mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-V", VERSIONS[version]]
        command += ["-i", self.client_id, "-t", topic, "-q", str(qos), "-d", "-F", "MESSAGE %t|%q|%r|%p", *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        atexit.register(self.process.kill)  # A check that fails does not come to stop it.
        self.messages, self.log, self.ready = queue.Queue(), [], threading.Event()
        self.reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self.reader.start()
        if not self.ready.wait(PATIENCE):
            raise AssertionError(f"no {ready!r}: {self.log}")

    def _read(self, ready):
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line.startswith("MESSAGE "):
                topic, qos, retain, payload = line.removeprefix("MESSAGE ").split("|", 3)
                self.messages.put((topic, int(qos), retain == "1", payload))
            else:
                self.log.append(line)
                if ready in line:
                    self.ready.set()

    def receive(self):
        try:
            return self.messages.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"no message: {self.log[-5:]}") from None

    def payloads(self, count):
        return [self.receive()[3] for _ in range(count)]

    def stop(self):
        """mosquitto_sub says DISCONNECT."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)

    def kill(self):
        """It says nothing any more."""
        self.process.kill()
        self.process.wait(PATIENCE)


def checks(args, broker):
    def delivery(version, publish_qos, subscribe_qos):
        topic = f"mosquitto/delivery/{version}/{publish_qos}/{subscribe_qos}"
        subscriber = Subscriber(broker, version, topic, subscribe_qos)
        lines = [f"message {index}" for index in range(20)]
        publish(broker, version, topic, lines, publish_qos)
        for line in lines:
            assert subscriber.receive() == (topic, min(publish_qos, subscribe_qos), False, line)
        subscriber.stop()

    def between_versions(from_version, to_version):
        topic = f"mosquitto/between/{from_version}/{to_version}"
        subscriber = Subscriber(broker, to_version, topic, 2)
        publish(broker, from_version, topic, "hello", 2)
        assert subscriber.receive() == (topic, 2, False, "hello")
        subscriber.stop()

    def retained(version, qos):
        topic = f"mosquitto/retained/{version}/{qos}"
        publish(broker, version, topic, "kept", qos, "-r")
        # Nobody acknowledges QoS 0; a store takes what is acknowledged now behind it.
        publish(broker, version, "mosquitto/fence", "", 1, "-r")
        subscriber = Subscriber(broker, version, f"mosquitto/retained/{version}/{qos}/#", 2)
        assert subscriber.receive() == (topic, qos, True, "kept")
        publish(broker, version, topic, "", qos, "-r")
        assert subscriber.receive() == (topic, qos, False, "")
        subscriber.stop()
        later = Subscriber(broker, version, topic, 2)
        publish(broker, version, topic, "fence")
        assert later.receive()[3] == "fence"
        later.stop()

    def will(version, qos):
        topic = f"mosquitto/will/{version}/{qos}"
        subscriber = Subscriber(broker, version, topic, 2)
        flags = ["--will-topic", topic, "--will-payload", "gone", "--will-qos", str(qos)]
        Subscriber(broker, version, "mosquitto/any", 0, *flags).kill()
        assert subscriber.receive() == (topic, qos, False, "gone")
        Subscriber(broker, version, "mosquitto/any", 0, *flags).stop()
        if version == "5.0":  # Its DISCONNECT has the reason code 0x04, which asks for the will.
            assert subscriber.receive() == (topic, qos, False, "gone")
        publish(broker, version, topic, "fence")
        assert subscriber.receive()[3] == "fence"
        subscriber.stop()

    def resume(version, qos):
        topic, client_id = f"mosquitto/resume/{version}/{qos}", f"mosquitto-resume-{version}-{qos}"
        Subscriber(broker, version, topic, qos, *session(version), client_id=client_id).stop()
        lines = [f"message {index}" for index in range(50)]
        publish(broker, version, topic, lines, qos)
        again = Subscriber(broker, version, topic, qos, *session(version), client_id=client_id)
        for line in lines:
            assert again.receive() == (topic, qos, False, line)
        # A client that is killed, not stopped, loses nothing either.
        again.kill()
        publish(broker, version, topic, "afterwards", qos)
        last = Subscriber(broker, version, topic, qos, *session(version), client_id=client_id)
        assert last.payloads(1) == ["afterwards"]
        last.stop()

    def shared(version):
        topic = f"mosquitto/shared/{version}"
        members = [Subscriber(broker, version, f"$share/group/{topic}", 1) for _ in range(2)]
        lines = [f"message {index}" for index in range(40)]
        publish(broker, version, topic, lines, 1)
        opifex.eventually(lambda: sum(member.messages.qsize() for member in members) >= 40, "40 messages")
        shares = [member.payloads(member.messages.qsize()) for member in members]
        assert sorted(shares[0] + shares[1]) == sorted(lines) and all(shares), shares
        for member in members:
            member.stop()

    def large(version):
        topic = f"mosquitto/large/{version}"
        subscriber = Subscriber(broker, version, topic, 1)
        publish(broker, version, topic, ["x" * 1_000_000], 1)
        assert subscriber.receive()[3] == "x" * 1_000_000
        subscriber.stop()

    def login(version):
        with opifex.with_users(args, alice="correct horse") as closed:
            if closed is None:
                return
            subscriber = Subscriber(closed, version, "alice/#", 1, "-u", "alice", "-P", "correct horse")
            publish(closed, version, "alice/x", "in", 1, "-u", "alice", "-P", "correct horse")
            assert subscriber.receive()[3] == "in"
            publish(closed, version, "alice/x", "no", 1, "-u", "alice", "-P", "wrong", expect=1)
            publish(closed, version, "alice/x", "no", 1, expect=1)
            subscriber.stop()

    def v5_request_and_response():
        responder = Subscriber(broker, "5.0", "mosquitto/request", 1, "-F", "MESSAGE %t|%q|0|%R %p")
        request = subprocess.Popen(
            ["mosquitto_rr", "-h", broker.host, "-p", str(broker.port), "-V", "mqttv5", "-W", str(PATIENCE), "-q", "1",
             "-t", "mosquitto/request", "-e", "mosquitto/response/7", "-m", "question"],
            stdout=subprocess.PIPE, text=True,
        )
        response_topic, payload = responder.receive()[3].split(" ")
        assert (response_topic, payload) == ("mosquitto/response/7", "question")
        publish(broker, "5.0", response_topic, "answer", 1)
        assert request.communicate(timeout=PATIENCE)[0] == "answer\n"
        responder.stop()

    def v5_properties():
        subscriber = Subscriber(broker, "5.0", "mosquitto/properties", 1, "-F", "MESSAGE %t|%q|0|%C %D %E %P %p")
        properties = [("content-type", "text/plain"), ("correlation-data", "c1"), ("message-expiry-interval", "77")]
        flags = [flag for name, value in properties for flag in ("-D", "publish", name, value)]
        publish(broker, "5.0", "mosquitto/properties", "hello", 1, *flags, "-D", "publish", "user-property", "k", "v")
        content_type, correlation, expiry, user, payload = subscriber.receive()[3].split(" ")
        assert (content_type, correlation, user, payload) == ("text/plain", "c1", "k:v", "hello")
        assert 0 < int(expiry) <= 77
        subscriber.stop()

    for version in VERSIONS:
        for publish_qos, subscribe_qos in itertools.product(range(3), repeat=2):
            yield f"{version} publish QoS {publish_qos}, subscribe QoS {subscribe_qos}", lambda v=version, p=publish_qos, s=subscribe_qos: delivery(v, p, s)
        for qos in range(3):
            yield f"{version} retained QoS {qos}", lambda v=version, q=qos: retained(v, q)
            yield f"{version} will QoS {qos}", lambda v=version, q=qos: will(v, q)
        for qos in (1, 2):
            yield f"{version} resume QoS {qos}", lambda v=version, q=qos: resume(v, q)
        for check in (shared, large, login):
            yield f"{version} {check.__name__}", lambda v=version, c=check: c(v)
    for pair in itertools.permutations(VERSIONS, 2):
        yield f"{pair[0]} to {pair[1]}", lambda p=pair: between_versions(*p)
    yield "v5_request_and_response", v5_request_and_response
    yield "v5_properties", v5_properties


def main():
    args = opifex.arguments()
    broker = opifex.start(args)
    try:
        opifex.run("mosquitto-clients", args, checks(args, broker))
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
