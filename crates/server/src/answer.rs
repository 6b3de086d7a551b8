//! Answering a request: who asks, what about, and what is logged of it.

use std::sync::Arc;
use std::time::Instant;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::access::Access;
use super::access_log::RequestRecord;
use super::app::{App, Content};
use super::authentication::{May, TOKEN_PATH};
use super::failure::Failure;
use super::payload::Payload;
use super::reply::{API_VERSION, Reply};
use super::route::{self, Route};
use super::{blobs, composed, listing, manifests, uploads};

/// Answers one request.
pub(super) async fn handle(app: Arc<App>, request: Request) -> Response {
    // A task of its own runs to its end when the client goes away, so that nothing stops halfway
    // and every request is logged.
    match tokio::spawn(answer(app, request)).await {
        Ok(response) => response,
        Err(error) => Failure::internal(&error).into_response(),
    }
}

async fn answer(app: Arc<App>, request: Request) -> Response {
    let started = Instant::now();
    let in_flight = app.metrics.begin();
    let (parts, body) = request.into_parts();
    let mut payload = Payload::new(&parts.headers, body, app.options.body_idle);
    let mut response = match dispatch(&app, &parts, &mut payload).await {
        Ok(response) => response,
        Err(failure) => {
            payload.drain().await;
            failure.into_response()
        }
    };
    response
        .headers_mut()
        .insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    let record = RequestRecord {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map_or_else(
            || parts.uri.to_string(),
            |target| target.as_str().to_owned(),
        ),
        status: response.status().as_u16(),
        received: payload.received(),
        sent: if parts.method == Method::HEAD {
            0
        } else {
            length(&response)
        },
        elapsed: started.elapsed(),
    };
    app.metrics.count(&record);
    drop(in_flight);
    record.trace();
    if let Some(log) = &app.options.log {
        log(&record);
    }
    response
}

/// How many bytes the answer's body has.
fn length(response: &Response) -> u64 {
    let announced = response.headers().get(header::CONTENT_LENGTH);
    announced
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .or_else(|| response.body().size_hint().exact())
        .unwrap_or_default()
}

async fn dispatch(app: &App, parts: &Parts, payload: &mut Payload) -> Result<Response, Failure> {
    // Whoever watches over the process has no password, and learns nothing else.
    if parts.uri.path() == "/healthz" {
        only_reads(parts)?;
        return Ok(Reply::new(StatusCode::OK).json(&json!({ "status": "ok" })));
    }
    if let Some(authentication) = &app.authentication
        && parts.uri.path() == TOKEN_PATH
        && let Some(given) = authentication
            .token(parts, payload, matches!(app.content, Content::Images(_)))
            .await
    {
        return given;
    }
    let route = route::parse(parts.uri.path());
    let mut may = May::Everything;
    if let Some(authentication) = &app.authentication {
        let needed = match &route {
            Ok(route) => Access::needed(&parts.method, route, &route::query(parts)),
            Err(_) => Access::default(),
        };
        may = authentication.check(parts, &needed).await?;
    }
    if parts.uri.path() == "/metrics" {
        only_reads(parts)?;
        return Ok(metrics(app));
    }
    let route = route?;
    if route == Route::Base {
        only_reads(parts)?;
        return Ok(Reply::new(StatusCode::OK).json(&json!({})));
    }
    let app = match &app.content {
        Content::Layouts(layouts) => layouts,
        Content::Images(images) => return composed::answer(images.as_ref(), parts, route).await,
    };
    match route {
        Route::Base => Err(Failure::method_not_allowed("GET, HEAD")),
        Route::Catalog => listing::catalog(app, parts).await,
        Route::Tags(name) => listing::tags(app, parts, name).await,
        Route::Referrers(name, digest) => listing::referrers(app, parts, name, digest).await,
        Route::Manifest(name, pointer) => {
            manifests::answer(app, parts, payload, name, pointer).await
        }
        Route::Blob(name, digest) => blobs::answer(app, parts, name, digest).await,
        Route::Uploads(name) => uploads::start(app, parts, payload, name, may).await,
        Route::Upload(name, id) => uploads::resume(app, parts, payload, name, &id).await,
    }
}

fn only_reads(parts: &Parts) -> Result<(), Failure> {
    match parts.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Failure::method_not_allowed("GET, HEAD")),
    }
}

/// The numbers of the server, and of what it answers from.
fn metrics(app: &App) -> Response {
    let mut text = app.metrics.text();
    if let Content::Images(images) = &app.content {
        text.push_str(&images.metrics());
    }
    Reply::new(StatusCode::OK)
        .header(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )
        .body(text.into())
}
