//! What is answered, by subject. A route's scope stands in its `security`, and nowhere else.

pub(super) mod control;
mod definition;
mod devices;
mod export;
mod history;
mod hub;
mod owner;
mod session;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Extensions, HeaderMap, StatusCode, Version, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate as _, SizeAbove};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Answered, ProblemBody};
use super::etag::Tag;
use super::sessions::COOKIE;
use super::{Shared, guard, live, page};

/// Answers below this many bytes go out as they are.
const SMALL: u64 = 1_024;

/// What handlers share.
type Home = axum::extract::State<Arc<Shared>>;

/// What stands around the routes in the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Landfall",
        description = "The home server's API. Every route but those without `security` takes `Authorization: Bearer TOKEN`, or the cookie of a session; the \
            scopes are `read`, `control` and `admin`, and each includes those before it. Times are milliseconds since 1970-01-01 \
            UTC. Errors are RFC 9457 problems with a stable `code`; 5xx is always the hub's own fault.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemBody)),
    modifiers(&Bearer),
)]
struct Document;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        let cookie = ApiKeyValue::with_description(
            COOKIE,
            "From `POST /api/v1/session`, for browsers. A request that changes something needs the header `X-Landfall-CSRF` \
             with what that answer said in `csrf`.",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(devices::list, devices::add))
        .routes(routes!(devices::import))
        .routes(routes!(devices::one, devices::edit, devices::remove))
        .routes(routes!(definition::definition))
        .routes(routes!(definition::edit_point, definition::drop_point))
        .routes(routes!(devices::key))
        .routes(routes!(devices::cloud))
        .routes(routes!(devices::timers))
        .routes(routes!(control::state, control::set_state))
        .routes(routes!(control::dps))
        .routes(routes!(control::dp, control::put_dp, control::patch_dp))
        .routes(routes!(control::command))
        .routes(routes!(control::refresh))
        .routes(routes!(control::doctor))
        .routes(routes!(control::scan))
        .routes(routes!(control::strangers))
        .routes(routes!(history::history))
        .routes(routes!(history::energy))
        .routes(routes!(history::home_energy))
        .routes(routes!(history::device_events))
        .routes(routes!(history::events))
        .routes(routes!(export::csv))
        .routes(routes!(export::json_lines))
        .routes(routes!(live::sse::events))
        .routes(routes!(live::ws::socket))
        .routes(routes!(live::console::console))
        .routes(routes!(hub::status))
        .routes(routes!(hub::settings))
        .routes(routes!(hub::document))
        .routes(routes!(hub::healthz))
        .routes(routes!(hub::readyz))
        .routes(routes!(hub::metrics))
        .routes(routes!(owner::windows, owner::open_window, owner::close_windows))
        .routes(routes!(owner::tokens, owner::create_token))
        .routes(routes!(owner::revoke_token))
        .routes(routes!(owner::back_up))
        .routes(routes!(session::sign_in, session::session, session::sign_out))
}

/// The OpenAPI document: what is served, committed as `openapi.json`, and what scopes are read from.
pub fn document() -> Value {
    let (_, document) = routes().split_for_parts();
    // A document made of plain data has no reason to be no JSON; an empty one admits nobody.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let problem = json!({
        "description": "Not done: why, and what to do.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
    });
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            operation["operationId"] = Value::from(operation_id(method, path));
            // Whatever a token opens, the cookie that stands for it opens.
            if let Some(security) = operation["security"].as_array_mut()
                && let Some(scopes) = security.first().and_then(|s| s.get("bearer")).cloned()
            {
                security.push(json!({"session": scopes}));
            }
            if let Some(responses) = operation["responses"].as_object_mut() {
                responses.insert("default".to_owned(), problem.clone());
            }
        }
    }
    document
}

/// A name for generated clients, made of method and path: functions of different subjects may share theirs.
fn operation_id(method: &str, path: &str) -> String {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let mut id = method.to_owned();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        id.push('_');
        id.extend(
            part.chars()
                .filter(|c| !"{}".contains(*c))
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }),
        );
    }
    id
}

/// All routes with what every request passes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(page::serve)
        .layer(CompressionLayer::new().gzip(true).compress_when(SizeAbove::new(SMALL).and(shrinks)))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard::guard))
        .with_state(shared)
}

/// Whether compressing makes an answer smaller: the page's files and JSON. Never a stream, whose events would wait in the
/// compressor, nor an export, whose reader takes it as it comes.
fn shrinks(status: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    // Where secrets are answered: what is compressed beside what others choose could tell them by its length.
    let secret = headers.get(header::CACHE_CONTROL).is_some_and(|v| v == "no-store");
    status == StatusCode::OK
        && !secret
        && matches!(
            kind,
            "application/json"
                | "application/manifest+json"
                | "image/svg+xml"
                | "text/css"
                | "text/html"
                | "text/javascript"
                | "text/plain"
        )
}

#[allow(clippy::needless_pass_by_value)] // tower's signature
fn panicked(_what: Box<dyn std::any::Any + Send>) -> Response {
    // The panic's own message was printed by its hook.
    Answer::ours("internal", "the hub made a mistake")
        .hint("its log says more; please report it")
        .into_response()
}

/// JSON with an ETag; 304 when the client has it already.
fn tagged(headers: &HeaderMap, body: &impl Serialize) -> Answered<Response> {
    let text = serde_json::to_vec(body).map_err(|e| Answer::ours("internal", format!("no JSON: {e}")))?;
    Ok(tagged_bytes(headers, text.into()))
}

fn tagged_bytes(headers: &HeaderMap, body: Bytes) -> Response {
    let tag = Tag::of(&body);
    tag.known_to(headers).unwrap_or_else(|| {
        let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
        tag.put(&mut response);
        response
    })
}
