//! What can still be read in a configuration that is not valid: the few names without which the
//! gates and masks would stand at the wrong units.

use toml::de::{DeTable, DeValue};
use two_node_ha_config::{Config, readable};

use crate::unit::is_name;

/// Names for the gates and masks of a broken configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// `k8s.snap`, or its default.
    pub snap: String,
    /// The default services, and what `k8s.services` and `k8s.datastore_services` name besides.
    pub services: Vec<String>,
    /// Those of [`Salvage::services`] that write a database.
    pub datastore_services: Vec<String>,
    /// `volume.resource`, or its default.
    pub resource: String,
}

impl Default for Salvage {
    fn default() -> Self {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Self {
            snap: "k8s".to_owned(),
            services: names(&[
                "k8sd",
                "containerd",
                "k8s-dqlite",
                "kube-apiserver",
                "kubelet",
                "kube-controller-manager",
                "kube-proxy",
                "kube-scheduler",
            ]),
            datastore_services: names(&["k8s-dqlite", "k8sd"]),
            resource: "r0".to_owned(),
        }
    }
}

impl Salvage {
    /// Of a configuration that is valid but fits no unit.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut salvage = Self::default();
        let k8s = &config.k8s;
        if is_name(&k8s.snap) {
            salvage.snap.clone_from(&k8s.snap);
        }
        for name in k8s.services.iter().chain(&k8s.datastore_services) {
            if is_name(name) {
                add(&mut salvage.services, name);
            }
        }
        for name in &k8s.datastore_services {
            add(&mut salvage.datastore_services, name);
        }
        salvage.resource.clone_from(&config.volume.resource);
        salvage
    }

    /// Reads what is readable. Values that are no names count as unreadable.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut salvage = Self::default();
        salvage.take(text);
        // The parser gives up what follows a line that is no `key = value`; without the broken lines
        // it finds the rest. Both, as the one may find what the other does not.
        salvage.take(&readable(text));
        salvage
    }

    fn take(&mut self, text: &str) {
        let (table, _errors) = DeTable::parse_recoverable(text);
        let table = table.get_ref();
        if let Some(k8s) = table_at(table, "k8s") {
            if let Some(snap) = name_at(k8s, "snap") {
                self.snap = snap.to_owned();
            }
            let datastore = names_at(k8s, "datastore_services");
            for name in names_at(k8s, "services").iter().chain(&datastore) {
                add(&mut self.services, name);
            }
            for name in datastore {
                add(&mut self.datastore_services, name);
            }
        }
        if let Some(resource) = table_at(table, "volume")
            .and_then(|volume| string_at(volume, "resource"))
            // Escaped before it becomes part of a name, so that its length is all that matters.
            .filter(|resource| !resource.is_empty() && resource.len() <= 48)
        {
            self.resource = resource.to_owned();
        }
    }
}

fn add(list: &mut Vec<String>, name: &str) {
    if !list.iter().any(|have| have == name) {
        list.push(name.to_owned());
    }
}

fn table_at<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
    match table.get(key)?.get_ref() {
        DeValue::Table(inner) => Some(inner),
        _ => None,
    }
}

fn string_at<'a>(table: &'a DeTable<'_>, key: &str) -> Option<&'a str> {
    match table.get(key)?.get_ref() {
        DeValue::String(text) => Some(text),
        _ => None,
    }
}

fn name_at<'a>(table: &'a DeTable<'_>, key: &str) -> Option<&'a str> {
    name(table.get(key)?.get_ref())
}

fn names_at<'a>(table: &'a DeTable<'_>, key: &str) -> Vec<&'a str> {
    match table.get(key).map(|value| value.get_ref()) {
        Some(DeValue::Array(items)) => items.iter().filter_map(|i| name(i.get_ref())).collect(),
        _ => Vec::new(),
    }
}

fn name<'a>(value: &'a DeValue<'_>) -> Option<&'a str> {
    match value {
        DeValue::String(text) if is_name(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_file_gives_the_default_names() {
        for text in [
            "",
            "[[[[",
            "k8s = 5",
            "[k8s]\nsnap = 7\nservices = 'x'",
            "\0",
        ] {
            assert_eq!(Salvage::read(text), Salvage::default(), "{text:?}");
        }
    }

    #[test]
    fn names_are_read_past_a_syntax_error() {
        let salvage = Salvage::read(
            "[volume]\nresource = \"data\"\nsize = \n[k8s]\nsnap = \"k8s-edge\"\n\
             services = [\"etcd\", \"k8sd\"]\n",
        );
        assert_eq!(salvage.snap, "k8s-edge");
        assert_eq!(salvage.resource, "data");
        assert_eq!(salvage.services.len(), 9);
        assert_eq!(salvage.services.last().unwrap(), "etcd");
    }

    #[test]
    fn names_are_read_past_a_line_of_nonsense() {
        let text = "[volume]\nthis is nonsense\nresource = \"data\"\n[k8s]\n\
                    services = [\"etcd\", \"k8sd\"]\n";
        let salvage = Salvage::read(text);
        assert_eq!(salvage.resource, "data");
        assert_eq!(salvage.services.last().unwrap(), "etcd");
    }

    #[test]
    fn a_value_that_could_leave_its_place_is_not_taken() {
        let salvage = Salvage::read(
            "[volume]\nresource = 3\n[k8s]\nsnap = \"a/../../b\"\nservices = [\"a b\", \"\"]",
        );
        assert_eq!(salvage, Salvage::default());
    }
}
