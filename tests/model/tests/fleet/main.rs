//! Runs of the model. Each prints how many states it has seen, and a property that does
//! not hold with the shortest path to where it does not.

mod at_reboot;
mod broken_rules;
mod holds;
mod limits;

use bottlerocket_model::action::Action;
use bottlerocket_model::fleet::{Fleet, World};
use bottlerocket_model::search::{ARRIVES, Found, Question, search};
use bottlerocket_model::settings::Settings;
use stateright::{Model, Property};

/// Goes through all states, and checks what `is_checked` by its name. Returns what does not
/// hold.
fn explore(
    name: &str,
    settings: Settings,
    is_checked: impl Fn(&str) -> bool,
) -> Option<(&'static str, String)> {
    let fleet = Fleet(settings);
    let always = fleet.properties().into_iter().filter(|each| is_checked(each.name)).collect();
    let Found { states, steps, depth, took, broken, .. } =
        find(&fleet, always, is_checked(ARRIVES));
    println!("{name}: {states} states, {steps} steps, up to {depth} from the start, {took:.1?}");
    broken.map(|(what, path)| (what, fleet.tell(&path)))
}

fn find(fleet: &Fleet, always: Vec<Property<Fleet>>, must_arrive: bool) -> Found<Fleet> {
    search(&Question {
        model: fleet,
        always,
        must_arrive,
        key: World::key,
        is_goal: World::is_goal,
        is_extra: Action::is_extra,
    })
}

/// Everything holds in all states.
#[track_caller]
fn assert_holds(name: &str, settings: Settings) {
    if let Some((what, path)) = explore(name, settings, |_| true) {
        panic!("does not hold: {what}\n{path}");
    }
}

/// `what` does not hold in all states, whatever else does.
#[track_caller]
fn assert_breaks(name: &str, settings: Settings, what: &str) {
    match explore(name, settings, |each| each == what) {
        Some((what, path)) => println!("{name}: does not hold: {what}\n{path}"),
        None => panic!("{name}: holds: {what}"),
    }
}
