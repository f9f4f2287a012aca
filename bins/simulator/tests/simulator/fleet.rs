//! The simulated fleet: the requests of many updaters to the update repository.

use bottlerocket_simulator::fleet::{Fleet, Outage, Outages, Summary, Tally};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

const NODES: u32 = 200;

/// A fleet that runs for an hour, with an interval of ten minutes.
fn fleet() -> Fleet {
    Fleet { nodes: NODES, time: 60 * MINUTE, ..Fleet::default() }
}

/// The number of requests in these minutes.
fn count(tally: &Tally, minutes: std::ops::Range<usize>) -> u32 {
    tally.requests[60 * minutes.start..60 * minutes.end].iter().sum()
}

#[test]
fn same_seed_gives_the_same_requests() {
    let with_seed = |seed| Fleet { seed, nodes: 50, ..fleet() }.run();
    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1).requests, with_seed(2).requests);
}

#[test]
fn without_jitter_all_nodes_refresh_at_once() {
    let tally = Fleet { jitter: Some(Duration::ZERO), ..fleet() }.run();
    assert_eq!(tally.total(), 6 * u64::from(NODES), "one request per interval");
    // A cycle lasts until the first status request after the refresh, which takes 0.5 to
    // 1.5 seconds. The nodes drift apart by that much.
    for cycle in 0..6 {
        let seconds = 600 * cycle..600 * cycle + 3 * (cycle + 1);
        assert_eq!(tally.requests[seconds].iter().sum::<u32>(), NODES, "cycle {cycle}");
    }
    assert_eq!(tally.restarts, 0);
}

#[test]
fn jitter_spreads_the_refreshes() {
    let together = Fleet { jitter: Some(Duration::ZERO), ..fleet() }.run();
    let spread = fleet().run();
    // The number of requests stays about the same.
    let all = count(&spread, 0..60);
    assert!((5 * NODES..=6 * NODES + NODES / 5).contains(&all), "{all}");
    let peak = |tally: &Tally| tally.peak(Duration::ZERO, Duration::MAX);
    assert!(peak(&together) > 150, "{}", peak(&together));
    // The mean is one request in three seconds.
    assert!(peak(&spread) < 8, "{}", peak(&spread));
}

#[test]
fn refreshes_during_and_after_an_outage() {
    for of in Outages::ALL {
        let outage = Outage { of, begin: 20 * MINUTE, length: 15 * MINUTE };
        let tally = Fleet { outage: Some(outage), ..fleet() }.run();
        let (name, meanwhile) = (of.name(), count(&tally, 20..35));
        match of {
            // The repository is down, but gets as many requests as before.
            Outages::Repository => assert!((NODES..=2 * NODES).contains(&meanwhile), "{meanwhile}"),
            Outages::Refresh | Outages::Api => assert_eq!(meanwhile, 0, "{name}"),
        }
        // Only refused connections make an updater give up.
        match of {
            Outages::Api => assert!(tally.restarts >= NODES, "{}", tally.restarts),
            Outages::Repository | Outages::Refresh => assert_eq!(tally.restarts, 0, "{name}"),
        }
        // All updaters are soon back.
        assert!(count(&tally, 35..60) >= NODES, "{name}: {}", count(&tally, 35..60));
    }
}

#[test]
fn window_does_not_stop_refreshes() {
    let mut fleet = fleet();
    fleet.windows.add(b"Mon 00:30-00:40").unwrap();
    let tally = fleet.run();
    for minutes in [0..12, 12..24, 24..36, 36..48] {
        let requests = count(&tally, minutes.clone());
        assert!((NODES..=2 * NODES).contains(&requests), "{minutes:?}: {requests}");
    }
}

#[test]
fn outages_and_windows_do_not_synchronize_refreshes() {
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
fn peak_percentile_and_csv() {
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
    // Ten of a thousand seconds may have more requests.
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
fn text_of_the_summary() {
    let outage = Outage { of: Outages::Api, begin: 10 * MINUTE, length: Duration::from_secs(90) };
    let fleet = Fleet { nodes: 500, time: 15 * MINUTE, jitter: Some(5 * MINUTE), ..fleet() };
    let mut requests = vec![0; 900];
    (requests[3], requests[599], requests[650], requests[700]) = (45, 30, 7, 9);
    let tally = Tally { requests, restarts: 2 };
    let text = "500 nodes for 15m, interval 10m, jitter 5m, seed 1\n\
                requests              91\n\
                per second, mean      0.1\n  \
                  99th percentile     0\n  \
                  peak                45\n  \
                  first minute        45\n  \
                  after ten minutes   9\n  \
                  after an hour       0\n";
    assert_eq!(Summary(&fleet, &tally).to_string(), text);
    let fleet = Fleet { outage: Some(outage), ..fleet };
    let more = "api outage from 10m to 11m30s\n  \
                  during the outage   7\n  \
                  ten minutes after   9\n  \
                  and from then on    0\n\
                restarted updaters    2\n";
    assert_eq!(Summary(&fleet, &tally).to_string(), format!("{text}{more}"));
}

#[test]
fn refreshes_are_even_over_a_day() {
    let tally = Fleet { nodes: 20, time: 24 * 60 * MINUTE, ..Fleet::default() }.run();
    // A cycle takes ten minutes, up to a minute of jitter, and the refresh.
    let each = (24 * 60 / 12)..=(24 * 60 / 10);
    assert!((20 * each.start()..=20 * each.end()).contains(&tally.total()), "{}", tally.total());
    assert_eq!(tally.restarts, 0);
    // The requests are even over the day.
    for hour in 0..24 {
        let requests = count(&tally, 60 * hour..60 * (hour + 1));
        assert!((90..=125).contains(&requests), "{requests} in hour {hour}");
    }
}
