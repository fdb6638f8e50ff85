//! A certificate that is renewed on disk is taken over without a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::app::App;

/// How often the files are read. Their content is compared, because a renewal may come by
/// renaming, through links, or with an unchanged modification time.
const POLL: Duration = Duration::from_secs(2);

/// Takes over the certificate whenever its files have changed, until the daemon stops. Files
/// that do not belong together, as while only one of them is new, are ignored until they do.
pub async fn renew_certificate(app: Arc<App>) {
    let mut changes = app.live.changes();
    let mut complained = false;
    let looking = async {
        while changes.wait_for(|live| live.tls.is_some()).await.is_ok() {
            sleep(POLL).await;
            let Some(known) = app.live.get().tls.clone() else {
                continue;
            };
            match known.read_again().await {
                Ok(fresh) => {
                    complained = false;
                    if !Arc::ptr_eq(&fresh, &known) && app.live.replace_certificate(&known, fresh) {
                        tracing::info!("the certificate has changed: new connections get it");
                    }
                }
                Err(reason) if !complained => {
                    complained = true;
                    tracing::warn!("{reason}; the last good certificate stays");
                }
                Err(_) => {}
            }
        }
    };
    app.stop.run_until_cancelled(looking).await;
}
