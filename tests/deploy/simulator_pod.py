"""Properties of the simulated fleet: what it may touch on a node, and the files by
which the programs find the simulated node."""

from kured_pod import REBOOT_COMMAND
from properties import (
    DELETED,
    GATE_CONTAINER,
    KURED_CONTAINER,
    KURED_POD,
    SIMULATOR_CONTAINER,
    SIMULATOR_POD,
    UNINSTALL_POD,
    UPDATER_CONTAINER,
    UPDATER_POD,
    flags_in,
    must_hold,
    path_on_host,
)
from rendering import ROOT, SIMULATED, SIMULATED_UNINSTALL

CONFIG = ("ConfigMap bottlerocket-simulator", "data")
MEMORY = "/run/bottlerocket-simulator"
DISK = "/var/lib/bottlerocket-simulator"
SOCKET = "/run/api.sock"
BOOT_ID = f"{MEMORY}/boot-id"

# Where the simulator's files are on the host, by the flag that names them.
FILES = {
    "socket": SOCKET,
    "state": f"{DISK}/disk",
    "boot-id": BOOT_ID,
    "os-release": f"{MEMORY}/os-release",
}


@must_hold(
    [
        ((*SIMULATOR_CONTAINER, "args", 0), "--socket=/run/api.sock", SIMULATED),
        ((*SIMULATOR_CONTAINER, "args", 1), "--state=/host/run/disk", SIMULATED),
        ((*SIMULATOR_CONTAINER, "args", 5), "--end-pods=$(UID)", SIMULATED),
        ((*SIMULATOR_CONTAINER, "env"), [], SIMULATED),
        ((*SIMULATOR_CONTAINER, "securityContext", "runAsGroup"), 0, SIMULATED),
        ((*SIMULATOR_POD, "volumes", 0, "hostPath", "path"), "/", SIMULATED),
        ((*SIMULATOR_POD, "volumes", 2, "hostPath", "path"), "/var/lib", SIMULATED),
    ]
)
def simulator_touches_its_own_files_only(rendered):
    pod = rendered.pod_of("bottlerocket-simulator")
    if not pod:
        return
    (container,) = pod["containers"]
    flags = dict(flags_in(container))
    for flag, path in FILES.items():
        if path_on_host(pod, container, flags.get(flag, "")) != path:
            yield f"--{flag} is not {path} of the host"
    if container["securityContext"].get("runAsGroup") != 274:
        yield "the socket's group is not 274"
    own = {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    if flags.get("end-pods") != "$(POD_UID)" or container.get("env") != [own]:
        yield "does not know its own pod"
    mounted = {volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    if mounted != {"/run", MEMORY, DISK}:
        yield f"mounts {mounted}"


@must_hold(
    [
        ((*UPDATER_CONTAINER, "args", 8), "-boot-id=/proc/sys/kernel/random/boot_id", SIMULATED),
        ((*UPDATER_POD, "volumes", 3, "hostPath", "type"), "FileOrCreate", SIMULATED),
        ((*KURED_CONTAINER, "args", 5), "--period=5m", SIMULATED),
        ((*KURED_CONTAINER, "args", 3), f"--reboot-command={REBOOT_COMMAND}", SIMULATED),
        ((*GATE_CONTAINER, "args", 1), "-boot-id=/proc/sys/kernel/random/boot_id", SIMULATED),
        ((*KURED_POD, "volumes", 3, "hostPath", "path"), "/usr/lib/os-release", SIMULATED),
    ]
)
def simulated_fleet_is_quick_and_has_its_own_boot_ids(rendered):
    if rendered.directory != SIMULATED:
        return
    pod = rendered.pod_of("bottlerocket-updater")
    (container,) = pod["containers"]
    flags = dict(flags_in(container))
    if path_on_host(pod, container, flags.get("boot-id", "")) != BOOT_ID:
        yield "the updater reads another boot id"
    # A pod that starts before the node has booted waits for the file.
    types = [volume["hostPath"]["type"] for volume in pod["volumes"] if volume["name"] == "boot-id"]
    if types != ["File"]:
        yield "the updater does not wait for the boot id"
    if flags.get("interval") != "10s":
        yield "the updater's interval is not 10s"
    flags = dict(flags_in(rendered.pod_of("kured")["containers"][0]))
    if flags.get("period") != "10s":
        yield "the period of Kured is not 10s"
    if flags["reboot-command"] != f"{REBOOT_COMMAND} -boot-id {BOOT_ID}":
        yield "the reboot command"
    pod = rendered.pod_of("kured")
    gate = pod["initContainers"][-1]
    if path_on_host(pod, gate, dict(flags_in(gate)).get("boot-id", "")) != BOOT_ID:
        yield "the gate reads another boot id"
    if path_on_host(pod, gate, "/usr/lib/os-release") != FILES["os-release"]:
        yield "the gate reads the version of the real node"


@must_hold(
    [
        (
            (*UNINSTALL_POD, "initContainers", 1, "args", 1),
            "/host/run/api.sock",
            SIMULATED_UNINSTALL,
        ),
        ((*UNINSTALL_POD, "initContainers", 1, "args", 3), DELETED, SIMULATED_UNINSTALL),
        ((*UNINSTALL_POD, "initContainers", 1), DELETED, SIMULATED_UNINSTALL),
    ]
)
def uninstall_removes_the_files_of_the_simulator(rendered):
    if rendered.directory != SIMULATED_UNINSTALL:
        return
    pod = rendered.pod_of("bottlerocket-uninstall")
    containers = {container["name"]: container for container in pod["initContainers"]}
    container = containers.get("remove-simulator", {"args": ["", ""]})
    order, *files = container["args"]
    removed = {path_on_host(pod, container, file) for file in files}
    # The server itself removes its socket.
    if order != "remove" or removed != set(FILES.values()) - {SOCKET}:
        yield f"removes {removed}"


@must_hold([((*CONFIG, "config"), "offer 1.26.1\nnonsense 1\n", SIMULATED)])
def configuration_has_known_options_only(rendered):
    config = rendered.get("ConfigMap bottlerocket-simulator")
    if not config:
        return
    source = (ROOT / "bins/simulator/src/cli.rs").read_text()
    for line in config["data"]["config"].splitlines():
        # Also the lines to be uncommented.
        words = line.removeprefix("#").split()
        if not line or line.startswith("# "):
            continue
        if f'        "{words[0]}" => ' not in source:
            yield f"unknown option: {line}"
