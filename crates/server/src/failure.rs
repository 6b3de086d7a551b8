//! Answers that say no (distribution-spec, "Error Codes").

use std::io;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ohoci_files::blocking::Lost;
use serde_json::{Value, json};

/// The spec's error codes, the two codes that Docker's registry adds for tags and for what it
/// cannot do at present, and the one for what is the server's own fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    TagInvalid,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unknown,
    Unsupported,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

/// A refusal or failure, as the client gets it.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    errors: Vec<Value>,
    headers: HeaderMap,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        let failure = Self(Box::new(Inner {
            status,
            errors: Vec::new(),
            headers: HeaderMap::new(),
        }));
        failure.and(code, message, &Value::Null)
    }

    /// One more error in the same answer.
    pub(crate) fn and(mut self, code: Code, message: impl Into<String>, detail: &Value) -> Self {
        self.0.errors.push(json!({
            "code": code.text(),
            "message": message.into(),
            "detail": detail,
        }));
        self
    }

    /// Details of the latest error.
    pub(crate) fn detail(mut self, detail: Value) -> Self {
        if let Some(object) = self.0.errors.last_mut().and_then(Value::as_object_mut) {
            object.insert("detail".to_owned(), detail);
        }
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.append(name, value);
        }
        self
    }

    pub(crate) fn bad_request(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn not_found(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(crate) fn method_not_allowed(allow: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            Code::Unsupported,
            format!("only {allow} can be done with this"),
        )
        .header(header::ALLOW, allow)
    }

    /// A failure of this machine. The log has its words; they can hold paths, so that the client
    /// gets none of them.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unknown,
            "the registry could not do this; its log says why",
        )
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            tracing::error!(%error, "the storage is full");
            return Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                Code::Unknown,
                "the registry's storage is full",
            );
        }
        Self::internal(&error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Inner {
            status,
            errors,
            headers,
        } = *self.0;
        let body = json!({ "errors": errors }).to_string();
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (status, headers, kind, body).into_response()
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        Self::internal(&lost)
    }
}
