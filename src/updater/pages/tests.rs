//! Which page is served at which path.

extern crate std;
use super::*;
use crate::api::{Answer, CallError};
use crate::updater::cycle::Settings;
use crate::updater::daemon::Schedule;
use crate::updater::history::History;
use core::time::Duration;
use std::string::String;

const SILENCE_MAX: Duration = Duration::from_secs(720);

/// An updater, and the time that has passed since it started.
struct Updater {
    metrics: Metrics,
    daemon: Daemon,
    now: Duration,
}

impl Updater {
    fn new() -> Self {
        let now = Duration::ZERO;
        let schedule = Schedule { once: false, interval: now, jitter: now, give_up: now };
        let (daemon, _) = Daemon::begin(Settings::default(), History::default(), schedule, 1);
        Self { metrics: Metrics::new(now, SILENCE_MAX), daemon, now }
    }

    fn get(&self, path: &str) -> (Code, String) {
        let mut page = Page::new();
        let at = Now { now: self.now, since_boot: self.now, utc: self.now };
        let code = respond(path.as_bytes(), at, &self.metrics, &self.daemon, &mut page);
        (code, String::from_utf8(page.to_vec()).unwrap())
    }
}

#[test]
fn metrics_page() {
    let (code, page) = Updater::new().get("/metrics");
    assert_eq!(code, Code::Ok);
    assert!(page.starts_with("# HELP bottlerocket_updater_build_info "), "{page}");
}

#[test]
fn health_page() {
    let mut updater = Updater::new();
    updater.now = SILENCE_MAX;
    assert_eq!(updater.get("/healthz"), (Code::Ok, "ok\n".into()));
    updater.now += Duration::from_secs(1);
    let reason = "no answer from the API for 12m1s (limit 12m)\n";
    assert_eq!(updater.get("/healthz"), (Code::Unavailable, reason.into()));
}

#[test]
fn readiness_page() {
    let mut updater = Updater::new();
    let reason = "the API has not answered yet\n";
    assert_eq!(updater.get("/readyz"), (Code::Unavailable, reason.into()));
    let answer: Result<Answer, CallError> = crate::updater::cycle::tests::answer("404");
    updater.metrics.note_answer(updater.now, &answer);
    assert_eq!(updater.get("/readyz"), (Code::Ok, "ok\n".into()));
}

#[test]
fn other_paths_are_not_found() {
    for path in
        ["/", "/metric", "/metrics/", "//metrics", "/Metrics", "/metrics#x", "/%6detrics", ""]
    {
        let body = "the pages are /metrics, /healthz and /readyz\n";
        assert_eq!(Updater::new().get(path), (Code::NotFound, body.into()), "{path}");
    }
}
