//! The form of a help.

extern crate std;
use super::*;
use std::string::String;

fn help(help: &Help) -> String {
    let mut buffer = Vec::<u8, HELP_MAX>::new();
    help.put(&mut buffer);
    String::from_utf8(buffer.to_vec()).unwrap()
}

#[test]
fn lines_are_wrapped_and_aligned() {
    let rows = &[
        Row { usage: "-socket PATH", text: "a path", default: Some(&"/run/api.sock") },
        Row {
            usage: "-retry-after DURATION",
            text: "a text that is so long that it continues on a second line, and a third \
                       one for the default",
            default: Some(&"words that stay together on one line"),
        },
    ];
    let text = help(&Help {
        usage: "program [flags] DIR",
        about: "A paragraph of which the first line is exactly as long as a line may be. The \
                    rest follows.",
        flags: rows,
        notes: &["One note.", "Another note."],
        success: "it worked, which is described here with so many words that one line is not \
                      enough",
        negative: "it is not so",
        failure: "it did not work",
        example: "program /tmp",
    });
    let expected = "\
Usage: program [flags] DIR

A paragraph of which the first line is exactly as long as a line may be. The
rest follows.

Flags:
  -socket PATH           a path (default: /run/api.sock)
  -retry-after DURATION  a text that is so long that it continues on a second
                         line, and a third one for the default
                         (default: words that stay together on one line)
  -h, -help              show this help, then exit
  -version               show the version, then exit

One note.

Another note.

Exit status:
  0  success: it worked, which is described here with so many words that one
     line is not enough
  1  no: it is not so
  2  usage error: the command line is wrong
  3  failure: it did not work

Example:
  program /tmp
";
    assert_eq!(text, expected);
}

#[test]
fn status_that_never_occurs_is_left_out() {
    let text = help(&Help {
        usage: "program",
        about: "About.",
        flags: &[],
        notes: &[],
        success: "yes",
        negative: "",
        failure: "no",
        example: "program",
    });
    assert!(text.contains("\n  0  success: yes\n  2  usage error: "), "{text}");
}

#[test]
fn line_has_80_columns_at_most() {
    for (last, expected) in [("x", " x"), ("xy", "\n  xy")] {
        let mut buffer = Vec::<u8, HELP_MAX>::new();
        let mut paragraph = Paragraph { buffer: &mut buffer, column: 2, indent: 2 };
        paragraph.put_words(&std::format!("first {} {last}", "w".repeat(70)));
        let text = String::from_utf8(buffer.to_vec()).unwrap();
        assert_eq!(text.trim_start_matches("first ").trim_start_matches('w'), expected);
    }
}
