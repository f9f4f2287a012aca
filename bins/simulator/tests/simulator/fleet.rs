//! The simulated fleet: what many updaters ask of the update repository.

use bottlerocket_simulator::fleet::{Fleet, Outage, Outages, Summary, Tally};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

const NODES: u32 = 200;

/// For an hour, every ten minutes.
fn fleet() -> Fleet {
    Fleet { nodes: NODES, time: 60 * MINUTE, ..Fleet::default() }
}

/// How many requests there are from one minute until before another.
fn count(tally: &Tally, minutes: std::ops::Range<usize>) -> u32 {
    tally.requests[60 * minutes.start..60 * minutes.end].iter().sum()
}

#[test]
fn a_seed_decides() {
    let with_seed = |seed| Fleet { seed, nodes: 50, ..fleet() }.run();
    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1).requests, with_seed(2).requests);
}

#[test]
fn without_jitter_all_knock_together() {
    let tally = Fleet { jitter: Some(Duration::ZERO), ..fleet() }.run();
    assert_eq!(tally.total(), 6 * u64::from(NODES), "one request for each interval");
    // A cycle ends when the node is next looked at after a refresh, which takes
    // 0.5 to 1.5 seconds; so much they drift apart.
    for cycle in 0..6 {
        let seconds = 600 * cycle..600 * cycle + 3 * (cycle + 1);
        assert_eq!(tally.requests[seconds].iter().sum::<u32>(), NODES, "cycle {cycle}");
    }
    assert_eq!(tally.restarts, 0);
}

#[test]
fn jitter_spreads_them() {
    let together = Fleet { jitter: Some(Duration::ZERO), ..fleet() }.run();
    let spread = fleet().run();
    // Nobody asks more often for it, or hardly less.
    let all = count(&spread, 0..60);
    assert!((5 * NODES..=6 * NODES + NODES / 5).contains(&all), "{all}");
    let peak = |tally: &Tally| tally.peak(Duration::ZERO, Duration::MAX);
    assert!(peak(&together) > 150, "{}", peak(&together));
    // One in three seconds is the mean.
    assert!(peak(&spread) < 8, "{}", peak(&spread));
}

#[test]
fn outages() {
    for of in Outages::ALL {
        let outage = Outage { of, begin: 20 * MINUTE, length: 15 * MINUTE };
        let tally = Fleet { outage: Some(outage), ..fleet() }.run();
        let (name, meanwhile) = (of.name(), count(&tally, 20..35));
        match of {
            // It is down, but is asked as often as ever.
            Outages::Repository => assert!((NODES..=2 * NODES).contains(&meanwhile), "{meanwhile}"),
            Outages::Refresh | Outages::Api => assert_eq!(meanwhile, 0, "{name}"),
        }
        // Only a socket on which nobody listens is worth a restart.
        match of {
            Outages::Api => assert!(tally.restarts >= NODES, "{}", tally.restarts),
            Outages::Repository | Outages::Refresh => assert_eq!(tally.restarts, 0, "{name}"),
        }
        // Everybody is back soon.
        assert!(count(&tally, 35..60) >= NODES, "{name}: {}", count(&tally, 35..60));
    }
}

#[test]
fn a_window_does_not_keep_them_from_looking() {
    let mut fleet = fleet();
    fleet.windows.add(b"Mon 00:30-00:40").unwrap();
    let tally = fleet.run();
    for minutes in [0..12, 12..24, 24..36, 36..48] {
        let requests = count(&tally, minutes.clone());
        assert!((NODES..=2 * NODES).contains(&requests), "{minutes:?}: {requests}");
    }
}

#[test]
fn nothing_that_happens_to_all_brings_them_together() {
    let mut fleets = vec![];
    for (of, minutes) in [(Outages::Api, 2), (Outages::Api, 20), (Outages::Repository, 20)] {
        let outage = Outage { of, begin: 20 * MINUTE, length: minutes * MINUTE };
        fleets.push(Fleet { outage: Some(outage), ..fleet() });
    }
    let mut fleet = fleet();
    fleet.windows.add(b"00:30-02:00").unwrap();
    fleets.push(fleet);
    for fleet in fleets {
        let tally = fleet.run();
        let peak = tally.peak(Duration::ZERO, Duration::MAX);
        assert!(peak < 8, "{:?} {:?}: {peak}", fleet.outage, fleet.windows);
    }
}

#[test]
fn figures() {
    let mut requests = vec![1; 1000];
    requests[0] = 9;
    requests[70] = 7;
    requests[700..709].fill(5);
    let tally = Tally { requests, restarts: 0 };
    assert_eq!(tally.total(), 1000 + 8 + 6 + 36);
    let seconds = Duration::from_secs;
    for (begin, end, peak) in [
        (seconds(0), seconds(1000), 9),
        (seconds(1), MINUTE, 1),
        (seconds(1), seconds(71), 7),
        (seconds(71), Duration::MAX, 5),
        (seconds(1000), Duration::MAX, 0),
        (seconds(2000), seconds(3000), 0),
    ] {
        assert_eq!(tally.peak(begin, end), peak, "{begin:?} {end:?}");
    }
    // Ten of the thousand may have more.
    assert_eq!(tally.percentile_99(), 5);
    let quiet = Tally { requests: vec![1; 100], restarts: 0 };
    assert_eq!(quiet.percentile_99(), 1);
    let rare = Tally { requests: [vec![0; 99], vec![8]].concat(), restarts: 0 };
    assert_eq!(rare.percentile_99(), 0);
    assert_eq!(
        Tally { requests: vec![3, 0, 12], restarts: 0 }.to_csv(),
        "second,requests\n0,3\n1,0\n2,12\n"
    );
}

#[test]
fn summary() {
    let outage = Outage { of: Outages::Api, begin: 10 * MINUTE, length: Duration::from_secs(90) };
    let fleet = Fleet { nodes: 500, time: 15 * MINUTE, jitter: Some(5 * MINUTE), ..fleet() };
    let mut requests = vec![0; 900];
    (requests[3], requests[599], requests[650], requests[700]) = (45, 30, 7, 9);
    let tally = Tally { requests, restarts: 2 };
    let text = "500 nodes for 15m, interval 10m, jitter 5m, seed 1\n\
                requests              91\n\
                a second, mean        0.1\n  \
                  99th percentile     0\n  \
                  peak                45\n  \
                  first minute        45\n  \
                  after ten minutes   9\n  \
                  after an hour       0\n";
    assert_eq!(Summary(&fleet, &tally).to_string(), text);
    let fleet = Fleet { outage: Some(outage), ..fleet };
    let more = "api out from 10m to 11m30s\n  \
                  peak meanwhile      7\n  \
                  ten minutes after   9\n  \
                  and from then on    0\n\
                restarted updaters    2\n";
    assert_eq!(Summary(&fleet, &tally).to_string(), format!("{text}{more}"));
}

#[test]
fn a_day_at_the_default_settings() {
    let tally = Fleet { nodes: 20, time: 24 * 60 * MINUTE, ..Fleet::default() }.run();
    // One each ten minutes, and up to a minute of jitter and the refresh itself.
    let each = (24 * 60 / 12)..=(24 * 60 / 10);
    assert!((20 * each.start()..=20 * each.end()).contains(&tally.total()), "{}", tally.total());
    assert_eq!(tally.restarts, 0);
    // At no time of the day are there fewer.
    for hour in 0..24 {
        let requests = count(&tally, 60 * hour..60 * (hour + 1));
        assert!((90..=125).contains(&requests), "{requests} in hour {hour}");
    }
}
