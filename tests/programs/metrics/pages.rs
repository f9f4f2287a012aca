//! The pages: metrics, liveness, readiness.

use super::{OFTEN, SELDOM, Serving, no_offer, ok};
use crate::common::Node;
use crate::common::daemon::LONG;
use crate::common::records::{Format, Record};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_simulator::{Fault, MANUAL, Options, Rule, State};

#[test]
fn health_readiness_and_metrics_of_an_update() {
    let node = Node::start(Options { refresh_time: MANUAL, ..Node::instant() });
    let serving = Serving::of(&node, &SELDOM);
    let refreshes = node.wait_until(LONG, |view| view.node.busy() == Some(Refresh));
    assert!(refreshes);
    // There is no status yet, but the API has answered.
    assert_eq!(serving.get("/healthz"), ok());
    assert_eq!(serving.get("/readyz"), ok());
    let before = serving.page();
    assert_eq!(before.get("update_state{state=\"Unknown\"}"), 1.0);
    assert_eq!(before.get("api_reachable"), 1.0);
    assert_eq!(before.find("os_info"), []);

    node.finish();
    let mut serving = serving;
    serving.updater.wait_for("ready, waiting for the reboot");
    assert_eq!(serving.get("/healthz"), ok());
    assert_eq!(serving.get("/readyz"), ok());
    let after = serving.page();
    after.follows(&before);
    let image = |version: &str| {
        format!("{{version=\"{version}\",variant=\"aws-k8s-1.30\",arch=\"x86_64\"}}")
    };
    for (name, value) in [
        ("update_state{state=\"Ready\"}", 1.0),
        ("update_state{state=\"Unknown\"}", 0.0),
        (&*format!("os_info{}", image("1.26.0")), 1.0),
        (&format!("update_chosen_info{}", image("1.26.1")), 1.0),
        ("api_reachable", 1.0),
        ("update_window_open", 1.0),
        ("update_commands_total{command=\"refresh\",outcome=\"success\"}", 1.0),
        ("update_commands_total{command=\"prepare\",outcome=\"success\"}", 1.0),
        ("update_commands_total{command=\"activate\",outcome=\"success\"}", 1.0),
        ("update_commands_total{command=\"prepare\",outcome=\"failed\"}", 0.0),
        ("updater_events_total{event=\"started\"}", 1.0),
        ("updater_events_total{event=\"serving_metrics\"}", 1.0),
        ("updater_events_total{event=\"ready\"}", 1.0),
        ("updater_last_error_info{class=\"none\"}", 1.0),
    ] {
        assert_eq!(after.get(name), value, "{name}");
    }
    let ages = after.find("update_last_success_age_seconds");
    let seconds = LONG.as_secs_f64();
    assert!(ages.len() == 3 && ages.iter().all(|(_, age)| *age < seconds), "{ages:?}");
    // The response to HEAD has no body.
    let head = serving.ask("HEAD /metrics HTTP/1.1\r\n\r\n");
    let (status, rest) = head.split_once("\r\n").unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK");
    let length = rest.split_once("content-length: ").unwrap().1;
    let length: usize = length.strip_suffix("\r\n\r\n").unwrap().parse().unwrap();
    assert!((4_000..12_000).contains(&length), "{length}");
    let outcome = serving.stop();
    assert_eq!(outcome.records[1].get("address"), "127.0.0.1:0");
    // The log and the metrics use the same names.
    for record in &outcome.records {
        let name = format!("updater_events_total{{event=\"{}\"}}", record.get("event"));
        assert_eq!(after.find(&name).len(), 1, "{name}");
    }
}

#[test]
fn other_requests_are_refused() {
    let node = Node::start(no_offer());
    let serving = Serving::of(&node, &OFTEN);
    let answer = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\n\
             content-type: text/plain; version=0.0.4; charset=utf-8\r\ncontent-length: {}\r\n\r\n\
             {body}",
            body.len()
        )
    };
    let large = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(8_192));
    for (request, status, body) in [
        (
            "GET / HTTP/1.1\r\n\r\n",
            "404 Not Found",
            "the pages are /metrics, /healthz and /readyz\n",
        ),
        (
            "POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nab",
            "405 Method Not Allowed\r\nallow: GET, HEAD",
            "the method must be GET or HEAD\n",
        ),
        (
            "HEAD / HTTP/1.1\r\n\r\n",
            "404 Not Found",
            "the pages are /metrics, /healthz and /readyz\n",
        ),
        ("\r\n\r\n", "400 Bad Request", "this is not a request in HTTP/1.1\n"),
        (&large[..8_192], "431 Request Header Fields Too Large", "the request is too large\n"),
    ] {
        let whole = answer(status, body);
        let head = whole.strip_suffix(body).unwrap();
        let expected = if request.starts_with("HEAD") { head } else { &whole };
        assert_eq!(serving.ask(request), expected, "{request:?}");
    }
    serving.is_alive();
    serving.stop();
}

#[test]
fn failures_are_counted() {
    let node = Node::start(Node::instant());
    node.change(|node, _| {
        node.fail_next(Refresh, 1, "no network");
        node.fail_next(Prepare, 1, "no space");
        node.fail_next(Prepare, 1, "no space");
        node.fail_next(Activate, 1, "no luck");
    });
    let mut serving = Serving::of(&node, &OFTEN);
    serving.updater.wait_for("ready, waiting for the reboot");
    let page = serving.page();
    for (command, success, failed) in
        // The failed activate is followed by another prepare.
        [("prepare", 2.0, 2.0), ("activate", 1.0, 1.0), ("deactivate", 0.0, 0.0)]
    {
        let count = |outcome: &str| {
            let labels = format!("command=\"{command}\",outcome=\"{outcome}\"");
            page.get(&format!("update_commands_total{{{labels}}}"))
        };
        assert_eq!((count("success"), count("failed")), (success, failed), "{command}");
    }
    assert_eq!(page.get("updater_events_total{event=\"command_failed\"}"), 4.0);
    assert_eq!(page.get("updater_last_error_info{class=\"command_failed\"}"), 1.0);
    serving.stop();
}

#[test]
fn last_known_state_is_shown_while_the_api_is_unavailable() {
    let node = Node::start(no_offer());
    let mut serving = Serving::of(&node, &OFTEN);
    serving.updater.wait_for("nothing to do");
    node.inject(Rule::from(Fault::close()).forever());
    serving.updater.wait_for("the API is unavailable");
    let page = serving.page();
    assert_eq!(page.get("update_state{state=\"Idle\"}"), 1.0);
    assert_eq!(page.get("api_reachable"), 0.0);
    assert_eq!(page.get("updater_last_error_info{class=\"api_disconnected\"}"), 1.0);
    assert_eq!(serving.get("/readyz"), ok());
    serving.stop();
    assert_eq!(node.look(|view| view.node.state()), Some(State::Idle));
}

#[test]
fn version_lock_is_visible_in_the_log_and_in_a_metric() {
    let node = Node::start(Options { version_lock: "1.26.0".into(), ..Node::instant() });
    let mut serving = Serving::of(&node, &OFTEN);
    serving.updater.wait_for("event=not_chosen");
    let record = Record::read(Format::Logfmt, serving.updater.log.last().unwrap());
    assert_eq!((record.get("offered"), record.get("running")), ("1.26.1", "1.26.0"));
    assert_eq!(serving.page().get("update_offered_not_chosen"), 1.0);
    // Without the lock, the node takes the update.
    node.change(|node, _| node.options.version_lock = "latest".into());
    serving.updater.wait_for("ready, waiting for the reboot");
    assert_eq!(serving.page().get("update_offered_not_chosen"), 0.0);
    serving.stop();
}
