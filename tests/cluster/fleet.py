"""The simulated fleet, a workload on it, and what was seen of both."""

import json
import re
import subprocess
import threading
import time

from cluster import (
    OWN,
    Failure,
    cordoned_nodes,
    get,
    kubectl,
    lock_holders,
    pods,
    say,
    wait_for,
)

# The workload runs in this namespace.
WORK = "bottlerocket-test"

WORKLOAD = """
apiVersion: v1
kind: Namespace
metadata: {name: bottlerocket-test}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: work, namespace: bottlerocket-test}
spec:
  replicas: 3
  selector: {matchLabels: {app: work}}
  template:
    metadata: {labels: {app: work}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: {matchLabels: {app: work}}
      containers:
        - name: work
          image: IMAGE
          imagePullPolicy: IfNotPresent
          command: [/usr/local/bin/bottlerocket-install, -wait]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: work, namespace: bottlerocket-test}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: work}}}
"""


# What a simulator logs when it has read its configuration again.
CHANGED = "configuration has changed"


class Fleet:
    """The simulated fleet, and what was seen of it."""

    def __init__(self, nodes, options):
        self.nodes = nodes
        self.options = options
        # As in the audit log.
        self.begun = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        self.version = 1
        self.cordons = {node: 0 for node in nodes}
        self.most_cordoned = 0
        self.least_available = 3
        self.stop = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        """Looks at the nodes and at the workload twice a second."""
        cordoned = set()
        while not self.stop.wait(0.5):
            try:
                items = get("nodes")["items"]
                work = get("deployment/work", "--namespace", WORK)
            except (Failure, ValueError, subprocess.TimeoutExpired):
                continue
            now = {node["metadata"]["name"] for node in items if node["spec"].get("unschedulable")}
            for node in now - cordoned:
                say(f"  {node} is cordoned")
                self.cordons[node] += 1
            for node in cordoned - now:
                say(f"  {node} is uncordoned, and runs {self.running(node)}")
            cordoned = now
            self.most_cordoned = max(self.most_cordoned, len(now))
            available = work["status"].get("availableReplicas", 0)
            self.least_available = min(self.least_available, available)

    def forget(self):
        """Begins to count anew."""
        self.cordons = {node: 0 for node in self.nodes}
        self.most_cordoned = 0
        self.least_available = 3
        self.first_boots = self.boots()

    def next_version(self):
        self.version += 1
        return f"1.27.{self.version}"

    def configure(self, *lines):
        """Changes the configuration of the simulated nodes."""
        times = ["refresh-time 1s", "prepare-time 5s", "shutdown-time 1s", "boot-time 3s"]
        config = "\n".join([*times, *lines, ""])
        patch = json.dumps({"data": {"config": config}})
        name = "configmap/bottlerocket-simulator"
        before = {node: self.log(node) for node in self.nodes}
        kubectl("patch", "--namespace", OWN, name, "--type=merge", "--patch", patch)
        # A change of the pod makes the kubelet look at its volumes now.
        note = f"test/changed={time.time_ns()}"
        for pod in pods("bottlerocket-simulator").values():
            kubectl(
                "annotate",
                "--namespace",
                OWN,
                f"pod/{pod['metadata']['name']}",
                note,
                "--overwrite",
            )
        offered = [line.removeprefix("offer ") for line in lines if line.startswith("offer ")]

        def follows(node):
            log = self.log(node)
            changes, first_line = log.count(CHANGED), log.split("\n", 1)[0]
            if first_line == before[node].split("\n", 1)[0]:
                return changes > before[node].count(CHANGED)
            # The simulator has started anew meanwhile, with the old or with the new one.
            started = re.search(r"; available: (.*); try\n", log)
            return changes > 0 or (started and all(each in started[1] for each in offered))

        wait_for(
            "the simulators follow the configuration",
            lambda: all(follows(node) for node in self.nodes),
            within=180,
        )

    def log(self, node):
        """The log of a node's simulator, which outlives the node's reboots."""
        pod = pods("bottlerocket-simulator").get(node)
        if not pod:
            return ""
        return kubectl("logs", "--namespace", OWN, pod["metadata"]["name"], check=False)

    def boots(self):
        """How often each node has booted."""
        return {node: self.log(node).count(" booted ") for node in self.nodes}

    def new_boots(self):
        return {node: count - self.first_boots[node] for node, count in self.boots().items()}

    def running(self, node):
        """The version that a node runs."""
        found = re.findall(r" booted (\S+),|Bottlerocket (\S+) \(", self.log(node))
        return next(filter(None, found[-1])) if found else None

    def wait_until_all_run(self, version, meanwhile=lambda: None):
        """Waits until all nodes run a version and are at rest. Calls `meanwhile` again and
        again."""

        def all_run():
            meanwhile()
            return all(self.running(node) == version for node in self.nodes)

        wait_for(f"all nodes run {version}", all_run)
        self.wait_until_at_rest()

    def wait_until_at_rest(self):
        wait_for("no node is cordoned", lambda: not cordoned_nodes())
        wait_for("nobody holds the lock", lambda: not lock_holders())
        wait_for(
            "the workload is available",
            lambda: (
                get("deployment/work", "--namespace", WORK)["status"].get("availableReplicas") == 3
            ),
        )

    def must_be(self, what, found, expected):
        if found != expected:
            raise Failure(f"{what}: {found}, expected {expected}")


def work_pods():
    items = get("pods", "--namespace", WORK)["items"]
    return {pod["metadata"]["uid"] for pod in items if "deletionTimestamp" not in pod["metadata"]}
