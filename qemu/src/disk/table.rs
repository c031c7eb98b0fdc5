//! Partition tables, by sfdisk.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::{MIB, Partition, Table, sparse};
use crate::tool::Tool;

const SFDISK: Tool = Tool::new("sfdisk", "fdisk");

/// The first number of a logical partition in an MBR; the extended one around them is number 1 here.
const FIRST_LOGICAL: u32 = 5;

/// Lays the file system in the file `content` into a partition of the new disk `output`.
pub(super) fn wrap(kind: Table, partition: &Partition, content: &Path, output: &Path) -> Result<()> {
    let size = fs::metadata(content).context("cannot read the file system")?.len().next_multiple_of(MIB);
    let layout = Layout::new(kind, partition.number, size);
    let disk = File::create(output).context("cannot create the file")?;
    disk.set_len(layout.disk_size()).context("cannot set the file's size")?;
    SFDISK.command()?.args(["--quiet"]).arg(output).run_with_input(&layout.script(partition)?)?;
    let mut disk = File::options().write(true).open(output).context("cannot open the file")?;
    disk.seek(SeekFrom::Start(layout.start(partition.number)))?;
    sparse::copy(&mut File::open(content)?, &mut disk).context("cannot copy the file system")?;
    Ok(())
}

/// Where partitions lie: each begins at a whole MiB, the logical ones with a MiB before them for their own tables.
struct Layout {
    kind: Table,
    last: u32,
    size: u64,
}

impl Layout {
    fn new(kind: Table, last: u32, size: u64) -> Self {
        Self { kind, last, size }
    }

    fn has_logical(&self) -> bool {
        self.kind == Table::Mbr && self.last >= FIRST_LOGICAL
    }

    /// The numbers of the partitions that can hold data.
    fn numbers(&self) -> std::ops::RangeInclusive<u32> {
        if self.has_logical() { FIRST_LOGICAL..=self.last } else { 1..=self.last }
    }

    /// The first byte of a partition.
    fn start(&self, number: u32) -> u64 {
        let before = u64::from(number - self.numbers().start());
        if self.has_logical() { MIB * (2 + 2 * before) } else { MIB * (1 + before) }
    }

    /// The whole disk: a MiB after the last partition has room for a GPT's backup.
    fn disk_size(&self) -> u64 {
        self.start(self.last) + self.size + MIB
    }

    /// What sfdisk reads (sfdisk(8), "Named-fields format"); its unit is the sector of 512 bytes.
    fn script(&self, partition: &Partition) -> Result<String> {
        let mut text = self.header(partition)?;
        if self.has_logical() {
            let (start, size) = (MIB / 512, (self.disk_size() - 2 * MIB) / 512);
            writeln!(text, "1 : start={start}, size={size}, type=5")?;
        }
        for number in self.numbers() {
            let is_last = number == self.last;
            let size = if is_last { self.size } else { MIB };
            write!(text, "{number} : start={}, size={}", self.start(number) / 512, size / 512)?;
            match self.kind {
                Table::Gpt => text.push_str(&gpt_fields(number, is_last.then_some(partition))?),
                _ => text.push_str(", type=83"),
            }
            text.push('\n');
        }
        Ok(text)
    }

    fn header(&self, partition: &Partition) -> Result<String> {
        if self.kind == Table::Gpt {
            return Ok("label: gpt\n".into());
        }
        Ok(match &partition.uuid {
            Some(uuid) => format!("label: dos\nlabel-id: 0x{}\n", self.signature(uuid)?),
            None => "label: dos\n".into(),
        })
    }

    /// The disk signature in an MBR partition's UUID, whose second half must be the partition's own number.
    fn signature<'a>(&self, uuid: &'a str) -> Result<&'a str> {
        match uuid.split_once('-') {
            Some((signature, number)) if u32::from_str_radix(number, 16).ok() == Some(self.last) => Ok(signature),
            _ => bail!("in an MBR the UUID of partition {} is SSSSSSSS-{:02x}, not `{uuid}`", self.last, self.last),
        }
    }
}

fn gpt_fields(number: u32, partition: Option<&Partition>) -> Result<String> {
    let Some(partition) = partition else {
        return Ok(format!(", type=linux, uuid=00000000-0000-4000-8000-{number:012}"));
    };
    let mut text = String::from(", type=linux");
    if let Some(uuid) = &partition.uuid {
        write!(text, ", uuid={uuid}")?;
    }
    if let Some(label) = &partition.label {
        ensure!(!label.contains(['"', '\n']), "sfdisk takes no quotation marks in a partition's label: {label}");
        write!(text, ", name=\"{label}\"")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blkid(image: &Path, offset: u64) -> String {
        Tool::new("blkid", "util-linux")
            .command()
            .unwrap()
            .args(["-p", "-o", "export", "-O", &offset.to_string()])
            .arg(image)
            .run()
            .unwrap()
    }

    fn dump(image: &Path) -> String {
        SFDISK.command().unwrap().arg("--dump").arg(image).run().unwrap()
    }

    fn made(kind: Table, partition: &Partition) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let content = directory.path().join("content");
        let size = 2 * MIB;
        File::create(&content).unwrap().set_len(size).unwrap();
        Tool::new("mke2fs", "e2fsprogs").command().unwrap().args(["-q", "-L", "inside"]).arg(&content).run().unwrap();
        wrap(kind, partition, &content, &directory.path().join("disk")).unwrap();
        directory
    }

    #[test]
    fn a_gpt_partition_has_its_names_and_its_content() {
        let uuid = "0c5a9b6e-2b1f-4c55-9d7c-0242ac120002";
        let partition = Partition { number: 2, label: Some("my root".into()), uuid: Some(uuid.into()) };
        let directory = made(Table::Gpt, &partition);
        let table = dump(&directory.path().join("disk"));
        assert!(table.contains("my root") && table.to_lowercase().contains(uuid), "{table}");
        assert!(table.contains("00000000-0000-4000-8000-000000000001"), "{table}");
        assert!(blkid(&directory.path().join("disk"), 2 * MIB).contains("LABEL=inside"));
    }

    #[test]
    fn a_logical_partition_holds_the_content() {
        let partition = Partition { number: 6, label: None, uuid: Some("deadbeef-06".into()) };
        let directory = made(Table::Mbr, &partition);
        let table = dump(&directory.path().join("disk"));
        assert!(table.contains("0xdeadbeef") && table.contains("disk6 :"), "{table}");
        assert!(blkid(&directory.path().join("disk"), 4 * MIB).contains("LABEL=inside"));
    }

    #[test]
    fn an_mbr_uuid_must_name_its_partition() {
        let partition = Partition { number: 1, label: None, uuid: Some("deadbeef-02".into()) };
        let error = Layout::new(Table::Mbr, 1, MIB).script(&partition).unwrap_err().to_string();
        assert!(error.contains("SSSSSSSS-01"), "{error}");
    }
}
