//! Each rule is needed: the model finds out when it is broken.

use crate::{assert_breaks, assert_holds};
use bottlerocket_model::fleet::{CHECKER, DRAINED, DRAINS, HOLDS, WITHDRAWN};
use bottlerocket_model::settings::{Grain, Rule, Settings};

#[test]
fn reboot_that_is_not_confirmed() {
    let settings = Settings { grain: Grain::Cycle, ..Settings::new(2) };
    assert_holds("with -confirm", settings.clone());
    let settings = Settings { broken: Some(Rule::Confirms), ..settings };
    assert_breaks("without -confirm", settings, WITHDRAWN);
}

#[test]
fn gate_that_compares_with_the_new_version() {
    let settings = Settings { broken: Some(Rule::ComparesWithTheOldVersion), ..Settings::new(1) };
    assert_breaks("a gate that compares with the new version", settings, HOLDS);
}

#[test]
fn lock_that_is_freed_early() {
    let grain = Grain::Cycle;
    let settings = Settings { broken: Some(Rule::KeepsTheLock), grain, ..Settings::new(2) };
    assert_breaks("a lock that is freed early", settings, DRAINS);
}

#[test]
fn record_that_is_kept() {
    let grain = Grain::Cycle;
    let settings = Settings { failures: 1, losses: 1, grain, ..Settings::new(1) };
    assert_holds("a record that is removed", settings.clone());
    let settings = Settings { broken: Some(Rule::RemovesTheRecord), ..settings };
    assert_breaks("a record that is kept", settings, DRAINED);
}

#[test]
fn checker_that_trusts_staged() {
    let settings = Settings { broken: Some(Rule::TrustsOnlyReady), ..Settings::new(1) };
    assert_breaks("a checker that trusts Staged", settings, CHECKER);
}
