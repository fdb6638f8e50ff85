//! The host's own site: the regular files of its folder, and nothing outside of it.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use tower::ServiceExt;
use tower_http::services::ServeDir;
use tower_http::services::fs::{self as files, File, TokioFile};

/// Answers with a file from the folder.
/// Fails when the folder is gone.
pub async fn serve(folder: &Path, request: Request) -> io::Result<Response> {
    // Resolved for each request: the folder may be a link that is switched to a new release.
    let root = tokio::fs::canonicalize(folder).await?;
    let site = ServeDir::with_backend(&root, Inside(root.clone()));
    let Ok(response) = site.oneshot(request).await;
    Ok(response.map(Body::new))
}

/// Shows only what is really inside this folder, which is not a link itself.
#[derive(Clone)]
struct Inside(PathBuf);

impl files::Backend for Inside {
    type File = TokioFile;
    type Metadata = Metadata;
    type OpenFuture = BoxFuture<'static, io::Result<TokioFile>>;
    type MetadataFuture = BoxFuture<'static, io::Result<Metadata>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let found = self.clone().find(path);
        Box::pin(async move {
            let (path, metadata) = found.await?;
            regular(&metadata)?;
            let file = files::TokioBackend.open(path).await?;
            // Something else may have taken its place in the meantime.
            regular(&file.metadata().await?)?;
            Ok(file)
        })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let found = self.clone().find(path);
        Box::pin(async move { Ok(found.await?.1) })
    }
}

impl Inside {
    async fn find(self, path: PathBuf) -> io::Result<(PathBuf, Metadata)> {
        let found = tokio::task::spawn_blocking(move || self.look_up(&path)).await;
        found.ok().flatten().ok_or(io::ErrorKind::NotFound.into())
    }

    /// A file or a folder, and where it really is. It is not opened: opening a FIFO would block,
    /// and opening a device may have an effect.
    fn look_up(&self, path: &Path) -> Option<(PathBuf, Metadata)> {
        let real = fs::canonicalize(path).ok()?;
        let metadata = fs::metadata(&real).ok()?;
        let known = metadata.is_file() || metadata.is_dir();
        (known && self.shows(path) && self.shows(&real)).then_some((real, metadata))
    }

    /// Whether a path is inside, and no part of it is hidden.
    fn shows(&self, path: &Path) -> bool {
        let is_hidden = |part: &std::ffi::OsStr| part.as_encoded_bytes().starts_with(b".");
        path.strip_prefix(&self.0)
            .is_ok_and(|inside| !inside.iter().any(is_hidden))
    }
}

fn regular(metadata: &Metadata) -> io::Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}
