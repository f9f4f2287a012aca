"""The tests run containers with the options that the DaemonSets have."""

import yaml
from conftest import DAEMON_SET, DAEMON_SET_FLAGS, INIT_CONTAINER, INSTALL, ROOT, STATE, UPDATER

DEPLOY = ROOT / "deploy"


def pod_of(name):
    manifests = yaml.safe_load_all((DEPLOY / name / "daemonset.yaml").read_text("utf-8"))
    [daemon_set] = [manifest for manifest in manifests if manifest["kind"] == "DaemonSet"]
    return daemon_set["spec"]["template"]["spec"]


def options_of(container):
    """What a container of a pod is, in the words of the Docker engine."""
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["privileged"] is False
    # The engine's own profile, which its containers have by themselves.
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


def test_the_updater_is_run_as_its_daemonset_does():
    [container] = pod_of("updater")["containers"]
    assert options_of(container) == DAEMON_SET
    assert container["command"] == [UPDATER]
    assert container["args"] == DAEMON_SET_FLAGS
    [socket, state] = container["volumeMounts"]
    assert (socket["mountPath"], socket["readOnly"]) == ("/run/api.sock", True)
    assert f"--tmpfs={state['mountPath']}:mode=0777" in STATE


def test_the_installer_is_run_as_kureds_daemonset_does():
    [container] = pod_of("kured")["initContainers"]
    assert options_of(container) == INIT_CONTAINER
    assert container["command"] == [INSTALL]
    assert container["args"] == ["/host/opt/bottlerocket"]
    [mounted] = container["volumeMounts"]
    assert mounted["mountPath"] in ("/host/opt", "/host/opt/bottlerocket")


def test_kured_is_run_as_its_daemonset_does():
    pod = pod_of("kured")
    [container] = pod["containers"]
    assert pod["hostPID"] is True
    assert container["securityContext"] == {"privileged": True, "readOnlyRootFilesystem": True}
    commands = {argument for argument in container["args"] if "-command=" in argument}
    assert commands == {
        "--reboot-sentinel-command=/opt/bottlerocket/bottlerocket-checker",
        "--reboot-command=/opt/bottlerocket/bottlerocket-reboot",
    }
