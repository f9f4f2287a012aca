"""The situations that the alert rules are tested in: series, and the alerts that
must fire."""

from promtool import Case

# The labels that every sample of a node's updater has.
TARGET = {"job": "bottlerocket-updater", "node": "node-1", "pod": "pod-1"}
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
    return f"{value}+0x520"


NO_SAMPLES = "_x520"


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


def chosen(image=IMAGE):
    return series("bottlerocket_update_chosen_info", always(1), **image)


def held_back():
    return series("bottlerocket_update_held_back_failed_boots", always(1), **IMAGE)


def pods_in_phase(values, namespace=NAMESPACE, phase="Pending"):
    labels = {"job": "kube-state-metrics", "node": "", "namespace": namespace, "phase": phase}
    return series("kube_pod_status_phase", values, **labels)


def scheduled(which, values, namespace=NAMESPACE):
    name = f"kube_daemonset_status_{which}_number_scheduled"
    labels = {"job": "kube-state-metrics", "node": "", "pod": "", "namespace": namespace}
    return series(name, values, daemonset="some", **labels)


# A node with nothing to do.
HEALTHY = dict(
    [
        up(always(1)),
        reachable(always(1)),
        window_open(always(1)),
        state(always(1), "Idle"),
        *(state(always(0), name) for name in ("Available", "Staged", "Ready", "Unknown")),
        commands("0+0.1x520", "success", "refresh"),
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


def case(name, differences, minutes, alerts):
    """A case on a healthy node, except for these series."""
    return Case(name, list({**HEALTHY, **dict(differences)}.items()), minutes, alerts)


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
        {},
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
    case("the API is unreachable for 22 minutes", [reachable("1+0x9 0+0x520")], 32, UNREACHABLE),
    case("the API is unreachable for 16 minutes", [reachable("1+0x9 0+0x520")], 26, {}),
    case(
        "the API is unreachable for 7 minutes at a time",
        [reachable(" ".join(["0+0x6 1+0x0"] * 20))],
        120,
        {},
    ),
    case(
        "the API is unreachable, and the updater gives up each time",
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
        "the state directory cannot be written",
        [event(always(1), "state_lost")],
        10,
        {"BottlerocketUpdaterStateUnavailable": node()},
    ),
]
WEEK = 7 * 24 * 60
REBOOT_PENDING = {"BottlerocketRebootPending": {"job": "bottlerocket-updater", "node": "node-1"}}
# With one sample every 30 minutes.
SLOW_CASES = [
    case("all is well for a week", [], WEEK + 60, {}),
    case("a node is Ready for less than a week", READY, WEEK - 60, {}),
    case("a node is Ready for more than a week", READY, WEEK + 60, REBOOT_PENDING),
    case(
        "a node is Ready for more than a week, and its pod is replaced",
        [
            state("1+0x99 _x520", "Ready"),
            state("_x99 1+0x520", "Ready", pod="pod-2", instance="other"),
            state(always(0), "Idle"),
        ],
        WEEK + 60,
        REBOOT_PENDING,
    ),
]
