//! Goes through all states of a model, and then back from the goals.

use stateright::{Model, Property};
use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What does not hold in a state from which no goal is within reach.
pub const ARRIVES: &str = "all nodes can still arrive at the good version by themselves";

/// What a search needs to know of a model.
pub struct Question<'a, M: Model> {
    /// The model.
    pub model: &'a M,
    /// What must hold in each state.
    pub always: Vec<Property<M>>,
    /// Whether a goal must be within reach of each state.
    pub must_arrive: bool,
    /// The same number for two states exactly if they are to count as one.
    pub key: fn(&M::State) -> u64,
    /// Whether a state is one that must stay within reach.
    pub is_goal: fn(&M::State) -> bool,
    /// Whether the way to a goal must do without this action.
    pub is_extra: fn(&M::Action) -> bool,
}

/// What a search has found.
pub struct Found<M: Model> {
    /// How many states there are.
    pub states: usize,
    /// How many of them are goals.
    pub goals: usize,
    /// How many steps lead from one to another.
    pub steps: usize,
    /// The most steps that the shortest way to a state has.
    pub depth: u32,
    /// How long the search took.
    pub took: Duration,
    /// What does not hold, with the shortest path to where it does not.
    pub broken: Option<(&'static str, Vec<M::Action>)>,
}

/// The first steps to a state, kept as the state and action before it.
struct Visit<A> {
    from: u32,
    action: Option<A>,
    depth: u32,
}

/// Goes through all states in the order of their distance from the start. Stops at the
/// first one in which a property does not hold. If there is none, looks for the first one
/// from which no goal is in reach.
pub fn search<M: Model>(question: &Question<M>) -> Found<M>
where
    M::Action: Copy,
{
    let begun = Instant::now();
    let Question { model, always, must_arrive, key, is_goal, is_extra } = question;
    let mut numbers: HashMap<u64, u32> = HashMap::new();
    let mut visits: Vec<Visit<M::Action>> = Vec::new();
    let mut goals: Vec<u32> = Vec::new();
    // The steps that may be part of the way to a goal: from one state to another.
    let mut ways: Vec<(u32, u32)> = Vec::new();
    let mut steps = 0;
    let mut queue = VecDeque::new();
    let mut broken = None;
    for state in model.init_states() {
        let number = number_of(visits.len());
        if numbers.insert(key(&state), number).is_none() {
            visits.push(Visit { from: number, action: None, depth: 0 });
            queue.push_back((number, state));
        }
    }
    let mut actions = Vec::new();
    // Ends: the number of states is finite, and each is in the queue once.
    while let Some((number, state)) = queue.pop_front() {
        if let Some(property) = always.iter().find(|each| !(each.condition)(model, &state)) {
            broken = Some((property.name, number));
            break;
        }
        if is_goal(&state) {
            goals.push(number);
        }
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = model.next_state(&state, action) else { continue };
            steps += 1;
            let next_number = *numbers.entry(key(&next)).or_insert_with(|| {
                let next_number = number_of(visits.len());
                let depth = visits[number as usize].depth + 1;
                visits.push(Visit { from: number, action: Some(action), depth });
                queue.push_back((next_number, next));
                next_number
            });
            if !is_extra(&action) {
                ways.push((number, next_number));
            }
        }
    }
    if broken.is_none() && *must_arrive {
        let arrives = can_reach(visits.len(), &ways, &goals);
        let stuck = arrives.iter().position(|arrives| !arrives);
        broken = stuck.map(|stuck| (ARRIVES, number_of(stuck)));
    }
    Found {
        states: visits.len(),
        goals: goals.len(),
        steps,
        depth: visits.last().map_or(0, |visit| visit.depth),
        took: begun.elapsed(),
        broken: broken.map(|(what, number)| (what, path_to(&visits, number))),
    }
}

fn number_of(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than four billion states")
}

/// Which of the states reach a goal.
fn can_reach(states: usize, ways: &[(u32, u32)], goals: &[u32]) -> Vec<bool> {
    // The ways backwards: those that end in a state are next to each other.
    let mut ends = vec![0usize; states + 1];
    for (_, to) in ways {
        ends[*to as usize] += 1;
    }
    let mut sum = 0;
    for end in &mut ends {
        sum += *end;
        *end = sum;
    }
    let mut from = vec![0u32; ways.len()];
    for (before, to) in ways {
        ends[*to as usize] -= 1;
        from[ends[*to as usize]] = *before;
    }
    let mut reaches = vec![false; states];
    let mut queue: Vec<u32> = goals.to_vec();
    // Ends: each state puts those before it into the queue once.
    while let Some(state) = queue.pop() {
        if std::mem::replace(&mut reaches[state as usize], true) {
            continue;
        }
        let before = &from[ends[state as usize]..ends[state as usize + 1]];
        queue.extend(before.iter().filter(|before| !reaches[**before as usize]));
    }
    reaches
}

/// The actions that lead to a state.
fn path_to<A: Copy>(visits: &[Visit<A>], mut number: u32) -> Vec<A> {
    let mut path = Vec::new();
    // Ends: each state was found from one nearer to the start.
    while let Some(action) = visits[number as usize].action {
        path.push(action);
        number = visits[number as usize].from;
    }
    path.reverse();
    path
}
