"""Checks that the documented commands print what the page shows."""

import re

from conftest import UPDATER_OPTIONS, mount_socket, pages
from test_host import Host

# What differs in each run.
VARYING = [
    (r"\btime=\S+", "time=_"),
    (r"\btook=\S+", "took=_"),
]


def commands():
    """Yields each command of the section "How do I run the commands by hand?", in order: its prompt,
    the command, and the output that the page shows.

    A line with one "#" is a command of root's shell, so it does not end the section."""
    heading = re.compile(
        r"^#+ How do I run the commands by hand\?\n(.*?)(?=^##+ |\Z)", re.DOTALL | re.MULTILINE
    )
    [section] = [found for page in pages() for found in heading.findall(page)]
    for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL):
        yield from re.findall(r"^([#$]) (.*)\n((?:(?![#$] ).*\n)*)", block, re.MULTILINE)


def without_varying_values(text):
    for pattern, fixed in VARYING:
        text = re.sub(pattern, fixed, text)
    return text


class Cluster:
    """A cluster with one node, on which the pods of both DaemonSets run."""

    def __init__(self, docker, host, node):
        self.docker, self.host, self.node = docker, host, node

    def run(self, prompt, command):
        """Runs a command where the prompt indicates: "#" in Kured's pod, "$" on the
        operator's machine."""
        if prompt == "#":
            # Process 1 of the host, not of this machine.
            command = command.replace("/proc/1/", f"/proc/{self.host.pid}/")
            shell = [*self.host.kured_options, "--entrypoint=/bin/sh"]
            # One stream for both outputs, as in a terminal.
            command = f"exec 2>&1; {command}"
            return self.docker.run(self.host.kured, "-c", command, options=shell)
        exec_of_updater = (
            r"kubectl exec --namespace bottlerocket-updater bottlerocket-updater-\w+ -- (\S+) (.*)"
        )
        program, arguments = re.fullmatch(exec_of_updater, command).groups()
        options = [*UPDATER_OPTIONS, mount_socket(self.node), f"--entrypoint={program}"]
        return self.docker.run(self.host.updater, *arguments.split(), options=options)


def test_commands_print_what_the_page_shows(
    containers, updater, kured, kured_options, node, tmp_path
):
    opt = tmp_path / "opt"
    opt.mkdir()
    host = Host(containers, updater, kured, kured_options, node.directory, opt)
    assert host.install().returncode == 0
    cluster = Cluster(containers, host, node)
    shown = list(commands())
    assert len(shown) >= 5
    for prompt, command, output in shown:
        done = cluster.run(prompt, command)
        actual = without_varying_values(done.stdout + done.stderr)
        assert actual == without_varying_values(output), command
    # The last command rebooted the node.
    node.events.wait_for("booted 1.26.1")
