"""The series of a fleet of 30 nodes that updates itself: those of the updaters, of
Kured, of kube-state-metrics, and of Prometheus' targets.

A node is drained, is down for two minutes, comes back with the new version, and is
uncordoned one or two minutes later, as Kured does it 60 to 90 seconds after it started.
Then it is the next node's turn. Every second node shuts down gracefully: its pods
end, and the DaemonSets make new ones. On the other nodes, the same pods start again.
"""

import itertools

NODES = 30
# In minutes. The interval of the samples is one minute.
FOUND = 5
FIRST_DRAIN = 20
TIME_PER_NODE = 5
END = FIRST_DRAIN + TIME_PER_NODE * NODES
NEVER = 1000

OLD = {"version": "1.26.0", "variant": "aws-k8s-1.30", "arch": "x86_64"}
NEW = {**OLD, "version": "1.26.1"}
COMMANDS = ("refresh", "prepare", "activate", "deactivate")
OUTCOMES = ("success", "failed", "refused")
# The namespace and the container of each DaemonSet.
DAEMONSETS = {
    "bottlerocket-updater": ("bottlerocket-updater", "updater"),
    "kured": ("kube-system", "kured"),
}


def notation(values):
    """Writes the values of a series, or None for no sample, in promtool's notation."""
    parts, before = [], None
    for value, run in itertools.groupby(values):
        count = len(list(run))
        if value is not None:
            parts.append(f"{value}x{count - 1}")
        elif before is None:
            parts.append(f"_x{count}")
        else:
            # As when a scrape fails: queries do not see the old value any more.
            parts.append("stale" if count == 1 else f"stale _x{count - 1}")
        before = value
    return " ".join(parts)


class Node:
    """When what happens on a node, in minutes.

    The node of the number `lost` does not come back. Then Kured keeps its lock, and
    the nodes after it wait for their reboot.
    """

    def __init__(self, number, lost):
        self.name = f"node-{number}"
        self.graceful = number % 2 == 1
        # The updaters' cycles spread over ten minutes.
        self.found = FOUND + number % 10
        self.ready = self.found + 4
        self.drained = FIRST_DRAIN + TIME_PER_NODE * number if number <= lost else NEVER
        self.down = self.drained + 1
        self.up = self.down + 2 if number < lost else NEVER
        self.uncordoned = self.up + 1 + number % 2

    def is_down(self, minute):
        return self.down <= minute < self.up

    def pods_ready(self, minute):
        # The node is NotReady some 40 seconds after its kubelet has fallen silent.
        return not (self.down + (not self.graceful) <= minute <= self.up)


class Series:
    """Collects series in promtool's notation."""

    def __init__(self, length):
        self.length = length
        self.all = []

    def add(self, name, value, **labels):
        """Adds a series with the value of each minute, unless it never has one."""
        values = [value(minute) for minute in range(self.length)]
        if any(each is not None for each in values):
            inside = ", ".join(f'{key}="{text}"' for key, text in labels.items())
            self.all.append((f"{name}{{{inside}}}", notation(values)))


def only(condition, value):
    return value if condition else None


def add_updater(series, node):
    """The series of the updater and of Kured on a node, and their targets."""

    def add(name, value, job="bottlerocket-updater", **labels):
        namespace = DAEMONSETS[job][0]
        target = {"job": job, "namespace": namespace, "node": node.name, "instance": node.name}
        series.add(name, value, **target, **labels)

    def running(value):
        """The value while the updater answers scrapes, and otherwise no sample."""
        return lambda minute: only(not node.is_down(minute), value(minute))

    def state(minute):
        if minute == node.up:
            return "Unknown"
        if minute < node.found or minute > node.up:
            return "Idle"
        return "Available" if minute < node.ready else "Ready"

    def sent(command):
        """How often a command was sent since the updater started."""
        if command == "refresh":
            return lambda minute: (minute - (node.up if minute >= node.up else 0)) // 10 + 1
        if command == "deactivate":
            return lambda minute: 0
        return lambda minute: int(node.ready <= minute < node.up)

    for job in ("bottlerocket-updater", "kured"):
        # A pod that has ended is no target any more.
        add(
            "up",
            lambda m: only(not (node.is_down(m) and node.graceful), int(not node.is_down(m))),
            job,
        )
    for name in ("Idle", "Available", "Staged", "Ready", "Unknown"):
        add("bottlerocket_update_state", running(lambda m, n=name: int(state(m) == n)), state=name)
    add("bottlerocket_update_waits_for_reboot", running(lambda m: int(state(m) == "Ready")))
    add("bottlerocket_api_reachable", running(lambda m: 1))
    add("bottlerocket_update_window_open", running(lambda m: 1))
    add("bottlerocket_update_offered_not_chosen", running(lambda m: 0))
    add("bottlerocket_os_info", lambda m: only(m < node.down, 1), **OLD)
    add("bottlerocket_os_info", lambda m: only(m > node.up, 1), **NEW)
    add(
        "bottlerocket_update_chosen_info",
        lambda m: only(node.found <= m < node.down, 1),
        **NEW,
    )
    for command, outcome in itertools.product(COMMANDS, OUTCOMES):
        value = sent(command) if outcome == "success" else lambda m: 0
        labels = {"command": command, "outcome": outcome}
        add("bottlerocket_update_commands_total", running(value), **labels)
    for event in ("staged", "command_overdue", "retry_delayed", "state_lost"):
        add("bottlerocket_updater_events_total", running(lambda m: 0), event=event)
    # Kured runs the checker once a minute.
    add(
        "kured_reboot_required",
        running(lambda m: int(node.ready < m < node.down)),
        job="kured",
    )


def add_pod(series, node, namespace, owner, name, container, phase, ready, restarts):
    """A pod's series. `phase` is None in each minute in which there is no such pod."""

    def add(metric, value, **labels):
        pod = {"job": "kube-state-metrics", "namespace": namespace, "pod": name}
        series.add(metric, lambda m: only(phase(m), value(m)), **pod, **labels)

    add("kube_pod_info", lambda m: 1, node=node.name)
    add("kube_pod_owner", lambda m: 1, owner_kind=owner[0], owner_name=owner[1])
    for each in ("Pending", "Running", "Failed"):
        add("kube_pod_status_phase", lambda m, p=each: int(phase(m) == p), phase=each)
    add(
        "kube_pod_status_ready", lambda m: int(phase(m) == "Running" and ready(m)), condition="true"
    )
    add("kube_pod_container_status_restarts_total", restarts, container=container)
    add(
        "kube_pod_container_status_waiting_reason",
        lambda m: only(phase(m) == "Pending", 1),
        container=container,
        reason="PodInitializing",
    )


def add_pods(series, node):
    """The pods of the DaemonSets, and one of a Deployment, which a drain moves."""
    for daemonset, (namespace, container) in DAEMONSETS.items():
        pod = (series, node, namespace, ("DaemonSet", daemonset))
        if node.graceful:

            def old(minute):
                if minute < node.down:
                    return "Running"
                return only(minute < node.up, "Failed")

            def new(minute):
                if minute < node.down:
                    return None
                return "Pending" if minute <= node.up else "Running"

            for suffix, phase in (("old", old), ("new", new)):
                name = f"{daemonset}-{node.name}-{suffix}"
                add_pod(*pod, name, container, phase, lambda m: True, lambda m: 0)
        else:

            def phase(minute):
                return "Pending" if minute == node.up else "Running"

            name = f"{daemonset}-{node.name}"
            add_pod(*pod, name, container, phase, node.pods_ready, lambda m: int(m >= node.up))

    def first(minute):
        return only(minute < node.down, "Running")

    def second(minute):
        if minute < node.drained:
            return None
        return "Pending" if minute == node.drained else "Running"

    for suffix, phase in (("a", first), ("b", second)):
        name, owner = f"shop-{node.name}-{suffix}", ("ReplicaSet", "shop-1")
        add_pod(series, node, "shop", owner, name, "shop", phase, lambda m: True, lambda m: 0)


def add_node(series, node):
    def add(metric, value, **labels):
        series.add(metric, value, job="kube-state-metrics", node=node.name, **labels)

    ready = node.pods_ready
    add("kube_node_info", lambda m: 1)
    add("kube_node_spec_unschedulable", lambda m: int(node.drained <= m < node.uncordoned))
    for status in ("true", "false", "unknown"):
        bad = "false" if node.graceful else "unknown"
        add(
            "kube_node_status_condition",
            lambda m, s=status, b=bad: int(s == ("true" if ready(m) else b)),
            condition="Ready",
            status=status,
        )
    taint = "not-ready" if node.graceful else "unreachable"
    key = f"node.kubernetes.io/{taint}"
    add("kube_node_spec_taint", lambda m: only(not ready(m), 1), key=key, effect="NoSchedule")
    for job, labels in (
        ("kubelet", {"namespace": "kube-system", "metrics_path": "/metrics"}),
        ("node-exporter", {"namespace": "monitoring"}),
    ):
        target = {"job": job, "node": node.name, "instance": node.name, **labels}
        series.add("up", lambda m: int(not node.is_down(m)), **target)


def add_cluster(series, nodes):
    """The series about the DaemonSets, the Deployment and the control plane."""

    def add(metric, value, **labels):
        series.add(metric, value, job="kube-state-metrics", **labels)

    for daemonset, (namespace, _) in DAEMONSETS.items():
        labels = {"namespace": namespace, "daemonset": daemonset}
        for which in ("desired", "current", "updated"):
            add(f"kube_daemonset_status_{which}_number_scheduled", lambda m: NODES, **labels)
        add("kube_daemonset_status_number_misscheduled", lambda m: 0, **labels)
        add(
            "kube_daemonset_status_number_available",
            lambda m: sum(node.pods_ready(m) for node in nodes),
            **labels,
        )
    labels = {"namespace": "shop", "deployment": "shop"}
    for metric in ("spec_replicas", "status_replicas_updated"):
        add(f"kube_deployment_{metric}", lambda m: NODES, **labels)
    add(
        "kube_deployment_status_replicas_available",
        lambda m: NODES - sum(node.drained == m for node in nodes),
        **labels,
    )
    for job in ("apiserver", "kube-scheduler", "kube-controller-manager", "kube-state-metrics"):
        series.add("up", lambda m: 1, job=job, namespace="kube-system", instance=job)


def roll(length, lost=NODES):
    """Returns the series of so many minutes. The node of the number `lost` stays away."""
    series = Series(length)
    nodes = [Node(number, lost) for number in range(NODES)]
    for node in nodes:
        add_updater(series, node)
        add_pods(series, node)
        add_node(series, node)
    add_cluster(series, nodes)
    return series.all
