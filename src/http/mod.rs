//! HTTP, as far as the API's client and the metrics' server need it.

pub mod request;
pub mod response;
