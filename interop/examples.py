"""Runs the library's examples as their own text says, with mosquitto's clients where they listen."""

import argparse
import os
import signal
import subprocess
import tempfile

PATIENCE = 15


def round_trip(target):
    """One message through a broker."""
    subscriber = subprocess.Popen(
        ["stdbuf", "-oL", "mosquitto_sub", *target, "-t", "examples/#", "-q", "1", "-C", "1", "-W", str(PATIENCE), "-d", "-F", "MESSAGE %t %p"],
        stdout=subprocess.PIPE, text=True,
    )
    for line in subscriber.stdout:
        if line.startswith("Subscribed"):
            subprocess.run(["mosquitto_pub", *target, "-t", "examples/x", "-q", "1", "-m", "hello"], check=True, timeout=PATIENCE)
        if line == "MESSAGE examples/x hello\n":
            break
    else:
        raise AssertionError("the message has not come")
    subscriber.wait(PATIENCE)


def serves(name, argument, target):
    example = subprocess.Popen([os.path.join(args.examples, name), argument], stdout=subprocess.PIPE, text=True)
    try:
        line = example.stdout.readline()
        assert line.startswith("listening on "), line
        round_trip(target(line.removeprefix("listening on ").strip()))
        os.kill(example.pid, signal.SIGINT)
        assert example.wait(PATIENCE) == 0, example.returncode
    finally:
        if example.poll() is None:
            example.kill()
    print(f"ok    example {name}")


parser = argparse.ArgumentParser()
parser.add_argument("--examples", required=True, help="the folder of the built examples")
args = parser.parse_args()

serves("tcp", "127.0.0.1:0", lambda address: ["-h", address.rpartition(":")[0], "-p", address.rpartition(":")[2]])
with tempfile.TemporaryDirectory() as folder:
    socket = os.path.join(folder, "opifex.sock")
    serves("unix_socket", socket, lambda path: ["--unix", path])
    assert not os.path.exists(socket)
duplex = subprocess.run([os.path.join(args.examples, "duplex")], capture_output=True, text=True, timeout=PATIENCE, check=True)
assert "rooms/1/light" in duplex.stdout and "ServerShuttingDown" in duplex.stdout, duplex.stdout
print("ok    example duplex")
