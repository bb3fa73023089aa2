use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
};

use super::*;

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../../tests/support/server.rs"]
mod server;

use server::{Reply, Server};

/// Says that it is TLS, and is not: a server with a certificate is too much for this.
#[derive(Debug)]
struct Pretended<T>(T);

impl<T: Transport> Transport for Pretended<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }
    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.0.await_input(timeout)
    }
    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }
    fn is_tls(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Pretend;

impl<T: Transport> Connector<T> for Pretend {
    type Out = Pretended<T>;
    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<T>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(Pretended))
    }
}

/// Every host is this server.
#[derive(Debug)]
struct Here(u16);

impl Resolver for Here {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(([127, 0, 0, 1], self.0).into());
        Ok(addresses)
    }
}

/// Client for downloads, with its connections replaced.
fn client(port: u16) -> Client {
    let connector = ().chain(TcpConnector::default()).chain(Pretend);
    let agent = Agent::with_parts(config(Timeouts::default(), true), connector, Here(port));
    Client { agent, tls: true }
}

fn redirecting(to: &'static str) -> (Server, u16) {
    let server = Server::start(move |_, request| match request.path.as_str() {
        "/old" => Reply::status(302).with("Location", to),
        _ => Reply::body(b"abc"),
    });
    let port = server.url("").parse::<Uri>().expect("an address").port_u16().expect("a port");
    (server, port)
}

#[test]
fn a_redirect_from_https_to_http_is_refused_and_not_followed() {
    let (server, port) = redirecting("http://example.org/new");
    let error = client(port).get("https://example.org/old", None).err().expect("refused");
    assert!(error.to_string().contains("a redirect from https to http://example.org/new"));
    assert!(!error.is_transient() && error.is_of_the_source());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_redirect_from_http_or_https_to_https_is_followed() {
    for from in ["http://example.org/old", "https://example.org/old"] {
        let (server, port) = redirecting("https://example.org/new");
        assert_eq!(client(port).get(from, None).expect("followed").status, 200);
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn where_the_processor_cannot_do_tls_https_is_an_error_and_no_panic() {
    let agent = Agent::new_with_config(config(Timeouts::default(), false));
    let client = Client { agent, tls: false };
    let error = client.get("https://example.org/", None).err().expect("no TLS");
    assert!(error.to_string().contains("https needs"), "{error}");
    // A redirect there is handed out, not followed.
    let (server, _) = redirecting("https://example.org/new");
    assert_eq!(client.get(&server.url("old"), None).expect("an answer").status, 302);
}

#[test]
fn addresses_are_checked() {
    for good in ["http://example.org/a", "https://example.org:8080/a?b=c", "http://[::1]/"] {
        assert_eq!(check_url(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "example.org/a",
        "/a",
        "ftp://example.org/a",
        "file:///etc/passwd",
        "http://",
        "http:///a",
        "http://user:password@example.org/a",
        "http://example.org/a b",
    ] {
        assert!(check_url(bad).is_err(), "{bad}");
    }
}

#[test]
fn ranges_are_read_and_nonsense_is_none() {
    assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
    assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
    for bad in ["", "bytes */10", "bytes 5-9", "bytes x-9/10", "bytes 5-9/x", "lines 5-9/10"] {
        assert_eq!(content_range(bad), None, "{bad}");
    }
}

#[test]
fn this_machine_is_asked_without_a_proxy() {
    for (url, here) in [
        ("http://localhost:80/", true),
        ("http://127.0.0.1/", true),
        ("http://[::1]/", true),
        ("http://example.org/", false),
        ("http://127.0.0.1.example.org/", false),
    ] {
        assert_eq!(is_this_machine(&url.parse().expect("an address")), here, "{url}");
    }
}

#[test]
fn a_wrong_certificate_is_not_tried_again_and_a_broken_handshake_is() {
    use rustls::{CertificateError, Error};
    let wrong = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    for (tls, transient) in [(wrong, false), (Error::HandshakeNotComplete, true)] {
        // Both sources of the error: the connection and the configuration.
        let io = std::io::Error::new(std::io::ErrorKind::InvalidData, tls.clone());
        let error = explain("asking", "https://example.org", &ureq::Error::Io(io));
        assert_eq!(error.is_transient(), transient, "{error}");
        let error = explain("asking", "https://example.org", &ureq::Error::Rustls(tls));
        assert_eq!(error.is_transient(), transient, "{error}");
    }
}
