//! The API server on this node: ready or not. With TLS, certificates and all by the snap's own
//! kubectl, which goes to the server on this node and to nobody else; `k8s kubectl` would ask k8sd
//! first.

use std::time::Duration;

use two_node_ha_command::{Call, Runner};
use two_node_ha_config::Config;
use two_node_ha_node::Paths;

/// Asks for `/readyz`.
///
/// # Errors
/// Why there was no answer within the time, or what it was instead.
pub(super) fn ask(
    runner: &dyn Runner,
    config: &Config,
    paths: &Paths,
    within: Duration,
) -> Result<(), String> {
    let kubeconfig = paths.at(&config.k8s.kubeconfig);
    let call = Call::new(paths.at(&config.k8s.kubectl_path), within).args([
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--request-timeout={}s", within.as_secs().max(1)),
        "get".into(),
        "--raw=/readyz".into(),
    ]);
    let output = runner.run(&call).map_err(|error| error.to_string())?;
    if output.success() {
        return Ok(());
    }
    Err(output.complaint())
}
