//! Builds the loader, which the builder carries.

#[path = "build/loader.rs"]
mod loader;

fn main() {
    loader::embed("init");
}
