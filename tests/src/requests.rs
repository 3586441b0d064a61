//! What the user of a node asks of it, with nothing special about it.

use std::path::Path;

use p2p_node::control::api::{GetRequest, JobRequest, ShareRequest, SubscribeRequest, UnsubscribeRequest};

/// A request to share a file under its own name.
pub fn share_request(path: &Path) -> ShareRequest {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    ShareRequest::new(path.to_owned(), name.parse().expect("a good name"))
}

/// A request to download to the default place.
pub fn get_request(owner: &str, name: &str) -> GetRequest {
    GetRequest::new(owner.parse().expect("a user name"), name.parse().expect("a name"))
}

/// A request to keep a resource up to date at the default place.
pub fn subscribe_request(owner: &str, name: &str) -> SubscribeRequest {
    SubscribeRequest {
        owner: owner.parse().expect("a user name"),
        name: name.parse().expect("a name"),
        path: None,
        share: true,
        parents: false,
        limit: None,
        only: Vec::new(),
        keep: None,
        on_update: None,
    }
}

/// A request to end the subscriptions to a resource; what is installed stays.
pub fn unsubscribe_request(owner: &str, name: &str) -> UnsubscribeRequest {
    UnsubscribeRequest {
        owner: owner.parse().expect("a user name"),
        name: name.parse().expect("a name"),
        path: None,
        delete: false,
    }
}

/// The download of a resource.
pub fn job_request(owner: &str, name: &str) -> JobRequest {
    JobRequest::Resource {
        owner: owner.parse().expect("a user name"),
        name: name.parse().expect("a name"),
        path: None,
    }
}
