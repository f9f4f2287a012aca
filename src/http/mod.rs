//! HTTP/1.1, as far as the API's client and the metrics server need it. Nothing here
//! does I/O.
//!
//! | file | duty |
//! |---|---|
//! | `response.rs` | what the API's client reads |
//! | `request.rs` | what the metrics server reads |
//! | `page.rs` | what the metrics server writes |

pub mod page;
pub mod request;
pub mod response;
