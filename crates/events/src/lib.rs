//! The event files between the hooks and the agent.
