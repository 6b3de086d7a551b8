//! Whether a registry on this machine speaks TLS, where nothing says.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use reqwest::Url;

/// How long the registry may take to show it. It is on this machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks in plain HTTP, and says whether the answer is one of a server that wants TLS: an alert, a
/// closed connection, or a page that says so. One that cannot be reached does not.
pub(super) fn speaks_tls(url: &Url) -> bool {
    let Some((host, port)) = url.host_str().zip(url.port_or_known_default()) else {
        return false;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(addresses) = (host, port).to_socket_addrs() else {
        return false;
    };
    let connected = addresses
        .filter(|address| address.ip().is_loopback())
        .find_map(|address| TcpStream::connect_timeout(&address, PATIENCE).ok());
    let Some(mut stream) = connected else {
        return false;
    };
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    let timed = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .and_then(|()| stream.write_all(request.as_bytes()));
    if timed.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    // What was read until a reset or the time limit stays.
    let _ = stream.take(4096).read_to_end(&mut answer);
    wants_tls(&answer)
}

fn wants_tls(answer: &[u8]) -> bool {
    if !answer.starts_with(b"HTTP/") {
        return true;
    }
    // Go: "Client sent an HTTP request to an HTTPS server."; nginx: "The plain HTTP request was
    // sent to HTTPS port".
    let refused = answer.get(8..12).is_some_and(|status| status == b" 400");
    refused && String::from_utf8_lossy(answer).contains("HTTPS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_plain_http_are_told_apart() {
        for (answer, tls) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n{}"[..], false),
            (b"HTTP/1.1 401 Unauthorized\r\n\r\nHTTPS", false),
            (b"HTTP/1.1 400 Bad Request\r\n\r\nno", false),
            (
                b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
                true,
            ),
            (b"\x15\x03\x01\x00\x02\x02\x46", true),
            (b"", true),
        ] {
            assert_eq!(wants_tls(answer), tls, "{answer:?}");
        }
    }
}
