//! The placeholders of a path.

use axum::extract::{FromRequestParts, Path};
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::wire::Problem;

/// The value of a placeholder, or several in a tuple.
pub struct PathPart<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathPart<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathPart<T>, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        let Path(value) = path.map_err(|rejection| {
            Problem::bad_request(rejection.body_text()).because("a path that cannot be read")
        })?;
        Ok(PathPart(value))
    }
}
