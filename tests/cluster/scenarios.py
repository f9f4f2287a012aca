"""The scenarios of scripts/test/test-cluster."""

import json
import os
import pathlib
import random
import subprocess
import time

from cluster import (
    KUBECTL,
    KURED,
    OWN,
    ROOT,
    Failure,
    Skipped,
    cordoned_nodes,
    gates,
    get,
    is_ready,
    kubectl,
    lock_holders,
    pods,
    run_helm,
    say,
    wait_for,
    wait_until_ready,
)
from fleet import WORK, work_pods
from installation import (
    OVERLAY,
    apply_as_helm,
    apply_old,
    apply_overlay,
    image,
    install,
    install_kured_chart,
    must_be_gone,
    remove,
    upgrade_chart,
)


def apply(fleet):
    """each node is updated with one reboot, one node at a time, and no pod is lost"""
    before = work_pods()
    update_all(fleet)
    if before & work_pods():
        raise Failure("a pod of the workload was not moved")
    fleet.must_be("pods of the workload", len(work_pods()), 3)
    # The budget allows one to be missing.
    if fleet.least_available < 2:
        raise Failure(f"only {fleet.least_available} pods of the workload were available")


def bad_version(fleet):
    """a version that does not boot costs one drain, and the fleet goes on by itself"""
    stops_at_the_first(1, fleet)


def bad_version_two(fleet):
    """with --concurrency=2, a version that does not boot costs two drains"""
    set_concurrency(2)
    try:
        stops_at_the_first(2, fleet)
    finally:
        set_concurrency(1)


def graceful(fleet):
    """what did not boot is not forgotten where each reboot replaces the pods"""
    seen = dict.fromkeys(fleet.nodes, 0)

    def replace_pods():
        """Does what a graceful shutdown of the kubelet and the DaemonSet controller do."""
        for node, count in fleet.new_boots().items():
            if count > seen[node]:
                seen[node] = count
                for app, namespace in ((OWN, OWN), ("kured", "kube-system")):
                    pod = pods(app, namespace)[node]["metadata"]["name"]
                    say(f"  replaces {pod} on {node}")
                    kubectl("delete", "--namespace", namespace, f"pod/{pod}", "--wait=false")

    stops_at_the_first(1, fleet, replace_pods)


def stops_at_the_first(count, fleet, meanwhile=lambda: None):
    """Publishes a version that does not boot, and then a good one. Only the first nodes may
    be drained for the bad one, once. Calls `meanwhile` again and again."""
    bad, good = fleet.next_version(), fleet.next_version()
    say(f"  {bad} is published, which does not boot")
    fleet.configure(f"offer {bad}", f"no-boot {bad}")

    def held():
        meanwhile()
        counts = fleet.new_boots()
        nodes = sorted(node for node in gates() if counts.get(node, 0) >= 2)
        return nodes if len(nodes) == count else None

    first = wait_for("the gate holds the first nodes", held)
    say(f"  {' and '.join(first)} booted twice, and held")
    # Long enough for several periods of Kured on the other nodes.
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        fleet.must_be("the holders of the lock", lock_holders(), first)
        meanwhile()
        time.sleep(2)
    boots = {node: 2 if node in first else 0 for node in fleet.nodes}
    drains = {node: 1 if node in first else 0 for node in fleet.nodes}
    fleet.must_be("boots", fleet.new_boots(), boots)
    fleet.must_be("cordons", fleet.cordons, drains)
    say(f"  {good} is published")
    fleet.configure(f"offer {good}")
    fleet.wait_until_all_run(good, meanwhile)
    boots = {node: count + 1 for node, count in boots.items()}
    fleet.must_be("boots", fleet.new_boots(), boots)
    fleet.must_be("nodes that were cordoned at one time", fleet.most_cordoned, count)


def set_concurrency(count):
    """Changes Kured's --concurrency, and waits for its rollout. The lock must be free."""
    [container] = get(*KURED)["spec"]["template"]["spec"]["containers"]
    place = [arg.startswith("--concurrency=") for arg in container["args"]].index(True)
    path = f"/spec/template/spec/containers/0/args/{place}"
    change = [{"op": "replace", "path": path, "value": f"--concurrency={count}"}]
    kubectl("patch", *KURED, "--type=json", "--patch", json.dumps(change))
    kubectl("rollout", "status", *KURED, "--timeout=4m")
    # With --concurrency=1, Kured takes the empty list of the other format for a lock that
    # is held.
    kubectl("annotate", *KURED, "weave.works/kured-node-lock-")


def power(fleet):
    """twenty losses of power, at random moments over three versions, stop nothing"""
    if not fleet.options.power:
        raise Skipped("there is no --power")
    seed = time.time_ns() % 100_000
    say(f"  the seed is {seed}")
    chance = random.Random(seed)
    for losses in (7, 7, 6):
        version = fleet.next_version()
        wait_until_ready("bottlerocket-simulator")
        fleet.configure(f"offer {version}")
        for _ in range(losses):
            time.sleep(chance.uniform(1, 20))
            node = chance.choice(fleet.nodes)
            say(f"  {node}, which runs {fleet.running(node)}, loses its power")
            environment = {**os.environ, "NODE": node}
            command = ["sh", "-c", fleet.options.power]
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    fleet.wait_until_all_run(version)
    fleet.must_be("nodes that were cordoned at one time", fleet.most_cordoned, 1)


def withdrawn(fleet):
    """a version that is withdrawn during a drain is not booted"""
    version = fleet.next_version()
    # A pod of the workload on each node, so that the budget holds each drain.
    scale = ("scale", "--namespace", WORK, "deployment/work")
    kubectl(*scale, "--replicas=0")
    wait_for("the workload has ended", lambda: not get("pods", "--namespace", WORK)["items"])
    kubectl(*scale, "--replicas=3")
    kubectl("rollout", "status", "--namespace", WORK, "deployment/work", "--timeout=2m")
    items = get("pods", "--namespace", WORK)["items"]
    hosts = {p["spec"]["nodeName"] for p in items if "deletionTimestamp" not in p["metadata"]}
    fleet.must_be("nodes with a pod of the workload", sorted(hosts), sorted(fleet.nodes[:3]))
    budget = ("patch", "--namespace", WORK, "poddisruptionbudget/work", "--type=merge", "--patch")
    kubectl(*budget, json.dumps({"spec": {"maxUnavailable": 0}}))
    fleet.configure(f"offer {version}")
    holder = wait_for("a drain has begun", lambda: cordoned_nodes() and lock_holders())
    say(f"  {holder[0]} is being drained, and {version} is withdrawn")
    fleet.configure()
    kubectl(*budget, json.dumps({"spec": {"maxUnavailable": 1}}))
    fleet.wait_until_at_rest()
    # Longer than a few cycles and periods.
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline:
        time.sleep(2)
    fleet.must_be("boots", fleet.new_boots(), {node: 0 for node in fleet.nodes})


def api_restart(fleet):
    """a node's API server restarts with another socket, and the node is updated"""
    version = fleet.next_version()
    node = fleet.nodes[0]
    before = fleet.running(node)
    pod = pods("bottlerocket-simulator")[node]["metadata"]["name"]
    kubectl("delete", "--namespace", OWN, f"pod/{pod}")
    wait_for("the API server is back", lambda: is_back(node, pod), within=120)
    fleet.must_be("the version after the restart", fleet.running(node), before)
    fleet.must_be("boots after the restart", fleet.boots()[node], 0)
    fleet.forget()
    fleet.configure(f"offer {version}")
    fleet.wait_until_all_run(version)
    fleet.must_be("boots", fleet.new_boots(), {node: 1 for node in fleet.nodes})


def is_back(node, old):
    pod = pods("bottlerocket-simulator").get(node)
    return pod and pod["metadata"]["name"] != old and is_ready(pod)


def chart(fleet):
    """from the manifests to our chart and Kured's, and back, without an unwanted reboot"""
    before = pod_ids()
    say("  Helm takes over what the manifests made")
    apply_as_helm()
    upgrade_chart(OVERLAY)
    nothing_happens(fleet, before)
    update_all(fleet)

    say("  the manifests take over what the chart made")
    before = pod_ids()
    selector = "--selector=owner=helm,name=bottlerocket-updater"
    kubectl("delete", "secret", "--namespace=kube-system", selector)
    fleet.forget()
    apply_as_helm()
    nothing_happens(fleet, before)

    if not fleet.options.kured_chart:
        say("  Kured's own chart is skipped: there is no --kured-chart")
        return
    say("  Kured's own chart takes the place of deploy/kured")
    fleet.forget()
    kubectl("delete", "--kustomize", "deploy/kured", "--wait")
    install_kured_chart(fleet.options.kured_chart)
    wait_until_ready("kured", "kube-system")
    nothing_happens(fleet)
    update_all(fleet)
    fleet.forget()
    run_helm("uninstall", "kured", "--namespace=kube-system", "--wait")
    apply_overlay()
    wait_until_ready("kured", "kube-system")
    nothing_happens(fleet)


def pod_ids():
    found = [*pods(OWN).values(), *pods("kured", "kube-system").values()]
    return {pod["metadata"]["uid"] for pod in found}


def nothing_happens(fleet, before=None):
    """Fails if a node is cordoned or boots, or if a pod is replaced."""
    # A few cycles of the updater, and periods of Kured.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        fleet.must_be("cordoned nodes", cordoned_nodes(), [])
        time.sleep(2)
    fleet.must_be("boots", fleet.new_boots(), {node: 0 for node in fleet.nodes})
    if before:
        fleet.must_be("pods", sorted(pod_ids()), sorted(before))


def update_all(fleet):
    """Publishes a version, and waits until each node has rebooted into it, once."""
    version = fleet.next_version()
    fleet.forget()
    fleet.configure(f"offer {version}")
    fleet.wait_until_all_run(version)
    fleet.must_be("boots", fleet.new_boots(), {node: 1 for node in fleet.nodes})
    fleet.must_be("cordons", fleet.cordons, {node: 1 for node in fleet.nodes})
    fleet.must_be("nodes that were cordoned at one time", fleet.most_cordoned, 1)


def overlays(fleet):
    """each overlay updates the fleet, all nodes at a time"""
    # Some overlays select these nodes.
    kubectl("label", "nodes", *fleet.nodes, "--overwrite", "bottlerocket-updater=enabled")
    kubectl("apply", "--filename=-", text=OTHER_KURED.replace("IMAGE", image()))
    apply_as_helm()
    try:
        for directory in sorted((ROOT / "deploy/overlays").iterdir()):
            if directory.name != "simulated":
                say(f"  overlays/{directory.name}")
                update_with_overlay(fleet, f"deploy/overlays/{directory.name}")
    finally:
        run_helm("uninstall", "bottlerocket-updater", "--namespace=kube-system", "--wait")
        kubectl("delete", "--namespace=kube-system", "daemonset/other-kured")
        kubectl("label", "nodes", *fleet.nodes, "bottlerocket-updater-")
        install()


def update_with_overlay(fleet, overlay):
    settings = [f"--set=kured.concurrency={len(fleet.nodes)}"]
    if overlay.endswith("shared-kured"):
        settings.append("--set=kured.lock.daemonSet=other-kured")
    upgrade_chart(overlay, OVERLAY, settings=settings)
    wait_until_ready(OWN)
    version = fleet.next_version()
    fleet.forget()
    fleet.configure(f"offer {version}")
    fleet.wait_until_all_run(version)
    fleet.must_be("boots", fleet.new_boots(), {node: 1 for node in fleet.nodes})
    fleet.must_be("cordons", fleet.cordons, {node: 1 for node in fleet.nodes})


# Another Kured, as far as overlays/shared-kured is concerned: a DaemonSet for the lock.
OTHER_KURED = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: other-kured, namespace: kube-system}
spec:
  selector: {matchLabels: {app: other-kured}}
  template:
    metadata: {labels: {app: other-kured}}
    spec:
      nodeSelector: {runs: nowhere}
      containers:
        - name: other-kured
          image: IMAGE
          command: [/usr/local/bin/bottlerocket-install, -wait]
"""


def upgrade(fleet):
    """from an older version of the manifests and back, while the fleet is being updated"""
    if not fleet.options.upgrade_from:
        raise Skipped("there is no --upgrade-from")
    remove()
    apply_old(fleet.options.upgrade_from, keep_config=False)
    wait_until_ready("bottlerocket-simulator")
    wait_until_ready(OWN)
    wait_until_ready("kured", "kube-system")
    for name, change in (
        ("the new manifests", lambda: apply_overlay(without=["ConfigMap"])),
        ("the old manifests", lambda: apply_old(fleet.options.upgrade_from, keep_config=True)),
    ):
        fleet.forget()
        version = fleet.next_version()
        fleet.configure(f"offer {version}")
        under_way = wait_for("a node is cordoned", cordoned_nodes)
        say(f"  applies {name} meanwhile")
        change()
        fleet.wait_until_all_run(version)
        # A reboot without a drain would be a boot without a cordon.
        fleet.must_be("boots", fleet.new_boots(), {node: 1 for node in fleet.nodes})
        # If the pod of Kured is replaced during its drain, the next one uncordons the node,
        # and drains it again.
        again = {node for node in under_way if fleet.cordons[node] == 2}
        cordons = {node: 2 if node in again else 1 for node in fleet.nodes}
        fleet.must_be("cordons", fleet.cordons, cordons)
    apply_overlay()
    wait_until_ready(OWN)
    wait_until_ready("kured", "kube-system")


def rights(fleet):
    """Kured was refused nothing, and uses each rule; each namespace allows just its pods"""
    for namespace in (OWN, "kube-system"):
        fleet.must_be(f"pods too powerful for {namespace}", violations(namespace, "privileged"), [])
        # The next lower level would not do.
        if not violations(namespace, "baseline"):
            raise Failure(f"the pods in {namespace} do not need the level privileged")
    if not fleet.options.audit_log:
        say("  the calls of Kured are skipped: there is no --audit-log")
        return
    # Kured deletes a pod only where the API server has no evictions.
    used, refused = {("", "pods", "delete")}, []
    for event in calls_of_kured(fleet):
        target = event.get("objectRef", {})
        resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
        call = (target.get("apiGroup", ""), resource, event["verb"])
        used.add(call)
        if event["responseStatus"]["code"] == 403:
            refused.append(call)
    fleet.must_be("refused calls", refused, [])
    rules = [
        (group, resource, verb)
        for kind in (("clusterrole/kured",), ("role/kured", "--namespace", "kube-system"))
        for rule in get(*kind)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    fleet.must_be("unused rules", sorted(set(rules) - used), [])


def violations(namespace, level):
    """What the API server says of the pods of a namespace, if it had this Pod Security level."""
    label = f"pod-security.kubernetes.io/enforce={level}"
    arguments = ["label", "--dry-run=server", "--overwrite", f"namespace/{namespace}", label]
    done = subprocess.run(
        [KUBECTL, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return [line for line in done.stderr.splitlines() if line.startswith("Warning:")]


def calls_of_kured(fleet):
    """Yields each call that Kured has made since the run began, from the API server's audit
    log and from those that it has rotated away."""
    user = "system:serviceaccount:kube-system:kured"
    newest = pathlib.Path(fleet.options.audit_log)
    for path in newest.parent.glob(f"{newest.stem}*{newest.suffix}"):
        with open(path, encoding="utf-8") as log:
            for line in log:
                if user not in line:
                    continue
                event = json.loads(line)
                is_call = event["user"]["username"] == user and event["stage"] == "ResponseComplete"
                if is_call and event["requestReceivedTimestamp"] >= fleet.begun:
                    yield event


def uninstall(fleet):
    """nothing is left on any node"""
    del fleet
    remove()
    for path in (
        "/opt/bottlerocket",
        "/var/lib/bottlerocket-updater",
        "/var/lib/bottlerocket-simulator",
        "/run/bottlerocket-simulator",
    ):
        say(f"  looks for {path} on each node")
        must_be_gone(path)


SCENARIOS = {
    "apply": apply,
    "bad-version": bad_version,
    "bad-version-two": bad_version_two,
    "graceful": graceful,
    "withdrawn": withdrawn,
    "api-restart": api_restart,
    "power": power,
    "chart": chart,
    "overlays": overlays,
    "upgrade": upgrade,
    "rights": rights,
    "uninstall": uninstall,
}
