"""The built broker as a child process, and the frame that the checks run in.

Not a client: those are in the scripts next door, each with a client that nobody here wrote.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback


def storage_flags():
    """Nothing may stay in the clone: in memory, unless the caller says where a store may lie."""
    below = os.environ.get("OPIFEX_DATA")
    return ["--data-dir", tempfile.mkdtemp(dir=below)] if below else ["--storage", "memory"]


# `websockets`: the clients come over WebSocket.
TRANSPORT = os.environ.get("OPIFEX_TRANSPORT", "tcp")


class Broker:
    """`opifex serve`, on a free port if none is given; stopped by its pid, and expected to end cleanly."""

    def __init__(self, program, *flags, port=0, storage=None):
        storage = storage_flags() if storage is None else storage
        over_websocket = TRANSPORT == "websockets"
        if over_websocket:
            flags = (*flags, "--websocket", "127.0.0.1:0")
        self.process = subprocess.Popen(
            [program, "serve", "--listen", f"127.0.0.1:{port}", "--log", "warn", *storage, *flags],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        if over_websocket:
            line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise RuntimeError(f"the broker does not listen: {line!r}")
        self.host, _, port = line.split()[-1].removeprefix("ws://").rpartition(":")
        self.port = int(port)

    def stop(self):
        os.kill(self.process.pid, signal.SIGTERM)
        exit_code = self.process.wait(30)
        assert exit_code == 0, f"the broker ended with {exit_code}"

    def kill(self):
        """Ends it as a crash does, without a word."""
        self.process.kill()
        self.process.wait(30)


class Elsewhere:
    """A broker that somebody else has started: to check the checks with another one."""

    def __init__(self, address):
        self.host, _, port = address.rpartition(":")
        self.port = int(port)

    def stop(self):
        pass


def arguments():
    parser = argparse.ArgumentParser()
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--program", help="the built opifex, which is started and stopped")
    target.add_argument("--address", help="HOST:PORT of a broker that runs")
    parser.add_argument("--only", default="", help="run the checks whose name contains this")
    return parser.parse_args()


def start(args, *flags):
    return Broker(args.program, *flags) if args.program else Elsewhere(args.address)


@contextlib.contextmanager
def with_users(args, **passwords):
    """A broker of its own that lets nobody in but these users. `None` where the broker is not ours to start."""
    if not args.program:
        yield None
        return
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        for name, password in passwords.items():
            hashed = subprocess.run(
                [args.program, "hash-password"], input=password, text=True, capture_output=True, check=True
            ).stdout.strip()
            config.write(f'[[users]]\nname = "{name}"\npassword_hash = "{hashed}"\n')
            config.write(f'allow.publish = ["{name}/#"]\n')
        config.flush()
        broker = Broker(args.program, "--config", config.name)
        try:
            yield broker
        finally:
            broker.stop()


def eventually(condition, what, seconds=15):
    """Waits for something that a client's own thread brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def run(title, args, checks):
    """Runs (name, function) pairs, says how each went, and ends the process."""
    failed, ran = [], 0
    for name, check in checks:
        if args.only not in name:
            continue
        ran += 1
        begun = time.monotonic()
        try:
            check()
            print(f"ok    {title}: {name} ({time.monotonic() - begun:.2f} s)", flush=True)
        except Exception:  # noqa: BLE001 - the next checks are worth their run
            failed.append(name)
            print(f"FAIL  {title}: {name}\n{traceback.format_exc()}", flush=True)
    print(f"{title}: {ran - len(failed)} of {ran} checks passed", flush=True)
    sys.exit(1 if failed or not ran else 0)
