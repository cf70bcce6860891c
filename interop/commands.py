"""Checks of the client commands (`opifex pub`, `sub`, `rr`, `bench`): with mosquitto's programs at this broker, each as the
one side and as the other, and with Debian's mosquitto as the broker. Output and exit codes are held against mosquitto's."""

import contextlib
import itertools
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile

import broker as opifex

VERSIONS = {"3.1": "mqttv31", "3.1.1": "mqttv311", "5.0": "mqttv5"}
PATIENCE = 20
names = itertools.count()


class Mosquitto:
    """The broker of that name on a free port."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host, self.port = probe.getsockname()
        self.folder = tempfile.TemporaryDirectory()
        config = pathlib.Path(self.folder.name) / "mosquitto.conf"
        # Its default queue is short and without QoS 0; what does not fit is dropped.
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nqueue_qos0_messages true\n")
        self.process = subprocess.Popen(["mosquitto", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        opifex.eventually(self.listens, "mosquitto")

    def listens(self):
        assert self.process.poll() is None, "mosquitto ended"
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), 1).close()
            return True

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()


class Tools:
    """The commands of one family (ours or mosquitto's) at one broker."""

    def __init__(self, program, broker):
        self.program, self.at = program, ["-h", broker.host, "-p", str(broker.port)]

    def command(self, name, *flags):
        front = [self.program, name] if self.program else ["stdbuf", "-oL", f"mosquitto_{name}"]
        return [*front, *self.at, *flags]

    def run(self, name, *flags, input=b"", expect=0):
        done = subprocess.run(self.command(name, *flags), input=input, capture_output=True, timeout=PATIENCE)
        assert done.returncode == expect, (done.args, done)
        return done.stdout

    @contextlib.contextmanager
    def publishing_lines(self, lines, *flags):
        """`pub -l` in the background, which has read these lines to their end, and ends by itself."""
        process = subprocess.Popen(self.command("pub", "-l", *flags), stdin=subprocess.PIPE)
        try:
            process.communicate(lines, timeout=2 if self.program is None else PATIENCE)
        except subprocess.TimeoutExpired:
            # mosquitto_pub 2.0 has sent all of it by then, and sometimes waits for ever in its own end.
            if self.program:
                raise
        try:
            yield
            assert process.returncode in ((0,) if self.program else (0, None)), (process.args, process.returncode)
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def subscribed(self, topic, count, *flags):
        """`sub` in the background, which has its subscription; yields a function that answers all that it printed of so
        many messages."""
        # A retained message comes behind the subscription: when it is printed, nothing more can be missed.
        ready = f"{topic}/ready"
        self.run("pub", "-t", ready, "-r", "-m", "ready", "-q", "1")
        command = self.command("sub", "-t", topic, "-t", ready, "-C", str(count + 1), *flags)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
        try:
            assert process.stdout.readline().endswith(b"ready\n"), command
            yield lambda: process.communicate(timeout=PATIENCE)[0]
            assert process.returncode == 0, (command, process.returncode)
        finally:
            process.kill()
            process.wait()


def both_ways(ours, theirs, is_mosquitto):
    """Messages of the one family, printed by the other."""

    def lines(publisher, subscriber, version, qos):
        topic = f"commands/{next(names)}"
        # Without an empty line: mosquitto_sub prints nothing for it.
        sent = b"".join(b"%d\n" % number for number in range(500)) + b" \xff\r\nlast"
        with subscriber.subscribed(topic, 502, "-V", VERSIONS[version], "-q", str(qos)) as printed:
            with publisher.publishing_lines(sent, "-V", VERSIONS[version], "-t", topic, "-q", str(qos)):
                found = printed()
            assert found == sent + b"\n", (len(found), len(sent) + 1, found[-80:])

    def properties(publisher, subscriber):
        topic = f"commands/{next(names)}"
        given = [("content-type", "text/plain"), ("correlation-data", "c1"), ("response-topic", "r"), ("payload-format-indicator", "1")]
        flags = [flag for name, value in given for flag in ("-D", "publish", name, value)]
        publisher.run("pub", "-t", topic, "-m", "é", "-r", *flags, "-D", "publish", "user-property", "k", "v")
        out = subscriber.run("sub", "-V", "mqttv5", "-t", topic, "-C", "1", "-F", "%C|%D|%R|%F|%P|%x|%l|%r")
        assert out == b"text/plain|c1|r|1|k:v|c3a9|2|1\n", out

    for (name, publisher, subscriber), version, qos in itertools.product(
        (("pub to mosquitto_sub", ours, theirs), ("mosquitto_pub to sub", theirs, ours)), VERSIONS, range(3)
    ):
        # mosquitto_sub takes what its own broker sends it then for a protocol error, whoever publishes.
        if is_mosquitto and (subscriber, version, qos) == (theirs, "5.0", 2):
            continue
        yield f"{name}, {version}, QoS {qos}", lambda p=publisher, s=subscriber, v=version, q=qos: lines(p, s, v, q)
    yield "pub to mosquitto_sub, properties", lambda: properties(ours, theirs)
    yield "mosquitto_pub to sub, properties", lambda: properties(theirs, ours)


def alike(ours, theirs):
    """The same flags, the same output, the same exit code."""

    def sources():
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"a file\n")
            file.flush()
            for flags in (["-m", "x"], ["-n"], ["-f", file.name], ["-s"], ["-m", "x", "--repeat", "1"]):
                found = []
                for tools in (ours, theirs):
                    topic = f"commands/{next(names)}"
                    tools.run("pub", "-t", topic, "-r", *flags, input=b"all of\nit\n")
                    # A message of no bytes is not kept.
                    end = (["-W", "1"], 27) if "-n" in flags else (["-C", "1"], 0)
                    found.append(ours.run("sub", "-t", topic, *end[0], "-F", "%x %q", expect=end[1]))
                assert found[0] == found[1], (flags, found)

    def formats():
        ours.run("pub", "-t", "commands/format", "-r", "-q", "1", "-m", "payload ü")
        for text in ("%t|%p|%q|%r|%l|%x|%X|%%", "[%20t][%-20t][%.3t][%5.3t][%4l][%04l][%-4l]", "@@ @Y-@m-@d", r"\\ \t|\n|\a|\e[1m", "%C%D%E%P%R%S"):
            out = [tools.run("sub", "-t", "commands/format", "-C", "1", "-F", text) for tools in (ours, theirs)]
            assert out[0] == out[1], (text, out)
        for flags in ([], ["-v"], ["-N"], ["-v", "-N"]):
            out = [tools.run("sub", "-t", "commands/format", "-C", "1", *flags) for tools in (ours, theirs)]
            assert out[0] == out[1], (flags, out)
        found = [json.loads(tools.run("sub", "-t", "commands/format", "-C", "1", "-F", "%j")) for tools in (ours, theirs)]
        for members in found:
            members.pop("tst")
        assert found[0] == found[1], found

    def timeouts():
        for tools in (ours, theirs):
            tools.run("sub", "-t", "commands/nothing", "-W", "1", expect=27)
            tools.run("rr", "-t", "commands/nothing", "-e", "commands/answer", "-m", "x", "-W", "1", expect=27)

    return [("the sources of a payload", sources), ("formats", formats), ("time-outs", timeouts)]


def requests(ours, theirs):
    """A requester of the one family, a responder made of the other."""

    def ask(requester, responder, version):
        ask, answer = (f"commands/{next(names)}" for _ in range(2))
        with responder.subscribed(ask, 1, "-V", VERSIONS[version], "-q", "1", "-F", "%R|%D|%p") as asked:
            process = subprocess.Popen(
                requester.command("rr", "-V", VERSIONS[version], "-t", ask, "-e", answer, "-m", "question", "-q", "1", "-W", "15"),
                stdout=subprocess.PIPE,
            )
            response_topic, data, payload = asked().decode().rstrip("\n").split("|")
        assert (response_topic, payload) == (answer if version == "5.0" else "", "question")
        flags = ["-D", "publish", "correlation-data", data] if data else []
        responder.run("pub", "-t", answer, "-m", "answer", "-q", "1", *flags)
        assert process.communicate(timeout=PATIENCE)[0] == b"answer\n"

    for version in ("3.1.1", "5.0"):
        yield f"rr asks, mosquitto answers, {version}", lambda v=version: ask(ours, theirs, v)
        yield f"mosquitto_rr asks, we answer, {version}", lambda v=version: ask(theirs, ours, v)


def benchmarks(ours):
    def bench(scenario, qos):
        out = ours.run("bench", scenario, "-q", str(qos), "--count", "2000", "--warm-up", "100ms", "-M", "20", "--json")
        report = json.loads(out)
        assert (report["sent"], report["lost"], report["duplicates"], report["reordered"]) == (2000, 0, 0, 0), report

    for scenario, qos in itertools.product(("pairs", "fan-in", "fan-out", "publish"), range(3)):
        yield f"bench {scenario}, QoS {qos}", lambda s=scenario, q=qos: bench(s, q)


def checks(program, broker):
    ours, theirs = Tools(program, broker), Tools(None, broker)
    yield from both_ways(ours, theirs, isinstance(broker, Mosquitto))
    yield from alike(ours, theirs)
    yield from requests(ours, theirs)
    yield from benchmarks(ours)


def main():
    args = opifex.arguments()
    assert args.program, "the commands are the program's"
    brokers = [("opifex", opifex.start(args))]
    if shutil.which("mosquitto"):
        brokers.append(("mosquitto", Mosquitto()))
    try:
        all_checks = [(f"at {name}: {check}", run) for name, broker in brokers for check, run in checks(args.program, broker)]
        opifex.run("commands", args, all_checks)
    finally:
        for _, broker in brokers:
            broker.stop()


if __name__ == "__main__":
    main()
