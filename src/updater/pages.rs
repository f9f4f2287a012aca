//! The pages that the updater serves: `/metrics` for Prometheus, and `/healthz` and
//! `/readyz` for the probes of the kubelet.

use crate::http::page::{Code, Page};
use crate::text::put;
use crate::updater::cycle::Now;
use crate::updater::daemon::Daemon;
use crate::updater::metrics::{Metrics, Unhealthy};

/// Writes the page at `path`, as it is at the time `at`. Returns the status code of
/// the response.
pub fn respond(path: &[u8], at: Now, metrics: &Metrics, daemon: &Daemon, page: &mut Page) -> Code {
    match path {
        b"/metrics" => {
            let Daemon { history, last_reboot, settings, .. } = daemon;
            metrics.write(at, history, last_reboot, settings, page);
            Code::Ok
        }
        b"/healthz" => write_state(metrics.health(at.now), page),
        b"/readyz" => write_state(metrics.readiness(), page),
        _ => {
            put!(page, "the pages are /metrics, /healthz and /readyz\n");
            Code::NotFound
        }
    }
}

fn write_state(state: Result<(), Unhealthy>, page: &mut Page) -> Code {
    match state {
        Ok(()) => {
            put!(page, "ok\n");
            Code::Ok
        }
        Err(reason) => {
            put!(page, reason, "\n");
            Code::Unavailable
        }
    }
}

#[cfg(test)]
mod tests;
