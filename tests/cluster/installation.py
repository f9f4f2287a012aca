"""Brings the images and the objects to the cluster, and removes them."""

import os
import pathlib
import re
import subprocess
import tempfile

from cluster import (
    OWN,
    ROOT,
    Failure,
    cordoned_nodes,
    get,
    kubectl,
    run_helm,
    say,
    wait_for,
    wait_until_ready,
    workers,
)
from fleet import WORK, WORKLOAD

TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
OVERLAY = "deploy/overlays/simulated"


def image():
    """The name of the image of the programs."""
    rendered = kubectl("kustomize", "deploy/updater")
    return re.search(r"image: (\S+/bottlerocket-updater:\S+)", rendered)[1]


def load(command, upgrade_from, nodes):
    """Brings the images to the nodes."""
    archives = {
        name: TARGET / f"images/{name.rsplit('/', 1)[1].split(':')[0]}.tar"
        for name in re.findall(r"image: (\S+/bottlerocket-\S+)", kubectl("kustomize", OVERLAY))
    }
    if upgrade_from:
        old = image().rsplit(":", 1)[0] + ":old"
        archives[old] = pathlib.Path(upgrade_from, "target/images/bottlerocket-updater.tar")
    arch = get("nodes")["items"][0]["metadata"]["labels"]["kubernetes.io/arch"]
    skopeo = ["skopeo", "--insecure-policy", f"--override-arch={arch}", "copy", "--quiet"]
    with tempfile.TemporaryDirectory() as directory:
        archive = f"{directory}/image.tar"
        for name, source in archives.items():
            pathlib.Path(archive).unlink(missing_ok=True)
            copy = [*skopeo, f"oci-archive:{source}", f"docker-archive:{archive}:{name}"]
            subprocess.run(copy, check=True)
            for node in nodes:
                say(f"loads {name} on {node}")
                environment = {**os.environ, "NODE": node, "ARCHIVE": archive}
                shell = ["sh", "-c", command]
                subprocess.run(shell, env=environment, check=True, stdout=subprocess.DEVNULL)


def install():
    apply_overlay()
    kubectl("apply", "--filename=-", text=WORKLOAD.replace("IMAGE", image()))
    for namespace, name in ((OWN, "bottlerocket-simulator"), (OWN, OWN), ("kube-system", "kured")):
        wait_until_ready(name, namespace)


def apply_overlay(*arguments, without=()):
    """Applies the simulated fleet, without some of its objects."""
    say(f"applies {OVERLAY}")
    text = "\n---\n".join(objects_of_overlay(without=without))
    kubectl("apply", "--filename=-", *arguments, text=text)


def apply_as_helm():
    """Applies the simulated fleet as docs/clusters.md says: Helm can remove each field later."""
    apply_overlay("--server-side", "--force-conflicts", "--field-manager=helm")


def objects_of_overlay(without=()):
    """Renders the simulated fleet, without a version on offer, until a scenario publishes
    one. Returns the text of each object."""
    rendered = re.sub(r"^ *offer .*\n", "", kubectl("kustomize", OVERLAY), flags=re.MULTILINE)
    return [
        each
        for each in rendered.split("\n---\n")
        if not any(f"kind: {k}\n" in each for k in without)
    ]


def upgrade_chart(*overlays, settings=()):
    """Installs our chart, or changes its values to those of overlays: the last one counts."""
    values = [f"--values={overlay}/values.yaml" for overlay in overlays]
    # What overlays/custom and overlays/windows set that would let no node reboot here.
    settings = [
        "--set-json=updater.window=null,updater.timeZone=null",
        "--set-json=kured.startTime=null,kured.endTime=null,kured.rebootDays=null",
        "--set=image.registry=ghcr.io,image.repository=bottlerocket-updater/bottlerocket-updater",
        "--set=kured.image.registry=ghcr.io,kured.image.repository=kubereboot/kured",
        "--set-string=simulator.config=# no version is on offer",
        *settings,
    ]
    chart = ("bottlerocket-updater", "deploy/helm/bottlerocket-updater")
    flags = (
        "--namespace=kube-system",
        "--take-ownership",
        "--force-conflicts",
        "--wait",
        "--timeout=5m",
    )
    run_helm("upgrade", "--install", *chart, *flags, *values, *settings)


def install_kured_chart(chart):
    """Installs Kured's own chart with our values, changed for simulated nodes."""
    values = (ROOT / "deploy/helm/kured-values.yaml").read_text()
    boot_id = "/run/bottlerocket-simulator/boot-id"
    mount = f"- {{name: boot-id, mountPath: {boot_id}, readOnly: true}}"
    volume = f"- {{name: boot-id, hostPath: {{path: {boot_id}, type: File}}}}"
    for old, new in (
        ("reboot/record\n", f"reboot/record -boot-id {boot_id}\n"),
        ("  period: 5m\n", "  period: 10s\n"),
        (
            "      - -state-dir=",
            f"      - -boot-id={boot_id}\n      - -give-up=15s\n      - -state-dir=",
        ),
        ("      - name: os-release\n", f"      {mount}\n      - name: os-release\n"),
        ("volumes:\n", f"volumes:\n  {volume}\n"),
        (
            "      path: /usr/lib/os-release\n",
            "      path: /run/bottlerocket-simulator/os-release\n",
        ),
    ):
        if values.count(old) != 1:
            raise Failure(f"deploy/helm/kured-values.yaml does not have {old!r} once")
        values = values.replace(old, new)
    name = ("kured", chart, "--namespace=kube-system", "--values=-")
    run_helm("upgrade", "--install", *name, text=values)


def apply_old(directory, *, keep_config):
    """Applies the manifests of an older version, with an image whose tag is `old`, beside
    the simulator of today."""
    with tempfile.TemporaryDirectory(dir=TARGET) as overlay:
        path = os.path.relpath(directory, overlay)
        pathlib.Path(overlay, "kustomization.yaml").write_text(OLD.replace("DIRECTORY", path))
        old = kubectl("kustomize", overlay)
    new = objects_of_overlay(without=["ConfigMap"] if keep_config else [])
    simulator = [each for each in new if "name: bottlerocket-simulator\n" in each]
    kubectl("apply", "--filename=-", text="\n---\n".join([old, *simulator]))


OLD = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [DIRECTORY/deploy]
images:
  - name: ghcr.io/bottlerocket-updater/bottlerocket-updater
    newTag: old
patches:
  - target: {kind: DaemonSet, name: bottlerocket-updater}
    patch: |-
      - {op: add, path: /spec/template/spec/containers/0/args/-, value: -interval=10s}
      - {op: add, path: /spec/template/spec/containers/0/args/-, value: -jitter=2s}
  - target: {kind: DaemonSet, name: kured}
    patch: |-
      - {op: add, path: /spec/template/spec/containers/0/args/-, value: --period=10s}
"""


def remove():
    """Uninstalls as docs/install.md says."""
    say(f"removes {OVERLAY}")
    kubectl("delete", "--kustomize", OVERLAY, "--ignore-not-found", "--wait")
    selector = "--selector=app.kubernetes.io/name=kured"
    kubectl("wait", "--namespace=kube-system", "--for=delete", "pod", selector, "--timeout=4m")
    kubectl("apply", "--kustomize", f"{OVERLAY}/uninstall")
    rollout = ("daemonset/bottlerocket-uninstall", "--timeout=4m")
    kubectl("rollout", "status", "--namespace=kube-system", *rollout)
    kubectl("delete", "--kustomize", f"{OVERLAY}/uninstall", "--wait")
    for node in cordoned_nodes():
        kubectl("uncordon", node)


def must_be_gone(path):
    """Starts pods that can start only on nodes with this directory."""
    name = "look-for-leftovers"
    kubectl("apply", "--filename=-", text=LOOK.replace("PATH", path).replace("IMAGE", image()))
    try:

        def failures():
            events = get("events", "--namespace", WORK)["items"]
            return {
                event["involvedObject"]["name"]
                for event in events
                if event["reason"] == "FailedMount" and "is not a directory" in event["message"]
            }

        def all_failed():
            items = get("pods", "--namespace", WORK, f"--selector=app={name}")["items"]
            names = {pod["metadata"]["name"] for pod in items}
            running = [pod for pod in items if pod["status"]["phase"] == "Running"]
            if running:
                raise Failure(f"{path} is left on {running[0]['spec']['nodeName']}")
            return len(names) == len(workers()) and names <= failures()

        wait_for(f"all pods with {path} fail to start", all_failed, within=120)
    finally:
        kubectl("delete", "--namespace", WORK, f"daemonset/{name}", "--wait")


LOOK = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: look-for-leftovers, namespace: bottlerocket-test}
spec:
  selector: {matchLabels: {app: look-for-leftovers}}
  template:
    metadata: {labels: {app: look-for-leftovers}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: look
          image: IMAGE
          imagePullPolicy: IfNotPresent
          command: [/usr/local/bin/bottlerocket-install, -wait]
          volumeMounts: [{name: path, mountPath: /mnt}]
      volumes: [{name: path, hostPath: {path: PATH, type: Directory}}]
"""
