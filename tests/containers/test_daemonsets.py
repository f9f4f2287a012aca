"""Checks that the options of the test containers correspond to the DaemonSets."""

import yaml
from conftest import (
    INSTALL,
    INSTALL_OPTIONS,
    ROOT,
    STATE_OPTIONS,
    UPDATER,
    UPDATER_FLAGS,
    UPDATER_OPTIONS,
)

DEPLOY = ROOT / "deploy"
REBOOT_COMMAND = (
    "/opt/bottlerocket/bottlerocket-reboot -confirm -record /opt/bottlerocket/reboot/record"
)


def pod_of(name):
    """Returns the pod spec of the DaemonSet in one directory of deploy/."""
    manifests = yaml.safe_load_all((DEPLOY / name / "daemonset.yaml").read_text("utf-8"))
    [daemon_set] = [manifest for manifest in manifests if manifest["kind"] == "DaemonSet"]
    return daemon_set["spec"]["template"]["spec"]


def options_of(container):
    """Translates a container spec to options of the Docker engine."""
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["privileged"] is False
    # The engine uses its own profile by default.
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    limits = container["resources"]["limits"]
    return [
        f"--user={security['runAsUser']}:{security['runAsGroup']}",
        *(f"--cap-drop={capability}" for capability in security["capabilities"]["drop"]),
        "--security-opt=no-new-privileges",
        "--read-only",
        "--network=none",
        f"--memory={limits['memory'].removesuffix('Mi')}m",
        f"--cpus={int(limits['cpu'].removesuffix('m')) / 1000}",
    ]


def test_updater_options_match_its_daemonset():
    [container] = pod_of("updater")["containers"]
    assert options_of(container) == UPDATER_OPTIONS
    assert container["command"] == [UPDATER]
    assert container["args"] == UPDATER_FLAGS
    [socket, state, _] = container["volumeMounts"]
    assert (socket["mountPath"], socket["readOnly"]) == ("/run/api.sock", True)
    assert f"--tmpfs={state['mountPath']}:mode=0777" in STATE_OPTIONS


def test_install_options_match_kureds_daemonset():
    [container, _] = pod_of("kured")["initContainers"]
    assert options_of(container) == INSTALL_OPTIONS
    assert container["command"] == [INSTALL]
    assert container["args"] == ["-gate-socket=/run/api.sock", "/host/opt/bottlerocket"]
    [mounted] = container["volumeMounts"]
    assert mounted["mountPath"] in ("/host/opt", "/host/opt/bottlerocket")


def test_kured_options_match_its_daemonset():
    pod = pod_of("kured")
    [container] = pod["containers"]
    assert pod["hostPID"] is True
    assert container["securityContext"] == {"privileged": True, "readOnlyRootFilesystem": True}
    commands = {argument for argument in container["args"] if "-command=" in argument}
    assert commands == {
        "--reboot-sentinel-command=/opt/bottlerocket/bottlerocket-checker",
        f"--reboot-command={REBOOT_COMMAND}",
    }
