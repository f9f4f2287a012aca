"""The README shows what the commands say, as they really say it."""

import re

from conftest import DAEMON_SET, ROOT, socket_of
from test_host import Host

# What is another in every run.
VARYING = [
    (r"\btime=\S+", "time=_"),
    (r"\btook=\S+", "took=_"),
]


def commands():
    """Each command of the section, in order, with what it is shown to say."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("### Testing the commands\n")[1].split("\n## ")[0].split("\n### ")[0]
    for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL):
        yield from re.findall(r"^([#$]) (.*)\n((?:(?![#$] ).*\n)*)", block, re.MULTILINE)


def without_what_varies(text):
    for pattern, fixed in VARYING:
        text = re.sub(pattern, fixed, text)
    return text


class Cluster:
    """Of one node, with the pods of both DaemonSets on it."""

    def __init__(self, docker, host, node):
        self.docker, self.host, self.node = docker, host, node

    def run(self, prompt, command):
        """Runs a command where the prompt says: in Kured's pod, or before the cluster."""
        if prompt == "#":
            # The host's process 1.
            command = command.replace("/proc/1/", f"/proc/{self.host.pid}/")
            shell = [*self.host.as_kured, "--entrypoint=/bin/sh"]
            # All in one, as a terminal has it.
            command = f"exec 2>&1; {command}"
            return self.docker.run(self.host.kured, "-c", command, options=shell)
        exec_of_updater = (
            r"kubectl exec --namespace bottlerocket-updater bottlerocket-updater-\w+ -- (\S+) (.*)"
        )
        program, arguments = re.fullmatch(exec_of_updater, command).groups()
        options = [*DAEMON_SET, socket_of(self.node), f"--entrypoint={program}"]
        return self.docker.run(self.host.updater, *arguments.split(), options=options)


def test_the_commands_say_what_the_readme_shows(
    containers, updater, kured, as_kured, node, tmp_path
):
    opt = tmp_path / "opt"
    opt.mkdir()
    host = Host(containers, updater, kured, as_kured, node.directory, opt)
    assert host.install().returncode == 0
    cluster = Cluster(containers, host, node)
    shown = list(commands())
    assert len(shown) >= 5
    for prompt, command, said in shown:
        done = cluster.run(prompt, command)
        assert without_what_varies(done.stdout + done.stderr) == without_what_varies(said), command
    # It says so of the last one.
    node.events.wait_for("booted 1.26.1")
