//! Where the index is: it says so itself, so that those whose user has not been told that it moved find it all the same.

use std::sync::Arc;
use std::time::Duration;

use wire::message::News;

use crate::peer::Shared;

/// How often it is looked whether the index is elsewhere by now.
const LOOK: Duration = Duration::from_secs(15);

/// At the index: says where it is whenever that changes, until it stops.
pub(crate) async fn keep_place_said(shared: Arc<Shared>) {
    if shared.service.is_none() {
        return;
    }
    let (since, mut said) = (shared.clock.now(), Vec::new());
    loop {
        let addresses = shared.net.addresses();
        if addresses != said
            && let Some(index) =
                shared.replica().and_then(|replica| replica.say_place(addresses.clone(), since))
        {
            shared.spread(None, News { index: Some(index), ..News::default() });
            said = addresses;
        }
        tokio::time::sleep(LOOK).await;
    }
}
