//! Building answers.

use std::fmt::Display;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use ohoci_image::Digest;

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(super) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
pub(super) const OCI_FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
pub(super) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// An answer that is put together.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
}

impl Reply {
    pub(super) fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
        }
    }

    /// Adds a header. A value that no header can have is left out.
    pub(super) fn header(mut self, name: HeaderName, value: impl Display) -> Self {
        if let Ok(value) = HeaderValue::try_from(value.to_string()) {
            self.headers.append(name, value);
        }
        self
    }

    /// `Location`, relative to the registry, so that it is right behind any proxy.
    pub(super) fn location(self, path: impl Display) -> Self {
        self.header(header::LOCATION, path)
    }

    pub(super) fn digest(self, digest: &Digest) -> Self {
        self.header(CONTENT_DIGEST, digest)
    }

    /// An answer without a body.
    pub(super) fn empty(self) -> Response {
        // Status 204 has no length (RFC 9110, section 8.6).
        if self.status == StatusCode::NO_CONTENT {
            return self.body(Body::empty());
        }
        self.header(header::CONTENT_LENGTH, 0).body(Body::empty())
    }

    pub(super) fn json(self, value: &serde_json::Value) -> Response {
        self.header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(value.to_string()))
    }

    pub(super) fn body(self, body: Body) -> Response {
        (self.status, self.headers, body).into_response()
    }
}
