//! Any bytes as the response to each call: it makes no difference how they are split
//! into pieces, and each answer is one that the bytes contain.
#![no_main]

use bottlerocket_fuzz::{in_any_pieces, json, summary};
use bottlerocket_updater::api::status::State;
use bottlerocket_updater::api::{Answer, Call, Command, Exchange};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for call in
        [Call::Status, Call::Start(Command::Refresh), Call::Start(Command::Prepare), Call::Reboot]
    {
        in_any_pieces(bytes, |pieces| {
            let mut exchange = Exchange::new(call);
            for piece in pieces {
                match exchange.push(piece) {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => {
                        one_line(&error.to_string());
                        return format!("{error:?}");
                    }
                }
            }
            check(call, bytes, &exchange);
            let finished = match exchange.finish() {
                Ok(Answer::Status(status)) => summary(&status),
                Ok(Answer::NotAllowed(refusal)) => refusal.to_string(),
                Ok(answer) => format!("{answer:?}"),
                Err(error) => error.to_string(),
            };
            format!("{:?} {finished}", exchange.progress())
        });
    }
});

fn check(call: Call, bytes: &[u8], exchange: &Exchange) {
    let answer = match exchange.finish() {
        Ok(answer) => answer,
        Err(error) => return one_line(&error.to_string()),
    };
    let (code, body) = read(bytes).expect("a response that the simple reader understands as well");
    let command = matches!(call, Call::Start(_));
    match answer {
        Answer::Status(status) => {
            assert_eq!((call, code), (Call::Status, 200));
            one_line(&status.to_string());
            let name = status.state.name();
            match json::parse_leniently(body) {
                Ok(document) => assert!(document.strings(&["update_state"]).contains(&name)),
                Err(invalid) => assert_eq!(invalid, json::Invalid::TooDeep),
            }
            // The checker exits with 0 then.
            if status.state == State::Ready {
                assert!(body.windows(7).any(|window| window == b"\"Ready\""));
            }
        }
        Answer::Uninitialized => {
            assert_eq!((call, code), (Call::Status, 404));
            // A 404 without a text means an unknown path.
            assert!(
                body.iter().any(|byte| !byte.is_ascii_whitespace() && !byte.is_ascii_control())
            );
        }
        Answer::Started if call == Call::Reboot => assert!((200..300).contains(&code)),
        Answer::Started => assert!(code == 204 && command && body.is_empty()),
        Answer::Busy => assert!(code == 423 && call != Call::Reboot),
        Answer::NotAllowed(refusal) => {
            assert!(command && (code == 409 || code == 404 && !body.is_empty()));
            assert_eq!(refusal.code, code);
            one_line(&refusal.to_string());
        }
    }
}

/// Reads the status code and the body in the simplest way.
fn read(mut bytes: &[u8]) -> Option<(u16, &[u8])> {
    loop {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first =
            std::str::from_utf8(lines.next()?.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?;
        let code: u16 = first.parse().ok()?;
        let mut length = 0;
        let mut head = bytes.iter().position(|byte| *byte == b'\n')? + 1;
        for line in lines {
            head += line.len();
            let line = String::from_utf8_lossy(line);
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            assert!(!name.eq_ignore_ascii_case("transfer-encoding") || code < 200);
            if name.eq_ignore_ascii_case("content-length") && code >= 200 {
                length = value.trim().parse().ok()?;
            }
        }
        match code {
            100..200 => bytes = &bytes[head..],
            _ => return Some((code, bytes.get(head..head + length)?)),
        }
    }
}

fn one_line(text: &str) {
    assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
    assert!(text.len() < 1024, "{text:?}");
}
