//! One request for a file or the rest of it.

use std::io::Read;
use std::time::Duration;

use ureq::http::{HeaderMap, Uri, header};
use ureq::tls::{TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use crate::FetchError;

/// Timeouts of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Limit for connecting, TLS included.
    pub connect: Duration,
    /// Limit until the answer begins, and between any two chunks of it.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), stall: Duration::from_secs(30) }
    }
}

/// Checks that a text is an address that can be fetched; the error says what is expected.
pub(crate) fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "an address")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("an address with http or https");
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => Err("an address without a password"),
        Some(authority) if !authority.host().is_empty() => Ok(()),
        _ => Err("an address with a host"),
    }
}

/// Request for the rest of a file: from this byte, if the validator still matches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resume<'a> {
    pub(crate) from: u64,
    pub(crate) validator: &'a str,
}

/// Answer of a server.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// A strong `ETag`, or else `Last-Modified`; a later request can be bound to it.
    pub(crate) validator: Option<String>,
    /// `Content-Length`.
    pub(crate) length: Option<u64>,
    /// True if the end of the body can be told from a broken connection.
    pub(crate) delimited: bool,
    /// `Content-Range`: first byte, and total if told.
    pub(crate) range: Option<(u64, Option<u64>)>,
    pub(crate) retry_after: Option<Duration>,
    body: Body,
}

impl Answer {
    pub(crate) fn into_body(self) -> impl Read {
        self.body.into_reader()
    }
}

/// HTTP client.
pub(crate) struct Client {
    agent: Agent,
    /// True if this processor can run TLS: graviola's assembly has no portable fallback.
    tls: bool,
}

impl Client {
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        let tls = has_tls();
        Self { agent: Agent::new_with_config(config(timeouts, tls)), tls }
    }

    /// Requests `url`, or the rest of it.
    pub(crate) fn get(&self, url: &str, resume: Option<Resume<'_>>) -> Result<Answer, FetchError> {
        let uri: Uri = url.parse().map_err(|_| network("asking", url, "no address", false))?;
        let secure = uri.scheme_str() == Some("https");
        if secure && !self.tls {
            let reason = "https needs AES, AVX2 and ADX (x86-64) or AES and SHA-2 (AArch64) in the \
                          processor; use a mirror with http, the sums are checked all the same";
            return Err(network("asking", url, reason, false));
        }
        // A request over https stays on https: no redirect may expose it to the network in between.
        let mut request = self.agent.get(&uri).config().https_only(secure);
        if is_this_machine(&uri) {
            request = request.proxy(None);
        }
        let mut request = request.build().header(header::ACCEPT_ENCODING, "identity");
        if let Some(Resume { from, validator }) = resume {
            request = request.header(header::RANGE, format!("bytes={from}-"));
            request = request.header(header::IF_RANGE, validator);
        }
        let response = request.call().map_err(|error| explain("asking", url, &error))?;
        let (parts, body) = response.into_parts();
        let chunked = text(&parts.headers, header::TRANSFER_ENCODING)
            .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
        let length = body.content_length();
        Ok(Answer {
            status: parts.status.as_u16(),
            validator: validator(&parts.headers),
            length,
            delimited: length.is_some() || chunked,
            range: text(&parts.headers, header::CONTENT_RANGE).and_then(content_range),
            retry_after: text(&parts.headers, header::RETRY_AFTER)
                .and_then(|value| value.trim().parse().ok().map(Duration::from_secs)),
            body,
        })
    }
}

fn config(timeouts: Timeouts, tls: bool) -> ureq::config::Config {
    let config = Agent::config_builder()
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        // Without TLS a redirect to https would find no provider, so it is returned as it is.
        .max_redirects(if tls { 10 } else { 0 })
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .timeout_recv_response(Some(timeouts.stall))
        .timeout_per_read(Some(timeouts.stall))
        .timeout_per_write(Some(timeouts.stall))
        // Keeps no idle connection: a server may have closed it, and one file is one request.
        .max_idle_connections(0);
    if !tls {
        // A proxy may speak TLS itself.
        return config.proxy(None).build();
    }
    let provider = std::sync::Arc::new(rustls_graviola::default_provider());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    config.tls_config(tls).build()
}

/// Returns true if graviola runs on this processor; it panics on others.
fn has_tls() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("adx")
        && is_x86_feature_detected!("avx2");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("neon")
        && std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull")
        && std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

fn is_this_machine(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn validator(headers: &HeaderMap) -> Option<String> {
    // A weak tag promises the same meaning, not the same bytes.
    let tag = text(headers, header::ETAG).filter(|tag| tag.starts_with('"'));
    tag.or_else(|| text(headers, header::LAST_MODIFIED)).map(str::to_owned)
}

/// Parses `bytes 100-199/200` or `bytes 100-199/*`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((first.parse().ok()?, total))
}

fn network(operation: &'static str, url: &str, reason: &str, transient: bool) -> FetchError {
    FetchError::Network { operation, url: url.to_owned(), reason: reason.to_owned(), transient }
}

/// Converts an error of the body's reader, which wraps those of ureq.
pub(crate) fn explain_reading(url: &str, error: std::io::Error) -> FetchError {
    explain("receiving", url, &ureq::Error::from(error))
}

fn explain(operation: &'static str, url: &str, error: &ureq::Error) -> FetchError {
    use ureq::Error::{
        ConnectionFailed, HostNotFound, Io, Protocol, RequireHttpsOnly, Rustls, Timeout,
    };
    let tls = match error {
        Rustls(error) => Some(error),
        Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
        _ => None,
    };
    let transient = match error {
        // A bad certificate stays bad; a broken handshake may be temporary.
        _ if matches!(tls, Some(rustls::Error::InvalidCertificate(_))) => false,
        Io(_) | Timeout(_) | HostNotFound | ConnectionFailed | Protocol(_) | Rustls(_) => true,
        _ => false,
    };
    let reason = match error {
        RequireHttpsOnly(to) => format!("a redirect from https to {to}, refused"),
        other => other.to_string(),
    };
    network(operation, url, &reason, transient)
}

#[cfg(test)]
mod tests;
