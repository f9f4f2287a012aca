//! Whole runs of the updater against a simulated node.

// One cycle: the updates, other clients, refusals.
mod cycle;
// A version that is Ready and no longer chosen.
mod withdrawn;
// Failed commands, timeouts, unusable answers.
mod failures;
// The daemon: its cycles, API restarts, giving up.
mod daemon;
// Signals.
mod signals;

use crate::common::daemon::{LONG, Outcome};
use crate::common::records::Format;
use crate::common::{program, run};
use bottlerocket_simulator::Command::{self as Action, Activate, Deactivate, Prepare, Refresh};
use bottlerocket_simulator::{MANUAL, Options, Request, State};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// A simulated node with helpers for these tests.
struct Node {
    simulator: crate::common::Node,
}

impl Node {
    fn new(options: Options) -> Self {
        Self { simulator: crate::common::Node::start(options) }
    }

    fn run(&self, actions: &[Action]) {
        for action in actions {
            self.simulator.run(*action).expect("the command is allowed");
        }
    }

    /// Starts a command of another client. It runs until [`Self::finish`].
    fn begin(&self, action: Action) {
        self.set_time(action, MANUAL);
        let mut stream = UnixStream::connect(self.simulator.path()).unwrap();
        let request = format!("POST {} HTTP/1.1\r\nHost: localhost\r\n\r\n", action.path());
        stream.write_all(request.as_bytes()).unwrap();
        self.wait_for_busy(action);
    }

    fn set_time(&self, action: Action, time: Duration) {
        self.simulator.change(|node, _| *node.options.time(action) = time);
    }

    /// Ends the running command. All further commands take no time.
    fn finish(&self) {
        for action in [Refresh, Prepare, Activate, Deactivate] {
            self.set_time(action, Duration::ZERO);
        }
        self.simulator.finish();
    }

    #[track_caller]
    fn wait_for_busy(&self, action: Action) {
        let busy = self.simulator.wait_until(LONG, |view| view.node.busy() == Some(action));
        assert!(busy, "no {} within {LONG:?}", action.name());
    }

    #[track_caller]
    fn wait_for_state(&self, state: State) {
        let there = self.simulator.wait_until(LONG, |view| view.node.state() == Some(state));
        assert!(there, "not {state:?} within {LONG:?}");
    }

    /// Waits until there are `count` more requests for the status.
    #[track_caller]
    fn wait_for_status_requests(&self, count: usize) {
        let before = self.simulator.look(|view| view.count("GET", "/updates/status"));
        let has_more = |view: &bottlerocket_simulator::View| {
            view.count("GET", "/updates/status") >= before + count
        };
        assert!(self.simulator.wait_until(LONG, has_more), "{:?}", self.requests());
    }

    fn state(&self) -> Option<State> {
        self.simulator.look(|view| view.node.state())
    }

    /// All requests with the status of their answers, for example `GET 423` and
    /// `prepare 204`.
    fn requests(&self) -> Vec<String> {
        self.simulator.requests().iter().map(short_form).collect()
    }

    fn updater(&self, arguments: &[&str]) -> Command {
        updater(self.simulator.path(), arguments)
    }

    /// Runs one cycle.
    fn one_time(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(run(self.updater(&["-one-time"]).args(arguments)), Format::Logfmt)
    }
}

fn short_form(request: &Request) -> String {
    let actions = [Refresh, Prepare, Activate, Deactivate, Action::Reboot];
    let call = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/updates/status") => "GET",
        ("POST", path) => {
            actions.iter().find(|action| action.path() == path).expect("a call of the API").name()
        }
        _ => panic!("not a call of the API: {request:?}"),
    };
    match request.status {
        Some(status) => format!("{call} {status}"),
        None => format!("{call} lost"),
    }
}

/// Options of a node whose commands take no time.
fn instant() -> Options {
    crate::common::Node::instant()
}

/// Runs all cases at the same time, because they mostly wait.
fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T>, try_case: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| try_case(case));
        }
    });
}

fn updater(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = program("updater");
    command.arg("-socket").arg(socket).args(arguments);
    command
}

/// The log of an update of the default node. `_` is a duration.
const FOUND: &str = "info: update found, preparing it running=1.26.0 version=1.26.1 \
                     variant=aws-k8s-1.30 arch=x86_64";

const PREPARED: &str = "info: prepared version=1.26.1 took=_";

const ACTIVATED: &str = "info: activated version=1.26.1 took=_";

/// The outcome of commands that were running when the updater started.
const PREPARED_BEFORE: &str = "info: prepared version=1.26.1";

const ACTIVATED_BEFORE: &str = "info: activated version=1.26.1";

const READY: &str = "info: ready, waiting for the reboot state=Ready next=1.26.1 running=1.26.0 \
                     variant=aws-k8s-1.30 arch=x86_64";

const NOTHING: &str = "info: nothing to do state=Idle running=1.26.0 variant=aws-k8s-1.30 \
                       arch=x86_64";

const FOUND_2: &str = "info: update found, preparing it running=1.26.0 version=1.26.2 \
                       variant=aws-k8s-1.30 arch=x86_64";

const PREPARED_2: &str = "info: prepared version=1.26.2 took=_";

const ACTIVATED_2: &str = "info: activated version=1.26.2 took=_";

const READY_2: &str = "info: ready, waiting for the reboot state=Ready next=1.26.2 \
                       running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";

const NOTHING_STAGED: &str = "info: nothing to do state=Staged running=1.26.0 \
                              variant=aws-k8s-1.30 arch=x86_64";

/// The node is locked to its version.
const NOT_CHOSEN_STAGED: &str = "info: newer versions are offered, none is chosen: version-lock \
                                 or wave? state=Staged offered=1.26.1 running=1.26.0 \
                                 variant=aws-k8s-1.30 arch=x86_64";

const WITHDRAWN: &str = "info: deactivated, so that no reboot boots the version \
                         version=1.26.1 reason=withdrawn took=_";

const REPLACED: &str = "info: deactivated, so that no reboot boots the version \
                        version=1.26.1 reason=replaced chosen=1.26.2 took=_";

const BUSY: &str = "info: an update command is running, waiting for it";

const BACK: &str = "info: the API is available again after=_";

const WHOLE_UPDATE: [&str; 4] = [FOUND, PREPARED, ACTIVATED, READY];

fn cannot_be_used(call: &str, error: &str, socket: &Path) -> String {
    let socket = socket.display();
    format!("error: the API is unavailable call={call} error={error} socket={socket}")
}

const MISSING: &str = "cannot connect: no such file or directory (is the API server running? is \
                       this a Bottlerocket node, and is the socket mounted here?)";

const DIRECTORY: &str = "cannot connect: is a directory (the API server cannot start while this \
                         directory exists: remove it on the node)";

const REFUSED: &str = "cannot connect: connection refused (is the API server running? if it has made \
                       a new socket, restart the container that still mounts the old one)";

/// The daemon starts its first cycle at once and runs cycles often.
const OFTEN: [&str; 2] = ["-test-interval=50ms", "-jitter=0s"];

fn started(node: &Node, interval: &str) -> String {
    let (version, socket) = (env!("CARGO_PKG_VERSION"), node.simulator.path().display());
    format!("info: started version={version} socket={socket} interval={interval}")
}

const STOPPED: &str = "info: stopped signal=SIGTERM";

/// The field with the version that a command is about. A refresh is about none.
fn version_of(command: &str) -> &'static str {
    if command == "refresh" { "" } else { " version=1.26.1" }
}
