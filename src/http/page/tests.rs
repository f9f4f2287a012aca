//! The head of a response.

extern crate std;
use super::*;
use std::format;
use std::string::String;

fn text(code: Code, length: usize) -> String {
    String::from_utf8(head(code, length).to_vec()).unwrap()
}

#[test]
fn head_has_the_code_and_the_length() {
    assert_eq!(
        text(Code::Ok, 1_234),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\
             content-type: text/plain; version=0.0.4; charset=utf-8\r\n\
             content-length: 1234\r\n\r\n"
    );
    let not_allowed = text(Code::MethodNotAllowed, 0);
    assert!(not_allowed.contains("\r\nallow: GET, HEAD\r\n"), "{not_allowed}");
}

#[test]
fn longest_head_fits() {
    for code in [
        Code::Ok,
        Code::BadRequest,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::HeadTooLarge,
        Code::Unavailable,
    ] {
        let head = text(code, usize::MAX);
        assert!(head.starts_with(&format!("HTTP/1.1 {}\r\n", code.line())), "{head}");
        assert!(head.ends_with("\r\ncontent-length: 18446744073709551615\r\n\r\n"), "{head}");
    }
}
