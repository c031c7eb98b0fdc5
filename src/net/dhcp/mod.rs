//! DHCP: how a link gets its address from a server (RFC 2131), and BOOTP before it.

pub mod client;
pub mod wire;

pub use client::Client;
pub use wire::Message;

#[cfg(test)]
mod tests;
