//! Gives any sequence of answers to one cycle: it ends, and it sends only commands that
//! the last status asks for.
#![no_main]

use bottlerocket_fuzz::choices::{Choices, any_answer};
use bottlerocket_updater::api::status::{State, Status, copy};
use bottlerocket_updater::api::{Answer, Call, Command};
use bottlerocket_updater::reporting::log::Level;
use bottlerocket_updater::text::excerpt::Excerpt;
use bottlerocket_updater::updater::commands::Commands;
use bottlerocket_updater::updater::cycle::{Context, Cycle, End, Now, Settings, Step};
use bottlerocket_updater::updater::event::Event;
use bottlerocket_updater::updater::history::History;
use bottlerocket_updater::updater::last_reboot::LastReboot;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

/// The largest number of commands that one cycle starts, and of refusals that it accepts.
const COMMANDS_MAX: u32 = 8;
const REFUSALS_MAX: u32 = 4;
/// The longest pause inside a cycle.
const PAUSE_MAX: Duration = Duration::from_secs(5);

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices(bytes);
    let mut settings = Settings {
        refresh_ready: choices.flip(),
        stage_only: choices.below(4) == 3,
        activate_at_reboot: choices.below(4) == 3,
        ..Settings::default()
    };
    if choices.below(4) == 3 {
        settings.windows.add(b"Mon-Fri 22:00-04:00").expect("a window");
    }
    let mut history = History::new(copy("boot-1"), Some(Duration::from_secs(86_400)));
    let mut text = Excerpt::default();
    text.push_bytes(b"a \"reason\"\nof two lines");
    let (mut cycle, call) = Cycle::begin();
    let mut step = Step::Call(call, Duration::ZERO);
    let mut now = Duration::ZERO;
    let (mut started, mut refusals, mut calls) = (0, 0, 0);
    // The last answer, if it was to a status call: `Some(None)` if there is no status.
    let mut known: Option<Option<Status>> = None;
    let (mut refresh_sent, mut refreshed) = (false, false);
    let mut commands = Commands::default();
    let mut activate_failed = false;
    let mut last_told = None;
    let end = loop {
        let (call, pause) = match step {
            Step::Call(call, pause) => (call, pause),
            Step::End(end) => break end,
        };
        assert!(pause <= PAUSE_MAX);
        if let Call::Start(command) = call {
            let status = known.take().expect("a command follows a status");
            let refresh_ready = settings.refresh_ready;
            check(command, status, refreshed, refresh_ready, activate_failed);
            let is_of_others = matches!(command, Command::Activate | Command::Deactivate);
            assert!(!is_of_others || !settings.stage_only);
            assert!(command != Command::Activate || !settings.activate_at_reboot);
            let utc = now + Duration::from_secs(1_800_000_000);
            let waits = matches!(command, Command::Prepare | Command::Activate);
            assert!(!waits || settings.windows.is_open(utc));
            refresh_sent |= command == Command::Refresh;
        }
        assert_ne!(call, Call::Reboot);
        // When the input is over, another client holds the lock forever.
        let over = choices.is_over();
        let answer = if over { Ok(Answer::Busy) } else { any_answer(call, &mut choices, &text) };
        now += pause + if over { Duration::from_millis(1) } else { choices.time() };
        match (call, &answer) {
            (Call::Start(_), Ok(Answer::Started)) => started += 1,
            (Call::Start(_), Ok(Answer::NotAllowed(_))) => refusals += 1,
            (Call::Start(_), Err(error)) => started += u32::from(error.may_have_been_sent()),
            _ => {}
        }
        known = match (call, &answer) {
            (Call::Status, Ok(Answer::Status(status))) => Some(Some(*status)),
            (Call::Status, Ok(Answer::Uninitialized)) => Some(None),
            _ => None,
        };
        let last = known.flatten().and_then(|status| status.last_command);
        refreshed |=
            refresh_sent && last.is_some_and(|last| last.name == "refresh" && last.succeeded());
        activate_failed |= last.is_some_and(|last| last.name == "activate" && !last.succeeded());
        last_told = None;
        let utc = now + Duration::from_secs(1_800_000_000);
        let at = Now { now, since_boot: now, utc };
        history.advance(at.since_boot);
        let (history, commands) = (&mut history, &mut commands);
        let last_reboot = &mut LastReboot::default();
        let context = Context { at, settings: &settings, history, commands, last_reboot };
        step =
            cycle.on_answer(context, &answer, &mut |event: Event| last_told = Some(event.kind()));
        calls += 1;
        assert!(calls < 5_000 + bytes.len(), "it does not end");
        assert!(started <= COMMANDS_MAX && refusals <= REFUSALS_MAX);
    };
    let level = last_told.map(|kind| kind.level());
    match end {
        End::Done | End::Waiting => assert_eq!(level, Some(Level::Info)),
        End::Failed => assert_eq!(level, Some(Level::Error)),
        End::NoAnswer => {}
    }
});

/// Checks that the state asks for this command, after an activate that failed or not.
fn check(
    command: Command,
    status: Option<Status>,
    refreshed: bool,
    refresh_ready: bool,
    activate_failed: bool,
) {
    let Some(status) = status else { return assert_eq!(command, Command::Refresh) };
    let ready = status.state == State::Ready;
    assert!(!ready || refresh_ready, "{command:?} for a node that is Ready");
    assert!(refreshed || command == Command::Refresh, "{command:?} before a refresh");
    let chosen = status.chosen.is_some();
    let same = status.chosen == status.staged;
    let asked = match command {
        Command::Refresh => true,
        Command::Prepare => {
            let again = status.state == State::Staged && (!same || activate_failed);
            chosen && (status.state == State::Available || again)
        }
        Command::Activate => chosen && status.state == State::Staged && same,
        Command::Deactivate => ready && !(chosen && same),
    };
    assert!(asked, "{command:?} for {status:?}");
}
