//! Plain HTTP/1.1 on one connection that is kept open: as little work per request as possible.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

/// What is accepted; a registry converts Docker's manifests for those who do not name their type.
const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

/// A connection to a plain-HTTP server.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Path and query of the `Location` header, empty when there is none.
    pub(crate) location: String,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address,
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and reads its answer.
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        media_type: &str,
        body: &[u8],
    ) -> Result<Answer> {
        let mut message = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nAccept: {ACCEPT}\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        if !media_type.is_empty() {
            message.push_str("Content-Type: ");
            message.push_str(media_type);
            message.push_str("\r\n");
        }
        message.push_str("\r\n");
        let mut message = message.into_bytes();
        message.extend_from_slice(body);
        self.stream.get_mut().write_all(&message)?;
        self.read(method)
            .with_context(|| format!("{method} {target}"))
    }

    /// The same, which has to be answered with `status`.
    pub(crate) fn expect(
        &mut self,
        status: u16,
        method: &str,
        target: &str,
        media_type: &str,
        body: &[u8],
    ) -> Result<Answer> {
        let answer = self.send(method, target, media_type, body)?;
        if answer.status != status {
            let text = String::from_utf8_lossy(&answer.body);
            bail!("{method} {target}: {} {}", answer.status, text.trim());
        }
        Ok(answer)
    }

    fn read(&mut self, method: &str) -> Result<Answer> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.with_context(|| format!("not an answer: {line:?}"))?;
        let mut location = String::new();
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "location" => location = path(value.trim()).to_owned(),
                "transfer-encoding" => bail!("an answer in chunks, which nothing here asks for"),
                _ => {}
            }
        }
        let mut body = Vec::new();
        if method != "HEAD" && status != 204 && status != 304 {
            body.resize(length, 0);
            self.stream.read_exact(&mut body)?;
        }
        Ok(Answer {
            status,
            location,
            body,
        })
    }
}

/// The part of a URL behind the host.
fn path(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => url,
    }
}

/// Adds the digest to the place where an upload ends.
pub(crate) fn with_digest(location: &str, digest: &str) -> String {
    let join = if location.contains('?') { '&' } else { '?' };
    format!("{location}{join}digest={digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_reduced_to_what_a_request_line_takes() {
        assert_eq!(path("http://127.0.0.1:1/v2/a?b=c"), "/v2/a?b=c");
        assert_eq!(path("/v2/a"), "/v2/a");
        assert_eq!(with_digest("/a?_state=x", "d"), "/a?_state=x&digest=d");
        assert_eq!(with_digest("/a", "d"), "/a?digest=d");
    }
}
