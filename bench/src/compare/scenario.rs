//! What is asked of the servers.

use crate::peers::Service;

/// One column of the comparison.
#[derive(Debug, Clone, Copy)]
pub struct LoadScenario {
    /// Its name in tables and on the command line.
    pub name: &'static str,
    /// What the servers do.
    pub service: Service,
    /// Connections that each server holds.
    pub connections: usize,
    /// How many of them are active at once.
    pub active: usize,
    /// Bytes in a message.
    pub message: usize,
    /// Messages under way on each active connection.
    pub depth: usize,
    /// Bytes in a receive buffer of each server.
    pub buffer: usize,
    /// What is measured.
    pub measure: Measure,
}

/// What a scenario measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Requests per second, CPU per request and latencies, in slices that take turns.
    Speed,
    /// Memory per connection that does nothing.
    Memory,
}

const ECHO: LoadScenario = LoadScenario {
    name: "",
    service: Service::Echo,
    connections: 50,
    active: 50,
    message: 128,
    depth: 1,
    // A buffer four times the message lets a short read say that nothing is left.
    buffer: 16 * 1024,
    measure: Measure::Speed,
};

/// All of them.
pub const SCENARIOS: &[LoadScenario] = &[
    LoadScenario { name: "1x128", connections: 1, active: 1, ..ECHO },
    LoadScenario { name: "50x128", ..ECHO },
    LoadScenario { name: "1000x128", connections: 1000, active: 1000, ..ECHO },
    LoadScenario { name: "50x4k", message: 4 * 1024, ..ECHO },
    LoadScenario { name: "50x64k", message: 64 * 1024, buffer: 64 * 1024, ..ECHO },
    LoadScenario { name: "50x128x16", depth: 16, ..ECHO },
    // As many as fit into the descriptors of a process where 20,000 is the limit.
    LoadScenario { name: "1000of18000", connections: 18_000, active: 1000, buffer: 4 * 1024, ..ECHO },
    LoadScenario {
        name: "idle",
        connections: 10_000,
        active: 10_000,
        buffer: 4 * 1024,
        measure: Measure::Memory,
        ..ECHO
    },
    LoadScenario {
        name: "broadcast",
        service: Service::Broadcast,
        connections: 10_001,
        active: 1,
        message: 1024,
        buffer: 4 * 1024,
        ..ECHO
    },
    LoadScenario { name: "proxy", service: Service::Proxy, message: 1024, ..ECHO },
];

impl LoadScenario {
    /// What is asked, for people.
    pub fn about(&self) -> String {
        let LoadScenario { connections, active, message, depth, .. } = *self;
        let who = if active == connections {
            format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
        } else {
            format!("{active} of {connections} connections")
        };
        match (self.measure, self.service) {
            (Measure::Memory, _) => {
                format!("{connections} connections that have echoed {message} bytes once")
            }
            (_, Service::Broadcast) => format!("{message} bytes from one connection to {}", connections - 1),
            (_, Service::Proxy) => {
                format!("{who} through a proxy, {message} bytes, {depth} under way on each")
            }
            (_, Service::Echo) => format!("{who}, {message} bytes, {depth} under way on each"),
        }
    }
}

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static LoadScenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_said() {
        let about = |name| find(name).unwrap().about();
        assert_eq!(about("1x128"), "1 connection, 128 bytes, 1 under way on each");
        assert_eq!(about("1000of18000"), "1000 of 18000 connections, 128 bytes, 1 under way on each");
        assert_eq!(about("broadcast"), "1024 bytes from one connection to 10000");
        assert_eq!(about("proxy"), "50 connections through a proxy, 1024 bytes, 1 under way on each");
        assert_eq!(about("idle"), "10000 connections that have echoed 128 bytes once");
    }
}
