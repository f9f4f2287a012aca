//! The plan for every combination of its inputs.

extern crate std;
use super::*;
use crate::api::status::Image;
use std::boxed::Box;
use std::vec::Vec;

fn image(version: &'static str) -> Image<'static> {
    Image { version, variant: "aws-k8s-1.30", arch: "x86_64" }
}

fn command(name: &'static str, outcome: &'static str) -> LastCommand<'static> {
    let stderr = Box::leak(Box::default());
    let timestamp = "2026-11-22T05:32:13Z";
    LastCommand { name, outcome, timestamp, exit_status: "1", stderr }
}

/// Every combination of state, chosen and staged image and last command.
fn all_statuses() -> Vec<Status<'static>> {
    let images = [None, Some(image("1.26.1")), Some(image("1.26.2"))];
    let mut commands = std::vec![None];
    for name in ["refresh", "prepare", "activate", "deactivate", "invented", ""] {
        for outcome in ["Success", "Failed", "Unknown", "Invented", ""] {
            commands.push(Some(command(name, outcome)));
        }
    }
    let mut all = Vec::new();
    for state in State::ALL {
        for chosen in images {
            for staged in images {
                for last_command in commands.iter().copied() {
                    all.push(Status {
                        state,
                        chosen,
                        running: Some(image("1.26.0")),
                        staged,
                        offered: None,
                        last_command,
                    });
                }
            }
        }
    }
    assert_eq!(all.len(), 4 * 3 * 3 * 31);
    all
}

fn decide(status: &Status, refreshed: bool, refresh_ready: bool) -> Plan {
    decide_after(false, status, refreshed, refresh_ready)
}

fn decide_after(
    activate_failed: bool,
    status: &Status,
    refreshed: bool,
    refresh_ready: bool,
) -> Plan {
    let status = Some(status);
    plan(Inputs { status, refreshed, refresh_ready, activate_failed, ..NO_INPUTS })
}

const BOTH: [bool; 2] = [false, true];

const NO_INPUTS: Inputs = Inputs {
    status: None,
    refreshed: false,
    refresh_ready: false,
    reboot_requested: false,
    activate_failed: false,
    stage_only: false,
    activate_at_reboot: false,
    ready_too_long: false,
    held_back: false,
    soaking: false,
    closed: false,
    prepare_delayed: false,
};

#[test]
fn node_without_a_status_is_refreshed() {
    for refreshed in [false, true] {
        for refresh_ready in [false, true] {
            let inputs = Inputs { refreshed, refresh_ready, ..NO_INPUTS };
            assert_eq!(plan(inputs), Plan::Run(Command::Refresh));
        }
    }
}

#[test]
fn every_state_but_ready_is_refreshed_once() {
    for status in all_statuses() {
        let ready = status.state == State::Ready;
        let first = if ready { Plan::Ready } else { Plan::Run(Command::Refresh) };
        assert_eq!(decide(&status, false, false), first);
        assert_eq!(decide(&status, false, true), Plan::Run(Command::Refresh));
    }
}

#[test]
fn update_that_is_ready_is_left_alone() {
    for status in all_statuses().iter().filter(|status| status.state == State::Ready) {
        assert_eq!(decide(status, false, false), Plan::Ready);
        assert_eq!(decide(status, true, false), Plan::Ready);
    }
}

/// Other states are decided on as without the reboot.
#[test]
fn update_that_is_ready_is_left_alone_while_a_reboot_is_requested() {
    for status in all_statuses() {
        for (refreshed, refresh_ready) in BOTH.map(|one| BOTH.map(|two| (one, two))).concat() {
            let inputs = Inputs { status: Some(&status), refreshed, refresh_ready, ..NO_INPUTS };
            let requested = plan(Inputs { reboot_requested: true, ..inputs });
            let expected = match status.state {
                State::Ready => Plan::Ready,
                _ => plan(inputs),
            };
            assert_eq!(requested, expected, "{status:?}");
        }
    }
}

#[test]
fn state_decides_after_the_refresh() {
    let (old, new) = (Some(image("1.26.1")), Some(image("1.26.2")));
    let run = Plan::Run;
    use Command::{Activate, Deactivate, Prepare, Refresh};
    use State::{Available, Idle, Ready, Staged};
    for status in all_statuses() {
        let refresh_failed = status
            .last_command
            .as_ref()
            .is_some_and(|last| last.name == "refresh" && last.outcome != "Success");
        let (staged, chosen) = (&status.staged, &status.chosen);
        let expected = match (status.state, chosen, staged) {
            (Idle, _, _) if refresh_failed => run(Refresh),
            (Idle, _, _) => Plan::Nothing,
            (Available | Staged, None, _) => Plan::Nothing,
            (Available, Some(_), _) => run(Prepare),
            (Staged, Some(_), None) => run(Prepare),
            (Staged, chosen, staged) if *chosen == old && *staged == old => run(Activate),
            (Staged, chosen, staged) if *chosen == new && *staged == new => run(Activate),
            (Staged, Some(_), Some(_)) => run(Prepare),
            (Ready, chosen, staged) if *chosen == old && *staged == old => Plan::Ready,
            (Ready, chosen, staged) if *chosen == new && *staged == new => Plan::Ready,
            (Ready, _, _) if refresh_failed => run(Refresh),
            (Ready, _, _) => run(Deactivate),
        };
        assert_eq!(decide(&status, true, true), expected, "{status:?}");
        if status.state != Ready {
            assert_eq!(decide(&status, true, false), expected, "{status:?}");
        }
    }
}

#[test]
fn failed_activate_replaces_only_the_activate_by_a_prepare() {
    for status in all_statuses() {
        for (refreshed, refresh_ready) in BOTH.map(|one| BOTH.map(|two| (one, two))).concat() {
            let before = decide(&status, refreshed, refresh_ready);
            let expected = match before {
                Plan::Run(Command::Activate) => Plan::Run(Command::Prepare),
                other => other,
            };
            let after = decide_after(true, &status, refreshed, refresh_ready);
            assert_eq!(after, expected, "{status:?}");
        }
    }
}

#[test]
fn another_variant_or_architecture_is_another_image() {
    for other in [
        Image { arch: "aarch64", ..image("1.26.1") },
        Image { variant: "aws-k8s-1.31", ..image("1.26.1") },
    ] {
        let status = Status {
            state: State::Staged,
            chosen: Some(other),
            running: Some(image("1.26.0")),
            staged: Some(image("1.26.1")),
            offered: None,
            last_command: None,
        };
        assert_eq!(decide(&status, true, false), Plan::Run(Command::Prepare));
    }
}

/// Only a refresh of this cycle that succeeded, and that no failed one has followed, leads
/// to a deactivate.
#[test]
fn failed_refresh_never_leads_to_a_deactivate() {
    let refresh_failed = [Some(command("refresh", "Failed")), Some(command("refresh", "Unknown"))];
    for status in all_statuses() {
        for activate_failed in BOTH {
            let early = decide_after(activate_failed, &status, false, true);
            assert_ne!(early, Plan::Run(Command::Deactivate), "{status:?}");
            for last_command in refresh_failed {
                let status = Status { last_command, ..status };
                let plan = decide_after(activate_failed, &status, true, true);
                assert_ne!(plan, Plan::Run(Command::Deactivate), "{status:?}");
            }
        }
    }
}

#[test]
fn limits_stop_only_prepares_and_activates() {
    use Command::{Activate, Deactivate, Prepare, Refresh};
    let looks = [(false, false), (true, false), (true, true)];
    for (status, activate_failed) in
        all_statuses().iter().flat_map(|status| BOTH.map(|failed| (status, failed)))
    {
        for (refreshed, refresh_ready) in looks {
            let free = decide_after(activate_failed, status, refreshed, refresh_ready);
            // Each combination of the four limits, a bit for each.
            for limits in 0..16 {
                let [stage_only, held_back, soaking, closed] =
                    [1, 2, 4, 8].map(|bit| limits & bit != 0);
                let limited = plan(Inputs {
                    status: Some(status),
                    refreshed,
                    refresh_ready,
                    activate_failed,
                    stage_only,
                    held_back,
                    soaking,
                    closed,
                    ..NO_INPUTS
                });
                let expected = match free {
                    Plan::Run(Refresh) => free,
                    Plan::Run(Prepare) if held_back => Plan::HeldBack,
                    Plan::Run(Prepare) if soaking => Plan::Soaking,
                    Plan::Run(Prepare) if closed => Plan::Closed,
                    Plan::Run(Activate) if held_back => Plan::HeldBack,
                    Plan::Run(Activate) if stage_only => Plan::Staged,
                    Plan::Run(Activate) if soaking => Plan::Soaking,
                    Plan::Run(Activate) if closed => Plan::Closed,
                    Plan::Run(Deactivate) if stage_only => Plan::Ready,
                    _ => free,
                };
                assert_eq!(limited, expected, "{status:?}");
                let begins = matches!(limited, Plan::Run(Prepare | Activate));
                assert!(!begins || !(held_back || soaking || closed));
            }
        }
    }
}

#[test]
fn activate_at_reboot_activates_nothing() {
    use Command::{Activate, Deactivate, Prepare, Refresh};
    for status in all_statuses() {
        for (refreshed, ready_too_long) in BOTH.map(|one| BOTH.map(|two| (one, two))).concat() {
            let inputs = Inputs {
                status: Some(&status),
                refreshed,
                refresh_ready: true,
                activate_at_reboot: true,
                ready_too_long,
                ..NO_INPUTS
            };
            let expected = match decide(&status, refreshed, true) {
                _ if ready_too_long && status.state == State::Ready => Plan::Run(Deactivate),
                Plan::Run(Activate) => Plan::StagedForReboot,
                plan => plan,
            };
            assert_eq!(plan(inputs), expected, "{status:?}");
            // What the node is about to boot is left alone.
            if status.state == State::Ready {
                assert_eq!(plan(Inputs { reboot_requested: true, ..inputs }), Plan::Ready);
            }
        }
    }
    // After an activate that failed: prepared again. While that is not allowed, the status keeps
    // the failure, so that the checker sees it.
    let failed = Status {
        state: State::Staged,
        chosen: Some(image("1.26.1")),
        running: Some(image("1.26.0")),
        staged: Some(image("1.26.1")),
        offered: None,
        last_command: Some(command("activate", "Failed")),
    };
    let inputs = Inputs {
        status: Some(&failed),
        activate_failed: true,
        activate_at_reboot: true,
        ..NO_INPUTS
    };
    assert_eq!(plan(inputs), Plan::Run(Refresh));
    assert_eq!(plan(Inputs { refreshed: true, ..inputs }), Plan::Run(Prepare));
    assert_eq!(plan(Inputs { closed: true, ..inputs }), Plan::Closed);
    assert_eq!(plan(Inputs { held_back: true, ..inputs }), Plan::HeldBack);
    assert_eq!(plan(Inputs { soaking: true, ..inputs }), Plan::Soaking);
    assert_eq!(plan(Inputs { prepare_delayed: true, ..inputs }), Plan::Run(Prepare));
    let elsewhere = Inputs { activate_at_reboot: false, closed: true, ..inputs };
    assert_eq!(plan(elsewhere), Plan::Run(Refresh));
}
