//! The benchmark as a table in Markdown, as README.md has it.

use std::fmt::Write;

use indicatif::HumanCount;

use super::Row;

/// The lines as a table; figures in thousands of millions of instructions.
pub fn table(rows: &[Row]) -> String {
    let with_memory = rows.iter().any(|row| row.least_memory.is_some());
    let (memory, line) = if with_memory { (" least memory, MiB |", "---:|") } else { ("", "") };
    let mut text = format!(
        "| image | disk | root= | bytes | modules | loaded | to /init | /init to real init | total |{memory}\n\
         |---|---|---|---:|---:|---:|---:|---:|---:|{line}\n"
    );
    for row in rows {
        let Row { name, bus, root, image_bytes, modules, figures, least_memory } = row;
        let loaded = if figures.loaded.is_empty() { *modules } else { figures.loaded.len() };
        let giga = |million: f64| format!("{:.3}", million / 1000.0);
        let (to_init, to_real_init, total) = (giga(figures.to_init), giga(figures.to_real_init), giga(figures.total));
        let _ = write!(
            text,
            "| {name} | {bus} | {root} | {} | {modules} | {loaded} | {to_init} | {to_real_init} | {total} |",
            HumanCount(*image_bytes)
        );
        if with_memory {
            let _ = write!(text, " {} |", least_memory.map_or(String::new(), |memory| memory.to_string()));
        }
        text.push('\n');
    }
    text
}
