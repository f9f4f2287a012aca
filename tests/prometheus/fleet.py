"""Simulated nodes with their updaters, and a Prometheus that scrapes them.

All servers listen on 127.0.0.1, and every wait has a timeout.
"""

import http.server
import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "release"

# In seconds. No step takes this long, even on a machine under load.
TIMEOUT = 60


def wait_for(name, condition, timeout=TIMEOUT):
    """Waits until the condition is true. Returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"no {name} within {timeout} s"
        time.sleep(0.05)


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


class Node:
    """A simulated node whose commands take 10 ms, and its updater.

    The updater runs one cycle at once, and the next in an hour, unless the options say
    otherwise.
    """

    def __init__(self, directory, name="node-1", simulator=(), updater=()):
        self.name = name
        self.directory = directory / name
        self.socket = self.directory / "api.sock"
        self.boot_id = self.directory / "boot_id"
        self.record = self.directory / "record"
        self.log = self.directory / "log"
        self.options = updater
        (self.directory / "state").mkdir(parents=True)
        times = [f"--{name}-time=10ms" for name in ("refresh", "prepare", "activate", "reboot")]
        self.simulator = subprocess.Popen(
            [RELEASE / "bottlerocket-simulator", "--socket", self.socket]
            + ["--boot-id", self.boot_id, *times, *simulator],
            stdout=subprocess.DEVNULL,
        )
        wait_for("API", self.accepts_connections)
        self.updater = None
        self.port = 0

    def accepts_connections(self):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    def start_updater(self):
        """Starts the updater, always on the same port."""
        with open(self.log, "w") as log:
            self.updater = subprocess.Popen(
                [RELEASE / "bottlerocket-updater", "-socket", self.socket]
                + ["-interval=1h", "-jitter=0s", f"-metrics-address=127.0.0.1:{self.port}"]
                + ["-state-dir", self.directory / "state", "-boot-id", self.boot_id]
                + ["-record", self.record, *self.options],
                stderr=log,
            )
        serving = wait_for("server", lambda: re.search(r"port=(\d+)", self.log.read_text()))
        self.port = int(serving[1])

    def wait_for_event(self, name):
        wait_for(name, lambda: f" event={name} " in self.log.read_text())

    def page(self):
        return fetch(f"http://127.0.0.1:{self.port}/metrics")

    def is_ready(self):
        """Runs the checker, as Kured does."""
        program = [RELEASE / "bottlerocket-checker", "-socket", self.socket]
        return subprocess.run(program, check=False, capture_output=True).returncode == 0

    def reboot(self, *options, boot_time=0):
        """Reboots the node and restarts its updater, after so many seconds."""
        program = [RELEASE / "bottlerocket-reboot", "-if-ready", "-socket", self.socket]
        subprocess.run([*program, *options], check=True, capture_output=True, timeout=TIMEOUT)
        self.stop_updater()
        time.sleep(boot_time)
        self.start_updater()

    def reboot_with_record(self, boot_time=0):
        """Reboots the node as our manifests do, so that a gate holds it if it must."""
        self.reboot("-record", self.record, "-boot-id", self.boot_id, boot_time=boot_time)

    def stop_updater(self):
        self.updater.terminate()
        assert self.updater.wait(TIMEOUT) == 0

    def stop_simulator(self):
        self.simulator.kill()
        self.simulator.wait()

    def stop(self):
        for process in (self.updater, self.simulator):
            if process:
                process.kill()
                process.wait()


class CannedPages:
    """A server of metrics pages that a test writes: those of Kured, for example."""

    def __init__(self):
        self.pages = {}
        pages = self.pages

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                text = pages.get(self.path)
                self.send_response(200 if text is not None else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def jobs(self, nodes):
        """The jobs that scrape the page of each node's Kured, and kube-state-metrics'."""
        return [
            {
                "job_name": "kured",
                "static_configs": [
                    {
                        "targets": [self.address],
                        "labels": {"node": name, "__metrics_path__": f"/kured/{name}"},
                    }
                    for name in nodes
                ],
            },
            {
                "job_name": "kube-state-metrics",
                "metrics_path": "/kube-state-metrics",
                "static_configs": [{"targets": [self.address]}],
            },
        ]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def updater_job(nodes):
    """The job of deploy/monitoring/scrape-config.yaml for these nodes, with the labels that
    Prometheus gives pods in Kubernetes. A pod of something else must not be scraped."""
    jobs = yaml.safe_load((ROOT / "deploy/monitoring/scrape-config.yaml").read_text())
    [job] = [job for job in jobs["scrape_configs"] if job["job_name"] == "bottlerocket-updater"]
    del job["kubernetes_sd_configs"], job["scrape_interval"]
    pods = [(node.port, node.name, "bottlerocket-updater") for node in nodes]
    job["static_configs"] = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {
                "__meta_kubernetes_namespace": "bottlerocket-updater",
                "__meta_kubernetes_pod_container_port_name": "metrics",
                "__meta_kubernetes_pod_label_app_kubernetes_io_name": name,
                "__meta_kubernetes_pod_node_name": node,
            },
        }
        for port, node, name in [*pods, (1, "node-1", "bottlerocket-simulator")]
    ]
    return job


class Prometheus:
    """A Prometheus server."""

    def __init__(self, directory, jobs, scrape_interval, rules=None):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        # JSON is YAML.
        (directory / "rules.yaml").write_text(json.dumps(rules or {"groups": []}))
        configuration = {
            "global": {"scrape_interval": f"{scrape_interval}s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": jobs,
        }
        for job in jobs:
            job["scrape_timeout"] = f"{scrape_interval}s"
        (directory / "prometheus.yaml").write_text(json.dumps(configuration))
        with open(directory / "prometheus.log", "w") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={directory / 'prometheus.yaml'}"]
                + [f"--storage.tsdb.path={directory / 'data'}"]
                + [f"--web.listen-address={self.address}"],
                stderr=log,
            )

    def get(self, path, **parameters):
        """Returns the data of a request to the server's API, or None before it listens."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            return json.loads(fetch(url))["data"]
        except OSError:
            assert self.process.poll() is None, "Prometheus has exited"
            return None

    def samples(self, query):
        """Returns pairs of the labels and the value of each sample."""
        data = self.get("query", query=query) or {"result": []}
        return [(item["metric"], float(item["value"][1])) for item in data["result"]]

    def value(self, query):
        """Returns the value of a query with one sample, or None without a sample."""
        samples = self.samples(query)
        if not samples:
            return None
        ((_, value),) = samples
        return value

    def stop(self):
        self.process.kill()
        self.process.wait()
