//! What must hold of whatever a handler is passed.

use std::collections::BTreeMap;

use two_node_ha_drbd::Handler;
use two_node_ha_drbd::request::Request;

/// The bytes are the handler's name, its argument and its variables, each ended by a zero, as in
/// `/proc/PID/environ`.
pub fn environment(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split('\0');
    let handler = words.next().and_then(Handler::of);
    let handler = handler.unwrap_or(Handler::FencePeer);
    let argument = words.next().filter(|argument| !argument.is_empty());
    let env: BTreeMap<String, String> = words
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let request = Request::new(handler, argument, env.clone());
    // Nothing is made up.
    assert!(request.minors().len() <= request.volumes.len());
    assert!(
        request
            .env
            .iter()
            .all(|(key, value)| env.get(key) == Some(value))
    );
    if let Some(resource) = env.get("DRBD_RESOURCE").map(|name| name.trim()) {
        if !resource.is_empty() && request.handler != Handler::Udev {
            assert_eq!(request.resource.as_deref(), Some(resource));
        }
    }
    assert!(!request.subject().is_empty());
    // The same once more: there is no hidden state.
    assert_eq!(
        Request::new(request.handler.clone(), argument, env),
        request
    );
}
