//! The benchmark as tables in Markdown, as README.md has them; figures in thousands of millions of instructions.

use std::fmt::{self, Display, Formatter, Write};

use indicatif::HumanCount;

use super::{Report, Row, Size, Split};

/// The whole report.
impl Display for Report {
    fn fmt(&self, to: &mut Formatter) -> fmt::Result {
        to.write_str(&rows(&self.rows))?;
        let splits = splits(&self.rows);
        if !splits.is_empty() {
            write!(to, "\nOf the instructions from `/init` to the real init:\n\n{splits}")?;
        }
        if !self.sizes.is_empty() {
            write!(
                to,
                "\nImages of ours with the drivers of others', theirs packed by zstd -19:\n\n{}",
                sizes(&self.sizes)
            )?;
        }
        Ok(())
    }
}

fn rows(rows: &[Row]) -> String {
    let with_memory = rows.iter().any(|row| row.least_memory.is_some());
    let (memory, line) = if with_memory { (" least memory, MiB |", "---:|") } else { ("", "") };
    let mut text = format!(
        "| image | disk | root= | bytes | modules | loaded | to /init | /init to real init | total |{memory}\n\
         |---|---|---|---:|---:|---:|---:|---:|---:|{line}\n"
    );
    for row in rows {
        let Row { name, bus, root, image_bytes, modules, figures, failure, least_memory, .. } = row;
        let bytes = image_bytes.map_or(String::new(), |bytes| HumanCount(bytes).to_string());
        let modules = modules.map_or(String::new(), |modules| modules.to_string());
        let _ = write!(text, "| {name} | {bus} | {root} | {bytes} | {modules} |");
        let _ = match (figures, failure) {
            (Some(figures), _) => write!(
                text,
                " {} | {} | {} | {} |",
                figures.loaded.len(),
                giga(figures.to_init),
                giga(figures.to_real_init),
                giga(figures.total)
            ),
            (None, failure) => write!(text, " | | {} | |", failure.as_deref().unwrap_or_default()),
        };
        if with_memory {
            let _ = write!(text, " {} |", least_memory.map_or(String::new(), |memory| memory.to_string()));
        }
        text.push('\n');
    }
    text
}

fn splits(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { name, bus, split, .. } in rows {
        let Some(Split { inflate, filter, checksum, lookup, kernel }) = split else { continue };
        if text.is_empty() {
            text = "| image | disk | inflate | filter | checksum | lookup | kernel and the rest |\n\
                    |---|---|---:|---:|---:|---:|---:|\n"
                .into();
        }
        let [inflate, filter, checksum, lookup, kernel] =
            [inflate, filter, checksum, lookup, kernel].map(|part| giga(*part));
        let _ = writeln!(text, "| {name} | {bus} | {inflate} | {filter} | {checksum} | {lookup} | {kernel} |");
    }
    text
}

fn sizes(sizes: &[Size]) -> String {
    let mut text =
        "| image | bytes | modules | of these in ours | bytes of ours | ratio |\n|---|---:|---:|---:|---:|---:|\n"
            .to_string();
    for Size { name, bytes, modules, drivers, our_bytes } in sizes {
        let (theirs, ours) = (HumanCount(*bytes), HumanCount(*our_bytes));
        let ratio = *our_bytes as f64 / *bytes as f64;
        let _ = writeln!(text, "| {name} | {theirs} | {modules} | {} | {ours} | {ratio:.2} |", drivers.len());
    }
    text
}

fn giga(million: f64) -> String {
    format!("{:.3}", million / 1000.0)
}
