//! A strict parser for a page of metrics in the Prometheus text format.

extern crate std;
use std::string::{String, ToString};
use std::vec::Vec;

/// A sample: its name with its labels, and its value.
pub type Sample = (String, f64);

/// A page of metrics.
#[derive(Debug, Clone)]
pub struct Page {
    samples: Vec<Sample>,
    counters: Vec<String>,
}

impl Page {
    /// Parses a page. Each metric has a help line and a type line before its samples, and
    /// there are no duplicates.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "{text}");
        let (mut samples, mut counters) = (Vec::<Sample>::new(), Vec::new());
        let mut metrics = Vec::<String>::new();
        let mut lines = text.lines().peekable();
        while let Some(help) = lines.next() {
            let help = help.strip_prefix("# HELP ").unwrap_or_else(|| panic!("no help: {help}"));
            let (metric, help) = help.split_once(' ').unwrap();
            assert!(is_name(metric) && metric.starts_with("bottlerocket_"), "{metric}");
            assert!(help.ends_with('.') && !help.contains('\\'), "{help}");
            let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            let kind = kind.strip_prefix(metric).unwrap().strip_prefix(' ').unwrap();
            assert!(["gauge", "counter"].contains(&kind), "{kind}");
            assert_eq!(kind == "counter", metric.ends_with("_total"), "{metric}");
            assert!(!metrics.iter().any(|other| other == metric), "duplicate metric {metric}");
            metrics.push(metric.to_string());
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                let rest = line.strip_prefix(metric).unwrap_or_else(|| panic!("{line}"));
                let (labels, value) = labels(rest).unwrap_or_else(|| panic!("bad line: {line}"));
                let value = number(value).unwrap_or_else(|| panic!("bad value: {line}"));
                let name = [metric, labels].concat();
                assert!(samples.iter().all(|(other, _)| *other != name), "duplicate sample {name}");
                if kind == "counter" {
                    counters.push(name.clone());
                }
                samples.push((name, value));
            }
        }
        Self { samples, counters }
    }

    /// The samples whose names and labels start with `start`, without the common prefix.
    pub fn find(&self, start: &str) -> Vec<(&str, f64)> {
        let samples = self.samples.iter();
        let named = samples.map(|(name, value)| (&name["bottlerocket_".len()..], *value));
        named.filter(|(name, _)| name.starts_with(start)).collect()
    }

    /// The value of a sample. `name` includes the labels, but not the common prefix.
    #[track_caller]
    pub fn get(&self, name: &str) -> f64 {
        let found = self.find(name).into_iter().find(|(other, _)| *other == name);
        found.unwrap_or_else(|| panic!("no {name}: {:?}", self.samples)).1
    }

    /// Checks that this page can follow an earlier page of the same process: no counter is
    /// missing or has decreased.
    #[track_caller]
    pub fn follows(&self, before: &Self) {
        for name in &before.counters {
            let name = &name["bottlerocket_".len()..];
            assert!(self.get(name) >= before.get(name), "{name} has decreased");
        }
        assert_eq!(self.counters, before.counters);
    }
}

fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    !text.is_empty() && text.bytes().all(good)
}

/// Splits the labels with their braces, if there are any, from the value.
fn labels(text: &str) -> Option<(&str, &str)> {
    let Some(mut rest) = text.strip_prefix('{') else {
        return Some(("", text.strip_prefix(' ')?));
    };
    let mut names = Vec::new();
    loop {
        let (name, value) = rest.split_once("=\"")?;
        if !is_name(name) || names.contains(&name) {
            return None;
        }
        names.push(name);
        rest = after_string(value)?;
        if let Some(value) = rest.strip_prefix("} ") {
            let length = text.len() - value.len() - 1;
            return Some((&text[..length], value));
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// The text after the closing quote.
fn after_string(text: &str) -> Option<&str> {
    let mut characters = text.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some(&text[at + 1..]),
            (_, '\\') => match characters.next()?.1 {
                '"' | '\\' => {}
                _ => return None,
            },
            _ => {}
        }
    }
}

/// Parses a number with up to three decimal places, and no trailing zeros.
fn number(text: &str) -> Option<f64> {
    let (sign, unsigned) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let (whole, places) = unsigned.split_once('.').unwrap_or((unsigned, "1"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let good = digits(whole) && digits(places) && (whole == "0" || !whole.starts_with('0'));
    let good = good && places.len() <= 3 && !places.ends_with('0') && text != "-0";
    good.then(|| unsigned.parse().ok())?.map(|number: f64| sign * number)
}

#[test]
fn parser_of_pages_is_strict() {
    for (text, value) in
        [("0", 0.0), ("12", 12.0), ("1.5", 1.5), ("0.05", 0.05), ("-34200", -34_200.0)]
    {
        assert_eq!(number(text), Some(value), "{text}");
    }
    for text in [
        "", ".5", "5.", "01", "-0", "--1", "+1", "1e3", "NaN", "1.0000", "1.0", "1.50", "1.2.3",
        "1 ", " 1",
    ] {
        assert_eq!(number(text), None, "{text}");
    }
    for (text, read) in [
        (" 1", ("", "1")),
        ("{a=\"\"} 1", ("{a=\"\"}", "1")),
        ("{a=\"b\",c=\"\\\"\\\\}\"} 1.5", ("{a=\"b\",c=\"\\\"\\\\}\"}", "1.5")),
    ] {
        assert_eq!(labels(text), Some(read), "{text}");
    }
    for text in [
        "1",
        "{} 1",
        "{a=b} 1",
        "{a=\"b} 1",
        "{a=\"b\"}1",
        "{a=\"b\",} 1",
        "{a=\"b\",a=\"c\"} 1",
        "{A=\"b\"} 1",
        "{=\"b\"} 1",
        "{a=\"\\x\"} 1",
        "{a=\"b\" c=\"d\"} 1",
    ] {
        assert_eq!(labels(text), None, "{text}");
    }
}
