//! Real files, and hostile ones.

extern crate std;
use super::*;
use crate::api::document::STRING_MAX;
use std::format;
use std::string::{String, ToString};

fn read(file: &str) -> Option<String> {
    version(file.as_bytes()).map(|version| version.to_string())
}

fn found(version: &str) -> Option<String> {
    Some(version.to_string())
}

#[test]
fn version_of_a_real_file_is_read() {
    let file = "NAME=Bottlerocket\nID=bottlerocket\nVERSION=\"1.26.1 (aws-k8s-1.30)\"\n\
                PRETTY_NAME=\"Bottlerocket OS 1.26.1 (aws-k8s-1.30)\"\n\
                VARIANT_ID=aws-k8s-1.30\nVERSION_ID=1.26.1\nBUILD_ID=2faccf2c\n";
    assert_eq!(read(file), found("1.26.1"));
    assert_eq!(read(file.trim_end()), found("1.26.1"));
}

#[test]
fn quotes_are_optional() {
    for value in ["1.26.1", "\"1.26.1\"", "'1.26.1'", "1.26.1  ", "1.26.1\r"] {
        assert_eq!(read(&format!("VERSION_ID={value}\n")), found("1.26.1"), "{value:?}");
    }
    let file = "VARIANT_ID='metal-dev'\nVERSION_ID=\"1.26.1-rc1+build_2\"";
    assert_eq!(read(file), found("1.26.1-rc1+build_2"));
}

#[test]
fn last_line_of_a_name_counts() {
    assert_eq!(read("VERSION_ID=1.26.0\nVERSION_ID=1.26.1\n"), found("1.26.1"));
    assert_eq!(read("VERSION_ID=1.26.0\nVERSION_ID=\n"), None);
}

#[test]
fn file_without_a_version_is_refused() {
    let long = format!("VERSION_ID={}\n", "1".repeat(STRING_MAX + 1));
    for file in [
        "",
        "\n",
        "VERSION_ID=\n",
        "VERSION_ID=\"\"\n",
        "VERSION_ID=\"1.26.1\n",
        "VERSION_ID=\"1.26.1'\n",
        "VERSION_ID=\"\n",
        "VERSION_ID='\n",
        "VERSION_ID=1.26.1 1.26.2\n",
        "VERSION_ID=$(reboot)\n",
        "VERSION_ID=1.26.1\\n\n",
        "VERSION_ID=1.26\u{202e}.1\n",
        "VERSION_ID=1.26\x1b[31m.1\n",
        "VERSION_ID = 1.26.1\n",
        "#VERSION_ID=1.26.1\n",
        "VERSION=1.26.1\n",
        "MY_VERSION_ID=1.26.1\n",
        "version_id=1.26.1\n",
        "VERSION_ID\n",
        &long,
    ] {
        assert_eq!(read(file), None, "{file:?}");
    }
    let binary: std::vec::Vec<u8> = (0..=255).cycle().take(FILE_MAX).collect();
    assert_eq!(version(&binary), None);
    assert_eq!(version(b"VERSION_ID=\xff\xfe\n"), None);
    assert_eq!(version(b"VERSION_ID=1\0\n"), None);
}
