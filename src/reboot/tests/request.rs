//! The request for the reboot, and what follows if the connection breaks.

use super::*;

const AGAIN: &str = "requested again: the reboot is on its way";
const GONE: &str = "the API has not come back: assuming that the node is rebooting";

#[test]
fn accepted_request_is_a_success() {
    within(60).play(&[("reboot", 0, "204")], 0, ACCEPTED, 0);
    // The server answers when systemd has.
    within(60).play(&[("reboot", 0, "+3s 204")], 0, ACCEPTED, 3_000);
}

#[test]
fn first_request_that_fails_is_a_failure() {
    for (answer, why) in ERRORS {
        within(60).play(&[("reboot", 0, answer)], 3, &not_rebooted(why), 0);
    }
    for (answer, why) in [
        ("full", "timed out connecting to the API (-timeout 1m)"),
        ("silence", "timed out waiting for a response (-timeout 1m)"),
    ] {
        within(60).play(&[("reboot", 0, answer)], 3, &not_rebooted(why), 60_000);
    }
}

#[test]
fn request_without_effect_is_repeated_until_the_timeout() {
    for (answer, why) in NO_EFFECT {
        let rows = PAUSES.map(|pause| ("reboot", pause, answer));
        within(3).play(&rows, 3, &not_rebooted(why), 2_900);
        for count in 1..rows.len() {
            let took: u64 = PAUSES[..=count].iter().sum();
            let rows = [&rows[..count], &[("reboot", PAUSES[count], "204")]].concat();
            within(3).play(&rows, 0, ACCEPTED, took.into());
        }
        // The API is gone, but not because of a request.
        let slow = [("reboot", 0, answer), ("reboot", 100, "~1h refused")];
        let why = not_rebooted(NO_EFFECT[0].1);
        within(3).play(&slow, 3, &why, 3_600_100);
    }
}

/// It may be the one that reboots the node.
#[test]
fn repeated_request_has_time_to_be_answered() {
    let mut rows = PAUSES.map(|pause| ("reboot", pause, "missing"));
    rows[5].2 = "+14s 204";
    within(3).play(&rows, 0, ACCEPTED, 16_900);
    rows[5].2 = "silence";
    let why = not_rebooted("timed out waiting for a response (-timeout 3s)");
    within(3).play(&rows, 3, &why, 17_900);
    // It may also break the connection.
    let mut rows = rows.to_vec();
    rows[5].2 = "break";
    rows.extend(unreachable_for_the_grace("refused"));
    within(3).play(&rows, 0, GONE, 17_900);
}

#[test]
fn node_that_is_already_shutting_down_is_a_success() {
    let line = "the node is already shutting down";
    for reason in SHUTTING_DOWN {
        within(60).play(&[("reboot", 0, reason)], 0, line, 0);
        let rows = [("reboot", 0, "break"), ("reboot", 250, reason)];
        within(60).play(&rows, 0, line, 250);
    }
    for reason in [
        "500 Failed to reboot, exit code: 1, stderr: a backup is in progress",
        "409 There's already a shutdown or sleep operation in progress",
    ] {
        let why = format!("the API returned {reason}").replace("500 ", "500: ");
        let why = not_rebooted(&why.replace("409 ", "409: "));
        within(60).play(&[("reboot", 0, reason)], 3, &why, 0);
    }
}

#[test]
fn first_disconnect_is_a_warning() {
    for (answer, warning) in [
        ("break", "connection closed before a response; checking whether the API comes back"),
        (
            "reset",
            "cannot receive the response: connection reset; checking whether the API comes back",
        ),
    ] {
        let mut script = within(60);
        for row in [("reboot", 0, answer), ("reboot", 250, answer), ("reboot", 250, "missing")] {
            script.row(row);
        }
        assert_eq!(script.warnings, [warning]);
    }
}

/// A server that crashed is back after six seconds or so.
#[test]
fn answer_after_a_disconnect_is_the_result() {
    let answers = ERRORS.map(|(answer, why)| (answer, 3, not_rebooted(why)));
    for (answer, status, line) in [&[("204", 0, AGAIN.into())], &answers[..]].concat() {
        for unreachable in ["refused", "missing"] {
            // How often the API is unreachable before the answer.
            for count in [0, 1, 2, 24] {
                let mut rows = vec![("reboot", 0, "+1s break")];
                rows.extend(vec![("reboot", 250, unreachable); count]);
                rows.push(("reboot", 250, answer));
                let took = 1_250 + 250 * count as u128;
                within(60).play(&rows, status, &line, took);
            }
        }
    }
}

/// It may be busy rebooting. So it has the grace, and until the timeout.
#[test]
fn api_that_comes_back_has_time_to_answer() {
    let silence = [("reboot", 0, "break"), ("reboot", 250, "silence")];
    for (timeout, took, shown) in [(2, 15_250, "2s"), (20, 20_000, "20s"), (60, 60_000, "1m")] {
        let why = format!("timed out waiting for a response (-timeout {shown})");
        within(timeout).play(&silence, 3, &not_rebooted(&why), took);
    }
    let rows = [("reboot", 0, "+1s break"), ("reboot", 250, "+14s 204")];
    within(2).play(&rows, 0, AGAIN, 15_250);
}

/// The API is there, so the node may not be going down.
#[test]
fn repeated_request_without_effect_is_repeated_until_the_timeout() {
    for (answer, why) in &NO_EFFECT[4..] {
        let mut rows = vec![("reboot", 0, "break")];
        rows.extend(vec![("reboot", 250, *answer); 80]);
        within(20).play(&rows, 3, &not_rebooted(why), 20_000);
        rows.truncate(70);
        rows.push(("reboot", 250, "204"));
        within(20).play(&rows, 0, AGAIN, 17_500);
        // The grace begins at the last answer.
        rows.truncate(70);
        rows.extend(unreachable_for_the_grace("refused"));
        within(20).play(&rows, 0, GONE, 32_250);
    }
}

/// The API server cannot start while the directory exists.
#[test]
fn directory_after_a_disconnect_is_no_reboot() {
    let mut rows = vec![("reboot", 0, "break")];
    rows.extend(vec![("reboot", 250, "directory"); 80]);
    for (timeout, count, took) in [(20, 80, 20_000), (3, 60, 15_000)] {
        let why = not_rebooted(NO_EFFECT[2].1);
        within(timeout).play(&rows[..=count], 3, &why, took);
    }
    // Somebody removes it. The grace begins then.
    rows.truncate(40);
    let mut answered = rows.clone();
    answered.push(("reboot", 250, "204"));
    within(20).play(&answered, 0, AGAIN, 10_000);
    rows.extend(unreachable_for_the_grace("missing"));
    within(20).play(&rows, 0, GONE, 24_750);
}

/// The timeout makes no difference.
#[test]
fn api_that_stays_away_is_a_reboot() {
    for timeout in [1, 3, 60, 3_600] {
        for how in ["refused", "missing"] {
            for first in ["+500ms break", "+500ms reset"] {
                let mut rows = vec![("reboot", 0, first)];
                rows.extend(unreachable_for_the_grace(how));
                within(timeout).play(&rows, 0, GONE, 15_500);
            }
        }
    }
    let mut rows = vec![("status", 0, "Ready"), ("reboot", 0, "break")];
    rows.extend(unreachable_for_the_grace("refused"));
    if_ready(MINUTE).play(&rows, 0, GONE, 15_000);
}

/// However long each request takes, the last one is made at the end of the grace.
#[test]
fn last_request_is_made_at_the_end_of_the_grace() {
    let mut rows = vec![("reboot", 0, "break")];
    rows.extend([("reboot", 250, "+4s refused"); 3]);
    rows.extend([("reboot", 250, "+1950ms refused"), ("reboot", 50, "refused")]);
    within(60).play(&rows, 0, GONE, 15_000);
    *rows.last_mut().unwrap() = ("reboot", 50, "204");
    within(60).play(&rows, 0, AGAIN, 15_000);
}

/// The grace begins again: it may be the last of the API as the node goes down.
#[test]
fn api_that_stays_away_after_another_disconnect_is_a_reboot() {
    for second in ["break", "+1s break", "reset", "unsent"] {
        let mut rows = vec![("reboot", 0, "break"), ("reboot", 250, second)];
        rows.extend(unreachable_for_the_grace("refused"));
        let took = if second == "+1s break" { 16_250 } else { 15_250 };
        within(60).play(&rows, 0, GONE, took);
    }
    let mut rows = vec![("reboot", 0, "break")];
    rows.extend(vec![("reboot", 250, "refused"); 59]);
    rows.push(("reboot", 250, "break"));
    rows.extend(unreachable_for_the_grace("refused"));
    within(60).play(&rows, 0, GONE, 30_000);
}

/// A server that crashes on each request, and is away for six seconds each time.
fn crashes(count: usize) -> Vec<Row> {
    let mut rows = vec![("reboot", 0, "break")];
    for _ in 1..count {
        rows.extend([("reboot", 250, "refused"); 23]);
        rows.push(("reboot", 250, "break"));
    }
    rows
}

#[test]
fn api_that_crashes_on_each_request_is_no_reboot() {
    for count in 1..=10 {
        let mut rows = crashes(count);
        rows.extend([("reboot", 250, "refused"); 23]);
        rows.push(("reboot", 250, "204"));
        within(60).play(&rows, 0, AGAIN, 6_000 * count as u128);
    }
    // After the timeout, the next disconnect is the end.
    let why = not_rebooted("connection closed before a response");
    within(60).play(&crashes(11), 3, &why, 60_000);
    within(59).play(&crashes(11), 3, &why, 60_000);
    // A short timeout gives way to the grace.
    within(1).play(&crashes(4), 3, &why, 18_000);
}

/// A server that is there, and breaks the connection each time.
#[test]
fn connection_that_keeps_breaking_is_a_failure() {
    let why = not_rebooted("connection closed before a response");
    for timeout in [1, 3, 60, 3_600] {
        // Each at once: at least five seconds.
        let mut rows = vec![("reboot", 0, "break")];
        rows.extend([("reboot", 250, "break"); 20]);
        within(timeout).play(&rows, 3, &why, 5_000);
        // The one before may be answered.
        *rows.last_mut().unwrap() = ("reboot", 250, "204");
        within(timeout).play(&rows, 0, AGAIN, 5_000);
    }
    let why = not_rebooted("cannot send the request: broken pipe");
    let mut rows = vec![("reboot", 0, "break")];
    rows.extend([("reboot", 250, "unsent"); 20]);
    within(60).play(&rows, 3, &why, 5_000);
    // Each after four seconds: until the timeout, which is no shorter than the grace.
    let why = not_rebooted("cannot receive the response: connection reset");
    for (timeout, count, took) in [(60, 15, 63_750), (3, 4, 17_000)] {
        let mut rows = vec![("reboot", 0, "reset")];
        rows.extend(vec![("reboot", 250, "+4s reset"); count]);
        within(timeout).play(&rows, 3, &why, took);
    }
}

/// A process that was stopped does not take the API for gone.
#[test]
fn stopped_process_makes_its_last_request_after_the_grace() {
    // It was stopped in a pause: the request comes after the grace.
    for (answer, status, line) in [("~20s refused", 0, GONE), ("~20s 204", 0, AGAIN)] {
        within(60).play(&[("reboot", 0, "break"), ("reboot", 250, answer)], status, line, 20_250);
    }
    // It was stopped after the request was refused, which is long ago by now.
    for (answer, status, line) in [("refused", 0, GONE), ("204", 0, AGAIN)] {
        let rows = [("reboot", 0, "break"), ("reboot", 250, "+20s refused"), ("reboot", 0, answer)];
        within(60).play(&rows, status, line, 20_250);
    }
    // It was stopped after the disconnect: the grace begins when it goes on.
    let mut rows = vec![("reboot", 0, "+20s break")];
    rows.extend(unreachable_for_the_grace("refused"));
    within(60).play(&rows, 0, GONE, 35_000);
    // The last request has as much time as each.
    let rows = [("reboot", 0, "break"), ("reboot", 250, "~2m silence")];
    let why = not_rebooted("timed out waiting for a response (-timeout 1m)");
    within(60).play(&rows, 3, &why, 135_250);
}
