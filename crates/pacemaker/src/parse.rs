//! From `crm_mon`'s XML.

use roxmltree::{Document, Node as Element, ParsingOptions};
use thiserror::Error;

use crate::status::{
    Failure, FenceEvent, FenceStatus, Node, ResourceInstance, ResourceRole, Status,
};

/// More nodes of XML than any status of two nodes has.
const NODES_LIMIT: u32 = 1_000_000;

/// Exit code of Pacemaker's tools when the cluster does not run on this node (`ENOTCONN`).
pub(crate) const NOT_CONNECTED: i32 = 102;

/// Why there is no status.
#[derive(Debug, Error)]
pub enum Error {
    /// The cluster does not run on this node, or not yet.
    #[error("Pacemaker is not running on this node, or has not joined yet: {0}")]
    NotRunning(String),
    /// crm_mon said that it failed.
    #[error("crm_mon failed with code {code}: {message}")]
    Failed {
        /// Pacemaker's exit code.
        code: i32,
        /// What it said.
        message: String,
    },
    /// Not XML.
    #[error("the output is not XML: {0}")]
    Xml(#[from] roxmltree::Error),
    /// XML, but of another kind than was asked for.
    #[error("the output makes no sense: {0}")]
    Schema(String),
}

/// The text as a tree.
pub(crate) fn document(xml: &str) -> Result<Document<'_>, Error> {
    let options = ParsingOptions {
        nodes_limit: NODES_LIMIT,
        ..ParsingOptions::default()
    };
    Ok(Document::parse_with_options(xml, options)?)
}

/// Reads what `crm_mon --output-as=xml -1` prints.
///
/// # Errors
/// On anything else, and on a result that says that crm_mon failed or is not connected.
pub fn parse_crm_mon(xml: &str) -> Result<Status, Error> {
    let document = document(xml)?;
    let root = document.root_element();
    // Before 2.0.3's API it was `crm_mon`; nobody supported runs that.
    if !root.has_tag_name("pacemaker-result") {
        let name = root.tag_name().name();
        return Err(Error::Schema(format!(
            "it begins with <{name}>, not <pacemaker-result>"
        )));
    }
    let complaints = complaints(root);
    let code = child(root, "status")
        .and_then(|s| s.attribute("code"))
        .unwrap_or("0");
    let code: i32 = number("status", "code", code)?;
    if code == NOT_CONNECTED {
        return Err(Error::NotRunning(complaints));
    }
    if code != 0 {
        return Err(Error::Failed {
            code,
            message: complaints,
        });
    }
    // Seen from 2.1.5: the connection failed, code 0, and nothing but <errors>.
    let (Some(summary), Some(nodes)) = (child(root, "summary"), child(root, "nodes")) else {
        return Err(Error::NotRunning(complaints));
    };

    let mut status = Status {
        nodes: all(nodes, "node", node)?,
        ..Status::default()
    };
    if let Some(dc) = child(summary, "current_dc").filter(|dc| flag(*dc, "present")) {
        status.dc = dc.attribute("name").map(str::to_owned);
        status.with_quorum = optional_flag(dc, "with_quorum");
    }
    if let Some(options) = child(summary, "cluster_options") {
        status.stonith_enabled = optional_flag(options, "stonith-enabled")
            .or_else(|| optional_flag(options, "fencing-enabled"));
        status.maintenance_mode = flag(options, "maintenance-mode");
        status.no_quorum_policy = options.attribute("no-quorum-policy").map(str::to_owned);
    }
    if let Some(resources) = child(root, "resources") {
        collect(resources, None, None, &mut status.resources)?;
    }
    if let Some(failures) = child(root, "failures") {
        status.failures = all(failures, "failure", failure)?;
    }
    if let Some(history) = child(root, "fence_history") {
        status.fence_history = all(history, "fence_event", fence_event)?;
    }
    Ok(status)
}

/// The text of `<errors>`, else the status's message.
fn complaints(root: Element<'_, '_>) -> String {
    let Some(status) = child(root, "status") else {
        return String::new();
    };
    let errors: Vec<_> = status
        .descendants()
        .filter(|e| e.has_tag_name("error"))
        .filter_map(|e| e.text())
        .map(str::trim)
        .collect();
    if errors.is_empty() {
        status.attribute("message").unwrap_or_default().to_owned()
    } else {
        errors.join("; ")
    }
}

/// A clone or a group holds resources; an unknown element is passed over.
fn collect(
    parent: Element<'_, '_>,
    clone: Option<&str>,
    group: Option<&str>,
    instances: &mut Vec<ResourceInstance>,
) -> Result<(), Error> {
    for element in parent.children().filter(Element::is_element) {
        match element.tag_name().name() {
            "resource" => resource(element, clone, group, instances)?,
            // Clones hold groups, groups hold resources, and nothing holds more.
            "clone" if clone.is_none() && group.is_none() => {
                collect(element, Some(required(element, "id")?), None, instances)?;
            }
            "group" if group.is_none() => {
                collect(element, clone, Some(required(element, "id")?), instances)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn resource(
    element: Element<'_, '_>,
    clone: Option<&str>,
    group: Option<&str>,
    instances: &mut Vec<ResourceInstance>,
) -> Result<(), Error> {
    let instance = ResourceInstance {
        id: required(element, "id")?.to_owned(),
        agent: required(element, "resource_agent")?.to_owned(),
        role: ResourceRole::parse(required(element, "role")?),
        active: flag(element, "active"),
        failed: flag(element, "failed"),
        managed: flag(element, "managed"),
        blocked: flag(element, "blocked"),
        pending: element.attribute("pending").map(str::to_owned),
        node: None,
        clone: clone.map(str::to_owned),
        group: group.map(str::to_owned),
    };
    let nodes = all(element, "node", |node| {
        Ok(required(node, "name")?.to_owned())
    })?;
    if nodes.is_empty() {
        instances.push(instance);
    } else {
        instances.extend(nodes.into_iter().map(|node| ResourceInstance {
            node: Some(node),
            ..instance.clone()
        }));
    }
    Ok(())
}

fn node(element: Element<'_, '_>) -> Result<Node, Error> {
    Ok(Node {
        name: required(element, "name")?.to_owned(),
        id: required(element, "id")?.to_owned(),
        online: required_flag(element, "online")?,
        standby: flag(element, "standby") || flag(element, "standby_onfail"),
        unclean: required_flag(element, "unclean")?,
        pending: flag(element, "pending"),
        maintenance: flag(element, "maintenance"),
        shutdown: flag(element, "shutdown"),
        expected_up: required_flag(element, "expected_up")?,
        is_dc: flag(element, "is_dc"),
    })
}

fn failure(element: Element<'_, '_>) -> Result<Failure, Error> {
    let operation = element
        .attribute("op_key")
        .or_else(|| element.attribute("id"));
    Ok(Failure {
        operation: operation.unwrap_or_default().to_owned(),
        node: required(element, "node")?.to_owned(),
        exit_code: number("failure", "exitcode", required(element, "exitcode")?)?,
        exit_reason: element
            .attribute("exitreason")
            .unwrap_or_default()
            .to_owned(),
        status: element.attribute("status").unwrap_or_default().to_owned(),
        last_change: element.attribute("last-rc-change").map(str::to_owned),
    })
}

pub(crate) fn fence_event(element: Element<'_, '_>) -> Result<FenceEvent, Error> {
    Ok(FenceEvent {
        target: required(element, "target")?.to_owned(),
        action: required(element, "action")?.to_owned(),
        status: FenceStatus::parse(required(element, "status")?),
        client: element.attribute("client").unwrap_or_default().to_owned(),
        origin: element.attribute("origin").unwrap_or_default().to_owned(),
        delegate: element.attribute("delegate").map(str::to_owned),
        completed: element.attribute("completed").map(str::to_owned),
        reason: element.attribute("exit-reason").map(str::to_owned),
    })
}

fn child<'a, 'i>(parent: Element<'a, 'i>, name: &str) -> Option<Element<'a, 'i>> {
    parent.children().find(|element| element.has_tag_name(name))
}

fn all<'a, 'i: 'a, T>(
    parent: Element<'a, 'i>,
    name: &str,
    read: impl Fn(Element<'a, 'i>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    parent
        .children()
        .filter(|element| element.has_tag_name(name))
        .map(read)
        .collect()
}

pub(crate) fn required<'a>(element: Element<'a, '_>, name: &str) -> Result<&'a str, Error> {
    element.attribute(name).ok_or_else(|| {
        Error::Schema(format!(
            "<{}> has no attribute `{name}`",
            element.tag_name().name()
        ))
    })
}

/// An attribute that decides about life and death is not guessed.
fn required_flag(element: Element<'_, '_>, name: &str) -> Result<bool, Error> {
    required(element, name)?;
    optional_flag(element, name).ok_or_else(|| {
        Error::Schema(format!(
            "`{name}` of <{}> is no boolean",
            element.tag_name().name()
        ))
    })
}

fn flag(element: Element<'_, '_>, name: &str) -> bool {
    optional_flag(element, name).unwrap_or(false)
}

fn optional_flag(element: Element<'_, '_>, name: &str) -> Option<bool> {
    match element.attribute(name) {
        Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        _ => None,
    }
}

fn number(element: &str, name: &str, value: &str) -> Result<i32, Error> {
    value
        .parse()
        .map_err(|_| Error::Schema(format!("`{name}` of <{element}> is `{value}`, no number")))
}
