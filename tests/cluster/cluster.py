"""The cluster: calls of kubectl and helm, and what the objects in it say."""

import json
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KUBECTL = os.environ.get("KUBECTL", "kubectl")
HELM = os.environ.get("HELM", "helm")
OWN = "bottlerocket-updater"
KURED = ("--namespace", "kube-system", "daemonset/kured")
# A fleet of three nodes takes about five minutes: Kured lets more than a minute pass
# after each reboot before it uncordons.
FLEET_TIME = 900


class Failure(Exception):
    """A scenario found something that must not be."""


class Skipped(Exception):
    """A scenario needs an option that was not given."""


def say(text):
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}", flush=True)


def kubectl(*arguments, text=None, check=True):
    return run(KUBECTL, arguments, text, check)


def run_helm(*arguments, text=None):
    return run(HELM, arguments, text)


def run(program, arguments, text, check=True):
    done = subprocess.run(
        [program, *arguments],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if check and done.returncode:
        name = pathlib.Path(program).name
        raise Failure(f"{name} {' '.join(arguments)}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def get(*arguments):
    return json.loads(kubectl("get", *arguments, "--output=json"))


def wait_for(what, condition, within=FLEET_TIME):
    """Waits until the condition holds. Returns its value."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(1)
    raise Failure(f"not within {within} s: {what}")


def pods(app, namespace=OWN):
    """The pods of a DaemonSet, by node."""
    selector = f"--selector=app.kubernetes.io/name={app}"
    items = get("pods", "--namespace", namespace, selector)["items"]
    return {pod["spec"].get("nodeName"): pod for pod in items}


def is_ready(pod):
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def wait_until_ready(app, namespace=OWN):
    """Waits until a DaemonSet has a pod that is ready on each worker node."""
    wait_for(
        f"{app} is ready on each node",
        lambda: [is_ready(pod) for pod in pods(app, namespace).values()] == [True] * len(workers()),
        within=300,
    )


def cordoned_nodes():
    return [
        node["metadata"]["name"]
        for node in get("nodes")["items"]
        if node["spec"].get("unschedulable")
    ]


def lock_holders():
    """The nodes that hold the lock: an annotation of Kured's DaemonSet, or of another one.
    Its form depends on Kured's --concurrency."""
    holders = []
    for item in get("daemonsets", "--namespace", "kube-system")["items"]:
        annotations = item["metadata"].get("annotations", {})
        lock = json.loads(annotations.get("weave.works/kured-node-lock") or "{}")
        holders += lock.get("locks") or [lock]
    return sorted(holder["nodeID"] for holder in holders if holder.get("nodeID"))


def gates():
    """The nodes on which the gate runs."""

    def runs(pod):
        statuses = pod["status"].get("initContainerStatuses", [])
        return any(s["name"] == "gate" and "running" in s["state"] for s in statuses)

    return [node for node, pod in pods("kured", "kube-system").items() if runs(pod)]


def workers():
    nodes = get("nodes", "--selector=!node-role.kubernetes.io/control-plane")["items"]
    return [node["metadata"]["name"] for node in nodes]
