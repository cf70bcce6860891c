"""The brokers that benches/compare measures, and how each is started: alone, on a free port of 127.0.0.1, and ended again."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
AEDES = "1.2.0"
PORT_SECONDS = 20


class NoResult(Exception):
    """Why a broker could not be measured."""


MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
log_type error
log_type warning
connection_messages false
"""
NATS_CONF = """\
server_name: bench
host: 127.0.0.1
port: {other_port}
max_connections: 100000
jetstream {{ store_dir: "{folder}", max_memory_store: 2GB, max_file_store: 8GB }}
mqtt {{ host: 127.0.0.1, port: {port}, max_ack_pending: 65535 }}
"""
RUMQTTD_CONF = """\
id = 0
[router]
id = 0
max_connections = 60010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 0
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 2048000
max_inflight_count = 1000
dynamic_filters = true
"""
AEDES_SERVER = """\
import { createServer } from 'node:net'
import { Aedes } from 'aedes'
const broker = await Aedes.createBroker()
createServer(broker.handle).listen(Number(process.argv[2]), '127.0.0.1')
"""


def first_line(command):
    """What a program says of its version."""
    run = subprocess.run(command, capture_output=True, check=False, text=True)
    return (run.stdout + run.stderr).strip().partition("\n")[0]


def apt_install(package):
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*as_root, "apt-get", "update", "-qq"], check=True)
    subprocess.run([*as_root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", package], check=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Brokers:
    """How each broker is started, and which of them there are. A command is made of a folder of its own, a port, and the storage
    that is wanted, which only ours has a choice of."""

    def __init__(self, program, scratch=None, install=False, rumqttd_program=None):
        self.program, self.scratch, self.install, self.rumqttd_program = program, scratch, install, rumqttd_program
        self.versions, self.commands = {}, {}

    def look_for(self, names):
        """Those of these names that are there; of the others a line says why they are not."""
        for name in names:
            try:
                version, command = getattr(self, name.partition("-")[0])(name)
            except LookupError as missing:
                print(f"{name} is left out: {missing}", file=sys.stderr)
                continue
            self.versions[name], self.commands[name] = version, command

    def installed(self, program, package):
        path = os.environ["PATH"] + ":/usr/sbin"
        if not shutil.which(program, path=path) and self.install:
            apt_install(package)
        found = shutil.which(program, path=path)
        if not found:
            raise LookupError(f"no {program} (--install takes it from apt)")
        return found

    def opifex(self, name):
        """`opifex-2` and `opifex-1`: with so many workers. Its limits of queues are off, as those of the others are."""
        program, workers = self.program, name.partition("-")[2] or "2"
        flags = ["--workers", workers, "--log", "error", "--max-queued-messages", "10000000", "--max-queued-bytes", "4GiB"]
        revision = first_line(["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"])
        version = f"{first_line([program, '--version'])}, commit {revision}, {workers} worker{'s' * (workers != '1')}"

        def command(folder, port, storage):
            store = ["--storage", storage] + (["--data-dir", folder / "store"] if storage != "memory" else [])
            return [program, "serve", "--listen", f"127.0.0.1:{port}", *store, *flags]

        return version, command

    def mosquitto(self, _):
        program = self.installed("mosquitto", "mosquitto")

        def command(folder, port, _):
            user = "user root\n" if os.geteuid() == 0 else ""
            (folder / "conf").write_text(MOSQUITTO_CONF.format(port=port) + user)
            return [program, "-c", folder / "conf"]

        return first_line([program, "-h"]), command

    def nats(self, _):
        program = self.installed("nats-server", "nats-server")

        def command(folder, port, _):
            (folder / "conf").write_text(NATS_CONF.format(port=port, other_port=free_port(), folder=folder / "jetstream"))
            return [program, "-c", folder / "conf"]

        return first_line([program, "--version"]), command

    def rumqttd(self, _):
        program = self.rumqttd_program
        if not program:
            target = os.environ.get("CARGO_TARGET_DIR") or ROOT / "target"
            root = pathlib.Path(target) / "rumqttd"
            program = root / "bin" / "rumqttd"
            if not program.exists() and self.install:
                # Not --locked: what it was published with does not build on the Rust of today.
                subprocess.run(["cargo", "install", "--quiet", "rumqttd", "--root", root, "--target-dir", root / "build"], check=True)
        if not os.access(program, os.X_OK):
            raise LookupError(f"no {program} (--rumqttd PATH, or --install)")

        def command(folder, port, _):
            (folder / "conf.toml").write_text(RUMQTTD_CONF.format(port=port))
            return [program, "-c", folder / "conf.toml", "-q"]

        return first_line([program, "--version"]), command

    def aedes(self, _):
        folder = self.scratch / "npm"
        folder.mkdir()
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        (folder / "server.mjs").write_text(AEDES_SERVER)
        flags = ["--silent", "--no-audit", "--no-fund", "--prefix", folder]
        if not shutil.which("npm") or subprocess.run(["npm", "install", *flags, f"aedes@{AEDES}"], check=False).returncode != 0:
            raise LookupError("npm does not install it")
        version = f"aedes {AEDES}, Node.js {first_line(['node', '--version'])}"
        return version, lambda _, port, __: ["node", folder / "server.mjs", str(port)]


@contextlib.contextmanager
def running(command, scratch, storage="memory"):
    """A broker that was just started: its port and process. It, and nothing else, is ended."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    port = free_port()
    with (folder / "log").open("wb") as log:
        arguments = command(folder, port, storage)
        process = subprocess.Popen(list(map(str, arguments)), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PORT_SECONDS
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoResult(f"{arguments[0]} does not listen: {(folder / 'log').read_text(errors='replace')[-300:]}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.05)
        time.sleep(0.3)
        yield port, process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
