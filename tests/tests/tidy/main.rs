//! What a reviewer would otherwise repeat: each module is a rule about the workspace's own sources and
//! documents, with canaries that show that the rule can be broken.

mod circles;
mod dependencies;
mod documents;
mod metadata;
mod programs;
mod sources;
mod types;
mod width;
mod words;
