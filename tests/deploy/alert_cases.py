"""The situations that the alert rules are tested in: series, and the alerts that
must fire."""

from promtool import Case

# The labels that every sample of a node's updater has.
TARGET = {"job": "bottlerocket-updater", "node": "node-1", "instance": "node-1"}
# The labels that samples of kube-state-metrics and of Kured have instead.
FOREIGN = {"job": "", "node": "", "instance": ""}
IMAGE = {"version": "1.26.1", "variant": "aws-k8s-1.30", "arch": "x86_64"}
OTHER_IMAGE = {**IMAGE, "version": "1.26.2"}
NAMESPACE = "bottlerocket-updater"


def series(name, values, **labels):
    """Returns a series and its values, in promtool's notation.

    An empty label removes one of TARGET.
    """
    labels = {**TARGET, **labels}
    inside = ", ".join(f'{key}="{value}"' for key, value in labels.items() if value)
    return f"{name}{{{inside}}}", values


def always(value):
    return f"{value}+0x900"


NO_SAMPLES = "_x900"


def up(values):
    return series("up", values)


def reachable(values):
    return series("bottlerocket_api_reachable", values)


def window_open(values):
    return series("bottlerocket_update_window_open", values)


def state(values, name, **labels):
    return series("bottlerocket_update_state", values, state=name, **labels)


def commands(values, outcome, command="prepare"):
    return series("bottlerocket_update_commands_total", values, command=command, outcome=outcome)


def event(values, name):
    return series("bottlerocket_updater_events_total", values, event=name)


def chosen(values="1+0x900", image=IMAGE):
    return series("bottlerocket_update_chosen_info", values, **image)


def held_back(values="1+0x900"):
    return series("bottlerocket_update_held_back_failed_boots", values, **IMAGE)


def soak_remaining(values):
    return series("bottlerocket_update_soak_remaining_seconds", values)


def soak_replaced(values):
    return series("bottlerocket_update_soak_replaced_versions", values)


def held_by_gate(values):
    return series("bottlerocket_update_held_by_gate", values, running="1.26.0", **IMAGE)


def pods_in_phase(values, namespace=NAMESPACE, phase="Pending"):
    labels = {**FOREIGN, "job": "kube-state-metrics", "namespace": namespace, "phase": phase}
    return series("kube_pod_status_phase", values, **labels, pod="pod-1")


def scheduled(which, values, namespace=NAMESPACE):
    name = f"kube_daemonset_status_{which}_number_scheduled"
    labels = {**FOREIGN, "job": "kube-state-metrics", "namespace": namespace}
    return series(name, values, daemonset="some", **labels)


def running(values, image, node_name="node-1"):
    labels = {"node": node_name, "instance": node_name, **image}
    return series("bottlerocket_os_info", values, **labels)


def reboot_required(values):
    return series("kured_reboot_required", values, **FOREIGN | {"node": "node-1"})


def cordoned(values, node_name):
    labels = FOREIGN | {"job": "kube-state-metrics", "node": node_name}
    return series("kube_node_spec_unschedulable", values, **labels)


def restarts_of_kured(values):
    labels = {"namespace": "kube-system", "pod": "kured-1"}
    return [
        series("kube_pod_info", always(1), **FOREIGN | labels | {"node": "node-1"}),
        series(
            "kube_pod_container_status_restarts_total",
            values,
            **FOREIGN | labels | {"container": "kured"},
        ),
    ]


def pod_replaced(image, *, state_name):
    """A node in this state whose pod is replaced after 100 samples: five without a
    sample, then ten in which the new pod has not read the status."""
    return [
        state("1+0x99 _x5 0+0x9 1+0x900", state_name),
        state("0+0x99 _x5 1+0x9 0+0x900", "Unknown"),
        state("0+0x99 _x5 0+0x900", "Idle"),
        window_open("1+0x99 _x5 1+0x900"),
        series("bottlerocket_update_chosen_info", "1+0x99 _x15 1+0x900", **image),
    ]


# A node with nothing to do.
HEALTHY = dict(
    [
        up(always(1)),
        reachable(always(1)),
        window_open(always(1)),
        state(always(1), "Idle"),
        running(always(1), IMAGE),
        running(always(1), IMAGE, "node-2"),
        series("bottlerocket_update_offered_not_chosen", always(0)),
        *(state(always(0), name) for name in ("Available", "Staged", "Ready", "Unknown")),
        commands("0+0.1x900", "success", "refresh"),
        *(commands(always(0), outcome) for outcome in ("success", "failed", "refused")),
        *(event(always(0), name) for name in ("staged", "command_overdue", "state_lost")),
        pods_in_phase(always(0)),
        pods_in_phase(always(1), phase="Running"),
        scheduled("desired", always(3)),
        scheduled("current", always(3)),
        # These pods do not belong to this updater.
        pods_in_phase(always(1), namespace="another"),
        scheduled("desired", always(3), namespace="another"),
        scheduled("current", always(2), namespace="another"),
    ]
)


def waits_for_reboot(values, **labels):
    return series("bottlerocket_update_waits_for_reboot", values, **labels)


def case(name, differences, minutes, alerts):
    """A case on a healthy node, except for these series. A node that is Ready waits for the
    reboot."""
    samples = {**HEALTHY, **dict(differences)}
    for key, values in list(samples.items()):
        if key.startswith("bottlerocket_update_state{") and 'state="Ready"' in key:
            waits = key.replace("update_state{", "update_waits_for_reboot{")
            samples.setdefault(waits.replace(', state="Ready"', ""), values)
    return Case(name, list(samples.items()), minutes, alerts)


def node(**labels):
    """The labels of an alert about the node."""
    return {**TARGET, **labels}


AVAILABLE = [state(always(1), "Available"), state(always(0), "Idle")]
READY = [state(always(1), "Ready"), state(always(0), "Idle")]
UNKNOWN = [state(always(1), "Unknown"), state(always(0), "Idle")]
STUCK = {"BottlerocketUpdateStuck": node()}
UNREACHABLE = {"BottlerocketAPIUnreachable": node()}
DOWN = {"BottlerocketUpdaterDown": node()}
ROLLED_BACK = {"BottlerocketUpdateRolledBack": node(**IMAGE)}
FAILING_REFRESH = {
    "BottlerocketUpdateFailing": node(command="refresh"),
    "BottlerocketRefreshMissing": node(),
}
HELD_BY_GATE = {"BottlerocketNodeHeldByGate": node(running="1.26.0", **IMAGE)}
STALLED = {"BottlerocketRolloutStalled": {"node": "node-1"}}
MISSING_LABELS = {"job": "kube-state-metrics", "namespace": NAMESPACE}

# With one sample a minute.
CASES = [
    case("all is well", [], 200, {}),
    case("an update is available for 118 minutes", [*AVAILABLE, chosen()], 118, {}),
    case("an update is available for 122 minutes", [*AVAILABLE, chosen()], 122, STUCK),
    case(
        "the state alternates between Available and Staged",
        [
            state("1+0x19 0+0x19 1+0x19 0+0x520", "Available"),
            state("0+0x19 1+0x19 0+0x19 1+0x520", "Staged"),
            state(always(0), "Idle"),
            chosen(),
        ],
        150,
        STUCK,
    ),
    case(
        "an update is available while no window is open",
        [*AVAILABLE, chosen(), window_open(always(0))],
        150,
        {},
    ),
    case(
        "an update is available, and a window opened 114 minutes ago",
        [*AVAILABLE, chosen(), window_open("0+0x90 1+0x430")],
        205,
        {},
    ),
    case("an available update is not chosen", AVAILABLE, 150, {}),
    case(
        "an update is staged by an updater with -stage-only",
        [
            state(always(1), "Staged"),
            state(always(0), "Idle"),
            chosen(),
            event("0+0x59 1+0x59 2+0x59 3+0x120", "staged"),
        ],
        190,
        {},
    ),
    case(
        "every prepare fails",
        [*AVAILABLE, chosen(), commands("0+0.1x520", "failed")],
        370,
        {**STUCK, "BottlerocketUpdateFailing": node(command="prepare")},
    ),
    case(
        "a prepare has failed three times and is repeated after hours",
        [
            *AVAILABLE,
            chosen(),
            commands("0+1x3 3+0x516", "failed"),
            event("0+0.1x520", "retry_delayed"),
        ],
        500,
        {**STUCK, "BottlerocketUpdateFailing": node(command="prepare")},
    ),
    case(
        "a prepare has failed three times and is repeated after hours, and the pod is replaced",
        [
            *AVAILABLE,
            chosen(),
            commands("0+1x3 3+0x466 stale _x4 0+0x40", "failed"),
            commands("0x470 stale _x4 0+0x40", "success"),
            event("0+0.1x470 stale _x4 0+0x40", "retry_delayed"),
        ],
        477,
        {**STUCK, "BottlerocketUpdateFailing": node(command="prepare")},
    ),
    case(
        "a prepare failed three times, hours ago, and is not repeated",
        [commands("0+1x3 3+0x516", "failed"), event("0+0.1x60 6+0x460", "retry_delayed")],
        500,
        {},
    ),
    case(
        "every refresh fails",
        [
            commands("0+0.1x520", "failed", "refresh"),
            commands("10+0x520", "success", "refresh"),
        ],
        370,
        FAILING_REFRESH,
    ),
    case(
        "one refresh per hour is refused",
        [
            commands("0+0.0167x520", "refused", "refresh"),
            commands("10+0x520", "success", "refresh"),
        ],
        370,
        FAILING_REFRESH,
    ),
    case(
        "no refresh starts for four hours while prepares succeed",
        [commands("0+0.1x99 10+0x520", "success", "refresh"), commands("0+0.1x520", "success")],
        345,
        {"BottlerocketRefreshMissing": node()},
    ),
    case(
        "no refresh starts for four hours while prepares succeed, and the pod is replaced",
        [
            commands("0+0.1x99 10+0x200 stale _x4 0+0x200", "success", "refresh"),
            commands("0+0.1x520", "success"),
        ],
        345,
        {"BottlerocketRefreshMissing": node()},
    ),
    case(
        "no refresh starts for less than four hours",
        [commands("0+0.1x99 10+0x520", "success", "refresh")],
        330,
        {},
    ),
    case(
        "one refresh per hour succeeds, the first before the first scrape",
        [commands("1+0x69 2+0x64 3+0x520", "success", "refresh")],
        260,
        {},
    ),
    case(
        "a Ready node makes no refresh",
        [*READY, commands("10+0x520", "success", "refresh")],
        400,
        STALLED,
    ),
    case(
        "the API is unreachable for hours",
        [reachable(always(0)), commands("10+0x520", "success", "refresh")],
        400,
        UNREACHABLE,
    ),
    case("some refreshes fail", [commands("0+0.1x520", "failed", "refresh")], 370, {}),
    case("two prepares fail", [commands("0 1 2+0x520", "failed")], 60, {}),
    *(
        case(
            f"{name} twice",
            [event("0+0x9 1+0x59 2+0x520", name)],
            90,
            {"BottlerocketCommandStuck": node()},
        )
        for name in (
            "command_overdue",
            "command_vanished",
            "command_without_effect",
            "lock_stuck",
        )
    ),
    case(
        "command_overdue twice, and the pod is replaced",
        [event("0+0x9 1+0x59 2+0x20 stale _x4 0+0x400", "command_overdue")],
        98,
        {"BottlerocketCommandStuck": node()},
    ),
    case("command_overdue once", [event("0+0x9 1+0x520", "command_overdue")], 90, {}),
    case(
        "command_overdue twice, more than three hours ago",
        [event("0+0x9 2+0x520", "command_overdue")],
        230,
        {},
    ),
    case(
        "a version failed to boot",
        [*AVAILABLE, chosen(), held_back()],
        150,
        ROLLED_BACK,
    ),
    case(
        "a version failed to boot two minutes ago",
        [*AVAILABLE, chosen(), held_back()],
        2,
        ROLLED_BACK,
    ),
    case(
        "a version failed to boot, and the pod is replaced",
        [
            *AVAILABLE,
            chosen("1+0x29 stale _x14 1+0x400"),
            held_back("1+0x29 stale _x9 1+0x400"),
        ],
        44,
        ROLLED_BACK,
    ),
    case(
        "a version failed to boot, and another one is chosen since 25 minutes",
        [*AVAILABLE, chosen("1+0x29 stale"), chosen("_x30 1+0x400", OTHER_IMAGE), held_back()],
        55,
        {},
    ),
    case("a held-back version is no longer chosen", [held_back()], 90, {}),
    case(
        "another version than the held-back one is available for 40 minutes",
        [*AVAILABLE, chosen(image=OTHER_IMAGE), held_back()],
        40,
        {},
    ),
    case(
        "another version than the held-back one is available for 130 minutes",
        [*AVAILABLE, chosen(image=OTHER_IMAGE), held_back()],
        130,
        STUCK,
    ),
    case(
        "an available version soaks for hours",
        [*AVAILABLE, chosen(), soak_remaining("259200-60x520")],
        400,
        {},
    ),
    case(
        "a version has soaked, and is not prepared for three hours",
        [*AVAILABLE, chosen(), soak_remaining("3600-60x58 _x520")],
        260,
        STUCK,
    ),
    case("one version was replaced while it soaked", [soak_replaced("1+0x520")], 90, {}),
    case(
        "two versions were replaced while they soaked",
        [soak_replaced("1+0x9 2+0x520")],
        90,
        {"BottlerocketSoakNeverEnds": node()},
    ),
    case(
        "two versions were replaced while they soaked, and the pod is replaced",
        [soak_replaced("1+0x9 2+0x50 stale _x9 2+0x400")],
        70,
        {"BottlerocketSoakNeverEnds": node()},
    ),
    case("the gate holds a node after two attempts", [held_by_gate("2+0x520")], 3, HELD_BY_GATE),
    case(
        "the gate holds a node after two attempts, and the node boots or its pod is replaced",
        [held_by_gate("2+0x30 _x18 2+0x520")],
        48,
        HELD_BY_GATE,
    ),
    case(
        "the gate held a node after two attempts, 25 minutes ago",
        [held_by_gate("2+0x30 _x520")],
        55,
        {},
    ),
    case(
        "the gate holds a node for 25 minutes after one attempt",
        [held_by_gate("_x9 1+0x520")],
        34,
        {},
    ),
    case(
        "the gate holds a node for 35 minutes after one attempt, and its pod is replaced",
        [held_by_gate("_x9 1+0x20 _x8 1+0x520")],
        45,
        HELD_BY_GATE,
    ),
    case(
        "the gate holds a node for 15 minutes after one attempt, and the next one succeeds",
        [held_by_gate("_x9 1+0x15 _x520")],
        35,
        {},
    ),
    case("the API is unreachable for 22 minutes", [reachable("1+0x9 0+0x520")], 32, UNREACHABLE),
    case("the API is unreachable for 16 minutes", [reachable("1+0x9 0+0x520")], 26, {}),
    case(
        "the API is unreachable for 7 minutes at a time",
        [reachable(" ".join(["0+0x6 1+0x0"] * 20))],
        120,
        {},
    ),
    case(
        "the API is unreachable, and the pod is replaced each time",
        [reachable("1+0x9 " + " ".join(["0+0x3 _x5"] * 20))],
        90,
        UNREACHABLE,
    ),
    case(
        "the state is unknown for 92 minutes",
        UNKNOWN,
        92,
        {"BottlerocketStateUnknown": node()},
    ),
    case("the state is unknown for 88 minutes", UNKNOWN, 88, {}),
    case(
        "the state is unknown and the API is unreachable",
        [*UNKNOWN, reachable(always(0))],
        120,
        UNREACHABLE,
    ),
    case("an updater is down for 16 minutes", [up("1+0x9 0+0x520")], 26, DOWN),
    case("an updater is down for 12 minutes", [up("1+0x9 0+0x520")], 22, {}),
    case(
        "there is no updater for 32 minutes",
        [up(NO_SAMPLES)],
        32,
        {"BottlerocketUpdaterMissing": {"job": "bottlerocket-updater"}},
    ),
    case("there is no updater for 28 minutes", [up(NO_SAMPLES)], 28, {}),
    case(
        "a pod is pending for 32 minutes",
        [pods_in_phase(always(1))],
        32,
        {"BottlerocketUpdaterMissing": {**MISSING_LABELS, "pod": "pod-1", "phase": "Pending"}},
    ),
    case("a pod is pending for 25 minutes", [pods_in_phase("0+0x9 1+0x520")], 35, {}),
    case(
        "a pod has not been created for 32 minutes",
        [scheduled("current", always(2))],
        32,
        {"BottlerocketUpdaterMissing": {**MISSING_LABELS, "daemonset": "some"}},
    ),
    case(
        "an update is available for 122 minutes, and the pod is replaced",
        pod_replaced(IMAGE, state_name="Available"),
        122,
        STUCK,
    ),
    case(
        "an update was available for 119 minutes, then the node was Ready",
        [
            state("1+0x119 0+0x520", "Available"),
            state("0+0x119 1+0x520", "Ready"),
            state(always(0), "Idle"),
            chosen(),
        ],
        125,
        {},
    ),
    case(
        "the state is unknown for 92 minutes, and the pod is replaced",
        [
            state("1+0x49 _x5 1+0x520", "Unknown"),
            state("0+0x49 _x5 0+0x520", "Idle"),
        ],
        92,
        {"BottlerocketStateUnknown": node()},
    ),
    case(
        "an updater is down for 18 minutes, and its pod is replaced",
        [up("1+0x9 0+0x5 _x6 0+0x520")],
        28,
        DOWN,
    ),
    case(
        "an update is staged for the reboot for 118 minutes",
        [state(always(1), "Staged"), state(always(0), "Idle"), waits_for_reboot(always(1))],
        118,
        {},
    ),
    case(
        "an update is staged for the reboot for 122 minutes",
        [state(always(1), "Staged"), state(always(0), "Idle"), waits_for_reboot(always(1))],
        122,
        STALLED,
    ),
    case("a node is Ready for 118 minutes", READY, 118, {}),
    case("a node is Ready for 122 minutes", READY, 122, STALLED),
    case(
        "a node is Ready for 122 minutes, and two nodes are cordoned",
        [
            *READY,
            cordoned("1+0x520", "node-2"),
            cordoned("0+0x520", "node-3"),
            cordoned("1+0x520", "node-4"),
        ],
        122,
        STALLED,
    ),
    case(
        "a node is Ready for 122 minutes, and its pod is replaced",
        pod_replaced(IMAGE, state_name="Ready"),
        122,
        STALLED,
    ),
    case("a node is Ready while no window is open", [*READY, window_open(always(0))], 150, {}),
    case(
        "a node is Ready for hours, and another one rebooted 170 minutes ago",
        [*READY, state("1+0x30 0+0x520", "Ready", node="node-2", instance="node-2")],
        200,
        {},
    ),
    case(
        "a node is Ready for hours, and another one rebooted 190 minutes ago",
        [*READY, state("1+0x30 0+0x520", "Ready", node="node-2", instance="node-2")],
        222,
        STALLED,
    ),
    case(
        "Kured restarts every ten minutes on a Ready node",
        [*READY, *restarts_of_kured("0+0.1x520")],
        100,
        {"BottlerocketRebootFailing": {"node": "node-1"}},
    ),
    case(
        "Kured restarts every ten minutes on a Ready node, and the updater's pod is replaced",
        [*pod_replaced(IMAGE, state_name="Ready"), *restarts_of_kured("0+0.1x520")],
        108,
        {"BottlerocketRebootFailing": {"node": "node-1"}},
    ),
    case(
        "Kured restarts every ten minutes on an idle node",
        restarts_of_kured("0+0.1x520"),
        100,
        {},
    ),
    case(
        "Kured has restarted twice on a Ready node",
        [*READY, *restarts_of_kured("0+0x20 1+0x20 2+0x520")],
        70,
        {},
    ),
    case(
        "a node is Ready, and the checker has said no for 42 minutes",
        [*READY, reboot_required(always(0))],
        42,
        {"BottlerocketCheckerDisagrees": {"node": "node-1"}},
    ),
    case(
        "a node is Ready, the checker says no, and the updater's pod is replaced",
        [*pod_replaced(IMAGE, state_name="Ready"), reboot_required("1+0x79 0+0x520")],
        122,
        STALLED | {"BottlerocketCheckerDisagrees": {"node": "node-1"}},
    ),
    case(
        "a node is Ready, and the checker has said no for 25 minutes",
        [*READY, reboot_required(always(0))],
        25,
        {},
    ),
    case(
        "a node is Ready, and the checker says yes",
        [*READY, reboot_required(always(1))],
        60,
        {},
    ),
    case("a node is idle, and the checker says no", [reboot_required(always(0))], 60, {}),
    case(
        "the state directory cannot be written",
        [event(always(1), "state_lost")],
        10,
        {"BottlerocketUpdaterStateUnavailable": node()},
    ),
    case(
        "the state directory cannot be written, and the pod is replaced",
        [event("1+0x30 stale _x4 0 1+0x400", "state_lost")],
        38,
        {"BottlerocketUpdaterStateUnavailable": node()},
    ),
    case(
        "the state directory could not be written until a restart 40 minutes ago",
        [event("1+0x30 stale _x4 0+0x400", "state_lost")],
        75,
        {},
    ),
]
WEEK = 7 * 24 * 60
REBOOT_PENDING = {"BottlerocketRebootPending": node()}
LAGGING = {"BottlerocketVersionLag": {"node": "node-3", **OTHER_IMAGE}}
NOT_CHOSEN = {"BottlerocketUpdateNotChosen": node()}
# With one sample every 30 minutes.
SLOW_CASES = [
    case("all is well for two weeks", [], 2 * WEEK + 60, {}),
    case("a node is Ready for less than a week", READY, WEEK - 60, STALLED),
    case("a node is Ready for more than a week", READY, WEEK + 60, STALLED | REBOOT_PENDING),
    case(
        "a node is Ready for more than a week, and its pod is replaced",
        [state("1+0x99 _x1 1+0x900", "Ready"), state("0+0x99 _x1 0+0x900", "Idle")],
        WEEK + 60,
        STALLED | REBOOT_PENDING,
    ),
    case(
        "one of three nodes runs another version for more than two weeks",
        [running(always(1), OTHER_IMAGE, "node-3")],
        2 * WEEK + 60,
        LAGGING,
    ),
    case(
        "one of three nodes runs another version for more than two weeks, and its pod is replaced",
        [running("1+0x99 _x1 1+0x900", OTHER_IMAGE, "node-3")],
        2 * WEEK + 60,
        LAGGING,
    ),
    case(
        "one of three nodes runs another version for less than two weeks",
        [running(always(1), OTHER_IMAGE, "node-3")],
        2 * WEEK - 60,
        {},
    ),
    case(
        "one of three nodes has another variant",
        [running(always(1), {**OTHER_IMAGE, "variant": "aws-k8s-1.31"}, "node-3")],
        2 * WEEK + 60,
        {},
    ),
    case(
        "offered versions are not chosen for more than two weeks, and the pod is replaced",
        [series("bottlerocket_update_offered_not_chosen", "1+0x99 _x1 1+0x900")],
        2 * WEEK + 60,
        NOT_CHOSEN,
    ),
    case(
        "offered versions are not chosen for less than two weeks",
        [series("bottlerocket_update_offered_not_chosen", always(1))],
        2 * WEEK - 60,
        {},
    ),
]
